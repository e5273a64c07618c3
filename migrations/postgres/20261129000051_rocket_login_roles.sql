-- The account's roles: their names in order, with a blank between two. The query that reads a
-- session reads them with its user, so they are here, and not in rows of their own.
ALTER TABLE users ADD COLUMN roles TEXT COLLATE "C" NOT NULL DEFAULT ''
    CONSTRAINT users_roles_length CHECK (length(roles) <= 1055) -- 32 names of 32 letters
    CONSTRAINT users_roles_letters CHECK (roles !~ '[^a-z0-9 -]');

-- Few accounts have a role. The list of those with one reads no others.
CREATE INDEX users_roles_idx ON users (id) WHERE roles <> '';

-- Sessions that were read before a change of roles hold the old ones.
DROP TRIGGER login_user_changed ON users;
CREATE TRIGGER login_user_changed AFTER UPDATE ON users FOR EACH ROW
WHEN (OLD.id <> NEW.id OR OLD.email <> NEW.email OR OLD.created_at <> NEW.created_at
      OR OLD.verified_at IS DISTINCT FROM NEW.verified_at
      OR OLD.disabled_at IS DISTINCT FROM NEW.disabled_at
      OR OLD.session_generation <> NEW.session_generation OR OLD.roles <> NEW.roles)
EXECUTE FUNCTION login_sessions_unclear();

ALTER TABLE users ENABLE ALWAYS TRIGGER login_user_changed;

-- What an event is about, if its kind does not say it all: the name of a role.
ALTER TABLE login_events ADD COLUMN detail TEXT NOT NULL DEFAULT '';
