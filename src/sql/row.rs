//! Reads structs from rows.
//!
//! `#[derive(sqlx::FromRow)]` would do the same. But its procedural macro depends on sqlx, so cargo compiles
//! sqlx and its drivers a second time: some 20 of 309 seconds of processor time in a cold debug build
//! (docs/performance.md).

/// Implements `sqlx::FromRow` for a struct of ours. Each field is read from the column of the same
/// name. The field after `with` is a struct too, and is read from the same row.
macro_rules! row {
    ($name:ident { $($field:ident),+ $(,)? } $(with $part:ident)?) => {
        #[cfg(feature = "sqlite")]
        $crate::sql::row!(of sqlx::sqlite::SqliteRow, $name { $($field),+ } $(with $part)?);
        #[cfg(feature = "postgres")]
        $crate::sql::row!(of sqlx::postgres::PgRow, $name { $($field),+ } $(with $part)?);
    };
    (of $row:ty, $name:ident { $($field:ident),+ } $(with $part:ident)?) => {
        impl sqlx::FromRow<'_, $row> for $name {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                Ok($name {
                    $($field: sqlx::Row::try_get(row, stringify!($field))?,)+
                    $($part: sqlx::FromRow::from_row(row)?,)?
                })
            }
        }
    };
}

pub(crate) use row;
