//! Locks that last as long as a transaction, and the transaction's time limit.

use super::connection::Transaction;
use super::lock_number::lock_number;
use crate::error::Error;
use crate::sql;

impl Transaction {
    /// Waits until no other transaction holds the lock `name`, and holds it until the transaction
    /// ends. SQLite has one writer, which is lock enough.
    pub(crate) async fn lock(&mut self, name: &str) -> Result<(), Error> {
        if self.is_postgres() {
            sql::query("SELECT pg_advisory_xact_lock($1)")
                .bind(lock_number(name))
                .execute(self)
                .await?;
        }
        Ok(())
    }

    /// Removes the transaction's time limit, for work that the operator asks for.
    #[cfg(feature = "pages")]
    pub(crate) async fn take_time(&mut self) -> Result<(), Error> {
        if self.is_postgres() {
            self.connection.deadline = None;
            sql::query("SET LOCAL statement_timeout = 0").execute(self).await?;
        }
        Ok(())
    }

    /// Takes the lock `name` as [`lock()`](Self::lock()) does, but without waiting. `false` means
    /// that another transaction holds it.
    pub(crate) async fn try_lock(&mut self, name: &str) -> Result<bool, Error> {
        if !self.is_postgres() {
            return Ok(true);
        }
        let lock =
            sql::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(lock_number(name));
        Ok(lock.fetch_one(self).await?)
    }
}
