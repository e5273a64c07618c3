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
//!      # #[cfg(not(feature = "pages"))]
//!      # fn main() {}
//!      use rocket::{get, launch, routes};
//!      use rocket_login::{Error, Session, User};
//!
//!      # #[cfg(feature = "pages")]
//!      #[get("/views")]
//!      async fn views(session: &Session) -> Result<String, Error> {
//!          let views = session.update("views", |views| views.unwrap_or(0) + 1).await?;
//!          Ok(views.to_string())
//!      }
//!
//!      # #[cfg(feature = "pages")]
//!      #[get("/notes")]
//!      fn notes(user: &User) -> String {
//!          format!("Notes of {}", user.email)
//!      }
//!
//!      # #[cfg(feature = "pages")]
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
//! | [`HasRole`] | who is logged in and has a role, which is a type | as `&User`, and 403 |
//! | [`RecentLogin`] | who has given their password recently | as `&User`, and 401 |
//! | [`Flash`] | a message to the next page | never |
//! | [`Auth`] | every act of our pages, for pages of your own | 503 |
//! | [`&Db`](Db) | the database, for tables of your own | never |
//!
//! # Features
//!
//! An application leaves out what it does not need with `default-features = false`, and names the
//! rest. [The reference](_documentation::reference#features) says more about each.
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `sqlite` | on | SQLite as the database. Without it `databases.login.url` has no default, and the application may link [another SQLite](_documentation::reference#works-beside) |
//! | `postgres` | on | PostgreSQL as the database. One of the two must be on |
//! | `pages` | on | log-in as a whole: [`stage()`], the modules `auth`, `history`, `password` and `web`, and every guard of users. Without it the crate is [`sessions()`], [`Session`], [`Flash`], [`Db`] and [`sql`] |
//! | `providers` | on | log-in with providers: OpenID Connect, and GitHub |
//! | `mail` | on | mails by SMTP. Without it a site is one without mail |
//! | `cli` | on | the module `command` and the program `rocket-login` |
//! | `testing` | | the module `testing`, for an application's tests |
//! | `prometheus` | | `metrics::prometheus()`, an endpoint for Prometheus |
//!
//! # Further reading
//!
//! [In your application](_documentation::application): templates, pages, hooks and tables of your own;
//! the [cookbook](_documentation::cookbook) of tested recipes;
//! [configuration](_documentation::configuration); the [reference](_documentation::reference) of
//! routes, guards and commands; [security](_documentation::security); the
//! [changelog](_documentation::changelog); and [more pages](_documentation).

#![cfg_attr(docsrs, feature(doc_cfg))]
// docs.rs says which feature an item needs
// The documentation is written for the whole crate, in which all of its links are checked.
#![cfg_attr(
    not(all(
        feature = "cli",
        feature = "mail",
        feature = "postgres",
        feature = "sqlite",
        feature = "testing"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]
#![warn(clippy::too_many_lines)] // a function fits on a screen: see clippy.toml

mod attached;
#[cfg(feature = "pages")]
pub mod auth;
mod background;
#[cfg(feature = "pages")]
mod base;
mod client;
mod clock;
#[cfg(feature = "cli")]
pub mod command;
pub mod config;
mod cookies;
pub mod db;
#[cfg(feature = "pages")]
mod device;
#[cfg(feature = "pages")]
mod done;
#[cfg(feature = "pages")]
mod drain;
mod error;
#[cfg(feature = "pages")]
pub mod factor;
#[cfg(feature = "providers")]
mod flow;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "pages")]
pub mod history;
#[cfg(feature = "pages")]
mod identity;
mod kept;
#[cfg(feature = "pages")]
mod link;
#[cfg(feature = "pages")]
mod mail;
pub mod metrics;
#[cfg(feature = "pages")]
mod notice;
#[cfg(feature = "pages")]
mod pages;
#[cfg(feature = "pages")]
pub mod password;
mod program;
#[cfg(feature = "providers")]
mod provider;
#[cfg(feature = "pages")]
mod routing;
mod session;
mod sessions;
pub mod sql;
#[cfg(feature = "pages")]
mod stage;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "pages")]
mod throttle;
mod token;
mod user;
#[cfg(feature = "pages")]
pub mod web;
#[cfg(feature = "passkeys")]
mod webauthn;

#[cfg(feature = "pages")]
pub use auth::{Auth, HasRole, RecentLogin, StrongLogin};
pub use clock::{Clock, Timestamp};
pub use db::{Connection, Db, Migrations, Transaction};
pub use error::Error;
#[cfg(feature = "pages")]
pub use notice::Notice;
#[cfg(feature = "pages")]
pub use pages::{Customize, Engines, Rendered};
#[cfg(feature = "pages")]
pub use password::{NewPassword, Password, PasswordError};
pub use rocket_db_pools::Database;
pub use session::{AnyKey, Flash, Key, KeyOf, Session};
pub use sessions::{figment, sessions};
pub use sqlx;
#[cfg(feature = "pages")]
pub use stage::{Stage, rocket, stage, stage_at};
pub use user::{Email, EmailError, Role, RoleName, RoleNameError, Roles, User};
#[cfg(feature = "pages")]
pub use web::ReturnTo;

/// Pages that are longer than a comment should be.
pub mod _documentation {
    include!(concat!(env!("OUT_DIR"), "/documentation.rs"));
}

/// The README's programs compile.
#[cfg(all(doctest, feature = "pages"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
