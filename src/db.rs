//! The database: one SQLite file, or PostgreSQL.
//!
//! No caller holds a connection while a body is read, a password is hashed or a template is
//! rendered: a handler takes [`Pool::read()`] or [`Pool::write()`] late, and gives it back with the
//! last statement.

mod applied;
pub(crate) mod calls;
mod connection;
pub(crate) mod copy;
mod deadline;
mod deferred;
mod effect;
mod in_flight;
mod listener;
mod locks;
mod migrations;
mod open_error;
mod pool;
mod postgres;
mod readiness;
mod run;
pub(crate) mod schema;
mod server;
mod source;
#[cfg_attr(not(feature = "sqlite"), path = "db/without_sqlite.rs")]
mod sqlite;
pub(crate) mod tables;
mod versions;

use std::fmt;

use rocket::fairing::{self, AdHoc};
use rocket::{Build, Rocket};
use rocket_db_pools::Database;

pub use connection::{Connection, Transaction};
pub use open_error::OpenError;
pub use pool::Pool;
pub(crate) use source::Source;
pub(crate) use sqlite::is_database;

/// The database, as managed state and as the request guard `&Db`.
///
/// Take `&Db`, not `Connection<Db>`, in a route with a body: guards run before the body is read,
/// and a slow body would hold the connection. Four slow clients would then stop the site.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::{Db, Error, sql};
///
/// #[get("/count")]
/// async fn count(db: &Db) -> Result<String, Error> {
///     let count: i64 = sql::query_scalar("SELECT count(*) FROM notes")
///         .fetch_one(&mut db.read().await?)
///         .await?;
///     Ok(format!("There are {count} notes."))
/// }
/// ```
#[derive(Database)]
#[database("login")]
pub struct Db(Pool);

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Db").field(&self.0).finish()
    }
}

/// Applies the migrations at ignition. A failure stops the launch.
pub(crate) fn migrations() -> AdHoc {
    AdHoc::try_on_ignite("Migrations", migrate)
}

async fn migrate(rocket: Rocket<Build>) -> fairing::Result {
    match Db::fetch(&rocket) {
        Some(db) => match db.migrate().await {
            Ok(()) => Ok(rocket),
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        },
        None => Err(rocket),
    }
}

/// Counts each request from its start until it is dropped.
pub(crate) fn in_flight() -> AdHoc {
    AdHoc::on_request("Requests in Flight", |request, _| {
        Box::pin(async move {
            if let Some(db) = Db::fetch(request.rocket()) {
                request.local_cache(|| db.keep_open());
            }
        })
    })
}
