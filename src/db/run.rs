//! Runs statements on either database.

use super::connection::{Backend, Connection};
use crate::sql::{Query, Read};

impl<T, R> Query<'_, T, R> {
    /// Runs the statement and returns how many rows it has changed. If its text has several
    /// statements, the number is the last one's.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db, user_id: i64) -> Result<u64, Error> {
    /// let mut tx = db.write().await?;
    /// let delete = sql::query("DELETE FROM notes WHERE user_id = $1").bind(user_id);
    /// let deleted = delete.execute(&mut tx).await?;
    /// tx.commit().await?;
    /// # Ok(deleted) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, or if the statement is invalid.
    pub async fn execute(self, db: &mut Connection) -> Result<u64, sqlx::Error> {
        db.run(async |backend| match backend {
            Backend::Sqlite(sqlite) => Ok(sqlite.run(self).await?.affected),
            Backend::Postgres(db, how) => {
                Ok(self.for_postgres(how)?.execute(db).await?.rows_affected())
            }
        })
        .await
    }
}

impl<T, R: Read<T>> Query<'_, T, R> {
    /// Runs the statement and reads every row.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db) -> Result<Vec<(i64, String)>, Error> {
    /// let notes = sql::query_as("SELECT id, text FROM notes ORDER BY id")
    ///     .fetch_all(&mut db.read().await?)
    ///     .await?;
    /// # Ok(notes) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails, if the statement is invalid, or if a row cannot be
    /// read as a `T`.
    pub async fn fetch_all(self, db: &mut Connection) -> Result<Vec<T>, sqlx::Error> {
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

    /// Runs the statement and reads the first row. `None` means that there is no row.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db, id: i64) -> Result<Option<String>, Error> {
    /// let note = sql::query_scalar("SELECT text FROM notes WHERE id = $1")
    ///     .bind(id)
    ///     .fetch_optional(&mut db.read().await?)
    ///     .await?;
    /// # Ok(note) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`fetch_all()`](Self::fetch_all()).
    pub async fn fetch_optional(self, db: &mut Connection) -> Result<Option<T>, sqlx::Error> {
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

    /// Runs the statement and reads the first row, which must exist.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket_login::{Db, Error, sql};
    /// # async fn example(db: &Db) -> Result<i64, Error> {
    /// let count = sql::query_scalar("SELECT count(*) FROM notes")
    ///     .fetch_one(&mut db.read().await?)
    ///     .await?;
    /// # Ok(count) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`fetch_all()`](Self::fetch_all()), and [`sqlx::Error::RowNotFound`]
    /// if there is no row.
    pub async fn fetch_one(self, db: &mut Connection) -> Result<T, sqlx::Error> {
        self.fetch_optional(db).await?.ok_or(sqlx::Error::RowNotFound)
    }
}
