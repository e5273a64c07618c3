//! Rules for all routes, checked against the route table.

use rocket::http::Method;
use rocket::{get, routes};
use rocket_login::{Auth, Session, User};

use crate::support::{TestApp, figment};

/// The routes that need no log-in. If you add a route, decide here whether it is
/// public.
const PUBLIC: [(Method, &str); 41] = [
    (Method::Get, "/"),
    (Method::Get, "/register"),
    (Method::Post, "/register"),
    (Method::Get, "/login"),
    (Method::Post, "/login"),
    // Without a log-in that waits for its second step, they lead to the log-in page.
    (Method::Get, "/login/factor"),
    (Method::Post, "/login/factor"),
    (Method::Post, "/login/factor/passkey"),
    (Method::Post, "/login/factor/passkey/options"),
    (Method::Post, "/login/passkey"),
    (Method::Post, "/login/passkey/options"),
    (Method::Get, "/logout"),
    (Method::Post, "/logout"),
    (Method::Get, "/register/sent"),
    (Method::Post, "/password-strength"),
    (Method::Get, "/reset"),
    (Method::Post, "/reset"),
    (Method::Get, "/reset/<token>"),
    (Method::Post, "/reset/<token>"),
    (Method::Post, "/reset/<token>/passkey/options"),
    (Method::Get, "/verify/<token>"),
    (Method::Post, "/verify/<token>"),
    (Method::Get, "/not-me/<token>"),
    (Method::Post, "/not-me/<token>"),
    (Method::Get, "/login/with/<name>"),
    (Method::Get, "/login/with/<name>/callback"),
    (Method::Post, "/login/with/<name>/logout"),
    (Method::Get, "/.well-known/change-password"),
    (Method::Get, "/.well-known/passkey-endpoints"),
    (Method::Get, "/.well-known/webauthn"),
    (Method::Get, "/dev/mailbox"),
    (Method::Get, "/dev/mailbox/<id>"),
    (Method::Get, "/healthz"),
    (Method::Get, "/readyz"),
    (Method::Get, "/static/<name>"),
    (Method::Get, "/favicon.ico"),
    (Method::Get, "/apple-touch-icon.png"),
    (Method::Get, "/manifest.webmanifest"),
    (Method::Get, "/robots.txt"),
    (Method::Get, "/.refused/cross-site"),
    (Method::Get, "/.refused/method-override"),
];

#[rocket::async_test]
async fn every_route_off_the_public_list_sends_a_visitor_to_the_log_in() {
    // The paths of a provider that is not configured are not found.
    let app = TestApp::with(|figment| {
        figment
            .merge(("providers.name.issuer", "https://provider.example"))
            .merge(("providers.name.client_id", "site"))
    })
    .await;
    let mut private = 0;
    for route in app.client.rocket().routes() {
        let path = route.uri.path().to_string();
        if PUBLIC.contains(&(route.method, path.as_str())) {
            continue;
        }

        private += 1;
        let path = path.replace(['<', '>'], "");
        let answer = app.visitor().send(app.client.req(route.method, path.clone())).await;
        answer.assert_status(303);
        let location = answer.header("location").unwrap();
        assert!(location.starts_with("/login"), "{path} leads to {location}");
    }
    assert!(private > 0, "no route is private");
}

#[rocket::async_test]
async fn the_public_list_names_only_routes_that_exist() {
    let app = TestApp::new().await;
    for (method, path) in PUBLIC {
        let exists =
            app.client.rocket().routes().any(|r| r.method == method && r.uri.path() == path);
        assert!(exists, "{method} {path}");
    }
}

#[get("/private")]
fn private(user: &User) -> String {
    user.email.to_string()
}

#[get("/public")]
fn public(session: &Session) -> String {
    session.user().map_or("nobody".into(), |user| user.email.to_string())
}

#[get("/act")]
fn act(_auth: Auth<'_>) {}

#[get("/both")]
fn both(user: Option<&User>, session: &Session, again: Option<&User>) -> String {
    // The session is loaded once, so all guards return one user.
    let users = [user, session.user(), again].map(|user| user.map(std::ptr::from_ref));
    let is_one = users.iter().all(|user| *user == users[0]);
    format!("{} {is_one}", user.is_some())
}

#[rocket::async_test]
async fn an_applications_own_routes_can_use_the_guards() {
    let app =
        TestApp::built(|f| f, |rocket| rocket.mount("/", routes![private, public, both])).await;
    let visitor = app.visitor();
    visitor.get("/public").await.assert_text("nobody");
    visitor.get("/both").await.assert_text("false true");
    visitor.get("/private").await.assert_redirect("/login?next=%2Fprivate");
    visitor.register("ada@example.org").await;
    visitor.get("/public").await.assert_text("ada@example.org");
    visitor.get("/both").await.assert_text("true true");
    visitor.get("/private").await.assert_text("ada@example.org");
}

#[rocket::async_test]
async fn a_forgotten_stage_stops_the_launch() {
    let dir = tempfile::TempDir::new().unwrap();
    for routes in [routes![private], routes![public], routes![both], routes![act]] {
        let error = rocket::custom(figment(&dir)).mount("/", routes).ignite().await.unwrap_err();
        assert!(matches!(error.kind(), rocket::error::ErrorKind::SentinelAborts(_)), "{error:?}");
    }
}
