-- Who can log in. One row is one account.
--
-- Instants are whole seconds since 1970-01-01 UTC in every table.
CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused: an old reference must not reach a new person
    email         TEXT    NOT NULL COLLATE NOCASE,   -- as typed; one account whatever its case
    password_hash TEXT    NOT NULL,                  -- Argon2id, PHC string format
    created_at    INTEGER NOT NULL,

    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_email_length CHECK (length(email) BETWEEN 3 AND 254),
    -- NOCASE folds ASCII only, so nothing else may enter: two addresses that differ in case are one.
    CONSTRAINT users_email_ascii CHECK (email NOT GLOB '*[^!-~]*')
) STRICT;
