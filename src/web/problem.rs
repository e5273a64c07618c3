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
    /// Creates a problem with the status and its name, and without internals.
    pub fn new(status: Status) -> Self {
        Problem {
            kind: "about:blank",
            title: status.reason_lossy(),
            status: status.code,
            errors: BTreeMap::new(),
        }
    }

    /// Adds one message for each field.
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
