-- Second factors: what somebody gives beside the password at a log-in.

-- Whether the account has a factor. The query that reads a session reads it with its user, so it is
-- here, and not looked up in the table of the factors.
ALTER TABLE users ADD COLUMN has_factor INTEGER NOT NULL DEFAULT 0;

-- What the account's passkeys call it. It is random, and says nothing of the person. NULL: no passkey
-- was asked for yet.
ALTER TABLE users ADD COLUMN passkey_handle BLOB;

-- When the user said that they want no passkey. NULL: the account page may ask.
ALTER TABLE users ADD COLUMN passkey_declined_at INTEGER;

-- When two factors were last given. NULL: the session was begun with one.
ALTER TABLE sessions ADD COLUMN strong_at INTEGER;

-- Until when a log-in from this device needs no second factor. NULL: it needs one.
ALTER TABLE login_devices ADD COLUMN trusted_until INTEGER;

-- One row is an app for codes, or a passkey. A factor that was removed is kept for a week, so that
-- "this was not me" can bring it back.
CREATE TABLE login_factors (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    name         TEXT    NOT NULL DEFAULT '',
    secret       TEXT,             -- of an app; sealed for this user
    last_step    INTEGER,          -- of an app: the time step of the last code that was used
    credential   BLOB,             -- of a passkey: its id
    public_key   BLOB,             -- of a passkey: a COSE key
    sign_count   INTEGER,          -- of a passkey: how often it was used, as far as it tells
    aaguid       BLOB,             -- of a passkey: its make
    transports   TEXT,             -- of a passkey: how a browser reaches it, with a blank between two words
    is_verified  INTEGER,          -- of a passkey: 1 if it has checked a PIN or a finger, so that it may log in alone
    can_sync     INTEGER,          -- of a passkey: 1 if it may be on several devices
    is_synced    INTEGER,          -- of a passkey: 1 if it is
    rp_id        TEXT,             -- of a passkey: the host that it belongs to
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    removed_at   INTEGER,          -- NULL: it is in use
    removed_in   BLOB,             -- the session that removed it. Its browser forgets the passkey at once, others after a week

    CONSTRAINT login_factors_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT login_factors_kind CHECK (kind IN ('app', 'passkey')),
    CONSTRAINT login_factors_app CHECK ((kind = 'app') = (secret IS NOT NULL AND last_step IS NOT NULL)),
    CONSTRAINT login_factors_passkey CHECK ((kind = 'passkey') =
        (credential IS NOT NULL AND public_key IS NOT NULL AND sign_count IS NOT NULL AND aaguid IS NOT NULL
         AND transports IS NOT NULL AND is_verified IS NOT NULL AND can_sync IS NOT NULL
         AND is_synced IS NOT NULL AND rp_id IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX login_factors_app_key ON login_factors (user_id) WHERE kind = 'app' AND removed_at IS NULL;
-- Of all accounts together: nobody may register a passkey of somebody else.
CREATE UNIQUE INDEX login_factors_credential_key ON login_factors (credential) WHERE credential IS NOT NULL;
CREATE INDEX login_factors_user_id_idx ON login_factors (user_id);
CREATE INDEX login_factors_removed_at_idx ON login_factors (removed_at) WHERE removed_at IS NOT NULL;

-- One row is a code that was not used yet. A set that a newer one has replaced is kept for a week.
CREATE TABLE login_recovery_codes (
    id         BLOB    NOT NULL, -- SHA-256 of the code and the user
    user_id    INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- of the whole set
    removed_at INTEGER,          -- NULL: it is good

    CONSTRAINT login_recovery_codes_pkey PRIMARY KEY (id),
    CONSTRAINT login_recovery_codes_id_length CHECK (length(id) = 32),
    CONSTRAINT login_recovery_codes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX login_recovery_codes_user_id_idx ON login_recovery_codes (user_id);
CREATE INDEX login_recovery_codes_removed_at_idx ON login_recovery_codes (removed_at) WHERE removed_at IS NOT NULL;

-- Challenges that a passkey has answered. Each may be answered once.
CREATE TABLE login_challenges (
    id         BLOB    NOT NULL, -- SHA-256 of the challenge
    expires_at INTEGER NOT NULL, -- refused from then on in any case

    CONSTRAINT login_challenges_pkey PRIMARY KEY (id),
    CONSTRAINT login_challenges_id_length CHECK (length(id) = 32)
) STRICT;

CREATE INDEX login_challenges_expires_at_idx ON login_challenges (expires_at);

-- Log-ins whose second step is missing: the password was right, and nobody is logged in yet. One row
-- is one browser. After its end it waits until the owner is told.
CREATE TABLE login_pending (
    id         BLOB    NOT NULL,           -- SHA-256 of the token in the cookie
    user_id    INTEGER NOT NULL,
    password   BLOB    NOT NULL,           -- SHA-256 of the account's password hash at the first step
    remember   INTEGER NOT NULL DEFAULT 0, -- 1: "remember me" was ticked
    failures   INTEGER NOT NULL DEFAULT 0, -- wrong codes
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,           -- over from then on
    ip_address TEXT    NOT NULL DEFAULT '',
    user_agent TEXT    NOT NULL DEFAULT '',

    CONSTRAINT login_pending_pkey PRIMARY KEY (id),
    CONSTRAINT login_pending_id_length CHECK (length(id) = 32),
    CONSTRAINT login_pending_password_length CHECK (length(password) = 32),
    CONSTRAINT login_pending_remember_bool CHECK (remember IN (0, 1)),
    CONSTRAINT login_pending_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX login_pending_user_id_idx ON login_pending (user_id);
CREATE INDEX login_pending_expires_at_idx ON login_pending (expires_at);
