-- Who can log in. One row is one account.
--
-- Instants are whole seconds since 1970-01-01 UTC in every table.
CREATE TABLE users (
    id            BIGINT GENERATED ALWAYS AS IDENTITY, -- never reused: an old reference must not reach a new person
    email         TEXT   COLLATE "C" NOT NULL,         -- as typed; one account whatever its case
    password_hash TEXT   NOT NULL,                     -- Argon2id, PHC string format
    created_at    BIGINT NOT NULL,

    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_length CHECK (length(email) BETWEEN 3 AND 254),
    -- lower() folds ASCII only under "C", so nothing else may enter: two addresses that differ in case are one.
    CONSTRAINT users_email_ascii CHECK (email !~ '[^!-~]')
);

CREATE UNIQUE INDEX users_email_key ON users (lower(email));
