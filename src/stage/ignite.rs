//! Attaches a stage to an application, at ignition.

use std::sync::Arc;

use rocket::fairing::{self, AdHoc};
use rocket::{Build, Catcher, Rocket, Route};

use super::Stage;
use crate::auth::{self, OfUser, SignUpCookie};
use crate::base::Base;
use crate::clock::Clock;
use crate::config::Config;
use crate::cookies::SealedCookies;
use crate::db::Together;
use crate::device::DeviceCookie;
use crate::done::DoneCookie;
use crate::drain;
use crate::factor::Sealer;
use crate::factor::pending::PendingCookie;
use crate::history::Polled;
use crate::mail::{self, Mail};
use crate::pages::{self, Customize, Icon, Landing};
use crate::password::Hasher;
use crate::routing::{is_same_path, segments, segments_of};
use crate::sessions::{attach_sessions, with_defaults};
use crate::web::{self, Headers};

/// The parts of a stage that can fail.
struct Parts {
    config: Config,
    base: Base,
    landing: Landing,
    icon: Icon,
    headers: Headers,
    hasher: Hasher,
    mail: Mail,
}

/// Attaches what `stage` says.
pub async fn attach_login(rocket: Rocket<Build>, stage: Stage) -> fairing::Result {
    let parts = match parts(&rocket, &stage) {
        Ok(parts) => parts,
        Err(error) => {
            log::error!("{error}");
            return Err(rocket);
        }
    };
    let Parts { config, base, landing, icon, headers, hasher, mail } = parts;

    for warning in config.warnings() {
        log::warn!("{warning}");
    }

    let catchers = catchers(&rocket);
    let cookies = SealedCookies::new(&config);
    let well_known_routes = pages::well_known_routes(&config);
    let dev_routes = if config.debug { pages::dev_routes() } else { Vec::new() };
    let routes = without_replaced(&rocket, &base, pages::routes(&base, &config));
    let rocket = manage(manage(rocket, stage.clock), stage.customize);
    let rocket = match web::shield(&headers, &config) {
        Some(shield) => rocket.attach(shield),
        None => rocket,
    };
    let rocket = rocket
        .manage(landing.clone())
        .manage(icon.clone())
        .manage(stage.hooks)
        .manage(pages::ProviderLinks::new(&config))
        .manage(Polled::default())
        .manage(Arc::<Together<OfUser>>::default())
        .attach(AdHoc::on_ignite("Login Headers", |rocket| async {
            // A fairing that is attached here comes after those that the application attaches at
            // ignition.
            rocket.attach(web::SecurityHeaders(headers))
        }))
        .attach(web::SameOrigin::new(&config.site.trusted_origins));
    let rocket = manage_providers(manage_cookies(rocket, &config, &cookies), &config, &cookies);
    Ok(attach_sessions(rocket, &config, stage.preparation)
        .attach(auth::passkeys_checked(&config))
        .attach(pages::templates(base.clone(), &landing, icon, &config, mail.templates().cloned()))
        .manage(config)
        .manage(hasher)
        .manage(base.clone())
        .manage(mail.clone())
        .manage(drain::Draining::default())
        .mount(base.mount_point(), routes)
        .mount(base.mount_point(), dev_routes)
        .mount("/.well-known", well_known_routes)
        .attach(auth::sweeper())
        .attach(auth::missed_steps())
        .attach(auth::resealer())
        .attach(mail::sender(mail))
        .mount("/.refused", web::routes())
        .register("/", catchers)
        .register("/.refused", pages::catchers()))
}

fn manage_cookies(
    rocket: Rocket<Build>,
    config: &Config,
    cookies: &SealedCookies,
) -> Rocket<Build> {
    rocket
        .manage(DeviceCookie::new(config, cookies))
        .manage(SignUpCookie::new(config, cookies))
        .manage(DoneCookie::new(config, cookies))
        .manage(PendingCookie::new(config, cookies))
        .manage(Sealer::new(cookies))
        .manage(pages::TypedEmailCookie::new(config, cookies))
}

#[cfg(feature = "providers")]
fn manage_providers(
    rocket: Rocket<Build>,
    config: &Config,
    cookies: &SealedCookies,
) -> Rocket<Build> {
    rocket
        .manage(crate::provider::Providers::new(config))
        .manage(crate::flow::FlowCookies::new(config, cookies))
}

#[cfg(not(feature = "providers"))]
fn manage_providers(rocket: Rocket<Build>, _: &Config, _: &SealedCookies) -> Rocket<Build> {
    rocket
}

/// Returns the parts of `stage`.
///
/// # Errors
///
/// Returns a line for the log if the configuration or the stage is wrong, or the hashing threads
/// cannot start.
fn parts(rocket: &Rocket<Build>, stage: &Stage) -> Result<Parts, String> {
    let base = stage.base()?;
    let landing = Landing::new(&base, &stage.pages)?;
    refuse_second::<Clock>(rocket, stage.clock.is_some(), "Stage::clock")?;
    refuse_second::<Customize>(rocket, stage.customize.is_some(), "Stage::templates")?;

    let config = Config::from_figment(&with_defaults(rocket))
        .map_err(|error| error.of_application().to_string())?;
    let headers = stage.headers.clone().unwrap_or_else(|| config.site.headers.into());
    headers.check()?;
    let icon = Icon::read(&config)?;
    let mail = Mail::new(&config, base.clone()).map_err(|error| error.to_string())?;
    let hasher = Hasher::start(&config.password)
        .map_err(|error| format!("password.concurrent_hashes: {error}"))?;
    Ok(Parts { config, base, landing, icon, headers, hasher, mail })
}

/// Refuses what both the stage and the application's state have: one of them would have no effect.
///
/// # Errors
///
/// Returns a line for the log that names `method`.
fn refuse_second<T: Send + Sync + 'static>(
    rocket: &Rocket<Build>,
    is_given: bool,
    method: &str,
) -> Result<(), String> {
    match is_given && rocket.state::<T>().is_some() {
        true => Err(format!(
            "{method}: the application manages one already; delete its manage(…), or this call"
        )),
        false => Ok(()),
    }
}

/// Manages `value`, if there is one.
fn manage<T: Send + Sync + 'static>(rocket: Rocket<Build>, value: Option<T>) -> Rocket<Build> {
    match value {
        Some(value) => rocket.manage(value),
        None => rocket,
    }
}

/// Returns `routes` of ours without those that the application has itself: a route with the same
/// method and path replaces ours. Without this, our log-in page would come before the application's,
/// because it has a query, and other pages would stop the launch.
///
/// A route of ours that comes last anyway stays, for what the application's own forwards.
fn without_replaced(rocket: &Rocket<Build>, base: &Base, routes: Vec<Route>) -> Vec<Route> {
    let is_replaced = |ours: &Route| {
        let path = base.join(ours.uri.path());
        let is_same = |theirs: &Route| {
            theirs.method == ours.method && is_same_path(segments(&theirs.uri), segments_of(&path))
        };
        let is_replaced = ours.rank != pages::LAST && rocket.routes().any(is_same);
        if is_replaced {
            log::info!("{} {path} of the application replaces ours", ours.method);
        }
        is_replaced
    };
    routes.into_iter().filter(|ours| !is_replaced(ours)).collect()
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
