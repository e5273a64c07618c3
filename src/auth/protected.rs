//! Routes that only a logged-in user reaches, whatever their own guards are.

use std::marker::PhantomData;

use rocket::http::Status;
use rocket::outcome::Outcome;
use rocket::request::{self, Request};
use rocket::route::{self, Handler};
use rocket::{Data, Route};

use super::guards::HasRole;
use crate::error::Error;
use crate::password::Hasher;
use crate::user::{Role, User};

/// Returns `routes` behind the guard [`&User`](User), as if each of them had it as its first argument.
///
/// It is for all routes of a mount, also for those that take no guards, such as Rocket's `FileServer`. The
/// guard is asked before the route's own guards and before the body is read. A visitor gets `401`
/// or the log-in page; [`&User`](User) says which, and what else it does.
///
/// A path without a route stays `404` for everybody. A route elsewhere that covers the same path
/// with a lower rank answers first, and is not protected.
///
/// If the [stage](crate::stage()) is not attached, each of the routes answers `500`: no sentinel stops the
/// launch here.
///
/// # Examples
///
/// ```rust,no_run
/// use rocket::{get, launch, routes};
/// use rocket_login::auth::protected;
///
/// #[get("/")]
/// fn reports() -> &'static str {
///     "all reports"
/// }
///
/// #[get("/<year>")]
/// fn report(year: u16) -> String {
///     format!("the report of {year}")
/// }
///
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build()
///         .attach(rocket_login::stage())
///         .mount("/reports", protected(routes![reports, report]))
/// }
/// ```
pub fn protected(routes: impl Into<Vec<Route>>) -> Vec<Route> {
    behind::<LoggedIn>(routes.into())
}

/// Returns `routes` behind the guard [`HasRole<R>`](HasRole): a logged-in user without the role gets
/// `403`. Otherwise it does what [`protected()`] does.
///
/// # Examples
///
/// ```rust,no_run
/// use rocket::{get, launch, routes};
/// use rocket_login::Role;
/// use rocket_login::auth::protected_by_role;
///
/// enum Admin {}
///
/// impl Role for Admin {
///     const NAME: &'static str = "admin";
/// }
///
/// #[get("/")]
/// fn numbers() -> &'static str {
///     "how many there are"
/// }
///
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build()
///         .attach(rocket_login::stage())
///         .mount("/admin", protected_by_role::<Admin>(routes![numbers]))
/// }
/// ```
pub fn protected_by_role<R: Role>(routes: impl Into<Vec<Route>>) -> Vec<Route> {
    behind::<InRole<R>>(routes.into())
}

fn behind<G: Gate>(mut routes: Vec<Route>) -> Vec<Route> {
    for route in &mut routes {
        let handler = route.handler.clone();
        route.handler = Box::new(Protected::<G> { handler, gate: PhantomData });
    }
    routes
}

/// What a request must pass before a handler.
#[rocket::async_trait]
trait Gate: Send + Sync + 'static {
    async fn ask<'r>(request: &'r Request<'_>) -> request::Outcome<(), &'r Error>;
}

enum LoggedIn {}

#[rocket::async_trait]
impl Gate for LoggedIn {
    async fn ask<'r>(request: &'r Request<'_>) -> request::Outcome<(), &'r Error> {
        request.guard::<&User>().await.map(drop)
    }
}

struct InRole<R>(PhantomData<fn() -> R>);

#[rocket::async_trait]
impl<R: Role> Gate for InRole<R> {
    async fn ask<'r>(request: &'r Request<'_>) -> request::Outcome<(), &'r Error> {
        request.guard::<HasRole<'_, R>>().await.map(drop)
    }
}

struct Protected<G> {
    handler: Box<dyn Handler>,
    gate: PhantomData<fn() -> G>,
}

impl<G> Clone for Protected<G> {
    fn clone(&self) -> Self {
        Protected { handler: self.handler.clone(), gate: PhantomData }
    }
}

#[rocket::async_trait]
impl<G: Gate> Handler for Protected<G> {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        if request.rocket().state::<Hasher>().is_none() {
            log::error!("protected routes need rocket_login::stage(); attach it");
            return Outcome::Error(Status::InternalServerError);
        }
        match G::ask(request).await {
            Outcome::Success(()) => self.handler.handle(request, data).await,
            Outcome::Error((status, _)) => Outcome::Error(status),
            Outcome::Forward(status) => Outcome::Forward((data, status)),
        }
    }
}
