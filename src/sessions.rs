//! The fairing for an application that wants sessions alone.

use std::sync::Arc;

use rocket::fairing::AdHoc;
use rocket::figment::Figment;
#[cfg(feature = "testing")]
use rocket::tokio::runtime::Handle;
use rocket::{Build, Rocket};

#[cfg(feature = "testing")]
use crate::attached::Runtime;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::cookies::SealedCookies;
use crate::db::{self, Preparation};
use crate::session;

/// The site's configuration: our defaults, `Rocket.toml` and `ROCKET_…`.
///
/// Our defaults are stricter than Rocket's: a form has at most 16 KiB (`limits.form` and
/// `limits.data-form`), no header says the server's name (`ident`), and none lets visitors choose
/// their own address (`ip_header`). An application with uploads
/// [raises the limits](crate::_documentation::application#limits-of-requests) in `Rocket.toml`.
pub fn figment() -> Figment {
    config::site()
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
                config.session_warnings().iter().for_each(|warning| log::warn!("{warning}"));
                Ok(attach_sessions(rocket, &config, Preparation::default()))
            }
            Err(error) => {
                log::error!("{}", error.of_application());
                Err(rocket)
            }
        }
    })
}

/// Returns the application's configuration, completed with our defaults.
pub(crate) fn with_defaults(rocket: &Rocket<Build>) -> Figment {
    rocket.figment().clone().join(config::defaults())
}

/// Attaches the session layer, unless it is attached already, and prepares the database.
pub(crate) fn attach_sessions(
    rocket: Rocket<Build>,
    config: &Config,
    preparation: Preparation,
) -> Rocket<Build> {
    if rocket.state::<Arc<session::Sessions>>().is_some() {
        return match preparation.is_empty() {
            true => rocket,
            false => rocket.attach(db::preparing(preparation)),
        };
    }

    let figment = with_defaults(&rocket);
    let cookies = SealedCookies::new(config);
    let rocket = match rocket.state::<Clock>() {
        Some(_) => rocket,
        None => rocket.manage(Clock::system()),
    };

    #[cfg(feature = "testing")]
    let rocket = rocket.manage(Runtime(Handle::current()));
    rocket
        .configure(figment)
        .manage(session::FlashCookie::new(config, &cookies))
        .manage(Arc::new(session::Sessions::new(config, cookies)))
        .attach(db::opening(preparation))
        .attach(db::in_flight())
        .attach(session::cookie_sender())
        .attach(session::sweeper())
}
