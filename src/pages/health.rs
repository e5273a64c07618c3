//! `/healthz` and `/readyz`: for whatever watches or balances the site.

use rocket::get;
use rocket::http::Status;

use crate::db::Db;

/// The process answers.
#[get("/healthz")]
pub fn healthz() -> &'static str {
    "ok"
}

/// The database answers too.
#[get("/readyz")]
pub async fn readyz(db: &Db) -> Result<&'static str, Status> {
    match db.is_ready().await {
        true => Ok("ok"),
        false => Err(Status::ServiceUnavailable),
    }
}
