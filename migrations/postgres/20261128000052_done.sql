-- What was done a moment ago with a token that is dead now: a link's, or a session's. It is told
-- to the browser that did it, should it send the same form again. One row is one act.
CREATE TABLE login_done (
    id         BYTEA   NOT NULL, -- SHA-256 of the token
    act        TEXT    NOT NULL,
    account_id BIGINT,           -- NULL: the account was deleted
    browser    TEXT,             -- what the browser sent, hashed with the token's id; NULL: nothing
    expires_at BIGINT  NOT NULL, -- told until then

    CONSTRAINT login_done_pkey PRIMARY KEY (id),
    CONSTRAINT login_done_id_length CHECK (length(id) = 32),
    CONSTRAINT login_done_account_id_fkey FOREIGN KEY (account_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX login_done_account_id_idx ON login_done (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX login_done_expires_at_idx ON login_done (expires_at);
