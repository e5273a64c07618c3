//! What may become somebody's password.

use rocket::{State, get, routes};

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
        answer.assert_text("among the most common ones");
    }
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn common_passwords_are_refused_at_change_and_at_reset_as_well() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let fields = [("current_password", PASSWORD), ("new_password", "password1234")];
    let answer = ada.post("/account/password", &fields).await;
    answer.assert_status(422).assert_text("among the most common ones");
    ada.post("/reset", &[("email", ADA)]).await;
    let link = app.link(ADA, "/reset/").await;
    let answer = ada.post(&link, &[("new_password", "password1234")]).await;
    answer.assert_status(422).assert_text("among the most common ones");
}

#[rocket::async_test]
async fn what_the_address_and_the_site_are_called_is_no_password() {
    let app = TestApp::with(|f| f.merge(("site.url", "https://analytical-engine.example"))).await;
    for password in [
        ADA,
        "ada.lovelace",
        "AdaLovelace1815",
        "example.org!2026",
        "analytical-engine",
        "AnalyticalEngine1",
        "rocket-login",
        "rocketlogin-2026",
    ] {
        let answer = register(&app, password).await;
        answer.assert_status(422).assert_text("made of your address or of this site&#x27;s name");
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
async fn the_meter_judges_as_the_site_does() {
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
    assert_eq!(judge("password1234").await["score"], 0);
    let own = judge("ada.lovelace").await;
    assert!(own["text"].as_str().unwrap().contains("made of your address"), "{own}");
    assert_eq!(judge("correct horse battery staple").await["text"], "Strong.");
    let weak = judge("aaaaaaaaaaaaab").await;
    assert!(weak["score"].as_i64().unwrap() < 3, "{weak}");
    for page in ["/register", "/login"] {
        let has_meter = app.visitor().get(page).await.body.contains("strength.js");
        assert_eq!(has_meter, page == "/register");
    }
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
async fn a_pepper_comes_with_the_next_log_in_and_can_be_changed() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    assert!(!hash(&app).await.contains("keyid"));

    let app = app.restarted(|f| f.merge(("password.peppers", [ONE]))).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    let first = hash(&app).await;
    assert!(first.contains("keyid="), "{first}");

    // Rotated: the older one still opens, and the hash is made anew.
    let app = app.restarted(|f| f.merge(("password.peppers", [TWO, ONE]))).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    let second = hash(&app).await;
    let id = |hash: &str| hash.split("keyid=").nth(1).unwrap()[..11].to_owned();
    assert_ne!(id(&first), id(&second));
    let app = app.restarted(|f| f.merge(("password.peppers", [TWO]))).await;
    app.visitor().log_in(ADA).await.assert_redirect("/account");

    // Without it the hash is worth nothing, and nothing breaks.
    let app = app.restarted(|f| f).await;
    app.visitor().log_in(ADA).await.assert_status(422);
    app.visitor().log_in("bob@example.org").await.assert_status(422);
    let app = app.restarted(|f| f.merge(("password.peppers", [ONE]))).await;
    app.visitor().log_in(ADA).await.assert_status(422);
}

#[rocket::async_test]
async fn a_log_in_costs_the_same_with_a_pepper() {
    let app = TestApp::with(|f| f.merge(("password.peppers", [ONE]))).await;
    app.registered(ADA).await;
    let hasher: &rocket_login::Hasher = app.client.rocket().state().unwrap();
    for email in [ADA, "bob@example.org"] {
        let before = hasher.count();
        app.visitor().log_in_with(email, "wrong horse battery").await.assert_status(422);
        assert_eq!(hasher.count() - before, 1);
    }
}

// Breached passwords.

/// The SHA-1 of "breached horse battery" begins with 2706F.
#[get("/range/<range>")]
fn range(range: &str, asked: &State<std::sync::Mutex<Vec<String>>>) -> String {
    asked.lock().unwrap().push(range.to_owned());
    let rest = "B54F9F6CD4B0AB7A50B8D7C0F6FDBC2D9C1";
    format!("0000000000000000000000000000000000A:0\r\n{rest}:0\r\n{BREACHED_REST}:17\r\n")
}

const BREACHED: &str = "breached horse battery";
const BREACHED_REST: &str = "64BD8ED383DA2FC6155B94940F3F872A4C9";

/// The service, on a port of its own.
async fn service() -> String {
    let port = crate::servers::free_port();
    let figment = rocket::figment::Figment::from(rocket::Config::debug_default())
        .merge(("port", port))
        .merge(("log_level", "off"))
        .merge(("shutdown.ctrlc", false));
    let asked: std::sync::Mutex<Vec<String>> = std::sync::Mutex::default();
    let rocket = rocket::custom(figment).manage(asked).mount("/", routes![range]);
    rocket::tokio::spawn(rocket.launch());
    while rocket::tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        rocket::tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    format!("http://127.0.0.1:{port}/range")
}

#[rocket::async_test]
async fn a_breached_password_is_refused_where_the_look_up_is_configured() {
    let url = service().await;
    let app = TestApp::with(|f| f.merge(("password.breached_url", url))).await;
    let answer = register(&app, BREACHED).await;
    answer.assert_status(422).assert_text("was in a data breach elsewhere");
    register(&app, PASSWORD).await.assert_redirect("/account");

    let app = TestApp::new().await;
    register(&app, BREACHED).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_service_that_does_not_answer_keeps_nobody_out() {
    let nowhere = format!("http://127.0.0.1:{}", crate::servers::free_port());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for url in [nowhere, silent] {
        let app = TestApp::with(|f| f.merge(("password.breached_url", url))).await;
        register(&app, PASSWORD).await.assert_redirect("/account");
    }
}
