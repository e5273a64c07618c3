//! `/healthz` and `/readyz`: for whatever watches or balances the site.

use rocket::http::Status;
use rocket::{State, get};

use crate::clock::Clock;
use crate::db::Db;
use crate::drain::Draining;

/// The process answers.
#[get("/healthz")]
pub fn healthz() -> &'static str {
    "ok"
}

/// The database answers too, or did so within the last second, and the site is not about to stop.
#[get("/readyz")]
pub async fn readyz(
    db: &Db,
    draining: &State<Draining>,
    clock: &State<Clock>,
) -> Result<&'static str, Status> {
    match !draining.is_true() && db.is_ready_by(clock).await {
        true => Ok("ok"),
        false => Err(Status::ServiceUnavailable),
    }
}
