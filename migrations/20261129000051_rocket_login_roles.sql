-- The account's roles: their names in order, with a blank between two. The query that reads a
-- session reads them with its user, so they are here, and not in rows of their own.
ALTER TABLE users ADD COLUMN roles TEXT NOT NULL DEFAULT ''
    CONSTRAINT users_roles_length CHECK (length(roles) <= 1055) -- 32 names of 32 letters
    CONSTRAINT users_roles_letters CHECK (roles NOT GLOB '*[^a-z0-9 -]*');

-- Few accounts have a role. The list of those with one reads no others.
CREATE INDEX users_roles_idx ON users (id) WHERE roles <> '';

-- What an event is about, if its kind does not say it all: the name of a role.
ALTER TABLE login_events ADD COLUMN detail TEXT NOT NULL DEFAULT '';
