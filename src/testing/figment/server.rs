//! A database on a PostgreSQL server.

use std::sync::Arc;
use std::thread;

use rocket::figment::Figment;
use rocket::tokio::runtime;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

/// Returns a configuration for one test, with a new database on the PostgreSQL server of `url`.
///
/// The user of `url` must be allowed to create databases. The database exists as long as the
/// configuration, a clone of it, or a rocket that was built with it. If the process is killed, it
/// stays: its name begins with `rocket-login-test-`. Everything else is as `figment()` of this
/// module says.
///
/// # Panics
///
/// Panics if `url` is not an address of PostgreSQL, or if the database cannot be created.
///
/// # Examples
///
/// ```rust,no_run
/// # #[cfg(feature = "pages")] {
/// use rocket_login::testing;
///
/// let figment = testing::figment_on("postgres://postgres@localhost/postgres");
/// let rocket = rocket::custom(figment).attach(rocket_login::stage());
/// # }
/// ```
pub fn figment_on(url: &str) -> Figment {
    let database = OnServer::create(url);
    let mut own = Url::parse(url).expect("the address of a database");
    own.set_path(&database.name);
    // The tests of one program share the connections of the server, usually a hundred.
    super::settings(own.as_str(), Arc::new(database)).merge(("databases.login.max_connections", 4))
}

/// A database that is dropped with this value.
struct OnServer {
    server: String,
    name: String,
}

impl OnServer {
    fn create(server: &str) -> Self {
        let (server, name) = (server.to_owned(), super::name());
        let created = run(&server, format!("CREATE DATABASE \"{name}\""));
        created.unwrap_or_else(|error| panic!("no database for the test: {error}"));
        OnServer { server, name }
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        // The server may be gone already.
        let _ = run(&self.server, format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name));
    }
}

/// Runs a statement on a thread of its own, because the caller's may belong to a runtime.
fn run(server: &str, statement: String) -> Result<(), sqlx::Error> {
    let server = server.to_owned();
    let done = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut server = PgConnection::connect(&server).await?;
            server.execute(AssertSqlSafe(statement)).await?;
            server.close().await
        })
    });
    done.join().expect("the thread does not panic")
}
