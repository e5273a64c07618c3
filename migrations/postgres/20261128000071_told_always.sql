-- Every change that an instance must hear of is told, however it is made: by a session in which
-- ordinary triggers do not fire (`session_replication_role = replica`), or by logical replication.
-- Each instance looks again and again whether the triggers are as they are here.

-- All that a look-up reads, but for times that only move on.
DROP TRIGGER login_session_changed ON sessions;
CREATE TRIGGER login_session_changed AFTER UPDATE ON sessions FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.family <> NEW.family OR OLD.data <> NEW.data
      OR OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.remember <> NEW.remember
      OR OLD.created_at <> NEW.created_at OR OLD.authenticated_at IS DISTINCT FROM NEW.authenticated_at
      OR OLD.expires_at > NEW.expires_at OR OLD.generation <> NEW.generation)
EXECUTE FUNCTION login_session_changed();

-- A disabled user has no sessions, whoever has set `disabled_at`.
DROP TRIGGER login_user_changed ON users;
CREATE TRIGGER login_user_changed AFTER UPDATE ON users FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.email <> NEW.email OR OLD.created_at <> NEW.created_at
      OR OLD.verified_at IS DISTINCT FROM NEW.verified_at
      OR OLD.disabled_at IS DISTINCT FROM NEW.disabled_at
      OR OLD.session_generation <> NEW.session_generation)
EXECUTE FUNCTION login_sessions_unclear();

-- Where foreign keys are not looked at, the rows of sessions stay.
CREATE TRIGGER login_user_deleted AFTER DELETE ON users FOR EACH ROW
EXECUTE FUNCTION login_sessions_unclear();

-- Logical replication fires triggers for rows only, not those for statements.
CREATE TRIGGER login_session_replicated AFTER DELETE ON sessions FOR EACH ROW
EXECUTE FUNCTION login_session_changed();

ALTER TABLE sessions
    ENABLE ALWAYS TRIGGER login_session_changed,
    ENABLE ALWAYS TRIGGER login_sessions_ended,
    ENABLE ALWAYS TRIGGER login_sessions_unclear,
    ENABLE REPLICA TRIGGER login_session_replicated;
ALTER TABLE users
    ENABLE ALWAYS TRIGGER login_user_changed,
    ENABLE ALWAYS TRIGGER login_user_deleted;
