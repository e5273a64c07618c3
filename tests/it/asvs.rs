//! Requirements of ASVS 5.0 that no other test covers. `docs/asvs.md` says which test
//! covers which requirement.

use std::collections::BTreeSet;

use rocket::http::{Accept, Method, Status};
use rocket::{get, routes};
use rocket_login::Flash;

use crate::database::pick;
use crate::support::{Answer, TestApp, Visitor, header};

const ADA: &str = "ada@example.org";

/// The paths of all pages without parameters.
fn pages(app: &TestApp) -> BTreeSet<String> {
    let routes = app.client.rocket().routes().filter(|route| route.method == Method::Get);
    let paths = routes.map(|route| route.uri.path().to_string());
    paths.filter(|path| !path.contains(['<', '.'])).collect()
}

/// Every page that `visitor` may see.
async fn shown(app: &TestApp, visitor: &Visitor<'_>) -> Vec<(String, Answer)> {
    let mut shown = Vec::new();
    for path in pages(app) {
        let answer = visitor.get(&path).await;
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            shown.push((path, answer));
        }
    }
    shown
}

#[rocket::async_test]
async fn every_page_behind_the_log_in_has_the_log_out_button() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let mut private = 0;
    for path in pages(&app).into_iter().filter(|path| path.starts_with("/account")) {
        let page = ada.get(&path).await;
        if page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            page.assert_status(200).assert_text(r#"<form action="/logout" method="post">"#);
            private += 1;
        }
    }
    assert!(private >= 7, "{private} pages");
}

#[rocket::async_test]
async fn a_new_site_has_no_account() {
    let app = TestApp::new().await;
    assert_eq!(app.users().await, 0);
    for email in ["admin@example.org", "admin", "root@localhost"] {
        app.visitor().log_in_with(email, "admin").await.assert_status(422);
    }
}

#[rocket::async_test]
async fn forms_ask_only_for_what_is_needed_and_allow_password_managers() {
    let app = TestApp::new().await;
    let (ada, visitor) = (app.registered(ADA).await, app.visitor());
    let mut asked = BTreeSet::new();
    for (path, page) in [shown(&app, &ada).await, shown(&app, &visitor).await].concat() {
        for forbidden in ["onpaste", "oncopy", r#"autocomplete="off""#, "<textarea", "<select"] {
            assert!(!page.body.contains(forbidden), "{path}: {forbidden}");
        }
        let inputs = page.body.split("<input").skip(1);
        for input in inputs.map(|rest| rest.split('>').next().unwrap()) {
            if input.contains(r#"type="checkbox""#) {
                continue;
            }

            // A field without a name is not sent.
            let Some(name) = input.split(r#" name=""#).nth(1) else { continue };
            let name = name.split('"').next().unwrap();
            asked.insert(name.to_owned());
            // The field is masked, and its name is one that password managers know.
            if name.contains("password") {
                assert!(input.contains(r#"type="password""#), "{path}: {input}");
                let is_named = ["current", "new"]
                    .iter()
                    .any(|which| input.contains(&format!(r#"autocomplete="{which}-password""#)));
                assert!(is_named, "{path}: {input}");
            }
        }
    }
    // There is no password hint and no security question.
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let asked_at_factors = ["code", "credential", "secret"];
    let asked: Vec<&str> =
        asked.into_iter().filter(|name| !asked_at_factors.contains(name)).collect();
    assert_eq!(asked, ["current_password", "email", "new_password", "password"]);
}

#[rocket::async_test]
async fn a_password_never_expires() {
    let app = TestApp::new().await;
    app.registered(ADA).await.log_out().await;
    app.advance(5 * 365 * 24 * 60 * 60);
    let ada = app.visitor();
    ada.log_in(ADA).await.assert_redirect("/account");
    ada.get("/account").await.assert_status(200);
}

#[rocket::async_test]
async fn get_head_and_options_requests_change_nothing() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    app.visitor().post("/reset", &[("email", ADA)]).await;
    let links = [app.link(ADA, "/verify/").await, app.link(ADA, "/reset/").await];
    ada.get("/account").await; // shows the flash message, which deletes it
    let all = pick(
        "SELECT (SELECT group_concat(hex(id) || hex(family) || user_id || data) FROM sessions)
         || (SELECT group_concat(email || password_hash || coalesce(verified_at, 0)) FROM users)
         || (SELECT group_concat(hex(id) || purpose) FROM login_tokens)
         || (SELECT count(*) FROM login_mails) || (SELECT count(*) FROM login_devices)
         || (SELECT count(*) FROM login_muted_notices)
         || (SELECT count(*) FROM login_events WHERE kind <> 'exported')",
        "SELECT (SELECT string_agg(concat(id, family, user_id, data), ',') FROM sessions)
         || (SELECT string_agg(concat(email, password_hash, verified_at), ',') FROM users)
         || (SELECT string_agg(concat(id, purpose), ',') FROM login_tokens)
         || (SELECT count(*) FROM login_mails) || (SELECT count(*) FROM login_devices)
         || (SELECT count(*) FROM login_muted_notices)
         || (SELECT count(*) FROM login_events WHERE kind <> 'exported')",
    );
    let state = async || -> String {
        sqlx::query_scalar(all).fetch_one(&mut app.db().await).await.unwrap()
    };
    let before = state().await;
    assert!(before.len() > 200, "{before}");

    let routes = app.client.rocket().routes();
    let paths = routes.map(|route| route.uri.path().replace(['<', '>'], ""));
    for path in paths.chain(links) {
        for method in [Method::Get, Method::Head, Method::Options] {
            ada.send(app.client.req(method, path.clone())).await;
            assert_eq!(state().await, before, "{method} {path}");
        }
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn trace_requests_are_refused() {
    let app = TestApp::release().await;
    for path in ["/", "/login", "/nowhere"] {
        let request = app.client.req(Method::Trace, path).header(header("X-Secret", "mirror"));
        let answer = app.visitor().send(request).await;
        assert!(matches!(answer.status, Status::NotFound | Status::MethodNotAllowed));
        answer.assert_no_text("mirror");
    }
}

#[rocket::async_test]
async fn a_release_site_has_no_developer_tools() {
    let app = TestApp::release().await;
    for path in ["/dev/mailbox", "/dev/mailbox/1", "/metrics", "/.git/config", "/Rocket.toml"] {
        app.visitor().get(path).await.assert_status(404);
        let json = app.client.get(path).header(Accept::JSON);
        app.visitor().send(json).await.assert_status(404);
    }
    for path in ["/static/", "/static", "/data/login.db", "/static/base.html.tera"] {
        app.visitor().get(path).await.assert_status(404);
    }
}

#[get("/long")]
fn long(flash: Flash<'_>) {
    flash.set(&"ü".repeat(5_000));
}

#[rocket::async_test]
async fn the_longest_message_fits_a_cookie() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![long])).await;
    let visitor = app.visitor();
    let answer = visitor.get("/long").await;
    let line = answer.set_cookie("session-flash").unwrap();
    assert!(line.split(';').next().unwrap().len() < 4096, "{}", line.len());
    visitor.get("/").await.assert_text(&"ü".repeat(500));
}
