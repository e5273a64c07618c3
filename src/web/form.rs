//! Reads submitted forms.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use rocket::data::{self, Data, FromData, Limits};
use rocket::form::{Form, FromForm};
use rocket::http::{RawStr, Status};
use rocket::outcome::Outcome;
use rocket::tokio::time::timeout;
use rocket::{Request, request};

/// How long a form may take to arrive. Rocket itself would wait without a limit.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A form that was sent as `application/x-www-form-urlencoded`.
///
/// It is stricter than Rocket's `Form`, which accepts multipart beyond the form's own limit, keeps
/// the first of two fields with one name, and waits without a limit. The guard _fails_ with
///
/// * `415 Unsupported Media Type` for any other content type, or none;
/// * `413 Payload Too Large` above the limit `form`, which is `16KiB` by default;
/// * `408 Request Timeout` if the body takes longer than five seconds;
/// * `400 Bad Request` if the body ends early or is not UTF-8;
/// * `422 Unprocessable Entity` if a field occurs twice, or has a name for nested values.
///
/// # Examples
///
/// ```rust
/// use rocket::{FromForm, post};
/// use rocket_login::web::Posted;
///
/// #[derive(FromForm)]
/// struct Note {
///     text: String,
/// }
///
/// #[post("/notes", data = "<form>")]
/// fn add(form: Posted<Note>) -> String {
///     let Posted(Note { text }) = form;
///     format!("Noted: {text}")
/// }
/// ```
pub struct Posted<T>(pub T);

/// A form may hold a password, so its fields are not printed.
impl<T> fmt::Debug for Posted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posted").finish_non_exhaustive()
    }
}

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

    parse(&body.into_inner())
}

/// Parses a body. It returns `400` if the body is not UTF-8, and `422` if a field occurs twice, is
/// nested, or does not fit `T`.
pub fn parse<T: for<'f> FromForm<'f> + 'static>(body: &[u8]) -> Result<T, Status> {
    let text = std::str::from_utf8(body).map_err(|_| Status::BadRequest)?;

    // A check that reads the first of two fields, before code that uses the last one, is the start
    // of an attack (parameter pollution). And Rocket accepts `email[]` as another `email`.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, FromForm)]
    struct Typed {
        email: String,
        password: Option<String>,
        #[field(default = false)]
        remember: bool,
    }

    /// Returns spellings of `name` that an attacker may use.
    fn spelled(name: &'static str) -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<bool>(), name.len()).prop_map(move |encoded| {
            let letters = name.bytes().zip(encoded);
            letters
                .map(|(byte, encoded)| match encoded {
                    true => format!("%{byte:02x}"),
                    false => char::from(byte).to_string(),
                })
                .collect()
        })
    }

    /// Returns bodies that are nearly forms, made of the characters that a parser treats specially.
    fn nearly_a_form() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "email", "password", "remember", "=", "&", "%", "%00", "%ff", "%e4%bd", "+", "[]",
                ".", "[", "]", "%5b", "%2e", "on", "\0", ";", "\u{fffd}", "email=", "&email=",
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn typed_values_arrive_unchanged(email: String, password: Option<String>, remember: bool) {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.append_pair("email", &email);
            if let Some(password) = &password {
                body.append_pair("password", password);
            }
            if remember {
                body.append_pair("remember", "on");
            }
            let typed = Typed { email, password, remember };
            prop_assert_eq!(parse(body.finish().as_bytes()), Ok(typed));
        }

        #[test]
        fn every_body_is_read_or_refused(body in nearly_a_form()) {
            let read = parse::<Typed>(&body);
            let refused = [Status::BadRequest, Status::UnprocessableEntity];
            match read {
                Ok(typed) => prop_assert!(typed.email.len() <= 3 * body.len()),
                Err(status) => prop_assert!(refused.contains(&status), "{}", status),
            }
        }

        #[test]
        fn a_repeated_field_is_refused_in_every_encoding(
            first in spelled("email"),
            second in spelled("email"),
            between in "(&[a-d]{1,3}(=[a-z%0-9]{0,4})?){0,3}",
            suffix in prop_oneof![Just(""), Just("="), Just("=x"), Just("[]=x"), Just(".a=x")],
        ) {
            let body = format!("{first}=ada{between}&{second}{suffix}");
            prop_assert_eq!(parse::<Typed>(body.as_bytes()), Err(Status::UnprocessableEntity));
        }
    }
}
