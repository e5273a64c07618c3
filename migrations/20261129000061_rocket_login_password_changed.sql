-- When the password was last changed or reset. NULL: not since the account was made, or not since
-- this column is there.
ALTER TABLE users ADD COLUMN password_changed_at INTEGER;
