//! Refuses requests that other sites make in a visitor's name.

use rocket::fairing::{Fairing, Info, Kind};
use rocket::form::Form;
use rocket::http::{Method, Status};
use rocket::{Data, Request, Route, get, routes as routes_of, uri};

/// The fairing that refuses every unsafe request from another site with `403`, before anything is
/// done. It prevents cross-site request forgery, including log-in CSRF.
///
/// It uses the headers that every browser sends since 2023, so forms need no token and nothing
/// expires with the session. It covers every route, including those that an application adds later.
#[derive(Debug)]
pub struct SameOrigin {
    trusted: Vec<String>,
}

impl SameOrigin {
    /// Creates the fairing. It does not refuse the origins `trusted`, as in
    /// `https://app.example.org`.
    pub fn new(trusted: &[String]) -> Self {
        SameOrigin { trusted: trusted.iter().map(|origin| origin.to_ascii_lowercase()).collect() }
    }

    fn is_cross_site(&self, request: &Request<'_>) -> bool {
        let headers = request.headers();
        let origin = headers.get_one("Origin").map(str::to_ascii_lowercase);
        if origin.as_ref().is_some_and(|origin| self.trusted.contains(origin)) {
            return false;
        }

        if headers.contains("Sec-Fetch-Site") {
            return !headers
                .get("Sec-Fetch-Site")
                .all(|site| matches!(site, "same-origin" | "none"));
        }

        // A plain http page in a local network sends no Sec-Fetch-Site. A client that sends no
        // Origin either is not a browser of this decade.
        let host = headers.get_one("Host").map(str::to_ascii_lowercase);
        headers.get("Origin").count() > 1
            || origin.is_some_and(|origin| !is_same(&origin, host.as_deref()))
    }
}

/// Returns whether `host` serves `origin`. The scheme's default port may be present or missing.
fn is_same(origin: &str, host: Option<&str>) -> bool {
    let (default_port, authority) = match origin.split_once("://") {
        Some(("https", authority)) => (":443", authority),
        Some(("http", authority)) => (":80", authority),
        _ => return false,
    };

    let without =
        |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_owned();
    host.is_some_and(|host| without(host) == without(authority))
}

#[rocket::async_trait]
impl Fairing for SameOrigin {
    fn info(&self) -> Info {
        Info { name: "Same Origin", kind: Kind::Request | Kind::Singleton }
    }

    async fn on_request(&self, request: &mut Request<'_>, data: &mut Data<'_>) {
        // A fairing cannot answer, so it sends the request to a route that does.
        let named = named_method(request, data).await;
        let is_safe = matches!(request.method(), Method::Get | Method::Head | Method::Options);
        let is_unsafe = !is_safe || named.is_some() || is_handshake(request);
        if is_unsafe && self.is_cross_site(request) {
            request.set_uri(uri!("/.refused", cross_site()));
            request.set_method(Method::Get);
        } else if named.is_some_and(|named| !is_for_forms(named, request.method())) {
            request.set_uri(uri!("/.refused", method_override()));
            request.set_method(Method::Get);
        }
    }
}

/// Returns whether a form may name the method `named`, which made the request one of `method`. A
/// `POST` that became a `GET` would have a body that no route expects, and a route that changes
/// nothing would answer it.
fn is_for_forms(named: Named, method: Method) -> bool {
    // Rocket overlooks a method with more than six letters.
    let mut methods = [named.0, Some(method)].into_iter().flatten();
    methods.all(|m| matches!(m, Method::Post | Method::Put | Method::Patch | Method::Delete))
}

/// Returns whether the client asks to leave HTTP: for a `WebSocket`, or for any other protocol of
/// the application's.
///
/// A handshake is a `GET`, but it opens a way on which messages act in the visitor's name, and no
/// rule of the browser keeps a page of another site from opening it (cross-site WebSocket
/// hijacking). A browser sends `Upgrade` for a `WebSocket` alone; a page cannot set the header
/// itself. `h2c` is not counted: it is HTTP again, and some proxies offer it with every request.
pub fn is_handshake(request: &Request<'_>) -> bool {
    let protocols = request.headers().get("Upgrade").flat_map(|list| list.split(','));
    let mut protocols = protocols.map(str::trim).filter(|protocol| !protocol.is_empty());
    protocols.any(|protocol| !protocol.eq_ignore_ascii_case("h2c"))
}

/// The value of the field `_method`, if it is a method.
struct Named(Option<Method>);

/// Returns the method that a form names in its first field, `_method`. Rocket has then treated the
/// `POST` as that method, even if it is a safe one. `None` means that there is no such field.
async fn named_method(request: &Request<'_>, data: &mut Data<'_>) -> Option<Named> {
    if !request.content_type().is_some_and(|content_type| content_type.is_form()) {
        return None;
    }

    // Rocket looks in the same way, at the first field in the first 14 bytes. These are as many as
    // the longest method needs.
    let start = data.peek("_method=options&".len()).await;
    // A character may be cut at the end.
    let start = match std::str::from_utf8(start) {
        Ok(start) => start,
        Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
    };
    let first = Form::values(start).next().filter(|field| field.name == "_method")?;
    Some(Named(first.value.parse().ok()))
}

/// Returns the routes that answer refused requests. A direct request gets that answer too.
pub fn routes() -> Vec<Route> {
    routes_of![cross_site, method_override]
}

/// Returns whether the request was refused because it came from another site.
pub fn is_refused(request: &Request<'_>) -> bool {
    request.uri().path() == "/.refused/cross-site"
}

#[get("/cross-site")]
fn cross_site() -> Status {
    Status::Forbidden
}

#[get("/method-override")]
fn method_override() -> Status {
    Status::BadRequest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_host_with_its_port() {
        for (origin, host) in [
            ("https://example.org", "example.org"),
            ("https://example.org", "example.org:443"),
            ("http://example.org:80", "example.org"),
            ("http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
        ] {
            assert!(is_same(origin, Some(host)), "{origin} {host}");
        }

        for (origin, host) in [
            ("null", "example.org"),
            ("", ""),
            ("https://example.org.evil.example", "example.org"),
            ("https://evil.example", "example.org"),
            ("https://example.org:8443", "example.org"),
            ("http://example.org", "example.org:443"),
            ("https://sub.example.org", "example.org"),
            ("example.org", "example.org"),
            ("ftp://example.org", "example.org"),
        ] {
            assert!(!is_same(origin, Some(host)), "{origin} {host}");
        }

        assert!(!is_same("https://example.org", None));
    }
}
