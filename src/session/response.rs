//! The headers that sessions add to every response.

use rocket::fairing::AdHoc;
use rocket::http::{Header, Status};
use rocket::{Orbit, Rocket};

use super::store;
use crate::attached::attached;
use crate::clock::Clock;
use crate::cookies::PendingCookies;
use crate::db::Db;
use crate::error::{BUSY_SECONDS, RetryAfter, THROTTLED_SECONDS};
use crate::token::TokenId;

/// Adds the pending cookies to every response, whatever produced it, and `Retry-After` to 429 and
/// 503.
///
/// A response with a cookie is for one visitor only, so no cache may store it.
pub fn fairing() -> AdHoc {
    AdHoc::on_response("Session", |request, response| {
        Box::pin(async move {
            let pending = PendingCookies::of(request);
            let (mut cookies, renewal) = pending.send(response.status());
            if let Some((id, cookie)) = renewal
                && Box::pin(exists(request.rocket(), id)).await
            // The future is in a box, because it is needed rarely and is large.
            {
                cookies.push(cookie);
            }

            // Every answer gets the header, including that of an application's own catcher.
            let retry_after = match response.status() {
                Status::ServiceUnavailable => Some(BUSY_SECONDS),
                Status::TooManyRequests => {
                    let RetryAfter(said) = request.local_cache(|| RetryAfter(None));
                    Some(said.unwrap_or(THROTTLED_SECONDS))
                }
                _ => None,
            };
            if let Some(seconds) =
                retry_after.filter(|_| !response.headers().contains("Retry-After"))
            {
                response.set_header(Header::new("Retry-After", seconds.to_string()));
            }

            // A response that depends on a session is for one visitor only: a shared cache would
            // pass it to the next visitor (CVE-2023-30861). An application that has decided
            // otherwise keeps its header.
            if pending.is_read() {
                if response.headers().get("Vary").all(|vary| !names_cookie(vary)) {
                    response.adjoin_header(Header::new("Vary", "Cookie"));
                }
                if !response.headers().contains("Cache-Control") {
                    response.set_header(Header::new("Cache-Control", "private, no-cache"));
                }
            }

            for cookie in cookies {
                response.adjoin_header(Header::new("Set-Cookie", cookie.encoded().to_string()));
                response.set_header(Header::new("Cache-Control", "no-store"));
            }
        })
    })
}

fn names_cookie(vary: &str) -> bool {
    vary.split(',')
        .any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("cookie"))
}

/// Returns whether the session `id` exists. It returns `false` if the database does not answer.
async fn exists(rocket: &Rocket<Orbit>, id: TokenId) -> bool {
    let (db, now) = (attached::<Db>(rocket), attached::<Clock>(rocket).now());
    let found = async { store::find_state(&mut db.read().await?, id, now).await };
    matches!(found.await, Ok(Some(_)))
}
