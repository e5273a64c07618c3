//! The fairings for an application: sessions alone, or sessions and log-in.

use std::sync::Arc;

use rocket::fairing::{self, AdHoc};
use rocket::figment::Figment;
use rocket::{Build, Catcher, Rocket};
use rocket_db_pools::Database;

use crate::auth::{self, SignUpCookie};
use crate::base::Base;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::cookies::SealedCookies;
use crate::db::{self, Db};
use crate::device::DeviceCookie;
use crate::done::DoneCookie;
use crate::drain;
use crate::mail::{self, Mail};
use crate::pages;
use crate::password::Hasher;
use crate::session;
use crate::web;

/// The site's configuration: our defaults, `Rocket.toml` and `ROCKET_…`.
pub fn figment() -> Figment {
    config::site()
}

/// The whole site, configured by [`figment()`].
pub fn rocket() -> Rocket<Build> {
    rocket::custom(figment()).attach(stage())
}

/// Attaches sessions alone: the guards [`&Session`](crate::Session) and [`Flash`](crate::Flash), for any
/// application.
///
/// It adds no pages, no users and no cross-site check. The application's own routes are protected
/// from cross-site requests by the cookie's `SameSite` and by the fairings that the application
/// attaches itself.
///
/// It reads the table `session`, `site.trusted_proxies`, `databases.login.url` and `secret_key`. It
/// creates and migrates the tables `users` and `sessions`, sends the cookie, and deletes expired
/// rows in the background.
///
/// If the configuration is wrong or the database cannot be opened, the launch fails. One line in
/// the log then names the key and the fix.
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

/// Attaches everything: [`sessions()`], users, pages at `/`, error pages, security headers and the
/// cross-site check.
///
/// If the configuration is wrong or the database cannot be opened, the launch fails. One line in
/// the log then names the key and the fix.
///
/// The application can replace each visible part:
///
///   * Its own route for `/` or for a file in `/static`, and its own default catcher, take
///     precedence over ours.
///   * Templates in its `template_dir` replace ours with these names, including those of mails. The
///     directory `templates` of this crate has them all.
///   * [`Customize`](crate::Customize) adds filters and functions for templates. A page of the application that
///     extends one of ours is a [`Rendered`](crate::Rendered).
///
/// An application with its own templates attaches
/// [`Template::fairing()`](rocket_dyn_templates::Template::fairing()) itself, before or after the
/// stage.
///
/// # Security headers
///
/// Every response has these headers, including those of the application's routes:
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
/// A header that a response already has is kept. So a route loosens a header by setting it. A
/// fairing of the application loosens it for many pages, whether it is attached before or after the
/// stage. To allow frames, set `X-Frame-Options: SAMEORIGIN`. The policy then has
/// `frame-ancestors 'self'`.
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
/// /// All pages except ours may load these fonts.
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
/// The stage replaces Rocket's [`Shield`](rocket::shield::Shield), because its default headers
/// cannot be distinguished from those that a route has set. An application that needs its own
/// `Shield` attaches it at ignition, after the stage:
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

/// Attaches everything like [`stage()`], with the pages under `base`. With `"/auth"` the log-in
/// page is at `/auth/login`.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build().attach(rocket_login::stage_at("/auth"))
/// }
/// ```
pub fn stage_at(base: &str) -> AdHoc {
    let base = Base::new(base);
    AdHoc::try_on_ignite("Login", |rocket| attach_login(rocket, base))
}

/// Returns the application's configuration, completed with our defaults.
fn with_defaults(rocket: &Rocket<Build>) -> Figment {
    rocket.figment().clone().join(config::defaults())
}

/// Attaches the session layer, unless it is attached already.
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
    let (config, hasher, mail) = match parts(&rocket, &base) {
        Ok(parts) => parts,
        Err(error) => {
            log::error!("{error}");
            return Err(rocket);
        }
    };

    for warning in config.warnings() {
        log::warn!("{warning}");
    }

    let catchers = catchers(&rocket);
    let cookies = SealedCookies::new(&config);
    let debug = config.debug;
    let dev_routes = if debug { pages::dev_routes() } else { Vec::new() };
    let rocket = rocket
        .manage(DeviceCookie::new(&config, &cookies))
        .manage(SignUpCookie::new(&config, &cookies))
        .manage(DoneCookie::new(&config, &cookies))
        .attach(web::shield(debug))
        .attach(AdHoc::on_ignite("Login Headers", |rocket| async {
            // A fairing that is attached here comes after those that the application attaches at
            // ignition.
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
        .register("/.refused", pages::catchers()))
}

/// Returns the parts of the stage that can fail.
///
/// # Errors
///
/// Returns a line for the log if the configuration is wrong, or the hashing threads cannot start.
fn parts(rocket: &Rocket<Build>, base: &Base) -> Result<(Config, Hasher, Mail), String> {
    let config = Config::from_figment(&with_defaults(rocket)).map_err(|error| error.to_string())?;
    let mail = Mail::new(&config, base.clone()).map_err(|error| error.to_string())?;
    match Hasher::start(&config.password) {
        Ok(hasher) => Ok((config, hasher, mail)),
        Err(error) => Err(format!("password.concurrent_hashes: {error}")),
    }
}

/// Returns our catchers for the errors that the application does not answer itself.
fn catchers(rocket: &Rocket<Build>) -> Vec<Catcher> {
    // Two catchers for one path and status would make the launch fail.
    let has_catcher = |code: Option<u16>| {
        rocket.catchers().any(|catcher| catcher.code == code && catcher.base.path() == "/")
    };
    match (has_catcher(None), has_catcher(Some(401))) {
        (false, _) => pages::catchers(),
        (true, false) => pages::log_in_catcher(),
        (true, true) => Vec::new(),
    }
}
