//! Databases that earlier versions have made are opened by this one, with nothing lost and
//! everybody logged in. `tests/versions` has a folder for each version; its `README.md` says how
//! one is made.

mod make;
pub mod next;
mod open;
mod rolling;
mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket_login::{Clock, stage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;

use crate::database::{self, pick};
use crate::support::{TestApp, Visitor, figment};

/// The folder with a folder for each version.
const VERSIONS: &str = "tests/versions";

/// What was outside the database when a version made it.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The `secret_key` of the site.
    secret_key: String,
    /// The time at which the site stopped, by its clock.
    at: i64,
    browsers: BTreeMap<String, KeptBrowser>,
    /// What its visitors would have done next, in this order.
    requests: Vec<Request>,
    /// The recipients of the mails that wait.
    mails: Vec<String>,
}

/// A browser of one person.
#[derive(Debug, Serialize, Deserialize)]
struct KeptBrowser {
    cookies: BTreeMap<String, String>,
    /// The address of the user who is logged in, if anybody is.
    email: Option<String>,
    /// What the application has stored in the session.
    state: BTreeMap<String, Value>,
}

/// A form that is sent.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    /// `None` is a browser without cookies.
    browser: Option<String>,
    /// The address of the client.
    from: String,
    path: String,
    fields: BTreeMap<String, String>,
    status: u16,
    /// The page to which the answer leads, or `""`.
    location: String,
}

/// Returns the folders of all versions.
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(VERSIONS).unwrap().map(|entry| entry.unwrap().path());
    let mut versions: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

impl Kept {
    fn of(version: &Path) -> Self {
        let file = version.join(pick("sqlite.json", "postgres.json"));
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }

    /// Puts the database of the version in the place of that of `dir`.
    async fn restore(version: &Path, dir: &TempDir) {
        if database::socket().is_none() {
            fs::copy(version.join("login.db"), dir.path().join("login.db")).unwrap();
            return;
        }
        let dump = fs::read_to_string(version.join("login.sql")).unwrap();
        let mut db = connect(dir).await;
        sqlx::raw_sql(AssertSqlSafe(dump)).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    /// Starts this program on the database of the version, at the time when the version stopped.
    async fn opened(version: &Path, configure: impl FnOnce(Figment) -> Figment) -> (Self, TestApp) {
        let (kept, dir) = (Kept::of(version), TempDir::new().unwrap());
        Kept::restore(version, &dir).await;
        let clock = Clock::manual(kept.at);
        let figment = configure(figment(&dir).merge(("secret_key", &kept.secret_key)));
        let rocket = rocket::custom(figment).attach(stage().clock(clock.clone()));
        let client = Client::untracked(rocket).await.expect("the site starts");
        (kept, TestApp { client, clock, dir })
    }

    fn browser<'a>(&self, app: &'a TestApp, name: &str) -> Visitor<'a> {
        let visitor = app.visitor();
        for (name, value) in &self.browsers[name].cookies {
            visitor.set_cookie(name, value.clone());
        }
        visitor
    }
}

/// Opens a connection to the database of `dir`, as another program would.
async fn connect(dir: &TempDir) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(&database::url(dir)).await.unwrap()
}
