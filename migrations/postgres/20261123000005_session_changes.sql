-- Every instance keeps sessions that it has read. What changes in them is told to all, whoever
-- changes it: the ids, in hexadecimal digits, or "all".

-- One session with new content. Its times may move on without anybody being told.
CREATE FUNCTION login_session_changed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('login_sessions', encode(OLD.id, 'hex'));
    RETURN NULL;
END
$$;

CREATE TRIGGER login_session_changed AFTER UPDATE ON sessions FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.data <> NEW.data OR OLD.user_id IS DISTINCT FROM NEW.user_id
      OR OLD.remember <> NEW.remember OR OLD.authenticated_at IS DISTINCT FROM NEW.authenticated_at
      OR OLD.expires_at > NEW.expires_at)
EXECUTE FUNCTION login_session_changed();

-- Sessions that have ended; a message has room for some hundred of them.
CREATE FUNCTION login_sessions_ended() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    ids TEXT;
BEGIN
    SELECT CASE WHEN count(*) > 100 THEN 'all' ELSE string_agg(encode(id, 'hex'), ',') END
    INTO ids FROM gone;
    IF ids IS NOT NULL THEN
        PERFORM pg_notify('login_sessions', ids);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER login_sessions_ended AFTER DELETE ON sessions
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION login_sessions_ended();

-- Whoever they belong to, and what nobody counts.
CREATE FUNCTION login_sessions_unclear() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('login_sessions', 'all');
    RETURN NULL;
END
$$;

CREATE TRIGGER login_sessions_unclear AFTER TRUNCATE ON sessions
FOR EACH STATEMENT EXECUTE FUNCTION login_sessions_unclear();

CREATE TRIGGER login_user_changed AFTER UPDATE ON users FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.email <> NEW.email OR OLD.created_at <> NEW.created_at
      OR OLD.verified_at IS DISTINCT FROM NEW.verified_at)
EXECUTE FUNCTION login_sessions_unclear();
