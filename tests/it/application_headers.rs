//! The headers of an application's own routes, and of our pages beside them.

use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::http::{Header, Status};
use rocket::local::asynchronous::Client;
use rocket::shield::{Frame, Referrer, Shield};
use rocket::{Build, Request, Rocket, catch, catchers, get, routes};
use rocket_login::testing::Browser;
use rocket_login::web::Headers;
use rocket_login::{Stage, User, stage, stage_at};
use tempfile::TempDir;

use crate::headers::{LOOSER, assert_secure, loose};
use crate::support::{Answer, figment, header};

const POLICY: &str = "default-src 'self'; img-src https://tiles.example";

/// All choices.
fn choices() -> [Headers; 3] {
    [Headers::Ours, Headers::Own, Headers::with_policy(POLICY)]
}

#[get("/plain")]
fn plain() -> &'static str {
    "plain"
}

#[get("/private")]
fn private(_user: &User) {}

#[get("/fails")]
fn fails() -> Status {
    Status::ServiceUnavailable
}

#[catch(default)]
fn theirs(status: Status, _: &Request<'_>) -> String {
    format!("theirs: {}", status.code)
}

async fn launch(
    stage: Stage,
    configure: impl FnOnce(Figment) -> Figment,
    build: impl FnOnce(Rocket<Build>) -> Rocket<Build>,
) -> (Client, TempDir) {
    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(configure(figment(&dir))).attach(stage);
    let rocket = build(rocket.mount("/", routes![plain, private, fails, loose]));
    (Client::untracked(rocket).await.expect("it starts"), dir)
}

/// The security headers of `answer`, in the order of `LOOSER`.
fn all(answer: &Answer) -> Vec<(&'static str, Option<String>)> {
    let value = |name: &str| answer.header(name).map(str::to_owned);
    LOOSER.map(|(name, _)| (name, value(name))).into()
}

/// What Rocket's `Shield` sets if nobody configures it.
fn of_rocket(name: &str) -> Option<&'static str> {
    match name {
        "X-Content-Type-Options" => Some("nosniff"),
        "X-Frame-Options" => Some("SAMEORIGIN"),
        "Permissions-Policy" => Some("interest-cohort=()"),
        _ => None,
    }
}

/// Responses that are ours: pages, files, redirects and errors, also on the application's paths.
async fn ours(client: &Client) -> Vec<(String, Answer)> {
    let visitor = Browser::new(client);
    let mut ours = Vec::new();
    for path in [
        "/auth",
        "/auth/login",
        "/auth/account",
        "/auth/healthz",
        "/auth/static/style.css",
        "/.well-known/change-password",
        "/nowhere",
        "/private",
        "/fails",
        "/%ff",
    ] {
        ours.push((path.to_owned(), visitor.get(path).await));
    }
    let cross_site = client.post("/plain").header(header("Sec-Fetch-Site", "cross-site"));
    ours.push(("cross-site".into(), visitor.send(cross_site).await));
    ours.push(("405".into(), visitor.post("/plain", &[]).await));
    let json = client.get("/nowhere").header(rocket::http::Accept::JSON);
    ours.push(("json".into(), visitor.send(json).await));
    ours
}

#[rocket::async_test]
async fn our_pages_have_our_headers_whatever_the_application_chooses() {
    for headers in choices() {
        for (profile, hsts) in
            [("debug", None), ("release", Some("max-age=63072000; includeSubDomains"))]
        {
            let stage = stage_at("/auth").headers(headers.clone());
            let (client, _dir) = launch(stage, |f| f.select(profile), |rocket| rocket).await;
            for (what, answer) in ours(&client).await {
                assert_secure(&answer, &format!("{headers:?}: {what}"));
                assert_eq!(answer.header("strict-transport-security"), hsts, "{headers:?}: {what}");
            }
        }
    }
}

#[rocket::async_test]
async fn routes_of_the_application_get_the_headers_that_it_chooses() {
    for profile in ["debug", "release"] {
        let configure = |figment: Figment| figment.select(profile);
        let (client, _dir) = launch(stage_at("/auth"), configure, |rocket| rocket).await;
        let default = all(&Browser::new(&client).get("/plain").await);
        let is_set = |name: &str| (name != "Strict-Transport-Security") || profile == "release";
        for (name, value) in &default {
            assert_eq!(value.is_some(), is_set(name), "{profile}: {name}");
        }

        for headers in choices() {
            let stage = stage_at("/auth").headers(headers.clone());
            let (client, _dir) = launch(stage, configure, |rocket| rocket).await;
            let plain = Browser::new(&client).get("/plain").await;
            for ((name, found), (_, ours)) in all(&plain).into_iter().zip(&default) {
                let expected = match &headers {
                    Headers::Own => of_rocket(name).map(str::to_owned),
                    Headers::WithPolicy(_) if name == "Content-Security-Policy" => {
                        Some(POLICY.to_owned())
                    }
                    _ => ours.clone(),
                };
                assert_eq!(found, expected, "{profile}: {headers:?}: {name}");
            }
        }
    }
}

#[rocket::async_test]
async fn a_header_that_a_route_sets_stays_whatever_the_application_chooses() {
    for headers in choices() {
        let stage = stage().headers(headers.clone());
        let (client, _dir) = launch(stage, |f| f.select("release"), |rocket| rocket).await;
        for (which, (name, value)) in LOOSER.into_iter().enumerate() {
            let answer = Browser::new(&client).get(&format!("/loose/{which}")).await;
            assert_eq!(answer.header(name), Some(value), "{headers:?}: {name}");
        }
    }
}

#[rocket::async_test]
async fn an_applications_shield_holds_for_its_routes_and_not_for_our_pages() {
    for is_first in [true, false] {
        let dir = TempDir::new().unwrap();
        let shield = Shield::new().enable(Frame::SameOrigin).enable(Referrer::NoReferrer);
        let rocket = rocket::custom(figment(&dir)).mount("/", routes![plain]);
        let own = stage().headers(Headers::Own);
        let rocket = match is_first {
            true => rocket.attach(shield).attach(own),
            false => rocket.attach(own).attach(shield),
        };
        let client = Client::untracked(rocket).await.unwrap();
        let plain = Browser::new(&client).get("/plain").await;
        for (name, value) in all(&plain) {
            let expected = match name {
                "X-Frame-Options" => Some("SAMEORIGIN"),
                "Referrer-Policy" => Some("no-referrer"),
                _ => None,
            };
            assert_eq!(value.as_deref(), expected, "{name}");
        }
        assert_secure(&Browser::new(&client).get("/login").await, "/login");
    }
}

#[rocket::async_test]
async fn an_answer_of_the_applications_catcher_has_the_headers_of_the_application() {
    let (client, _dir) = launch(
        stage_at("/auth").headers(Headers::Own),
        |figment| figment,
        |rocket| rocket.register("/", catchers![theirs]),
    )
    .await;
    let visitor = Browser::new(&client);
    let too_large = visitor.post_raw("/auth/login", "a".repeat(40_000)).await;
    for answer in [visitor.get("/nowhere").await, visitor.get("/fails").await, too_large] {
        answer.assert_text("theirs: ");
        for (name, value) in all(&answer) {
            assert_eq!(value.as_deref(), of_rocket(name), "{name}");
        }
    }
    // This redirect is of our catcher for visitors.
    let private = visitor.get("/private").await;
    private.assert_redirect("/auth/login?next=%2Fprivate");
    assert_secure(&private, "/private");
}

#[rocket::async_test]
async fn a_policy_of_a_fairing_stays_on_our_pages() {
    for headers in choices() {
        let fairing = AdHoc::on_response("Policy", |_, response| {
            Box::pin(async move {
                response.set_header(Header::new("Content-Security-Policy", POLICY));
            })
        });
        let stage = stage().headers(headers.clone());
        let (client, _dir) = launch(stage, |f| f, |rocket| rocket.attach(fairing)).await;
        let page = Browser::new(&client).get("/login").await;
        assert_eq!(page.header("content-security-policy"), Some(POLICY), "{headers:?}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"), "{headers:?}");
    }
}

#[rocket::async_test]
async fn the_builder_comes_before_the_key() {
    let own = |figment: Figment| figment.merge(("site.headers", "own"));
    let (client, _dir) = launch(stage(), own, |rocket| rocket).await;
    let plain = Browser::new(&client).get("/plain").await;
    assert_eq!(plain.header("content-security-policy"), None);

    let (client, _dir) = launch(stage().headers(Headers::Ours), own, |rocket| rocket).await;
    assert_secure(&Browser::new(&client).get("/plain").await, "/plain");
}

#[rocket::async_test]
async fn subdomains_can_be_left_out_of_hsts() {
    for headers in choices() {
        let configure =
            |figment: Figment| figment.select("release").merge(("site.hsts_subdomains", false));
        let stage = stage().headers(headers.clone());
        let (client, _dir) = launch(stage, configure, |rocket| rocket).await;
        for path in ["/login", "/plain", "/nowhere", "/%ff"] {
            let answer = Browser::new(&client).get(path).await;
            let is_without = headers == Headers::Own && path == "/plain";
            let expected = (!is_without).then_some("max-age=63072000");
            assert_eq!(answer.header("strict-transport-security"), expected, "{headers:?}: {path}");
        }
    }
}

#[rocket::async_test]
async fn a_policy_that_cannot_be_a_header_stops_the_launch() {
    for policy in ["", "  ", "default-src 'self'\r\nX-Other: 1", "a\tb", "a\u{7f}", "img-src ä"] {
        let dir = TempDir::new().unwrap();
        let stage = stage().headers(Headers::with_policy(policy));
        let error = rocket::custom(figment(&dir)).attach(stage).ignite().await.expect_err(policy);
        assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{policy:?}: {error:?}");
    }
}
