-- What a browser's cookie stands for. One row is one browser.
CREATE TABLE sessions (
    id               BYTEA   NOT NULL,               -- SHA-256 of the token in the cookie; the token itself is stored nowhere
    family           BYTEA   NOT NULL,               -- the id it began with; a new token changes id and keeps this
    user_id          BIGINT,                         -- who is logged in; NULL: a visitor's state
    data             TEXT    NOT NULL DEFAULT '{}',  -- the application's state, one JSON object; not `jsonb`, which refuses U+0000
    remember         BOOLEAN NOT NULL DEFAULT FALSE, -- "remember me" was ticked, the longer time-outs apply
    created_at       BIGINT  NOT NULL,               -- the absolute clock starts here
    last_seen_at     BIGINT  NOT NULL,               -- the idle clock starts here
    expires_at       BIGINT  NOT NULL,               -- the earlier end of the two
    authenticated_at BIGINT,                         -- when the password was last given
    ip_address       TEXT    NOT NULL DEFAULT '',
    ip_network       TEXT    NOT NULL DEFAULT '',    -- the address itself, or the /64 of an IPv6 address
    user_agent       TEXT    NOT NULL DEFAULT '',

    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_id_length CHECK (length(id) = 32),
    CONSTRAINT sessions_family_key UNIQUE (family),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT sessions_data_object CHECK (json_typeof(data::json) = 'object'),
    CONSTRAINT sessions_authenticated CHECK ((user_id IS NULL) = (authenticated_at IS NULL))
);

-- "Where am I logged in" and "log out everywhere".
CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE user_id IS NOT NULL;

-- The sweep of expired rows.
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- How many visitors' sessions one network has begun lately.
CREATE INDEX sessions_visitors_idx ON sessions (ip_network, created_at) WHERE user_id IS NULL;
