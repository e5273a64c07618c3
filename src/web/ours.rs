//! Which responses are ours: those of our routes and of our catchers.

use rocket::route::{Handler, Outcome, Route};
use rocket::{Data, Request};

use super::marks::Marks;

/// The handler of a route of ours.
#[derive(Clone)]
struct Ours(Box<dyn Handler>);

/// Makes the responses of `routes` ours. If one of them fails, the response is that of a catcher,
/// which may be the application's.
pub fn ours(routes: Vec<Route>) -> Vec<Route> {
    let wrapped = |mut route: Route| {
        route.handler = Box::new(Ours(route.handler));
        route
    };
    routes.into_iter().map(wrapped).collect()
}

/// Makes the response to `request` ours.
pub fn mark_ours(request: &Request<'_>) {
    Marks::of(request).set_ours();
}

#[rocket::async_trait]
impl Handler for Ours {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let outcome = self.0.handle(request, data).await;
        if outcome.is_success() {
            mark_ours(request);
        }
        outcome
    }
}
