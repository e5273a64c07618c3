//! Locks that last as long as a transaction, and its time.

use super::connection::Transaction;
use super::postgres::key;
use crate::error::Error;
use crate::sql;

impl Transaction {
    /// Waits until no other transaction holds the lock `name`, and holds it to
    /// the end. SQLite has one writer, which is lock enough.
    pub(crate) async fn lock(&mut self, name: &str) -> Result<(), Error> {
        if self.is_postgres() {
            sql::query("SELECT pg_advisory_xact_lock($1)").bind(key(name)).execute(self).await?;
        }
        Ok(())
    }

    /// Lets it take as long as it takes: for what the operator asks for.
    pub(crate) async fn take_time(&mut self) -> Result<(), Error> {
        if self.is_postgres() {
            self.connection.deadline = None;
            sql::query("SET LOCAL statement_timeout = 0").execute(self).await?;
        }
        Ok(())
    }

    /// The same as [`lock()`](Self::lock()) without waiting. `false`: another one holds it.
    pub(crate) async fn try_lock(&mut self, name: &str) -> Result<bool, Error> {
        if !self.is_postgres() {
            return Ok(true);
        }
        let lock = sql::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(key(name));
        Ok(lock.fetch_one(self).await?)
    }
}
