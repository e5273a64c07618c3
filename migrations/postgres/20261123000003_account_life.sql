-- What an account goes through after the sign-up: links in mails, the mails themselves, the
-- devices it was used from, its security history.

ALTER TABLE users ADD COLUMN verified_at BIGINT; -- when the address was shown to be the user's; NULL: not yet
ALTER TABLE users ADD COLUMN disabled_at BIGINT; -- since when nobody may log in; NULL: anybody who can

-- What a link in a mail stands for. One row is one link, and goes with its use.
CREATE TABLE login_tokens (
    number        BIGINT  GENERATED ALWAYS AS IDENTITY, -- the order in which they were made
    id            BYTEA   NOT NULL,                     -- SHA-256 of the token in the link; the token itself is stored nowhere
    user_id       BIGINT,                               -- NULL: a sign-up that waits to be confirmed
    purpose       TEXT    NOT NULL,
    email         TEXT    COLLATE "C" NOT NULL,         -- where the link was mailed to, and all it says about an address
    password_hash TEXT,                                 -- chosen at a sign-up that waits
    is_kept       BOOLEAN NOT NULL DEFAULT FALSE,       -- nobody else may take the address while the link is good
    created_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL,

    CONSTRAINT login_tokens_pkey PRIMARY KEY (number),
    CONSTRAINT login_tokens_id_key UNIQUE (id),
    CONSTRAINT login_tokens_id_length CHECK (length(id) = 32),
    CONSTRAINT login_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT login_tokens_purpose CHECK (purpose IN ('sign_up', 'verify', 'change_email', 'reset', 'not_me')),
    CONSTRAINT login_tokens_sign_up CHECK ((purpose = 'sign_up') = (user_id IS NULL)),
    CONSTRAINT login_tokens_password CHECK ((purpose = 'sign_up') = (password_hash IS NOT NULL))
);

-- A newer link ends the older one. Only "this was not me" stands in several mails at once.
CREATE UNIQUE INDEX login_tokens_purpose_key ON login_tokens (user_id, purpose)
    WHERE user_id IS NOT NULL AND purpose <> 'not_me';
CREATE UNIQUE INDEX login_tokens_sign_up_key ON login_tokens (lower(email)) WHERE purpose = 'sign_up';
CREATE INDEX login_tokens_email_idx ON login_tokens (lower(email));
CREATE INDEX login_tokens_user_id_idx ON login_tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX login_tokens_expires_at_idx ON login_tokens (expires_at);

-- Mails that wait to be sent. One row is one mail, written with what it announces.
CREATE TABLE login_mails (
    id              BIGINT  GENERATED ALWAYS AS IDENTITY, -- also in the mail's Message-ID
    user_id         BIGINT,                               -- whose account it is about; NULL: nobody's yet
    recipient       TEXT    COLLATE "C" NOT NULL,
    template        TEXT    NOT NULL,                     -- mail/<template>
    content         TEXT    NOT NULL,                     -- what fills the template; sealed, since links are secrets
    created_at      BIGINT  NOT NULL,
    expires_at      BIGINT  NOT NULL,                     -- not worth sending from then on
    attempts        BIGINT  NOT NULL DEFAULT 0,
    next_attempt_at BIGINT  NOT NULL,                     -- while one is under way: when it is taken for lost
    sent_at         BIGINT,                               -- only the debug profile keeps what was sent

    CONSTRAINT login_mails_pkey PRIMARY KEY (id),
    CONSTRAINT login_mails_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_mails_due_idx ON login_mails (next_attempt_at) WHERE sent_at IS NULL;
CREATE INDEX login_mails_recipient_idx ON login_mails (lower(recipient));
CREATE INDEX login_mails_expires_at_idx ON login_mails (expires_at);
CREATE INDEX login_mails_user_id_idx ON login_mails (user_id) WHERE user_id IS NOT NULL;

-- Browsers that have logged in to an account before. A log-in from another one is announced.
CREATE TABLE login_devices (
    id           BYTEA   NOT NULL, -- SHA-256 of the token in the device cookie
    user_id      BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    last_seen_at BIGINT  NOT NULL, -- the last log-in

    CONSTRAINT login_devices_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT login_devices_id_length CHECK (length(id) = 32),
    CONSTRAINT login_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_devices_last_seen_at_idx ON login_devices (last_seen_at);

-- The security history.
CREATE TABLE login_events (
    id         BIGINT  GENERATED ALWAYS AS IDENTITY,
    user_id    BIGINT, -- NULL: of an address that has no account
    kind       TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    ip_address TEXT    NOT NULL DEFAULT '',
    user_agent TEXT    NOT NULL DEFAULT '',

    CONSTRAINT login_events_pkey PRIMARY KEY (id),
    CONSTRAINT login_events_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_events_user_id_idx ON login_events (user_id, kind, id);
CREATE INDEX login_events_created_at_idx ON login_events (created_at);

-- Notices that a user has switched off. No row: switched on.
CREATE TABLE login_muted_notices (
    user_id BIGINT  NOT NULL,
    notice  TEXT    COLLATE "C" NOT NULL,

    CONSTRAINT login_muted_notices_pkey PRIMARY KEY (user_id, notice),
    CONSTRAINT login_muted_notices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
