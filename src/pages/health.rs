//! `/healthz` and `/readyz`: for monitors and load balancers.

use rocket::http::Status;
use rocket::{State, get};

use crate::clock::Clock;
use crate::db::Db;
use crate::drain::Draining;

/// Answers as long as the process runs.
#[get("/healthz")]
pub fn healthz() -> &'static str {
    "ok"
}

/// Answers 200 if the database has answered within the last second and the site is not about to
/// stop.
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
