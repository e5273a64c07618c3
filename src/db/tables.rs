//! Our tables and their columns, for all that must know every one of them: the copy, the locks of a
//! copy, and the check of policies.

/// The type of a column.
#[derive(Debug, Clone, Copy)]
pub enum ColumnKind {
    Integer,
    Boolean,
    Text,
    Bytes,
}

use ColumnKind::{Boolean, Bytes, Integer, Text};

/// One of our tables.
#[derive(Debug)]
#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only a copy needs the columns"))]
pub struct Table {
    pub name: &'static str,
    /// The columns in order, with their types.
    pub columns: &'static [(&'static str, ColumnKind)],
    /// How many of the columns are its key. They come first.
    pub key: usize,
    /// `true` if the database numbers its rows, in the first column.
    pub is_numbered: bool,
}

/// All our tables, each after those that it refers to.
pub const TABLES: [Table; 14] = [
    Table {
        name: "users",
        columns: &[
            ("id", Integer),
            ("email", Text),
            ("password_hash", Text),
            ("created_at", Integer),
            ("verified_at", Integer),
            ("disabled_at", Integer),
            ("session_generation", Integer),
            ("has_ended_sessions", Boolean),
            ("roles", Text),
            ("password_changed_at", Integer),
            ("has_factor", Boolean),
            ("passkey_handle", Bytes),
            ("passkey_declined_at", Integer),
        ],
        key: 1,
        is_numbered: true,
    },
    Table {
        name: "sessions",
        columns: &[
            ("id", Bytes),
            ("family", Bytes),
            ("user_id", Integer),
            ("data", Text),
            ("remember", Boolean),
            ("created_at", Integer),
            ("last_seen_at", Integer),
            ("expires_at", Integer),
            ("authenticated_at", Integer),
            ("ip_address", Text),
            ("ip_network", Text),
            ("user_agent", Text),
            ("generation", Integer),
            ("strong_at", Integer),
            ("identity_id", Integer),
            ("provider_sid", Text),
        ],
        key: 1,
        is_numbered: false,
    },
    Table {
        name: "login_tokens",
        columns: &[
            ("number", Integer),
            ("id", Bytes),
            ("user_id", Integer),
            ("purpose", Text),
            ("email", Text),
            ("password_hash", Text),
            ("is_kept", Boolean),
            ("created_at", Integer),
            ("expires_at", Integer),
            ("is_mailed", Boolean),
            ("sign_up", Text),
        ],
        key: 1,
        is_numbered: true,
    },
    Table {
        name: "login_mails",
        columns: &[
            ("id", Integer),
            ("user_id", Integer),
            ("recipient", Text),
            ("template", Text),
            ("content", Text),
            ("created_at", Integer),
            ("expires_at", Integer),
            ("attempts", Integer),
            ("next_attempt_at", Integer),
            ("sent_at", Integer),
        ],
        key: 1,
        is_numbered: true,
    },
    Table {
        name: "login_devices",
        columns: &[
            ("user_id", Integer),
            ("id", Bytes),
            ("created_at", Integer),
            ("last_seen_at", Integer),
            ("trusted_until", Integer),
        ],
        key: 2,
        is_numbered: false,
    },
    Table {
        name: "login_factors",
        columns: &[
            ("id", Integer),
            ("user_id", Integer),
            ("kind", Text),
            ("name", Text),
            ("secret", Text),
            ("last_step", Integer),
            ("credential", Bytes),
            ("public_key", Bytes),
            ("sign_count", Integer),
            ("aaguid", Bytes),
            ("transports", Text),
            ("is_verified", Boolean),
            ("can_sync", Boolean),
            ("is_synced", Boolean),
            ("rp_id", Text),
            ("created_at", Integer),
            ("last_used_at", Integer),
            ("removed_at", Integer),
            ("removed_in", Bytes),
        ],
        key: 1,
        is_numbered: true,
    },
    Table {
        name: "login_recovery_codes",
        columns: &[
            ("id", Bytes),
            ("user_id", Integer),
            ("created_at", Integer),
            ("removed_at", Integer),
        ],
        key: 1,
        is_numbered: false,
    },
    Table {
        name: "login_identities",
        columns: &[
            ("id", Integer),
            ("user_id", Integer),
            ("issuer", Text),
            ("subject", Text),
            ("provider", Text),
            ("email", Text),
            ("created_at", Integer),
            ("last_used_at", Integer),
            ("removed_at", Integer),
        ],
        key: 1,
        is_numbered: true,
    },
    Table {
        name: "login_challenges",
        columns: &[("id", Bytes), ("expires_at", Integer)],
        key: 1,
        is_numbered: false,
    },
    Table {
        name: "login_pending",
        columns: &[
            ("id", Bytes),
            ("user_id", Integer),
            ("password", Bytes),
            ("remember", Boolean),
            ("failures", Integer),
            ("created_at", Integer),
            ("expires_at", Integer),
            ("ip_address", Text),
            ("user_agent", Text),
            ("identity_id", Integer),
            ("provider_sid", Text),
        ],
        key: 1,
        is_numbered: false,
    },
    Table {
        name: "login_events",
        columns: &[
            ("id", Integer),
            ("user_id", Integer),
            ("kind", Text),
            ("created_at", Integer),
            ("ip_address", Text),
            ("user_agent", Text),
            ("detail", Text),
        ],
        key: 1,
        is_numbered: true,
    },
    Table {
        name: "login_muted_notices",
        columns: &[("user_id", Integer), ("notice", Text)],
        key: 2,
        is_numbered: false,
    },
    Table {
        name: "login_done",
        columns: &[
            ("id", Bytes),
            ("act", Text),
            ("account_id", Integer),
            ("browser", Text),
            ("expires_at", Integer),
        ],
        key: 1,
        is_numbered: false,
    },
    Table {
        name: "login_throttle",
        columns: &[
            ("key", Bytes),
            ("account", Bytes),
            ("failures", Integer),
            ("pending", Integer),
            ("blocked_until", Integer),
            ("updated_at", Integer),
            ("expires_at", Integer),
            ("spare", Integer),
        ],
        key: 1,
        is_numbered: false,
    },
];
