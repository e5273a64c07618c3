//! The password policy, the pepper, and the look-up of breached passwords.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocket::futures::future::{Either, join_all, select};
use rocket::{State, get, routes};
use rocket_login::NewPassword;
use rocket_login::config::PasswordConfig;

use crate::support::{Answer, PASSWORD, TestApp};

const ADA: &str = "ada.lovelace@example.org";

async fn register(app: &TestApp, password: &str) -> Answer {
    app.visitor().post("/register", &[("email", ADA), ("password", password)]).await
}

#[rocket::async_test]
async fn the_three_thousand_most_common_passwords_are_refused_with_the_reason() {
    let list = include_str!("../../src/password/common.txt");
    let common = list.lines().filter(|password| password.chars().count() >= 12);
    let policy = rocket_login::config::PasswordConfig::default();
    let mut refused = 0;
    for password in common.take(3_000) {
        let error = rocket_login::NewPassword::parse(password, &policy, &[]).unwrap_err();
        assert_eq!(error, rocket_login::PasswordError::Common, "{password}");
        refused += 1;
    }
    assert_eq!(refused, 3_000);

    let app = TestApp::new().await;
    for password in ["password1234", "PASSWORD1234", "123456789012", "qwertyuiop12"] {
        let answer = register(&app, password).await;
        answer.assert_status(422).assert_text(r#"id="password-error""#);
        answer.assert_text("too common, and attackers try those first");
    }
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn common_passwords_are_refused_at_change_and_at_reset_as_well() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let fields = [("current_password", PASSWORD), ("new_password", "password1234")];
    let answer = ada.post("/account/password", &fields).await;
    answer.assert_status(422).assert_text("too common, and attackers try those first");
    ada.post("/reset", &[("email", ADA)]).await;
    let link = app.link(ADA, "/reset/").await;
    let answer = ada.post(&link, &[("new_password", "password1234")]).await;
    answer.assert_status(422).assert_text("too common, and attackers try those first");
}

#[rocket::async_test]
async fn a_password_made_of_the_address_or_the_sites_name_is_refused_everywhere() {
    let app = TestApp::with(|f| {
        f.merge(("site.url", "https://analytical-engine.example"))
            .merge(("site.name", "Difference & Sons"))
    })
    .await;
    for password in [
        ADA,
        "ada.lovelace",
        "AdaLovelace1815",
        "example.org!2026",
        "analytical-engine",
        "AnalyticalEngine1",
        "difference-sons",
        "Difference2026",
    ] {
        let answer = register(&app, password).await;
        answer.assert_status(422).assert_text("made of your address or this site&#x27;s name");
    }
    register(&app, "lovelace likes engines").await.assert_redirect("/account");

    let ada = app.visitor();
    let fields = [("email", ADA), ("password", "lovelace likes engines")];
    ada.post("/login", &fields).await.assert_redirect("/account");
    let fields = [("current_password", fields[1].1), ("new_password", "ada-lovelace-1815")];
    ada.post("/account/password", &fields).await.assert_status(422);
    ada.post("/reset", &[("email", ADA)]).await;
    let link = app.link(ADA, "/reset/").await;
    ada.post(&link, &[("new_password", "ada-lovelace-1815")]).await.assert_status(422);
}

#[rocket::async_test]
async fn no_kind_of_character_is_required() {
    let app = TestApp::new().await;
    for (number, password) in [
        "onlyletterswithoutblanks",
        "738105628394",
        "               .",
        "ÄÖÜäöüÄÖÜäöüß",
        "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
    ]
    .iter()
    .enumerate()
    {
        let email = format!("user{number}@example.org");
        let fields = [("email", email.as_str()), ("password", password)];
        app.visitor().post("/register", &fields).await.assert_redirect("/account");
        app.visitor().post("/login", &fields).await.assert_redirect("/account");
    }
}

#[rocket::async_test]
async fn the_strength_meter_agrees_with_the_password_policy() {
    let app = TestApp::new().await;
    let judge = async |password: &str| {
        let fields = [("email", ADA), ("password", password)];
        let answer = app.visitor().post("/password-strength", &fields).await;
        answer.assert_status(200).assert_no_text(password);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.set_cookie("session").is_none());
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap()
    };
    let common = judge("password1234").await;
    assert_eq!((&common["score"], &common["code"]), (&0.into(), &"password_common".into()));
    let own = judge("ada.lovelace").await;
    assert!(own["text"].as_str().unwrap().contains("made of your address"), "{own}");
    let strong = judge("correct horse battery staple").await;
    let expected = serde_json::json!({ "score": 4, "text": "Strong.", "code": null });
    assert_eq!(strong, expected);
    // Two words pass the policy, but they are not good.
    assert_eq!(judge("correct horse").await["text"], "Fair. Add another word.");
    for page in ["/register", "/login"] {
        let has_meter = app.visitor().get(page).await.body.contains("strength.js");
        assert_eq!(has_meter, page == "/register");
    }
}

#[rocket::async_test]
async fn the_page_lists_the_rules_in_the_order_in_which_they_are_checked() {
    let app = TestApp::new().await;
    let page = app.visitor().get("/register").await.body;
    let codes = page.split("<li data-code=\"").skip(1);
    let listed: Vec<_> = codes.map(|rest| rest.split('"').next().unwrap()).collect();
    let policy = PasswordConfig::default();
    // Each of these breaks one rule and all that come after it.
    let broken = |text: &str, context: &[&str]| {
        NewPassword::parse(text, &policy, context).unwrap_err().code()
    };
    let checked = [
        broken("password", &["password"]),
        broken("password1234", &["password"]),
        broken("lovelace1815", &["lovelace"]),
    ];
    assert_eq!(listed, checked);
    assert!(page.contains(&format!(">At least {} characters</li>", policy.min_length)));
}

// The pepper.

const ONE: &str = "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
const TWO: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn hash(app: &TestApp) -> String {
    sqlx::query_scalar("SELECT password_hash FROM users")
        .fetch_one(&mut app.db().await)
        .await
        .unwrap()
}

#[rocket::async_test]
async fn a_pepper_is_applied_at_the_next_log_in_and_can_be_rotated() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    assert!(!hash(&app).await.contains("keyid"));

    let app = app.restarted(|f| f.merge(("password.peppers", [ONE]))).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    let first = hash(&app).await;
    assert!(first.contains("keyid="), "{first}");

    // After a rotation the older pepper still verifies, and the hash is renewed.
    let app = app.restarted(|f| f.merge(("password.peppers", [TWO, ONE]))).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    let second = hash(&app).await;
    let id = |hash: &str| hash.split("keyid=").nth(1).unwrap()[..11].to_owned();
    assert_ne!(id(&first), id(&second));
    let app = app.restarted(|f| f.merge(("password.peppers", [TWO]))).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");

    // Without the pepper the hash is worthless, but nothing breaks.
    let app = app.restarted(|f| f).await;
    app.visitor().log_in(ADA).await.assert_status(422);
    app.visitor().log_in("bob@example.org").await.assert_status(422);
    let app = app.restarted(|f| f.merge(("password.peppers", [ONE]))).await;
    app.visitor().log_in(ADA).await.assert_status(422);
}

#[rocket::async_test]
async fn a_log_in_with_a_pepper_costs_one_hash_for_every_address() {
    let app = TestApp::with(|f| f.merge(("password.peppers", [ONE]))).await;
    app.registered(ADA).await;
    let hasher: &rocket_login::password::Hasher = app.client.rocket().state().unwrap();
    for email in [ADA, "bob@example.org"] {
        let before = hasher.count();
        app.visitor().log_in_with(email, "wrong horse battery").await.assert_status(422);
        assert_eq!(hasher.count() - before, 1);
    }
}

// Breached passwords.

/// A fake breach service with the ranges it was asked for and its response time.
struct Service {
    asked: Mutex<Vec<String>>,
    takes: Duration,
}

/// The SHA-1 of "breached horse battery" begins with 2706F.
#[get("/range/<range>")]
async fn range(range: &str, service: &State<Arc<Service>>) -> String {
    service.asked.lock().unwrap().push(range.to_owned());
    rocket::tokio::time::sleep(service.takes).await;
    let rest = "B54F9F6CD4B0AB7A50B8D7C0F6FDBC2D9C1";
    format!("0000000000000000000000000000000000000A:0\r\n{rest}:0\r\n{BREACHED_REST}:17\r\n")
}

const BREACHED: &str = "breached horse battery";
const BREACHED_REST: &str = "64BD8ED383DA2FC6155B94940F3F872A4C9";

impl Service {
    /// Starts the service on its own port.
    async fn start(takes: Duration) -> (Arc<Self>, String) {
        let port = crate::servers::free_port();
        let figment = rocket::figment::Figment::from(rocket::Config::debug_default())
            .merge(("port", port))
            .merge(("log_level", "off"))
            .merge(("shutdown.ctrlc", false));
        let service = Arc::new(Service { asked: Mutex::default(), takes });
        let rocket = rocket::custom(figment).manage(service.clone()).mount("/", routes![range]);
        rocket::tokio::spawn(rocket.launch());
        while rocket::tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            rocket::tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (service, format!("http://127.0.0.1:{port}/range"))
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[rocket::async_test]
async fn a_breached_password_is_refused_if_the_look_up_is_configured() {
    let (service, url) = Service::start(Duration::ZERO).await;
    let app = TestApp::with(|f| f.merge(("password.breached_url", url))).await;
    let answer = register(&app, BREACHED).await;
    answer.assert_status(422).assert_text("was in a data breach at another site");
    assert_eq!(*service.asked.lock().unwrap(), ["2706F"]);
    register(&app, PASSWORD).await.assert_redirect("/account");

    let ada = app.visitor();
    ada.log_in(ADA).await.assert_redirect("/account");
    let fields = [("current_password", PASSWORD), ("new_password", BREACHED)];
    let answer = ada.post("/account/password", &fields).await;
    answer.assert_status(422).assert_text("new_password-error");
    answer.assert_text("was in a data breach at another site");
    ada.post("/reset", &[("email", ADA)]).await;
    let link = app.link(ADA, "/reset/").await;
    let answer = ada.post(&link, &[("new_password", BREACHED)]).await;
    answer.assert_status(422).assert_text("new_password-error");
    answer.assert_text("was in a data breach at another site");
    // The link is still valid.
    let fields = [("new_password", "another horse battery")];
    ada.post(&link, &fields).await.assert_redirect("/login");

    let app = TestApp::new().await;
    register(&app, BREACHED).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn an_unreachable_breach_service_keeps_nobody_out() {
    let nowhere = format!("http://127.0.0.1:{}", crate::servers::free_port());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for url in [nowhere, silent] {
        let app = TestApp::with(|f| f.merge(("password.breached_url", url))).await;
        register(&app, PASSWORD).await.assert_redirect("/account");
    }
}

const HERE: &str = "192.0.2.1";

async fn sign_up(app: &TestApp, from: &str, email: &str, password: &str) -> Answer {
    let body = format!("email={email}&password={}", password.replace(' ', "+"));
    app.visitor().post_from(app, from, "/register", &body).await
}

#[rocket::async_test]
async fn a_sign_up_refused_for_another_reason_does_not_ask_the_breach_service() {
    let (service, url) = Service::start(Duration::ZERO).await;
    let app =
        TestApp::with(|f| f.merge(("password.breached_url", &url)).merge(("throttle.sign_ups", 3)))
            .await;
    sign_up(&app, HERE, "no address", PASSWORD).await.assert_status(422);
    sign_up(&app, HERE, ADA, "short").await.assert_status(422);
    sign_up(&app, HERE, ADA, "password1234").await.assert_status(422);
    assert_eq!(service.asked(), 0);
    sign_up(&app, HERE, ADA, PASSWORD).await.assert_redirect("/account");
    assert_eq!(service.asked(), 1);
    sign_up(&app, HERE, ADA, "another horse battery").await.assert_status(422);
    assert_eq!(service.asked(), 1);
    sign_up(&app, HERE, "bob@example.org", BREACHED).await.assert_status(422);
    assert_eq!(service.asked(), 2);
    for _ in 0..20 {
        sign_up(&app, HERE, "bob@example.org", BREACHED).await.assert_status(429);
    }
    assert_eq!(service.asked(), 2);

    let closed = |f: rocket::figment::Figment| {
        f.merge(("password.breached_url", &url)).merge(("accounts.registration", "closed"))
    };
    let app = TestApp::with(closed).await;
    sign_up(&app, HERE, ADA, PASSWORD).await.assert_status(403);
    assert_eq!(service.asked(), 2);
}

#[rocket::async_test]
async fn a_change_refused_for_another_reason_does_not_ask_the_breach_service() {
    let app = TestApp::new().await;
    let (service, url) = Service::start(Duration::ZERO).await;
    let ada = app.registered(ADA).await;
    let cookie = ada.session_cookie();
    let app = app.restarted(|f| f.merge(("password.breached_url", url))).await;
    let ada = app.visitor();
    ada.set_cookie("session", cookie);
    let change = async |current: &str, new: &str| {
        let fields = [("current_password", current), ("new_password", new)];
        ada.post("/account/password", &fields).await.status.code
    };
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    let reset = async |link: &str, new: &str| {
        app.visitor().post(link, &[("new_password", new)]).await.status.code
    };

    assert_eq!(reset("/reset/x", BREACHED).await, 404);
    assert_eq!(reset(&link, "short").await, 422);
    assert_eq!(reset(&link, PASSWORD).await, 422);
    assert_eq!(change(PASSWORD, PASSWORD).await, 422);
    assert_eq!(change("", BREACHED).await, 422);
    for _ in 0..10 {
        assert_eq!(change("wrong horse battery", BREACHED).await, 422);
    }
    assert_eq!(change(PASSWORD, BREACHED).await, 429);
    assert_eq!(service.asked(), 0);
    app.advance(30);
    assert_eq!(change(PASSWORD, BREACHED).await, 422);
    assert_eq!(reset(&link, BREACHED).await, 422);
    assert_eq!(service.asked(), 2);
}

#[rocket::async_test]
async fn no_breached_password_passes_during_thirty_parallel_look_ups() {
    let (service, url) = Service::start(Duration::from_millis(600)).await;
    let app = TestApp::with(|f| f.merge(("password.breached_url", url))).await;
    let people: Vec<(String, String)> =
        (0..30).map(|n| (format!("198.51.100.{n}"), format!("stranger{n}@example.org"))).collect();
    let answers =
        join_all(people.iter().map(|(from, email)| sign_up(&app, from, email, BREACHED))).await;
    for answer in &answers {
        answer.assert_status(422).assert_text("was in a data breach at another site");
    }
    assert_eq!((app.users().await, service.asked()), (0, 30));
}

#[rocket::async_test]
async fn one_ip_address_does_not_delay_others_at_the_breach_service() {
    let (_service, url) = Service::start(Duration::from_secs(1)).await;
    let app = TestApp::with(|f| f.merge(("password.breached_url", url))).await;
    // One after the other they take twelve seconds. If they took all places, the thirteenth form
    // would have to wait for all of them.
    let emails: Vec<String> = (0..12).map(|n| format!("user{n}@example.org")).collect();
    let flood = join_all(emails.iter().map(|email| sign_up(&app, HERE, email, BREACHED)));
    let other = sign_up(&app, "192.0.2.2", ADA, BREACHED);
    match select(pin!(flood), pin!(other)).await {
        Either::Left(_) => panic!("the flood is answered first"),
        Either::Right((other, _)) => other.assert_status(422),
    };
}

#[rocket::async_test]
async fn a_sign_up_with_a_breached_password_does_not_count_as_a_mail() {
    let (_service, url) = Service::start(Duration::ZERO).await;
    let app = TestApp::with(|f| {
        f.merge(("password.breached_url", url))
            .merge(("accounts.registration", "confirm"))
            .merge(("throttle.mails", 1))
    })
    .await;
    for _ in 0..3 {
        sign_up(&app, HERE, ADA, BREACHED).await.assert_status(422);
    }
    sign_up(&app, HERE, ADA, PASSWORD).await.assert_redirect("/register/sent");
    sign_up(&app, HERE, ADA, PASSWORD).await.assert_status(429);
}

// The current password.

#[rocket::async_test]
async fn the_current_password_is_refused_as_a_new_one() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    let (composed, decomposed) = ("caf\u{e9} au lait, chaud", "cafe\u{301} au lait, chaud");
    let fields = [("email", ADA), ("password", composed)];
    visitor.post("/register", &fields).await.assert_redirect("/account");
    let phone = app.visitor();
    phone.post("/login", &fields).await.assert_redirect("/account");
    let (mails, before) = (app.mails().await.len(), hash(&app).await);

    for new in [composed, decomposed] {
        let fields = [("current_password", composed), ("new_password", new)];
        let answer = visitor.post("/account/password", &fields).await;
        answer.assert_status(422).assert_text("new_password-error");
        answer.assert_text("already your password");
    }
    // A visitor who does not know the current password does not learn that the new one equals it.
    let fields = [("current_password", "wrong horse battery"), ("new_password", composed)];
    let answer = visitor.post("/account/password", &fields).await;
    answer.assert_status(422).assert_no_text("already your");
    assert_eq!((app.mails().await.len(), hash(&app).await), (mails, before.clone()));
    assert!(phone.is_logged_in().await);

    visitor.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    for new in [composed, decomposed] {
        let answer = app.visitor().post(&link, &[("new_password", new)]).await;
        answer.assert_status(422).assert_text("new_password-error");
        answer.assert_text("already your password");
    }
    assert_eq!(hash(&app).await, before);
    assert!(phone.is_logged_in().await);

    // The link still works with another password.
    let hasher: &rocket_login::password::Hasher = app.client.rocket().state().unwrap();
    let count = hasher.count();
    let fields = [("new_password", "another horse battery")];
    app.visitor().post(&link, &fields).await.assert_redirect("/login");
    assert_eq!(hasher.count() - count, 2);
    app.visitor().post(&link, &fields).await.assert_status(404);
    assert_eq!(hasher.count() - count, 2);
    assert!(!phone.is_logged_in().await);
}
