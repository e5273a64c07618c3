//! Configurations for tests, each with a database of its own.

#[cfg(feature = "sqlite")]
mod folder;
#[cfg(feature = "postgres")]
mod server;

use std::sync::Arc;

use rocket::figment::value::{Dict, Map};
use rocket::figment::{Figment, Metadata, Profile, Provider};

use crate::token::Token;

#[cfg(feature = "sqlite")]
pub use folder::figment;
#[cfg(feature = "postgres")]
pub use server::figment_on;

/// The beginning of the names of all folders and databases of tests.
const PREFIX: &str = "rocket-login-test-";

/// Returns the configuration with the database `url`. Its clones share `database`.
fn settings(url: &str, database: Arc<impl Send + Sync + 'static>) -> Figment {
    Figment::from(rocket::Config::debug_default())
        .select(Profile::new("debug"))
        .merge(Keep(database))
        .merge(("databases.login.url", url))
        .merge(("secret_key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
        .merge(("log_level", "critical"))
        .merge(("password.memory_kib", 8))
        .merge(("password.iterations", 1))
        .merge(("password.concurrent_hashes", 2))
        .merge(("throttle.enabled", false))
}

/// A provider of no value. A configuration keeps the metadata of each of its providers, and a
/// rocket its configuration. So the database, which the metadata hold, lives as long as they do.
struct Keep<T>(Arc<T>);

impl<T: Send + Sync + 'static> Provider for Keep<T> {
    fn metadata(&self) -> Metadata {
        let database = self.0.clone();
        Metadata::named("a test's database").interpolater(move |profile, keys| {
            let _kept = &database;
            format!("{profile}.{}", keys.join("."))
        })
    }

    fn data(&self) -> Result<Map<Profile, Dict>, rocket::figment::Error> {
        Ok(Map::new())
    }
}

/// Returns a new name for a folder or a database.
fn name() -> String {
    let token = Token::generate().id();
    let digits: String = token.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{digits}")
}
