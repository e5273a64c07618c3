//! Errors for programs: `application/problem+json` (RFC 9457).

use std::fmt::{self, Display};

use rocket::Request;
use rocket::http::{ContentType, MediaType, Status};
use rocket::response::{self, Responder, Response};
use serde::Serialize;

use super::same_origin::is_handshake;

/// An error for a client that prefers JSON, as a response.
///
/// Beside the members of RFC 9457 it has a stable `code`. If fields of a form were refused, `errors` is the
/// list of them, each with a code and a message.
///
/// # Examples
///
/// ```json
/// {
///   "type": "about:blank",
///   "title": "Unprocessable Entity",
///   "status": 422,
///   "code": "invalid_form",
///   "errors": [
///     {"field": "email", "code": "email_missing", "message": "Enter your email address."}
///   ]
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a problem is told nobody before it is the response"]
pub struct Problem(Box<Members>);

#[derive(Debug, Clone, Serialize)]
struct Members {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    errors: FieldErrors,
}

/// The errors of a form, by field. The field `form` stands for the whole form.
///
/// As an error its message is the message of each field.
#[derive(Debug, Clone, Default, Serialize)]
#[must_use = "the visitor must be told what is wrong"]
pub struct FieldErrors(Vec<FieldError>);

/// An error at a field of a form.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FieldError {
    /// The field's name.
    pub field: &'static str,
    /// A stable name for the reason.
    pub code: &'static str,
    /// The reason, for the visitor.
    pub message: String,
}

impl Problem {
    /// Creates a problem with the status, its name and a code for it, and without internals.
    pub fn new(status: Status) -> Self {
        Problem(Box::new(Members {
            kind: "about:blank",
            title: status.reason_lossy(),
            status: status.code,
            code: code_of(status),
            detail: None,
            errors: FieldErrors::new(),
        }))
    }

    /// Replaces the code.
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = code;
        self
    }

    /// Adds a message for the visitor.
    pub fn with_detail(mut self, detail: impl Display) -> Self {
        self.0.detail = Some(detail.to_string());
        self
    }

    /// Adds the refused fields. The code of `form`, if it is among them, is the problem's code as well.
    pub fn with_errors(mut self, errors: FieldErrors) -> Self {
        self.0.code = errors.code();
        self.0.errors = errors;
        self
    }
}

impl FieldErrors {
    /// Creates a form's errors without any.
    pub fn new() -> Self {
        FieldErrors::default()
    }

    /// Creates a form's errors with one. [`add()`](Self::add()) describes the arguments.
    pub fn of(field: &'static str, code: &'static str, message: impl Display) -> Self {
        let mut errors = FieldErrors::new();
        errors.add(field, code, message);
        errors
    }

    /// Adds an error: the field's name, a stable name for the reason, and the reason for the visitor.
    pub fn add(&mut self, field: &'static str, code: &'static str, message: impl Display) {
        self.0.push(FieldError { field, code, message: message.to_string() });
    }

    /// Adds the errors `other`.
    pub fn merge(&mut self, other: FieldErrors) {
        self.0.extend(other.0);
    }

    /// Replaces the message of each error by what `change` makes of it.
    pub(crate) fn change_messages(&mut self, change: impl Fn(&str) -> String) {
        for error in &mut self.0 {
            error.message = change(&error.message);
        }
    }

    /// Returns whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the code of the whole form: that of the field `form` if it is among them, and else
    /// `invalid_form`.
    pub fn code(&self) -> &'static str {
        let whole = self.0.iter().find(|error| error.field == "form");
        whole.map_or("invalid_form", |error| error.code)
    }

    /// Returns the errors, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.0.iter()
    }
}

/// The status, and the message if there is one.
impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Members { status, title, detail, .. } = &*self.0;
        write!(f, "{status} {title}")?;
        detail.iter().try_for_each(|detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<_> = self.0.iter().map(|error| &*error.message).collect();
        f.write_str(&messages.join(" "))
    }
}

impl std::error::Error for FieldErrors {}

/// The message to the visitor.
impl Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FieldError {}

/// The code of an error of which only the status is known. [The reference](crate::_documentation::reference) lists
/// them all.
fn code_of(status: Status) -> &'static str {
    match status.code {
        401 => "log_in_required",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        409 => "conflict",
        413 => "payload_too_large",
        415 => "unsupported_media_type",
        422 => "invalid_form",
        429 => "throttled",
        503 => "unavailable",
        400..500 => "bad_request",
        _ => "internal",
    }
}

impl<'r> Responder<'r, 'static> for Problem {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let body = serde_json::to_string(&*self.0).map_err(|_| Status::InternalServerError)?;
        Response::build_from(body.respond_to(request)?)
            .status(Status::new(self.0.status))
            .header(ContentType::new("application", "problem+json"))
            .raw_header("Cache-Control", "no-store")
            .ok()
    }
}

/// Returns whether only a program reads the answer: it prefers JSON, or a script or a page loads
/// something without navigating to it. `fetch()` without an `Accept` accepts anything, but a log-in
/// page is not what it asked for.
pub fn is_program(request: &Request<'_>) -> bool {
    prefers_json(request) || is_navigation(request) == Some(false)
}

/// Returns whether a browser navigates to the page, by the headers of Fetch Metadata. `None` means
/// that it does not say so. A client that opens a `WebSocket` never navigates, whether it is a
/// browser or not.
fn is_navigation(request: &Request<'_>) -> Option<bool> {
    let headers = request.headers();
    if is_handshake(request) {
        return Some(false);
    }
    match (headers.get_one("Sec-Fetch-Mode"), headers.get_one("Sec-Fetch-Dest")) {
        (Some(mode), _) => Some(mode == "navigate"),
        (None, Some(dest)) => Some(matches!(
            dest,
            "document" | "embed" | "fencedframe" | "frame" | "iframe" | "object"
        )),
        (None, None) => None,
    }
}

/// Returns whether the client prefers JSON to HTML. A browser, and a client that accepts anything,
/// gets HTML.
pub fn prefers_json(request: &Request<'_>) -> bool {
    let is_json = |media: &MediaType| {
        media.is_json() || (media.top() == "application" && media.sub() == "problem+json")
    };

    let weight = |matches: &dyn Fn(&MediaType) -> bool| {
        let accept = request.accept()?;
        let weights = accept.iter().filter(|accepted| matches(accepted.media_type()));
        weights.map(|accepted| accepted.weight_or(1.0)).reduce(f32::max)
    };

    match (weight(&is_json), weight(&|media| media.is_html())) {
        (Some(json), Some(html)) => json > html,
        (Some(json), None) => json > 0.0,
        (None, _) => false,
    }
}
