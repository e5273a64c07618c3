//! Sign-up, login and database-persisted sessions for Rocket.
//!
//! A browser holds only an opaque random token, in a sealed cookie; a
//! `sessions` table holds the rest, in SQLite or PostgreSQL. The request guards
//! [`&Session`](Session) and [`&User`](User) load both with one query at most. Pages do
//! sign-up, log-in, log-out and all that an account needs after that.
//!
//! # Usage
//!
//!   1. Add the crate.
//!
//!   2. Attach what you need: [`sessions()`] for sessions alone, [`stage()`] or
//!      [`stage_at()`] for login as well.
//!
//!      ```rust,no_run
//!      use rocket::{get, launch, routes};
//!      use rocket_login::{Error, Session, User};
//!
//!      #[get("/views")]
//!      async fn views(session: &Session) -> Result<String, Error> {
//!          let views = session.update("views", |views| views.unwrap_or(0) + 1).await?;
//!          Ok(views.to_string())
//!      }
//!
//!      #[get("/notes")]
//!      fn notes(user: &User) -> String {
//!          format!("Notes of {}", user.email)
//!      }
//!
//!      #[launch]
//!      fn rocket() -> _ {
//!          rocket::build().attach(rocket_login::stage()).mount("/", routes![views, notes])
//!      }
//!      ```
//!
//!      A visitor who is not logged in is sent from `/notes` to `/login`, and
//!      back to `/notes` afterwards. Forgetting to attach the stage stops the
//!      launch.
//!
//!   3. Configure it in `Rocket.toml`. Every key has a default; [`config`] has
//!      a struct for each table. Outside the debug profile, `secret_key` is
//!      required.
//!
//! [`rocket()`] is the whole site, as the binary `rocket-login` serves it.
//!
//! # Guards
//!
//! | guard | gives | fails |
//! |---|---|---|
//! | [`&Session`](Session) | the visitor's session and its state | 503 when the database does not answer |
//! | [`&User`](User) | who is logged in | 401, to a route for guests if there is one; 503 |
//! | `Option<&User>` | the same, or nobody | never |
//! | [`RecentLogin`] | who has given their password recently | as `&User`, and 401 |
//! | [`Flash`] | a message to the next page | never |
//! | [`Auth`] | every act of our pages, for pages of your own | 503 |
//! | [`&Db`](Db) | the database, for tables of your own | never |
//!
//! # Features
//!
//!   * `sqlite`, on by default: SQLite as the database. An application on PostgreSQL leaves it out
//!     with `default-features = false`, and is then free to link another SQLite;
//!     [a table](_documentation::reference#works-beside) says what goes together. Without it
//!     `databases.login.url` has no default, and `sqlite:…` stops the start.
//!   * `testing`: the module `testing`, for an application's tests.
//!   * `prometheus`: `metrics::prometheus()`, an endpoint for Prometheus.
//!
//! # Further reading
//!
//! [In your application](_documentation::application): templates, pages and tables of your own;
//! [configuration](_documentation::configuration); the [reference](_documentation::reference) of
//! routes, guards and commands; [security](_documentation::security); the
//! [changelog](_documentation::changelog); and [more pages](_documentation).

#![warn(clippy::too_many_lines)] // a function fits on a screen: see clippy.toml

mod attached;
pub mod auth;
mod background;
mod base;
mod client;
mod clock;
pub mod command;
pub mod config;
mod cookies;
pub mod db;
mod device;
mod done;
mod drain;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
mod link;
mod mail;
pub mod metrics;
mod notice;
mod pages;
pub mod password;
mod routing;
mod session;
pub mod sql;
mod stage;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
mod token;
mod user;
pub mod web;

pub use auth::{Auth, RecentLogin};
pub use clock::{Clock, Timestamp};
pub use db::{Connection, Db, Transaction};
pub use error::Error;
pub use notice::Notice;
pub use pages::{Customize, Engines, Rendered};
pub use password::{NewPassword, Password, PasswordError};
pub use rocket_db_pools::Database;
pub use session::{Flash, Session};
pub use sqlx;
pub use stage::{figment, rocket, sessions, stage, stage_at};
pub use user::{Email, EmailError, User};
pub use web::ReturnTo;

/// Pages that are longer than a comment should be.
pub mod _documentation {
    include!(concat!(env!("OUT_DIR"), "/documentation.rs"));
}

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
