//! Runs statements.

use super::connection::{Backend, Connection};
use super::effect;
use crate::sql::{Query, Read};

impl<T, R> Query<'_, T, R> {
    /// Tells what it may change.
    fn tell(&self, db: &mut Connection) {
        if !self.is_declared && effect::may_change_sessions(&self.text) {
            db.effects().add_all();
        }
    }

    /// Runs it, and says how many rows it has changed; of several in one text, the last.
    ///
    /// # Errors
    ///
    /// When the database fails, or the statement is mistaken.
    pub async fn execute(self, db: &mut Connection) -> Result<u64, sqlx::Error> {
        self.tell(db);
        db.run(async |backend| match backend {
            Backend::Sqlite(sqlite) => Ok(sqlite.run(self).await?.affected),
            Backend::Postgres(db, how) => {
                Ok(self.for_postgres(how)?.execute(db).await?.rows_affected())
            }
        })
        .await
    }

    /// Runs it before the next statement of a transaction of ours, or its commit: nobody asks
    /// what came of it. Elsewhere at once.
    ///
    /// # Errors
    ///
    /// As [`execute()`](Self::execute()), or it is what comes next that fails.
    pub(crate) async fn defer(self, db: &mut Connection) -> Result<(), sqlx::Error> {
        if db.deferred().is_none() {
            return self.execute(db).await.map(|_| ());
        }
        self.tell(db);
        let statement = self.into_owned();
        if let Some(deferred) = db.deferred() {
            deferred.add(statement);
        }
        Ok(())
    }
}

impl<T, R: Read<T>> Query<'_, T, R> {
    /// Runs it and reads every row.
    ///
    /// # Errors
    ///
    /// When the database fails, the statement is mistaken, or a row is no `T`.
    pub async fn fetch_all(self, db: &mut Connection) -> Result<Vec<T>, sqlx::Error> {
        self.tell(db);
        db.run(async |backend| match backend {
            Backend::Sqlite(sqlite) => {
                sqlite.run(self).await?.rows.iter().map(R::of_sqlite).collect()
            }
            Backend::Postgres(db, how) => {
                let rows = self.for_postgres(how)?.fetch_all(db).await?;
                rows.iter().map(R::of_postgres).collect()
            }
        })
        .await
    }

    /// Runs it and reads the first row, if there is one.
    ///
    /// # Errors
    ///
    /// As [`fetch_all()`](Self::fetch_all()).
    pub async fn fetch_optional(self, db: &mut Connection) -> Result<Option<T>, sqlx::Error> {
        self.tell(db);
        db.run(async |backend| match backend {
            Backend::Sqlite(sqlite) => {
                let row = sqlite.first(self).await?;
                row.as_ref().map(R::of_sqlite).transpose()
            }
            Backend::Postgres(db, how) => {
                let row = self.for_postgres(how)?.fetch_optional(db).await?;
                row.as_ref().map(R::of_postgres).transpose()
            }
        })
        .await
    }

    /// Runs it and reads the first row, which must be there.
    ///
    /// # Errors
    ///
    /// As [`fetch_all()`](Self::fetch_all()), and when there is none.
    pub async fn fetch_one(self, db: &mut Connection) -> Result<T, sqlx::Error> {
        self.fetch_optional(db).await?.ok_or(sqlx::Error::RowNotFound)
    }
}
