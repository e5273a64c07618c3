//! `/password-strength`: the estimate that the meter beside a new password shows.

use std::time::Duration;

use rocket::http::Status;
use rocket::tokio::sync::Semaphore;
use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::timeout;
use rocket::{FromForm, State, post};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::password::Strength;
use crate::web::{Json, Posted};

/// The most estimates at the same time, and how long one may wait. They are few, because the meter
/// is not essential.
static PLACES: Semaphore = Semaphore::const_new(1);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// The characters that were typed so far.
#[derive(FromForm)]
pub struct Typed {
    #[field(default = String::new())]
    email: String,
    #[field(default = String::new())]
    password: String,
}

#[post("/password-strength", data = "<form>")]
pub async fn judge(config: &State<Config>, form: Posted<Typed>) -> Result<Json<Strength>, Status> {
    let Posted(Typed { email, password }) = form;
    let policy = config.password.clone();
    let context = config.password_context(&email).map(str::to_owned);
    let password = Zeroizing::new(password);
    let place = timeout(LONGEST_WAIT, PLACES.acquire()).await;
    let Ok(Ok(_place)) = place else { return Err(Status::ServiceUnavailable) };
    let judged = spawn_blocking(move || {
        Strength::of(&password, &policy, &context.each_ref().map(String::as_str))
    });
    judged.await.map(Json).map_err(|_| Status::InternalServerError)
}
