//! Reads structs from rows.
//!
//! `#[derive(sqlx::FromRow)]` does the same, but the crate that it comes from builds sqlx, both drivers and
//! TLS once more, for the compiler: 20 seconds of processor time in each cold build.

/// Reads a struct of ours from a row: each field from the column of its name. The field after `with`
/// is a struct that is read from the same row.
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
