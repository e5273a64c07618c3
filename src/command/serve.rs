//! The command `serve`, which starts the site.

use std::io::ErrorKind as Problem;
use std::net::SocketAddr;

use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::{Build, Rocket};

use super::start::Start;
use super::{Done, Failed, logger, migrate};
use crate::config::{Config, ConfigError, SecretKey};
use crate::drain;
use crate::stage::Stage;
use crate::web::is_secret;

/// Brings the database up to date, and launches what `build` returns for the configuration.
///
/// # Errors
///
/// Returns an error if the site cannot start.
pub async fn serve(
    figment: Figment,
    stage: &Stage,
    build: impl FnOnce(Figment) -> Rocket<Build>,
) -> Done {
    let config = Config::from_figment(&figment)?;
    let rockets = rocket::Config::try_from(&figment).map_err(ConfigError::from)?;
    logger::configure(&rockets);
    migrate(&config.database, stage).await?;

    let (figment, drain) = drain::prepare(figment, config.site.drain);
    let has_key = figment.extract_inner("secret_key").is_ok_and(|key: SecretKey| !key.is_zero());
    let figment = match has_key {
        true => figment,
        // Rocket would generate a key too, and say so in words that name no fix.
        false => figment.merge(("secret_key", config.secret_key.key().master())),
    };
    let start = Start { base: stage.base()?, config, has_key };
    let mut rocket = build(figment).attach(start);
    if logger::logs_requests() {
        rocket = rocket.attach(request_log());
    }
    if let Some(drain) = drain {
        rocket = rocket.attach(drain);
    }
    let place = SocketAddr::new(rockets.address, rockets.port);
    let _: Rocket<_> = rocket.launch().await.map_err(|error| launch_failed(error, place))?;
    Ok(())
}

/// Logs one line for each request, once it is answered. A path that has a token in it is named by
/// its route, and a query is left out: anybody who reads the log could use a link that is still good.
fn request_log() -> AdHoc {
    AdHoc::on_response("Request Log", |request, response| {
        Box::pin(async move {
            let (method, status) = (request.method(), response.status());
            let path = match request.route().filter(|_| is_secret(request)) {
                Some(route) => route.uri.as_str(),
                None => request.uri().path().as_str(),
            };
            log::info!(target: logger::REQUEST, "{method} {path} {status}");
        })
    })
}

/// Returns why the site did not start. Rocket does not say which port is taken.
fn launch_failed(error: rocket::Error, place: SocketAddr) -> Failed {
    match error.kind() {
        ErrorKind::Bind(problem) => {
            let fix = match problem.kind() {
                Problem::AddrInUse => {
                    "another program uses this port: stop it, or set ROCKET_PORT to another one"
                }
                Problem::AddrNotAvailable => {
                    "this machine has no such address: set ROCKET_ADDRESS to 127.0.0.1, or to \
                     0.0.0.0 for every address that it has"
                }
                Problem::PermissionDenied => {
                    "set ROCKET_PORT to 1024 or above, and let a proxy have the lower ports"
                }
                _ => "set ROCKET_ADDRESS or ROCKET_PORT",
            };
            format!("cannot listen on {place}: {problem}; {fix}").into()
        }
        ErrorKind::FailedFairings(failed) => {
            let names: Vec<_> = failed.iter().map(|fairing| fairing.name).collect();
            format!("the site did not start; the log says why ({})", names.join(", ")).into()
        }
        _ => error.into(),
    }
}
