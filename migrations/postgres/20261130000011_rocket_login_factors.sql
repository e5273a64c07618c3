-- Second factors: what somebody gives beside the password at a log-in.

-- Whether the account has a factor. The query that reads a session reads it with its user, so it is
-- here, and not looked up in the table of the factors.
ALTER TABLE users ADD COLUMN has_factor BOOLEAN NOT NULL DEFAULT FALSE;

-- What the account's passkeys call it. It is random, and says nothing of the person. NULL: no passkey
-- was asked for yet.
ALTER TABLE users ADD COLUMN passkey_handle BYTEA;

-- When the user said that they want no passkey. NULL: the account page may ask.
ALTER TABLE users ADD COLUMN passkey_declined_at BIGINT;

-- When two factors were last given. NULL: the session was begun with one.
ALTER TABLE sessions ADD COLUMN strong_at BIGINT;

-- Until when a log-in from this device needs no second factor. NULL: it needs one.
ALTER TABLE login_devices ADD COLUMN trusted_until BIGINT;

-- One row is an app for codes, or a passkey. A factor that was removed is kept for a week, so that
-- "this was not me" can bring it back.
CREATE TABLE login_factors (
    id           BIGINT  GENERATED ALWAYS AS IDENTITY,
    user_id      BIGINT  NOT NULL,
    kind         TEXT    NOT NULL,
    name         TEXT    NOT NULL DEFAULT '',
    secret       TEXT,             -- of an app; sealed for this user
    last_step    BIGINT,           -- of an app: the time step of the last code that was used
    credential   BYTEA,            -- of a passkey: its id
    public_key   BYTEA,            -- of a passkey: a COSE key
    sign_count   BIGINT,           -- of a passkey: how often it was used, as far as it tells
    aaguid       BYTEA,            -- of a passkey: its make
    transports   TEXT,             -- of a passkey: how a browser reaches it, with a blank between two words
    is_verified  BOOLEAN,          -- of a passkey: it has checked a PIN or a finger, so that it may log in alone
    can_sync     BOOLEAN,          -- of a passkey: it may be on several devices
    is_synced    BOOLEAN,          -- of a passkey: it is
    rp_id        TEXT,             -- of a passkey: the host that it belongs to
    created_at   BIGINT  NOT NULL,
    last_used_at BIGINT,
    removed_at   BIGINT,           -- NULL: it is in use
    removed_in   BYTEA,            -- the session that removed it. Its browser forgets the passkey at once, others after a week

    CONSTRAINT login_factors_pkey PRIMARY KEY (id),
    CONSTRAINT login_factors_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT login_factors_kind CHECK (kind IN ('app', 'passkey')),
    CONSTRAINT login_factors_app CHECK ((kind = 'app') = (secret IS NOT NULL AND last_step IS NOT NULL)),
    CONSTRAINT login_factors_passkey CHECK ((kind = 'passkey') =
        (credential IS NOT NULL AND public_key IS NOT NULL AND sign_count IS NOT NULL AND aaguid IS NOT NULL
         AND transports IS NOT NULL AND is_verified IS NOT NULL AND can_sync IS NOT NULL
         AND is_synced IS NOT NULL AND rp_id IS NOT NULL))
);

CREATE UNIQUE INDEX login_factors_app_key ON login_factors (user_id) WHERE kind = 'app' AND removed_at IS NULL;
-- Of all accounts together: nobody may register a passkey of somebody else.
CREATE UNIQUE INDEX login_factors_credential_key ON login_factors (credential) WHERE credential IS NOT NULL;
CREATE INDEX login_factors_user_id_idx ON login_factors (user_id);
CREATE INDEX login_factors_removed_at_idx ON login_factors (removed_at) WHERE removed_at IS NOT NULL;

-- One row is a code that was not used yet. A set that a newer one has replaced is kept for a week.
CREATE TABLE login_recovery_codes (
    id         BYTEA   NOT NULL, -- SHA-256 of the code and the user
    user_id    BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL, -- of the whole set
    removed_at BIGINT,           -- NULL: it is good

    CONSTRAINT login_recovery_codes_pkey PRIMARY KEY (id),
    CONSTRAINT login_recovery_codes_id_length CHECK (length(id) = 32),
    CONSTRAINT login_recovery_codes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_recovery_codes_user_id_idx ON login_recovery_codes (user_id);
CREATE INDEX login_recovery_codes_removed_at_idx ON login_recovery_codes (removed_at) WHERE removed_at IS NOT NULL;

-- Challenges that a passkey has answered. Each may be answered once.
CREATE TABLE login_challenges (
    id         BYTEA   NOT NULL, -- SHA-256 of the challenge
    expires_at BIGINT  NOT NULL, -- refused from then on in any case

    CONSTRAINT login_challenges_pkey PRIMARY KEY (id),
    CONSTRAINT login_challenges_id_length CHECK (length(id) = 32)
);

CREATE INDEX login_challenges_expires_at_idx ON login_challenges (expires_at);

-- Log-ins whose second step is missing: the password was right, and nobody is logged in yet. One row
-- is one browser. After its end it waits until the owner is told.
CREATE TABLE login_pending (
    id         BYTEA   NOT NULL,           -- SHA-256 of the token in the cookie
    user_id    BIGINT  NOT NULL,
    password   BYTEA   NOT NULL,           -- SHA-256 of the account's password hash at the first step
    remember   BOOLEAN NOT NULL DEFAULT FALSE, -- "remember me" was ticked
    failures   BIGINT  NOT NULL DEFAULT 0, -- wrong codes
    created_at BIGINT  NOT NULL,
    expires_at BIGINT  NOT NULL,           -- over from then on
    ip_address TEXT    NOT NULL DEFAULT '',
    user_agent TEXT    NOT NULL DEFAULT '',

    CONSTRAINT login_pending_pkey PRIMARY KEY (id),
    CONSTRAINT login_pending_id_length CHECK (length(id) = 32),
    CONSTRAINT login_pending_password_length CHECK (length(password) = 32),
    CONSTRAINT login_pending_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_pending_user_id_idx ON login_pending (user_id);
CREATE INDEX login_pending_expires_at_idx ON login_pending (expires_at);

-- Sessions that were read before a change of the factors hold the old state. So do those that were
-- read before their user has given a second factor.
DROP TRIGGER login_user_changed ON users;
CREATE TRIGGER login_user_changed AFTER UPDATE ON users FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.email <> NEW.email OR OLD.created_at <> NEW.created_at
      OR OLD.verified_at IS DISTINCT FROM NEW.verified_at
      OR OLD.disabled_at IS DISTINCT FROM NEW.disabled_at
      OR OLD.session_generation <> NEW.session_generation OR OLD.roles <> NEW.roles
      OR OLD.has_factor <> NEW.has_factor)
EXECUTE FUNCTION login_sessions_unclear();

DROP TRIGGER login_session_changed ON sessions;
CREATE TRIGGER login_session_changed AFTER UPDATE ON sessions FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.family <> NEW.family OR OLD.data <> NEW.data
      OR OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.remember <> NEW.remember
      OR OLD.created_at <> NEW.created_at OR OLD.authenticated_at IS DISTINCT FROM NEW.authenticated_at
      OR OLD.strong_at IS DISTINCT FROM NEW.strong_at
      OR OLD.expires_at > NEW.expires_at OR OLD.generation <> NEW.generation)
EXECUTE FUNCTION login_session_changed();

ALTER TABLE users ENABLE ALWAYS TRIGGER login_user_changed;
ALTER TABLE sessions ENABLE ALWAYS TRIGGER login_session_changed;
