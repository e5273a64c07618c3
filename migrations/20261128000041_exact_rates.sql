-- Of the last second of `blocked_until`, the part that is free already: a rate of 1,900 in an hour
-- takes less than two seconds for one attempt. In parts of a second, as many as the rate allows.
ALTER TABLE login_throttle ADD COLUMN spare INTEGER NOT NULL DEFAULT 0;
