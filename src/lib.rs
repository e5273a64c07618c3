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
//!     with `default-features = false`, and is then free to link another SQLite; the README has a
//!     table of what goes together. Without it `databases.login.url` has no default, and
//!     `sqlite:…` stops the start.
//!   * `testing`: the module `testing`, for an application's tests.
//!   * `prometheus`: `metrics::prometheus()`, an endpoint for Prometheus.
//!
//! # Further reading
//!
//! [Coming from express-session](_documentation::express), with every option
//! and method of it; [ASVS 5.0](_documentation::asvs), row by row;
//! [what breaks it](_documentation::reliability), and what does not; the
//! [changelog](_documentation::changelog).

mod auth;
mod background;
mod clock;
pub mod command;
pub mod config;
mod cookies;
mod db;
mod device;
mod done;
mod drain;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod link;
mod mail;
pub mod metrics;
mod notice;
mod pages;
mod password;
mod routing;
mod session;
pub mod sql;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
mod token;
mod user;
mod web;

use std::sync::Arc;

use rocket::fairing::{self, AdHoc};
use rocket::figment::Figment;
use rocket::{Build, Orbit, Rocket};

use auth::SignUpCookie;
use config::Config;
use cookies::SealedCookies;
use device::DeviceCookie;
use done::DoneCookie;
use mail::Mail;
use pages::Base;

pub use auth::{
    Auth, ChangePasswordError, Confirmation, DeleteError, Export, Locked, LogIn, RecentLogin,
    RegisterError, Registered, ResetError, SessionPage, UserSession, Verified,
};
pub use clock::{Clock, Timestamp};
pub use db::{Connection, Db, Pools, Transaction};
pub use error::Error;
pub use history::{Event, Kind};
pub use notice::Notice;
pub use pages::{Customize, Engines, Rendered};
pub use password::{Hasher, NewPassword, Password, PasswordError, PasswordHash, Verdict};
pub use rocket_db_pools::Database;
pub use session::{Flash, Session, sweep};
pub use sqlx;
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

/// Attaches sessions alone: the guards [`&Session`](Session) and [`Flash`], for
/// any application. No pages, no users, and no cross-site check: what guards
/// the application's own unsafe routes is the cookie's `SameSite`, and whatever
/// it attaches beside.
///
/// It reads the table `session`, `site.trusted_proxies`, `databases.login.url`
/// and `secret_key`, makes and migrates the tables `users` and `sessions`, sends
/// the cookie and sweeps expired rows. What is configured wrongly, or a database
/// that cannot be opened, stops the launch with one line in the log that names
/// the key and the mend.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::{get, launch, routes};
/// use rocket_login::{Error, Session};
///
/// #[get("/views")]
/// async fn views(session: &Session) -> Result<String, Error> {
///     let views = session.update("views", |views| views.unwrap_or(0) + 1).await?;
///     Ok(views.to_string())
/// }
///
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build().attach(rocket_login::sessions()).mount("/", routes![views])
/// }
/// ```
pub fn sessions() -> AdHoc {
    AdHoc::try_on_ignite("Sessions", |rocket| async {
        match Config::of_sessions(&with_defaults(&rocket)) {
            Ok(config) => {
                config.session.warnings(config.debug).for_each(|warning| log::warn!("{warning}"));
                Ok(attach_sessions(rocket, &config))
            }
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        }
    })
}

/// Attaches everything: [`sessions()`], users, pages at `/`, error pages,
/// security headers and the cross-site check.
///
/// An application's own route for `/` or for a file in `/static`, and its own
/// default catcher, come before ours. Templates of the same name in its
/// `template_dir` replace ours, those of mails included; the directory
/// `templates` of this crate has them all. Filters and functions for them go into
/// [`Customize`], and a page of the application's that extends one of ours is a
/// [`Rendered`]. An application with templates of its own attaches
/// [`Template::fairing()`](rocket_dyn_templates::Template::fairing()) itself, before or
/// after the stage.
///
/// # Security headers
///
/// Every response gets these, those of the application's routes included:
///
/// | header | value |
/// |---|---|
/// | `Content-Security-Policy` | `default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'` |
/// | `X-Content-Type-Options` | `nosniff` |
/// | `X-Frame-Options` | `DENY` |
/// | `Referrer-Policy` | `same-origin` |
/// | `Cross-Origin-Opener-Policy` | `same-origin` |
/// | `Cross-Origin-Resource-Policy` | `same-origin` |
/// | `Permissions-Policy` | `camera=(), geolocation=(), microphone=(), payment=(), usb=()` |
/// | `Strict-Transport-Security` | `max-age=63072000; includeSubDomains`; not in the debug profile |
///
/// A header that is there already stays. So a route loosens one by setting it, and a
/// fairing of the application loosens it for as many pages as it likes, whether it is
/// attached before or after the stage. `X-Frame-Options: SAMEORIGIN` is enough to
/// allow frames: the policy then says `frame-ancestors 'self'`.
///
/// ```rust,no_run
/// use rocket::fairing::AdHoc;
/// use rocket::http::Header;
/// use rocket::{Responder, get, launch, routes};
///
/// const FONTS: &str = "default-src 'none'; style-src 'self' https://fonts.example; \
///     font-src https://fonts.example; img-src 'self' data:; script-src 'self'; \
///     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
///
/// #[derive(Responder)]
/// struct Map {
///     page: &'static str,
///     permissions: Header<'static>,
/// }
///
/// /// This page may ask where the visitor is.
/// #[get("/map")]
/// fn map() -> Map {
///     let permissions = Header::new("Permissions-Policy", "geolocation=(self)");
///     Map { page: "<p>Where are you?", permissions }
/// }
///
/// /// All pages but ours may load these fonts.
/// #[launch]
/// fn rocket() -> _ {
///     let fonts = AdHoc::on_response("Fonts", |request, response| {
///         Box::pin(async move {
///             if !request.uri().path().starts_with("/auth/") {
///                 response.set_header(Header::new("Content-Security-Policy", FONTS));
///             }
///         })
///     });
///     rocket::build()
///         .attach(rocket_login::stage_at("/auth"))
///         .attach(fonts)
///         .mount("/", routes![map])
/// }
/// ```
///
/// The stage takes the place of Rocket's [`Shield`](rocket::shield::Shield), whose
/// defaults could not be told from what a route has set. An application that wants a
/// `Shield` of its own attaches it at ignition, behind the stage:
/// `.attach(AdHoc::on_ignite("Shield", |rocket| async { rocket.attach(shield) }))`.
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
    stage_at("/")
}

/// The same with the pages under `base`: `/auth/login` for `"/auth"`.
pub fn stage_at(base: &str) -> AdHoc {
    let base = Base::new(base);
    AdHoc::try_on_ignite("Login", |rocket| attach_login(rocket, base))
}

/// Pages that are longer than a comment should be.
pub mod _documentation {
    #[doc = include_str!("../docs/express.md")]
    pub mod express {}

    #[doc = include_str!("../docs/asvs.md")]
    pub mod asvs {}

    #[doc = include_str!("../docs/reliability.md")]
    pub mod reliability {}

    #[doc = include_str!("../CHANGELOG.md")]
    pub mod changelog {}
}

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// A part of the stage, for a guard whose [`Sentinel`](rocket::Sentinel) has
/// seen to it that the stage is attached.
fn attached<T: Send + Sync + 'static>(rocket: &Rocket<Orbit>) -> &T {
    rocket.state().expect("a sentinel checks that the stage is attached")
}

/// An application's configuration over our defaults.
fn with_defaults(rocket: &Rocket<Build>) -> Figment {
    rocket.figment().clone().join(config::defaults())
}

/// The session layer, unless it is there already.
fn attach_sessions(rocket: Rocket<Build>, config: &Config) -> Rocket<Build> {
    if rocket.state::<Arc<session::Sessions>>().is_some() {
        return rocket;
    }

    let figment = with_defaults(&rocket);
    let cookies = SealedCookies::new(config);
    let rocket = match rocket.state::<Clock>() {
        Some(_) => rocket,
        None => rocket.manage(Clock::system()),
    };

    rocket
        .configure(figment)
        .manage(session::FlashCookie::new(config, &cookies))
        .manage(Arc::new(session::Sessions::new(config, cookies)))
        .attach(Db::init())
        .attach(db::migrations())
        .attach(db::in_flight())
        .attach(session::cookie_sender())
        .attach(session::sweeper())
}

async fn attach_login(rocket: Rocket<Build>, base: Base) -> fairing::Result {
    let parts = Config::from_figment(&with_defaults(&rocket)).map_err(|error| error.to_string());
    let parts = parts.and_then(|config| {
        let mail = Mail::new(&config, base.clone()).map_err(|error| error.to_string())?;
        match Hasher::start(&config.password) {
            Ok(hasher) => Ok((config, hasher, mail)),
            Err(error) => Err(format!("password.concurrent_hashes: {error}")),
        }
    });

    let (config, hasher, mail) = match parts {
        Ok(parts) => parts,
        Err(error) => {
            log::error!("{error}");
            return Err(rocket);
        }
    };

    for warning in config.warnings() {
        log::warn!("{warning}");
    }

    // Two catchers for one path and status would stop the launch.
    let has_catcher = |code: Option<u16>| {
        rocket.catchers().any(|catcher| catcher.code == code && catcher.base.path() == "/")
    };
    let catchers = match (has_catcher(None), has_catcher(Some(401))) {
        (false, _) => web::catchers(),
        (true, false) => web::log_in_catcher(),
        (true, true) => Vec::new(),
    };

    let cookies = SealedCookies::new(&config);
    let debug = config.debug;
    let dev_routes = if debug { pages::dev_routes() } else { Vec::new() };
    let rocket = rocket
        .manage(DeviceCookie::new(&config, &cookies))
        .manage(SignUpCookie::new(&config, &cookies))
        .manage(DoneCookie::new(&config, &cookies))
        .attach(web::shield(debug))
        .attach(AdHoc::on_ignite("Login Headers", |rocket| async {
            // Attached here it comes after what the application attaches at ignition.
            rocket.attach(web::SecurityHeaders)
        }))
        .attach(web::SameOrigin::new(&config.site.trusted_origins));
    Ok(attach_sessions(rocket, &config)
        .manage(config)
        .manage(hasher)
        .manage(base.clone())
        .manage(mail.clone())
        .manage(drain::Draining::default())
        .mount(base.mount_point(), pages::routes())
        .mount(base.mount_point(), dev_routes)
        .mount("/.well-known", pages::well_known_routes())
        .attach(pages::templates(base, mail.templates().cloned(), debug))
        .attach(auth::sweeper())
        .attach(mail::sender(mail))
        .mount("/.refused", web::routes())
        .register("/", catchers)
        .register("/.refused", web::catchers()))
}
