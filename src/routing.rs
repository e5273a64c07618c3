//! The routes that could answer a request, found by their paths.

use rocket::http::MediaType;
use rocket::http::uri::Origin;
use rocket::route::RouteUri;
use rocket::{Request, Route};

/// Returns whether a guard that forwards would leave the answer to a route that is not meant for
/// it: a catch-all, such as Rocket's `FileServer` or the fallback of a single-page application.
///
/// A route for guests is meant for it. Such a route covers no more paths than the present one. So
/// Rocket's idiom of a second route with a higher rank still works.
pub fn is_swallowed(request: &Request<'_>) -> bool {
    let Some(refusing) = request.route() else { return false };
    let mut is_any = false;
    let mut later = request.rocket().routes().filter(|route| {
        route.method == refusing.method && route.rank > refusing.rank && is_asked(route, request)
    });
    let has_guest_route = later.any(|route| {
        is_any = true;
        is_as_specific(segments(&route.uri), segments(&refusing.uri))
    });
    is_any && !has_guest_route
}

/// Returns whether the route's path, including its `<dynamic>` segments, matches the path of `uri`.
pub fn covers(route: &RouteUri<'_>, uri: &Origin<'_>) -> bool {
    let mut expected = segments(route);
    let mut actual = uri.path().segments().filter(|segment| !segment.is_empty());
    loop {
        match (expected.next(), actual.next()) {
            (None, None) => return true,
            (Some(segment), _) if is_trailing(segment) => return true,
            (Some(expected), Some(actual)) if is_dynamic(expected) || expected == actual => {}
            _ => return false,
        }
    }
}

/// Returns whether the path `candidate` has every fixed segment of `path` and is not longer. Both
/// match the present request.
pub fn is_as_specific<'s>(
    mut candidate: impl Iterator<Item = &'s str>,
    path: impl Iterator<Item = &'s str>,
) -> bool {
    for segment in path {
        if is_trailing(segment) {
            return true;
        }
        match candidate.next() {
            Some(other) if is_trailing(other) => return false,
            Some(other) if is_dynamic(other) && !is_dynamic(segment) => return false,
            Some(_) => {}
            None => return false,
        }
    }
    candidate.next().is_none()
}

/// Returns whether two paths of routes are the same, whatever their `<dynamic>` segments are called.
pub fn is_same_path<'s>(
    path: impl Iterator<Item = &'s str>,
    other: impl Iterator<Item = &'s str>,
) -> bool {
    fn without_name(segment: &str) -> &str {
        match segment {
            segment if is_trailing(segment) => "<..>",
            segment if is_dynamic(segment) => "<>",
            segment => segment,
        }
    }
    path.map(without_name).eq(other.map(without_name))
}

/// Returns the segments of a route's path: `notes`, `<id>` or `<path..>`.
pub fn segments<'r>(route: &'r RouteUri<'_>) -> impl Iterator<Item = &'r str> {
    segments_of(route.path())
}

/// Returns the segments of `path`.
pub fn segments_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn is_dynamic(segment: &str) -> bool {
    segment.starts_with('<')
}

fn is_trailing(segment: &str) -> bool {
    is_dynamic(segment) && segment.ends_with("..>")
}

/// Returns whether Rocket would try the route for this request.
fn is_asked(route: &Route, request: &Request<'_>) -> bool {
    covers(&route.uri, request.uri()) && has_query(route, request) && has_format(route, request)
}

/// Returns whether the request has every field of the route's query that has a fixed value.
fn has_query(route: &Route, request: &Request<'_>) -> bool {
    let fields = |query: Option<&str>| -> Vec<String> {
        query.unwrap_or_default().split('&').map(str::to_owned).collect()
    };
    let asked = fields(request.uri().query().map(|query| query.as_str()));
    fields(route.uri.query())
        .iter()
        .filter(|field| !field.is_empty() && !is_dynamic(field))
        .all(|field| asked.contains(field))
}

/// Returns whether the route has no `format`, or that of the request.
fn has_format(route: &Route, request: &Request<'_>) -> bool {
    let is_same = |expected: &MediaType, actual: &MediaType| {
        let matches = |a: &str, b: &str| a == b || a == "*" || b == "*";
        matches(expected.top().as_str(), actual.top().as_str())
            && matches(expected.sub().as_str(), actual.sub().as_str())
    };
    match (&route.format, request.format()) {
        (None, _) => true,
        (Some(expected), Some(actual)) => is_same(expected, actual),
        (Some(_), None) => !route.method.supports_payload(),
    }
}
