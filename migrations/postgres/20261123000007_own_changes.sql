-- An instance that changes sessions says who it is, for the transaction, in `rocket_login.by`.
-- What it knows by itself it need not be told: that would cost each write one look-up more.
CREATE OR REPLACE FUNCTION login_session_changed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    changed_by TEXT := current_setting('rocket_login.by', TRUE);
BEGIN
    -- Deeper, somebody's own trigger has changed the row, and the instance knows nothing of it.
    IF changed_by <> '' AND pg_trigger_depth() = 1 THEN
        PERFORM pg_notify('login_sessions', encode(OLD.id, 'hex') || '@' || changed_by);
    ELSE
        PERFORM pg_notify('login_sessions', encode(OLD.id, 'hex'));
    END IF;
    RETURN NULL;
END
$$;
