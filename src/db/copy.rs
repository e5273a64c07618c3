//! Copies a whole site from one database to another, of either kind.

use sha2::{Digest, Sha256};
use sqlx::{ColumnIndex, Decode, Row, Type};

use super::connection::{Backend, Connection, Transaction};
use super::pool::Pool;
use super::tables::ColumnKind::{self, Boolean, Bytes, Integer, Text};
use super::tables::{TABLES, Table};
use crate::error::Error;
use crate::sql::{self, Value};

/// Rows per transaction.
const BATCH: usize = 1_000;

/// Rows per statement. Each statement costs a round trip, and SQLite takes 32,766 values.
const AT_ONCE: usize = 100;

/// A row, column by column.
type Values = Vec<Value<'static>>;

/// The content of a table: two tables with equal sums hold equal rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    pub rows: u64,
    digest: [u8; 32],
}

impl Table {
    /// Returns how many rows there are.
    pub async fn count(&self, db: &mut Connection) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM {}", self.name);
        let rows = read(db, sql, Vec::new(), &[("count", Integer)]).await?;
        match rows.first().and_then(|row| row.first()) {
            Some(Value::Integer(Some(count))) => Ok(*count as u64),
            _ => Ok(0),
        }
    }

    /// Copies the rows that `to` lacks, in the order of their keys. It does not copy again what an
    /// earlier run has copied. After each transaction it tells `progress` how many rows it has just
    /// copied.
    ///
    /// # Errors
    ///
    /// Returns an error if either database fails. What is copied by then stays.
    pub async fn copy(
        &self,
        from: &mut Connection,
        to: &Pool,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        let mut after = self.last(&mut *unhurried(to).await?).await?;
        loop {
            let rows = self.after(from, after.as_ref()).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last[..self.key].to_vec());
            let count = rows.len() as u64;
            let mut tx = unhurried(to).await?;
            for rows in rows.chunks(AT_ONCE) {
                self.insert(&mut tx, rows).await?;
            }
            tx.commit().await?;
            progress(count);
        }

        if self.is_numbered {
            let last = self.last_number(from).await?;
            self.set_last_number(to, last).await?;
        }
        Ok(())
    }

    /// Returns whether `to` holds nothing except the beginning of what `from` holds.
    pub async fn begun(&self, from: &mut Connection, to: &Pool) -> Result<bool, Error> {
        let copied = self.count(&mut *unhurried(to).await?).await?;
        if copied == 0 {
            return Ok(true);
        }
        let before = self.sum_of(from, copied).await?;
        Ok(before == self.sum_of(&mut *unhurried(to).await?, copied).await?)
    }

    /// Returns the sum of all rows.
    pub async fn sum(&self, db: &mut Connection) -> Result<Sum, Error> {
        self.sum_of(db, u64::MAX).await
    }

    /// Returns the sum of the first rows, at most `most` of them.
    async fn sum_of(&self, db: &mut Connection, most: u64) -> Result<Sum, Error> {
        let (mut rows, mut digest, mut after) = (0, Sha256::new(), None);
        while rows < most {
            let mut batch = self.after(db, after.as_ref()).await?;
            batch.truncate((most - rows).min(BATCH as u64) as usize);
            let Some(last) = batch.last() else { break };
            after = Some(last[..self.key].to_vec());
            rows += batch.len() as u64;
            batch.iter().flatten().for_each(|value| update(&mut digest, value));
        }
        Ok(Sum { rows, digest: digest.finalize().into() })
    }

    /// Returns the next rows after the key `after`.
    async fn after(
        &self,
        db: &mut Connection,
        after: Option<&Values>,
    ) -> Result<Vec<Values>, Error> {
        let (columns, key) = (self.names(self.columns.len()), self.names(self.key));
        let name = self.name;
        let start = match after {
            Some(_) => format!(" WHERE ({key}) > ({})", sql::places(0, self.key)),
            None => String::new(),
        };
        let sql = format!("SELECT {columns} FROM {name}{start} ORDER BY {key} LIMIT {BATCH}");
        read(db, sql, after.cloned().unwrap_or_default(), self.columns).await
    }

    /// Returns the key of the last row.
    async fn last(&self, db: &mut Connection) -> Result<Option<Values>, Error> {
        let columns = &self.columns[..self.key];
        let key = self.names(self.key);
        let order = key.replace(',', " DESC,");
        let sql = format!("SELECT {key} FROM {} ORDER BY {order} DESC LIMIT 1", self.name);
        let rows = read(db, sql, Vec::new(), columns).await?;
        Ok(rows.into_iter().next())
    }

    async fn insert(&self, db: &mut Connection, rows: &[Values]) -> Result<(), Error> {
        let (name, count) = (self.name, self.columns.len());
        // The rows keep their numbers, because other rows refer to them.
        let numbers = match self.is_numbered && db.is_postgres() {
            true => "OVERRIDING SYSTEM VALUE",
            false => "",
        };
        let columns = self.names(count);
        let places = sql::places_of_rows(rows.len(), count);
        let sql = format!("INSERT INTO {name} ({columns}) {numbers} VALUES {places}");
        let values = rows.iter().flatten().cloned();
        values.fold(sql::query_made(sql), |query, value| query.bind(value)).execute(db).await?;
        Ok(())
    }

    /// Returns the last number that was given to a row, or 0. The row may be gone, and no other row
    /// may get its number.
    async fn last_number(&self, db: &mut Connection) -> Result<i64, Error> {
        let sql = match db.backend() {
            Backend::Sqlite(_) => {
                format!("SELECT seq FROM sqlite_sequence WHERE name = '{}'", self.name)
            }
            Backend::Postgres(..) => {
                let sequence = format!("{}_{}_seq", self.name, self.columns[0].0);
                format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")
            }
        };
        let rows = read(db, sql, Vec::new(), &[("number", Integer)]).await?;
        match rows.first().and_then(|row| row.first()) {
            Some(Value::Integer(Some(number))) => Ok(*number),
            _ => Ok(0),
        }
    }

    async fn set_last_number(&self, db: &Pool, number: i64) -> Result<(), Error> {
        if number == 0 {
            return Ok(());
        }

        let name = self.name;
        let mut tx = db.write().await?;
        match tx.backend() {
            Backend::Sqlite(_) => {
                let forget = format!("DELETE FROM sqlite_sequence WHERE name = '{name}'");
                sql::query_made(forget).execute(&mut tx).await?;
                let note = format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{name}', $1)");
                sql::query_made(note).bind(number).execute(&mut tx).await?;
            }
            Backend::Postgres(..) => {
                let sequence = format!("{name}_{}_seq", self.columns[0].0);
                let set = format!("SELECT setval('{sequence}', $1)");
                sql::query_made(set).bind(number).execute(&mut tx).await?;
            }
        }
        tx.commit().await
    }

    /// Returns the names of the first `count` columns, as in `id, email`.
    fn names(&self, count: usize) -> String {
        let names: Vec<_> = self.columns[..count].iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// Returns what a copy of our tables leaves behind: tables that are not ours, and columns in our
/// tables that we do not know, such as `users.nickname`.
///
/// # Errors
///
/// Returns an error if the database fails.
pub async fn others(db: &mut Connection) -> Result<Vec<String>, Error> {
    let sql = if db.is_postgres() { POSTGRES_COLUMNS } else { SQLITE_COLUMNS };
    let kinds = [("table", Text), ("column", Text)];
    let mut others: Vec<String> = Vec::new();
    for row in read(db, sql.into(), Vec::new(), &kinds).await? {
        let [Value::Text(Some(table)), Value::Text(column)] = row.as_slice() else { continue };
        let column = column.as_deref().unwrap_or_default();
        let other = match TABLES.iter().find(|ours| ours.name == *table) {
            Some(ours) if ours.columns.iter().any(|(name, _)| *name == column) => continue,
            Some(_) => format!("{table}.{column}"),
            None => table.clone().into_owned(),
        };
        if others.last() != Some(&other) {
            others.push(other);
        }
    }
    Ok(others)
}

/// Selects each column of each table, except SQLite's own tables and that of the migrations.
const SQLITE_COLUMNS: &str = "SELECT s.name, c.name
     FROM sqlite_schema AS s LEFT JOIN pragma_table_info(s.name) AS c
     WHERE s.type = 'table' AND s.name <> '_sqlx_migrations' AND substr(s.name, 1, 7) <> 'sqlite_'
     ORDER BY s.name, c.cid";

/// Selects each column of each table, except the tables of extensions, that of the migrations, and
/// computed columns. A table in another schema than ours is named with its schema.
const POSTGRES_COLUMNS: &str = "SELECT
       CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname,
       a.attname::text
     FROM pg_class AS c
     JOIN pg_namespace AS n ON n.oid = c.relnamespace
     LEFT JOIN pg_attribute AS a
       ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
       AND n.nspname NOT IN ('pg_catalog', 'information_schema')
       AND n.nspname !~ '^pg_(toast|temp)'
       AND NOT (pg_table_is_visible(c.oid) AND c.relname = '_sqlx_migrations')
       AND NOT EXISTS (SELECT 1 FROM pg_depend AS d
                       WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY n.nspname, c.relname, a.attnum";

/// Begins a write transaction without a time limit. Nobody waits for a page here, and the server
/// may be far away.
pub async fn unhurried(db: &Pool) -> Result<Transaction, Error> {
    let mut tx = db.write().await?;
    tx.take_time().await?;
    Ok(tx)
}

async fn read(
    db: &mut Connection,
    text: String,
    values: Values,
    columns: &[(&str, ColumnKind)],
) -> Result<Vec<Values>, Error> {
    let query = values.into_iter().fold(sql::query_made(text), |query, value| query.bind(value));
    let rows = db
        .run(async |backend| match backend {
            Backend::Sqlite(sqlite) => {
                let rows = sqlite.run(query).await?.rows;
                rows.iter().map(|row| of_row(row, columns)).collect()
            }
            Backend::Postgres(db, how) => {
                let rows = query.for_postgres(how)?.fetch_all(db).await?;
                rows.iter().map(|row| of_row(row, columns)).collect()
            }
        })
        .await?;
    Ok(rows)
}

fn of_row<'r, R: Row>(row: &'r R, columns: &[(&str, ColumnKind)]) -> Result<Values, sqlx::Error>
where
    usize: ColumnIndex<R>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    Option<bool>: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<Vec<u8>>: Decode<'r, R::Database> + Type<R::Database>,
{
    let value = |(index, (_, kind)): (usize, &(&str, ColumnKind))| {
        Ok(match kind {
            Integer => Value::Integer(row.try_get(index)?),
            Boolean => Value::Boolean(row.try_get(index)?),
            Text => Value::from(row.try_get::<Option<String>, _>(index)?),
            Bytes => Value::from(row.try_get::<Option<Vec<u8>>, _>(index)?),
        })
    };
    columns.iter().enumerate().map(value).collect()
}

/// Adds a value with its kind and length, so that no two different rows look alike.
fn update(digest: &mut Sha256, value: &Value<'_>) {
    let mut add = |kind: u8, bytes: Option<&[u8]>| {
        digest.update([kind, u8::from(bytes.is_some())]);
        digest.update((bytes.map_or(0, <[u8]>::len) as u64).to_le_bytes());
        digest.update(bytes.unwrap_or_default());
    };
    match value {
        Value::Integer(value) => add(0, value.map(i64::to_le_bytes).as_ref().map(|b| &b[..])),
        Value::Boolean(value) => add(1, value.map(|b| [u8::from(b)]).as_ref().map(|b| &b[..])),
        Value::Text(value) => add(2, value.as_ref().map(|text| text.as_bytes())),
        Value::Bytes(value) => add(3, value.as_deref()),
    }
}
