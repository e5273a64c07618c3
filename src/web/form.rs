//! Submitted forms.

use std::collections::HashSet;
use std::time::Duration;

use rocket::data::{self, Data, FromData, Limits};
use rocket::form::{Form, FromForm};
use rocket::http::{RawStr, Status};
use rocket::outcome::Outcome;
use rocket::tokio::time::timeout;
use rocket::{Request, request};

/// How long a form may take to arrive. Rocket itself would wait for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A form that was sent as `application/x-www-form-urlencoded`.
///
/// Stricter than Rocket's `Form`, which takes multipart past the form's own
/// limit, keeps the first of two fields of one name, and waits for ever. The
/// guard _fails_ with
///
///   * `415 Unsupported Media Type` for any other content type, or none;
///   * `413 Payload Too Large` above the limit `form`, `16KiB` by default;
///   * `408 Request Timeout` when the body takes longer than five seconds;
///   * `400 Bad Request` when it breaks off or is not UTF-8;
///   * `422 Unprocessable Entity` when a field comes twice or is not a plain one.
pub struct Posted<T>(pub T);

#[rocket::async_trait]
impl<'r, T: for<'f> FromForm<'f> + Send + 'static> FromData<'r> for Posted<T> {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> data::Outcome<'r, Self> {
        match read(request, data).await {
            Ok(form) => Outcome::Success(Posted(form)),
            Err(status) => Outcome::Error((status, ())),
        }
    }
}

async fn read<T: for<'f> FromForm<'f> + 'static>(
    request: &request::Request<'_>,
    data: Data<'_>,
) -> Result<T, Status> {
    if !request.content_type().is_some_and(|content_type| {
        content_type.top() == "application" && content_type.sub() == "x-www-form-urlencoded"
    }) {
        return Err(Status::UnsupportedMediaType);
    }

    let limit = request.limits().get("form").unwrap_or(Limits::FORM);
    let body = timeout(BODY_TIMEOUT, data.open(limit).into_bytes())
        .await
        .map_err(|_| Status::RequestTimeout)?
        .map_err(|_| Status::BadRequest)?;
    if !body.is_complete() {
        return Err(Status::PayloadTooLarge);
    }

    let body = body.into_inner();
    let text = std::str::from_utf8(&body).map_err(|_| Status::BadRequest)?;

    // "First for the check, last for the use" begins with a repeated field, and
    // Rocket takes `email[]` for one more `email`.
    let mut names = HashSet::new();
    let is_plain = text
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').map_or(field, |(name, _)| name))
        .map(|name| RawStr::new(name).url_decode_lossy())
        .all(|name| !name.contains(['.', '[', ']']) && names.insert(name));
    if !is_plain {
        return Err(Status::UnprocessableEntity);
    }

    Form::parse_encoded(RawStr::new(text)).map_err(|_| Status::UnprocessableEntity)
}
