//! Errors for programs: `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;

use rocket::Request;
use rocket::http::{ContentType, MediaType, Status};
use rocket::response::{self, Responder, Response};
use serde::Serialize;

/// An error for a client that prefers JSON.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<&'static str, String>,
}

impl Problem {
    /// The status and its name, without internals.
    pub fn new(status: Status) -> Self {
        Problem {
            kind: "about:blank",
            title: status.reason_lossy(),
            status: status.code,
            errors: BTreeMap::new(),
        }
    }

    /// Adds one message per field.
    pub fn with_errors(mut self, errors: BTreeMap<&'static str, String>) -> Self {
        self.errors = errors;
        self
    }
}

impl<'r> Responder<'r, 'static> for Problem {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let body = serde_json::to_string(&self).map_err(|_| Status::InternalServerError)?;
        Response::build_from(body.respond_to(request)?)
            .status(Status::new(self.status))
            .header(ContentType::new("application", "problem+json"))
            .raw_header("Cache-Control", "no-store")
            .ok()
    }
}

/// Whether nobody looks at the answer but a program: it prefers JSON, or a script
/// or a page asks for something that it does not go to. `fetch()` without an
/// `Accept` takes anything, and a log-in page is not what it asked for.
pub fn is_program(request: &Request<'_>) -> bool {
    prefers_json(request) || is_navigation(request) == Some(false)
}

/// Whether a browser goes to the page that it asks for, by what it says itself
/// (Fetch Metadata). `None`: it does not say. A client that opens a `WebSocket` goes
/// nowhere, whether it is a browser or not.
fn is_navigation(request: &Request<'_>) -> Option<bool> {
    let headers = request.headers();
    if headers.get("Upgrade").any(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
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

/// Whether the client would rather read JSON than HTML. A browser, and a
/// client that takes anything, reads HTML.
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
