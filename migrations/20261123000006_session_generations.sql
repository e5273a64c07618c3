-- "Log out everywhere" ends all sessions of a user at once, however many: it gives the user a
-- new generation, and a session of an older one is none any longer. The sweep deletes the rows.
ALTER TABLE users ADD COLUMN session_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN has_ended_sessions INTEGER NOT NULL DEFAULT 0 -- 1: the sweep has not been by since
    CONSTRAINT users_has_ended_sessions_bool CHECK (has_ended_sessions IN (0, 1));
ALTER TABLE sessions ADD COLUMN generation INTEGER NOT NULL DEFAULT 0; -- the user's when it began; a visitor's: 0

-- Whose rows the sweep looks for.
CREATE INDEX users_has_ended_sessions_idx ON users (id) WHERE has_ended_sessions;

-- "Where am I logged in", "log out everywhere", and what is left of those who did.
DROP INDEX sessions_user_id_idx;
CREATE INDEX sessions_user_id_idx ON sessions (user_id, generation) WHERE user_id IS NOT NULL;
