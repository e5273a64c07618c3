//! The effects of a transaction on sessions and on the users they belong to.

use crate::sql::Promises;

/// The key of a session's row. It is a hash, so all of its bits are equally random.
pub type RowKey = [u8; 32];

/// What a transaction changes of the sessions and of the users they belong to, as far as its
/// statements say it.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    pub(super) all: bool,
    pub(super) sessions: Vec<RowKey>,
    /// How many rows of `sessions` and `users` the statements have changed that say what they
    /// change.
    declared_rows: u64,
    /// A page of SQLite's file was certainly written, so that the commit shows in the log. A
    /// statement that changes a row may write none: SQLite skips what is stored already.
    is_written: bool,
}

impl Effects {
    pub fn add(&mut self, id: impl Into<RowKey>) {
        self.sessions.push(id.into());
    }

    pub fn add_all(&mut self) {
        self.all = true;
    }

    /// Notes that a statement with these `promises` has changed `rows` rows.
    pub fn note(&mut self, promises: Promises, rows: u64) {
        if promises.is_declared {
            self.declared_rows += rows;
        }
        self.is_written |= promises.is_sure && rows > 0;
    }

    #[cfg(feature = "sqlite")]
    pub fn is_written(&self) -> bool {
        self.is_written
    }

    /// Compares what was said with the number of `rows` that have changed. If it is another number,
    /// a statement has said nothing, or a trigger has changed more: then every session may have
    /// changed.
    #[cfg(feature = "sqlite")]
    pub fn compare(&mut self, rows: Option<u64>) {
        if rows != Some(self.declared_rows) {
            self.add_all();
        }
    }
}
