-- Identities: accounts at providers, such as Google, that log in to an account here.

-- One row is what a provider calls a person. An identity that was disconnected is kept for a week, so
-- that "this was not me" can bring it back.
CREATE TABLE login_identities (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL,
    issuer       TEXT    NOT NULL, -- the provider, by the name that it gives itself
    subject      TEXT    NOT NULL, -- the person, as the provider calls them; never the address
    provider     TEXT    NOT NULL, -- the provider's name in the configuration when it was last used
    email        TEXT,             -- the address that the provider named when it was last used
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    removed_at   INTEGER,          -- NULL: it is in use

    CONSTRAINT login_identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) STRICT;

-- An identity belongs to one account.
CREATE UNIQUE INDEX login_identities_subject_key ON login_identities (issuer, subject) WHERE removed_at IS NULL;
CREATE INDEX login_identities_user_id_idx ON login_identities (user_id);
CREATE INDEX login_identities_removed_at_idx ON login_identities (removed_at) WHERE removed_at IS NOT NULL;

-- The identity that the session began with. NULL: it began without a provider.
ALTER TABLE sessions ADD COLUMN identity_id INTEGER;
-- What the provider calls its own session. NULL: it did not say.
ALTER TABLE sessions ADD COLUMN provider_sid TEXT;

CREATE INDEX IF NOT EXISTS sessions_identity_id_idx ON sessions (identity_id) WHERE identity_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS sessions_provider_sid_idx ON sessions (provider_sid) WHERE provider_sid IS NOT NULL;

-- The same of a log-in whose second step is missing.
ALTER TABLE login_pending ADD COLUMN identity_id INTEGER;
ALTER TABLE login_pending ADD COLUMN provider_sid TEXT;
