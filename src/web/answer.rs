//! Answers that a person gets as a page or a redirect, and a program as JSON.

use rocket::Request;
use rocket::http::uri::Reference;
use rocket::http::{ContentType, Method, Status};
use rocket::response::{self, Redirect, Responder, Response};
use serde::Serialize;

use super::problem::prefers_json;

/// The answer to a form that was accepted. It says where to continue.
///
/// A browser is redirected there with `303 See Other`. A client that [prefers JSON](prefers_json())
/// gets `200 OK` with the place in a JSON object, because a script can follow a redirect but cannot
/// see it. A `GET` is always redirected.
///
/// ```json
/// {"location": "/account"}
/// ```
///
/// # Examples
///
/// ```rust
/// use rocket::{FromForm, post};
/// use rocket_login::User;
/// use rocket_login::web::{Done, Posted};
///
/// #[derive(FromForm)]
/// struct Note {
///     text: String,
/// }
///
/// #[post("/notes", data = "<form>")]
/// fn add(user: &User, form: Posted<Note>) -> Done {
///     let Posted(Note { text }) = form;
///     println!("{} notes {text:?}", user.email);
///     Done::to("/notes")
/// }
/// ```
#[derive(Debug)]
#[must_use = "the visitor goes nowhere before it is the response"]
pub struct Done(Option<Reference<'static>>);

impl Done {
    /// Creates the answer that leads to `location`, which is a path or what Rocket's `uri!` returns.
    /// If it is not a URI, the response is `500 Internal Server Error`, as it is for a `Redirect`.
    pub fn to(location: impl TryInto<Reference<'static>>) -> Self {
        Done(location.try_into().ok())
    }
}

#[derive(Serialize)]
struct Place {
    location: String,
}

impl<'r> Responder<'r, 'static> for Done {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Some(location) = self.0 else {
            log::error!("the place to continue is not a URI");
            return Err(Status::InternalServerError);
        };
        let is_safe = matches!(request.method(), Method::Get | Method::Head | Method::Options);
        match prefers_json(request) && !is_safe {
            true => Json(Place { location: location.to_string() }).respond_to(request),
            false => Redirect::to(location).respond_to(request),
        }
    }
}

/// JSON that no cache keeps.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<'r, T: Serialize> Responder<'r, 'static> for Json<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let body = serde_json::to_string(&self.0).map_err(|_| Status::InternalServerError)?;
        Response::build_from(body.respond_to(request)?)
            .header(ContentType::JSON)
            .raw_header("Cache-Control", "no-store")
            .ok()
    }
}
