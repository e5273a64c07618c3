//! The database: one SQLite file, or PostgreSQL.
//!
//! No caller holds a connection while a body is read, a password is hashed or a template is
//! rendered: a handler takes [`Pool::read()`] or [`Pool::write()`] late, and gives it back with the
//! last statement.

mod applied;
pub(crate) mod calls;
mod connection;
#[cfg(feature = "cli")]
pub(crate) mod copy;
mod deadline;
mod in_flight;
mod lock_number;
mod locks;
mod migrations;
mod on_sqlite;
mod open_error;
mod own_migrations;
mod pool;
#[cfg_attr(not(feature = "postgres"), path = "db/without_postgres.rs")]
mod postgres;
mod readiness;
mod run;
#[cfg(feature = "cli")]
pub(crate) mod schema;
#[cfg(feature = "postgres")]
mod server;
#[cfg(feature = "cli")]
mod source;
#[cfg_attr(not(feature = "sqlite"), path = "db/without_sqlite.rs")]
mod sqlite;
#[cfg(any(feature = "cli", feature = "postgres"))]
pub(crate) mod tables;
mod together;
mod watch;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rocket::fairing::{self, AdHoc, Fairing, Info, Kind};
use rocket::figment::Figment;
use rocket::figment::providers::Serialized;
use rocket::futures::future::BoxFuture;
use rocket::outcome::Outcome;
use rocket::request::{self, FromRequest, Request};
use rocket::{Build, Ignite, Orbit, Rocket, Sentinel};
use rocket_db_pools::{Database, Initializer, Pool as _};

use crate::attached::attached;
use crate::error::Error;

pub use connection::{Connection, Transaction};
pub use open_error::OpenError;
pub use own_migrations::Migrations;
pub use pool::Pool;
#[cfg(feature = "cli")]
pub(crate) use source::Source;
#[cfg(feature = "cli")]
pub(crate) use sqlite::is_database;
pub use sqlx_core::migrate::Migrator;
pub(crate) use together::{Answers, Question, Together};

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
///
/// A clone leads to the same database.
#[derive(Clone)]
pub struct Db(Pool);

/// Not by `derive`, whose guard `&Db` fails with `()`: a guard of an application's own could not
/// build on it and on `&User` with one `try_outcome!`.
impl Database for Db {
    type Pool = Pool;

    const NAME: &'static str = "login";

    fn init() -> Initializer<Self> {
        Initializer::with_name("'login' Database Pool")
    }
}

impl From<Pool> for Db {
    fn from(pool: Pool) -> Self {
        Db(pool)
    }
}

impl Deref for Db {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.0
    }
}

impl DerefMut for Db {
    fn deref_mut(&mut self) -> &mut Pool {
        &mut self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for &'r Db {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        Outcome::Success(attached(request.rocket()))
    }
}

impl Sentinel for Db {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Db>().is_none()
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Db").field(&self.0).finish()
    }
}

/// What an application does with the opened database before the first request.
#[derive(Clone, Default)]
pub(crate) struct Preparation {
    pub migrations: Arc<Migrations>,
    pub acts: Vec<Act>,
}

/// An act of the application. The error is a line for the log.
pub(crate) type Act = Arc<dyn Fn(Db) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

impl Preparation {
    pub fn is_empty(&self) -> bool {
        self.migrations.is_empty() && self.acts.is_empty()
    }

    async fn run(&self, db: &Db) -> Result<(), String> {
        db.migrate_with(&self.migrations).await.map_err(|error| error.to_string())?;
        for act in &self.acts {
            act(db.clone()).await?;
        }
        Ok(())
    }
}

/// Opens the database at ignition and prepares it. Closes it at the shutdown.
///
/// Rocket's own fairing would say a failure in its words, and look for the missing database again.
struct Opening(Preparation);

pub(crate) fn opening(preparation: Preparation) -> impl Fairing {
    Opening(preparation)
}

#[rocket::async_trait]
impl Fairing for Opening {
    fn info(&self) -> Info {
        Info { name: "Login Database", kind: Kind::Ignite | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match open(rocket.figment(), &self.0).await {
            Ok(db) => Ok(rocket.manage(db)),
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        }
    }

    async fn on_shutdown(&self, rocket: &Rocket<Orbit>) {
        if let Some(db) = Db::fetch(rocket) {
            db.close().await;
        }
    }
}

/// Opens the database that `figment` names, and prepares it.
///
/// # Errors
///
/// Returns a line for the log.
async fn open(figment: &Figment, preparation: &Preparation) -> Result<Db, String> {
    let workers: u32 = figment.extract_inner(rocket::Config::WORKERS).unwrap_or(1);
    let connections = Serialized::default("max_connections", workers.saturating_mul(4));
    let figment = figment.focus("databases.login").join(connections);
    let db = Db(Pool::init(&figment).await.map_err(|error| error.to_string())?);
    match preparation.run(&db).await {
        Ok(()) => Ok(db),
        Err(error) => {
            db.close().await;
            Err(error)
        }
    }
}

/// Prepares the database at ignition, if it is open: otherwise the log says why it is not.
pub(crate) fn preparing(preparation: Preparation) -> AdHoc {
    AdHoc::try_on_ignite("Login Migrations", |rocket| async move {
        let Some(db) = rocket.state::<Db>() else { return Ok(rocket) };
        match preparation.run(db).await {
            Ok(()) => Ok(rocket),
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        }
    })
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
