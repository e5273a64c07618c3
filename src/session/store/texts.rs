//! Parts of the statements.

/// The SQL condition that the row of `sessions` has the present generation of its user, or has no
/// user. It uses `>=` and not `=`: a statement that has waited for the row on PostgreSQL sees the
/// row after the wait, but the user before it.
///
/// A disabled user has no generation. The commands that disable an account end its sessions as
/// well, but an operator who sets `disabled_at` by SQL does not.
macro_rules! of_generation {
    () => {
        of_generation!(
            "(SELECT session_generation FROM users
              WHERE users.id = sessions.user_id AND users.disabled_at IS NULL)"
        )
    };
    ($users:literal) => {
        concat!("(sessions.user_id IS NULL OR sessions.generation >= ", $users, ")")
    };
}

pub(super) use of_generation;
