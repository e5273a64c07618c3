//! Sign-up, login and database-persisted sessions for Rocket.
//!
//! A browser holds only an opaque random token, in a sealed cookie; a
//! `sessions` table in SQLite holds the state. The request guards
//! [`&Session`](Session) and [`&User`](User) load both with one query, and the
//! pages `/register`, `/login`, `/logout` and `/account` do the rest.
//!
//! # Usage
//!
//!   1. Add the crate.
//!
//!   2. Attach the [`stage()`]:
//!
//!      ```rust,no_run
//!      use rocket::{get, launch, routes};
//!      use rocket_login::User;
//!
//!      #[get("/notes")]
//!      fn notes(user: &User) -> String {
//!          format!("Notes of {}", user.email)
//!      }
//!
//!      #[launch]
//!      fn rocket() -> _ {
//!          rocket::build().attach(rocket_login::stage()).mount("/", routes![notes])
//!      }
//!      ```
//!
//!      A visitor who is not logged in is sent from `/notes` to `/login`, and
//!      back to `/notes` afterwards.
//!
//!   3. Configure it in `Rocket.toml`. Every key has a default; the README
//!      lists them all.
//!
//! [`rocket()`] is the whole site, as the binary `rocket-login` serves it.

mod auth;
mod clock;
pub mod command;
pub mod config;
mod cookies;
mod db;
mod error;
mod pages;
mod password;
mod session;
mod user;
mod web;

use std::sync::Arc;

use rocket::fairing::{self, AdHoc};
use rocket::figment::Figment;
use rocket::{Build, Request, Rocket};
use rocket_db_pools::Database;

use config::Config;
use cookies::SealedCookies;

pub use auth::{Auth, RegisterError};
pub use clock::{Clock, Timestamp};
pub use db::{Db, Pools};
pub use error::Error;
pub use password::{Hasher, NewPassword, Password, PasswordError, PasswordHash, Verdict};
pub use session::{Session, sweep};
pub use user::{Email, EmailError, User};
pub use web::ReturnTo;

/// The site's configuration: our defaults, `Rocket.toml` and `ROCKET_…`.
pub fn figment() -> Figment {
    config::site()
}

/// The whole site, configured by [`figment()`].
pub fn rocket() -> Rocket<Build> {
    rocket::custom(figment()).attach(stage())
}

/// Attaches everything: configuration, database and its migrations, sessions,
/// pages, error pages, security headers and the cross-site check.
///
/// What is configured wrongly, or a database that cannot be opened, stops the
/// launch with one line in the log that names the key and the mend.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build().attach(rocket_login::stage())
/// }
/// ```
pub fn stage() -> AdHoc {
    AdHoc::try_on_ignite("Login", ignite)
}

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// A part of the stage, from a guard whose [`Sentinel`](rocket::Sentinel) has
/// seen to it that the stage is attached.
fn attached<'r, T: Send + Sync + 'static>(request: &'r Request<'_>) -> &'r T {
    request.rocket().state().expect("a sentinel checks that the stage is attached")
}

async fn ignite(rocket: Rocket<Build>) -> fairing::Result {
    let figment = rocket.figment().clone().join(config::defaults());
    let parts =
        Config::from_figment(&figment).map_err(|error| error.to_string()).and_then(|config| {
            let hasher = password::Hasher::start(&config.password)
                .map_err(|error| format!("password.concurrent_hashes: {error}"))?;
            Ok((config, hasher))
        });

    let (config, hasher) = match parts {
        Ok(parts) => parts,
        Err(error) => {
            log::error!("{error}");
            return Err(rocket);
        }
    };

    for warning in config.warnings() {
        log::warn!("{warning}");
    }

    let clock = rocket.state::<Clock>().cloned();
    let rocket = match clock {
        Some(_) => rocket,
        None => rocket.manage(Clock::system()),
    };

    let cookies = SealedCookies::new(&config);
    Ok(rocket
        .configure(figment)
        .manage(Arc::new(session::Sessions::new(&config, cookies.clone())))
        .manage(web::FlashCookie::new(&config, cookies))
        .manage(hasher)
        .attach(web::security_headers())
        .attach(web::SameOrigin::new(&config.site.trusted_origins))
        .attach(Db::init())
        .attach(db::migrations())
        .attach(db::in_flight())
        .attach(cookies::fairing())
        .attach(session::sweeper())
        .attach(pages::templates())
        .mount("/", pages::routes())
        .mount("/.refused", web::routes())
        .register("/", web::catchers())
        .manage(config))
}
