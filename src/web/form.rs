//! Reads submitted forms.

mod json;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use rocket::data::{self, Data, FromData, Limits};
use rocket::form::{Form, FromForm, ValueField};
use rocket::http::{RawStr, Status};
use rocket::outcome::Outcome;
use rocket::tokio::time::timeout;
use rocket::{Request, request};

use json::Field;

/// How long a form may take to arrive. Rocket itself would wait without a limit.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A form that was sent as `application/x-www-form-urlencoded`, or as `application/json`.
///
/// In JSON it is one object with the same fields. A string is the field's text, and a number counts as
/// its text. `true` counts as `on`, which a browser sends for a box that is ticked, and `false` as
/// `off`. A field that is `null` counts as absent.
///
/// It is stricter than Rocket's `Form` and `Json`. They accept multipart beyond the form's own limit,
/// keep one of two fields with one name, and wait without a limit. The guard _fails_ with
///
/// * `415 Unsupported Media Type` for any other content type, or none;
/// * `413 Payload Too Large` above the limit `form`, which is `16KiB` by default;
/// * `408 Request Timeout` if the body takes longer than five seconds;
/// * `400 Bad Request` if the body ends early, is not UTF-8, or is not JSON although it says so;
/// * `422 Unprocessable Entity` if a field occurs twice, or has a name for nested values, and if the
///   JSON is not an object, or has an array, another object or a number beyond 64 bits in it.
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

/// A [`Posted`] form, or nothing at all: neither a content type nor a body. Anything else is read, or
/// refused, like a form.
///
/// It is for a form whose fields may be missing. A body of another type must not count as a form without
/// fields.
pub struct PostedOrNothing<T>(pub Option<T>);

#[rocket::async_trait]
impl<'r, T: for<'f> FromForm<'f> + Send + 'static> FromData<'r> for PostedOrNothing<T> {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, mut data: Data<'r>) -> data::Outcome<'r, Self> {
        let is_empty = match request.content_type() {
            Some(_) => false,
            None => match timeout(BODY_TIMEOUT, data.peek(1)).await {
                Ok(start) => start.is_empty(),
                Err(_) => return Outcome::Error((Status::RequestTimeout, ())),
            },
        };
        if is_empty {
            return Outcome::Success(PostedOrNothing(None));
        }
        match read(request, data).await {
            Ok(form) => Outcome::Success(PostedOrNothing(Some(form))),
            Err(status) => Outcome::Error((status, ())),
        }
    }
}

async fn read<T: for<'f> FromForm<'f> + 'static>(
    request: &request::Request<'_>,
    data: Data<'_>,
) -> Result<T, Status> {
    let encoding = Encoding::of(request).ok_or(Status::UnsupportedMediaType)?;
    let limit = request.limits().get("form").unwrap_or(Limits::FORM);
    let body = timeout(BODY_TIMEOUT, data.open(limit).into_bytes())
        .await
        .map_err(|_| Status::RequestTimeout)?
        .map_err(|_| Status::BadRequest)?;
    if !body.is_complete() {
        return Err(Status::PayloadTooLarge);
    }

    parse(encoding, &body.into_inner())
}

/// How the fields of a body are written.
#[derive(Debug, Clone, Copy)]
pub enum Encoding {
    /// As `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// As `application/json`.
    Json,
}

impl Encoding {
    fn of(request: &Request<'_>) -> Option<Self> {
        let content_type = request.content_type()?;
        let is = |sub: &str| content_type.top() == "application" && content_type.sub() == sub;
        if is("x-www-form-urlencoded") {
            Some(Encoding::UrlEncoded)
        } else if is("json") {
            Some(Encoding::Json)
        } else {
            None
        }
    }
}

/// Parses a body. It returns `400` if the body is not UTF-8 or not JSON, and `422` if a field occurs
/// twice, is nested, or does not fit `T`.
pub fn parse<T: for<'f> FromForm<'f> + 'static>(
    encoding: Encoding,
    body: &[u8],
) -> Result<T, Status> {
    let text = std::str::from_utf8(body).map_err(|_| Status::BadRequest)?;
    let fields = match encoding {
        Encoding::UrlEncoded => url_decoded(text),
        Encoding::Json => json::fields(text)?,
    };

    // A check that reads the first of two fields, before code that uses the last one, is the start
    // of an attack (parameter pollution). And Rocket accepts `email[]` as another `email`.
    let mut names = HashSet::new();
    let is_plain =
        fields.iter().all(|(name, _)| !name.contains(['.', '[', ']']) && names.insert(name));
    if !is_plain {
        return Err(Status::UnprocessableEntity);
    }

    let present = fields.iter().filter_map(|(name, text)| Some((&**name, text.as_deref()?)));
    Form::parse_iter(present.map(ValueField::from)).map_err(|_| Status::UnprocessableEntity)
}

/// Returns the fields of an `application/x-www-form-urlencoded` body.
fn url_decoded(body: &str) -> Vec<Field> {
    let decoded = |text| RawStr::new(text).url_decode_lossy().into_owned();
    body.split('&')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .map(|(name, text)| (decoded(name), Some(decoded(text))))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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

    /// Returns JSON strings that say `name`, as an attacker may write them.
    fn escaped(name: &'static str) -> impl Strategy<Value = String> {
        proptest::collection::vec(0..3, name.len()).prop_map(move |spellings| {
            let letters = name.bytes().zip(spellings);
            letters
                .map(|(byte, spelling)| match spelling {
                    0 => format!("\\u{byte:04x}"),
                    1 => format!("\\u{byte:04X}"),
                    _ => char::from(byte).to_string(),
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

    /// Returns bodies that are nearly a JSON object of plain values.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"email\"",
                "\"email\":\"a\"",
                "\"password\":",
                "{\"email\":",
                "\"a\"",
                "\"\\u0065mail\"",
                "\"\\ud800\"",
                "null",
                "true",
                "1",
                "-0",
                "1e400",
                "9e9",
                "18446744073709551616",
                " ",
                "\0",
                "\u{feff}",
                "\\",
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// Returns values that are not plain.
    fn nested() -> impl Strategy<Value = String> {
        let plain =
            prop_oneof![Just("1".to_owned()), Just("\"a\"".to_owned()), Just(String::new())];
        plain
            .prop_recursive(64, 64, 1, |inner| {
                (inner, any::<bool>()).prop_map(|(inner, is_list)| match is_list {
                    _ if inner.is_empty() => "[]".to_owned(),
                    true => format!("[{inner}]"),
                    false => format!("{{\"a\":{inner}}}"),
                })
            })
            .prop_filter("a nested value", |json| json.starts_with(['[', '{']))
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
            prop_assert_eq!(parse(Encoding::UrlEncoded, body.finish().as_bytes()), Ok(typed));
        }

        #[test]
        fn every_body_is_read_or_refused(body in nearly_a_form()) {
            let read = parse::<Typed>(Encoding::UrlEncoded, &body);
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
            let read = parse::<Typed>(Encoding::UrlEncoded, body.as_bytes());
            prop_assert_eq!(read, Err(Status::UnprocessableEntity));
        }

        #[test]
        fn values_in_json_arrive_unchanged(
            email: String,
            password: Option<String>,
            remember: bool,
            as_text: bool,
        ) {
            let ticked = match (remember, as_text) {
                (true, true) => json!("on"),
                (false, true) => json!(null),
                (remember, false) => json!(remember),
            };
            let body = json!({ "email": email, "password": password, "remember": ticked });
            let read = parse(Encoding::Json, body.to_string().as_bytes());
            prop_assert_eq!(read, Ok(Typed { email, password, remember }));
        }

        #[test]
        fn every_json_body_is_read_or_refused(body in nearly_json()) {
            let refused = [Status::BadRequest, Status::UnprocessableEntity];
            match parse::<Typed>(Encoding::Json, &body) {
                Ok(typed) => prop_assert!(typed.email.len() <= body.len()),
                Err(status) => prop_assert!(refused.contains(&status), "{}", status),
            }
        }

        #[test]
        fn a_repeated_member_is_refused_in_every_spelling(
            first in escaped("email"),
            second in escaped("email"),
            between in "(\"[a-d]{1,3}\":[1-9]{1,3},)?",
            values in proptest::sample::select(vec![("\"a\"", "\"b\""), ("null", "\"b\""), ("1", "null")]),
        ) {
            let body = format!("{{\"{first}\":{},{between}\"{second}\":{}}}", values.0, values.1);
            let read = parse::<Typed>(Encoding::Json, body.as_bytes());
            prop_assert_eq!(read, Err(Status::UnprocessableEntity));
        }

        #[test]
        fn a_nested_value_is_refused(value in nested()) {
            let body = format!("{{\"email\":\"a\",\"other\":{value}}}");
            let read = parse::<Typed>(Encoding::Json, body.as_bytes());
            prop_assert_eq!(read, Err(Status::UnprocessableEntity));
        }
    }

    #[test]
    fn a_number_arrives_as_it_was_sent_or_is_refused() {
        #[derive(Debug, PartialEq, FromForm)]
        struct Order {
            count: Option<u32>,
            code: Option<String>,
        }

        let read = |body: &str| parse::<Order>(Encoding::Json, body.as_bytes());
        let code = |code: &str| Ok(Order { count: None, code: Some(code.to_owned()) });
        assert_eq!(read(r#"{"count": 3}"#), Ok(Order { count: Some(3), code: None }));
        assert_eq!(read(r#"{"code": 18446744073709551615}"#), code("18446744073709551615"));
        assert_eq!(read(r#"{"code": -7}"#), code("-7"));
        assert_eq!(read(r#"{"code": 1.5}"#), code("1.5"));
        for number in ["18446744073709551616", "1e300", "9007199254740993.5"] {
            let read = read(&format!(r#"{{"code": {number}}}"#));
            assert_eq!(read, Err(Status::UnprocessableEntity), "{number}");
        }
    }

    #[test]
    fn true_is_what_a_browser_sends_for_a_ticked_box() {
        #[derive(Debug, PartialEq, FromForm)]
        struct Boxes {
            ticked: bool,
            terms: String,
            #[field(default = true)]
            public: bool,
            seen: Option<bool>,
        }

        let body = r#"{"ticked": true, "terms": true, "public": false, "seen": false}"#;
        let terms = "on".to_owned();
        let boxes = Boxes { ticked: true, terms, public: false, seen: Some(false) };
        assert_eq!(parse(Encoding::Json, body.as_bytes()), Ok(boxes));
        let body = r#"{"ticked": false, "terms": false, "public": null, "seen": null}"#;
        let terms = "off".to_owned();
        let boxes = Boxes { ticked: false, terms, public: true, seen: None };
        assert_eq!(parse(Encoding::Json, body.as_bytes()), Ok(boxes));
    }

    #[test]
    fn a_body_that_is_not_one_object_is_refused() {
        let deep = "[".repeat(8_000);
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("email=a", 400),
            ("{\"email\":\"a\"}x", 400),
            ("{\"email\":\"a\"}{}", 400),
            ("{\"email\":\"a\",}", 400),
            ("{'email':'a'}", 400),
            ("\u{feff}{\"email\":\"a\"}", 400),
            ("null", 422),
            ("\"email\"", 422),
            ("[{\"email\":\"a\"}]", 422),
            ("{}", 422),
            ("{\"email\":null}", 422),
            ("{\"email\":\"a\",\"x\":{}}", 422),
            ("{\"email\":[\"a\"]}", 422),
            ("{\"email[]\":\"a\"}", 422),
            ("{\"email\":\"a\",\"email.x\":\"b\"}", 422),
            (&format!("{{\"email\":{deep}"), 400),
        ] {
            let read = parse::<Typed>(Encoding::Json, body.as_bytes());
            assert_eq!(read, Err(Status::new(status)), "{body}");
        }
    }
}
