-- How often somebody has tried something lately. One row is one account, one address, both, or one
-- device: what is throttled together. No row: nothing lately.
CREATE TABLE login_throttle (
    key           BYTEA   NOT NULL,           -- a hash of what is throttled: no address can be read from it
    account       BYTEA,                      -- the account it is about, hashed alike; all its rows go together
    failures      BIGINT  NOT NULL DEFAULT 0, -- in a row
    pending       BIGINT  NOT NULL DEFAULT 0, -- attempts that are being looked at
    blocked_until BIGINT  NOT NULL DEFAULT 0, -- of a rate: when all of it is free again
    updated_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,           -- forgotten from then on

    CONSTRAINT login_throttle_pkey PRIMARY KEY (key),
    CONSTRAINT login_throttle_key_length CHECK (length(key) = 16)
);

CREATE INDEX login_throttle_account_idx ON login_throttle (account) WHERE account IS NOT NULL;
CREATE INDEX login_throttle_expires_at_idx ON login_throttle (expires_at);
CREATE INDEX login_throttle_failures_idx ON login_throttle (failures, expires_at);
