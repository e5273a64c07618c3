//! Programs and scripts send JSON and get JSON.

use std::collections::BTreeSet;

use rocket::fairing::AdHoc;
use rocket::http::{Accept, ContentType, Method, Status};
use rocket::local::asynchronous::LocalRequest;
use rocket::{FromForm, get, post, routes, uri};
use rocket_login::User;
use rocket_login::testing::{Answer, Authenticator, app_code};
use rocket_login::web::{Done, Posted};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::factors::{add_app, confirmed, half_way};
use crate::passkeys::add as add_passkey;
use crate::support::{PASSWORD, TestApp, Visitor, encode, header};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_str(&answer.body).unwrap()
}

/// The code of a problem, and the codes of its fields.
fn codes(answer: &Answer) -> (u16, String) {
    assert!(answer.is_json(), "{} {}", answer.status, answer.body);
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    (answer.status.code, problem["code"].as_str().unwrap().to_owned())
}

async fn get_json(app: &TestApp, visitor: &Visitor<'_>, path: &str) -> Value {
    let client = &app.client;
    let request = client.get(path.to_owned()).header(Accept::JSON);
    let cookies = visitor.cookie("session").map(|session| ("session", session));
    let answer = app.visitor();
    if let Some((name, value)) = cookies {
        answer.set_cookie(name, value);
    }
    json_of(answer.send(request).await.assert_status(200))
}

/// A form that is accepted: who sends it, where to, its fields, and where it leads.
struct Form<'a> {
    visitor: Visitor<'a>,
    path: String,
    fields: Value,
    /// `None` means that the answer shows recovery codes.
    leads_to: Option<&'static str>,
}

/// Prepares a form about second factors for `route`.
async fn factor_form<'a>(app: &'a TestApp, route: &str, email: &str) -> Option<Form<'a>> {
    let phone = Authenticator::new("http://localhost:8000");
    let visitor = confirmed(app, email).await;
    let question = async |visitor: &Visitor<'a>, path: &str| {
        visitor.post(&format!("{path}/options"), &[]).await.assert_status(200).body.clone()
    };
    let security = Some("/account/security");
    let (path, visitor, fields, leads_to) = match route {
        "/account/app" => {
            let offer = get_json(app, &visitor, route).await;
            let code = app_code(offer["secret"].as_str().unwrap(), app.clock.now());
            (None, visitor, json!({"secret": offer["sealed"], "code": code}), None)
        }
        "/account/app/remove" | "/account/codes" | "/login/factor" => {
            let app_of_phone = add_app(app, &visitor).await;
            match route {
                "/account/app/remove" => (None, visitor, json!({}), security),
                "/account/codes" => (None, visitor, json!({}), None),
                _ => {
                    let code = json!({"code": app_of_phone.code(app), "trust": false});
                    (None, half_way(app, email).await, code, Some("/account"))
                }
            }
        }
        "/account/passkeys" => {
            let credential = phone.create(&question(&visitor, route).await);
            (None, visitor, json!({"credential": credential, "name": ""}), None)
        }
        "/account/password/remove" => {
            add_passkey(&visitor, &phone, "").await.assert_status(200);
            (None, visitor, json!({}), security)
        }
        "/account/passkeys/decline" => (None, visitor, json!({}), Some("/account")),
        "/account/passkeys/<id>/rename" | "/account/passkeys/<id>/remove" => {
            add_passkey(&visitor, &phone, "").await.assert_status(200);
            let ways = get_json(app, &visitor, "/account/security").await;
            let path = route.replace("<id>", ways["factors"][0]["id"].as_str().unwrap());
            let fields = if route.ends_with("rename") { json!({"name": "Key"}) } else { json!({}) };
            (Some(path), visitor, fields, security)
        }
        "/login/passkey" | "/login/factor/passkey" => {
            add_passkey(&visitor, &phone, "").await.assert_status(200);
            let visitor = match route {
                "/login/passkey" => app.visitor(),
                _ => half_way(app, email).await,
            };
            let credential = phone.get(&question(&visitor, route).await);
            (None, visitor, json!({"credential": credential}), Some("/account"))
        }
        _ => return None,
    };
    let path = path.unwrap_or_else(|| route.to_owned());
    Some(Form { visitor, path, fields, leads_to })
}

/// Prepares a form for `route` that `email` may send.
async fn form<'a>(app: &'a TestApp, route: &str, email: &str) -> Form<'a> {
    let logged_out = async || {
        let visitor = app.registered(email).await;
        visitor.log_out().await.assert_redirect("/");
        visitor
    };
    let form = |visitor, fields, leads_to| {
        let path = route.to_owned();
        Form { visitor, path, fields, leads_to: Some(leads_to) }
    };
    let at = |path: String, form: Form<'a>| Form { path, ..form };
    match route {
        "/register" => {
            let fields = json!({"email": email, "password": PASSWORD, "next": null});
            form(app.visitor(), fields, "/account")
        }
        "/login" => {
            let next = "/account/activity";
            let fields =
                json!({"email": email, "password": PASSWORD, "remember": true, "next": next});
            form(logged_out().await, fields, next)
        }
        "/reset" => form(logged_out().await, json!({"email": email}), "/login"),
        "/reset/<token>" => {
            let visitor = logged_out().await;
            visitor.post("/reset", &[("email", email)]).await.assert_status(200);
            let path = app.link(email, "/reset/").await;
            at(path, form(visitor, json!({"new_password": NEW}), "/login"))
        }
        "/verify/<token>" => {
            let visitor = app.registered(email).await;
            let path = app.link(email, "/verify/").await;
            at(path, form(visitor, json!({}), "/account"))
        }
        "/not-me/<token>" => {
            let visitor = app.registered(email).await;
            visitor.post(&app.link(email, "/verify/").await, &[]).await.assert_redirect("/account");
            app.visitor().log_in(email).await.assert_redirect("/account");
            let path = app.link(email, "/not-me/").await;
            at(path, form(visitor, json!({}), "/login"))
        }
        "/account/sessions/<id>/revoke" => {
            let visitor = app.registered(email).await;
            app.visitor().log_in(email).await.assert_redirect("/account");
            let list = get_json(app, &visitor, "/account/sessions").await;
            let other = list["sessions"][1]["id"].as_str().unwrap();
            let path = format!("/account/sessions/{other}/revoke");
            at(path, form(visitor, json!({}), "/account/sessions"))
        }
        "/account/providers/<name>/unlink" => {
            let visitor = app.registered(email).await;
            app.execute(AssertSqlSafe(format!(
                "INSERT INTO login_identities (user_id, issuer, subject, provider, created_at)
                 SELECT id, 'https://gone.example', email, 'gone', 0 FROM users
                 WHERE email = '{email}'"
            )))
            .await;
            let path = "/account/providers/gone/unlink".to_owned();
            at(path, form(visitor, json!({}), "/account/security"))
        }
        _ => {
            let (fields, leads_to) = match route {
                "/logout" => (json!({}), "/"),
                "/reauthenticate" => (json!({"password": PASSWORD, "next": "/notes"}), "/notes"),
                "/account/verify" => (json!({}), "/account"),
                "/account/email" => {
                    let fields = json!({"email": format!("new-{email}"),
                                        "current_password": PASSWORD});
                    (fields, "/account")
                }
                "/account/password" => {
                    (json!({"current_password": PASSWORD, "new_password": NEW}), "/account")
                }
                "/account/delete" => (json!({"current_password": PASSWORD}), "/"),
                "/account/notices" => {
                    (json!({"new_device": false, "failures": "on"}), "/account/notices")
                }
                "/account/sessions/revoke-others" => (json!({}), "/account/sessions"),
                other => match factor_form(app, other, email).await {
                    Some(form) => return form,
                    None => panic!("{other} is not among the forms"),
                },
            };
            form(app.registered(email).await, fields, leads_to)
        }
    }
}

fn url_encoded(fields: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some("on".to_owned()),
        _ => None,
    };
    let fields = fields.as_object().unwrap().iter();
    let pairs =
        fields.filter_map(|(name, value)| Some(format!("{name}={}", encode(&text(value)?))));
    pairs.collect::<Vec<_>>().join("&")
}

fn post<'a>(app: &'a TestApp, path: &str, kind: ContentType, body: &str) -> LocalRequest<'a> {
    app.client.post(path.to_owned()).header(kind).body(body)
}

fn post_json<'a>(app: &'a TestApp, path: &str, fields: &Value) -> LocalRequest<'a> {
    post(app, path, ContentType::JSON, &fields.to_string())
}

#[rocket::async_test]
async fn every_form_takes_json_and_answers_with_json() {
    let app = TestApp::new().await;
    let posts = app.client.rocket().routes().filter(|route| route.method == Method::Post);
    let paths: BTreeSet<String> = posts.map(|route| route.uri.path().to_owned()).collect();
    assert!(paths.len() > 14, "{paths:?}");
    // These answer a script or with a file, and lead nowhere.
    let is_form = |path: &&String| {
        !path.ends_with("/options")
            && ![
                "/password-strength",
                "/account/codes/download",
                // A provider's server calls it.
                "/login/with/<name>/logout",
            ]
            .contains(&path.as_str())
    };
    let paths = paths.iter().filter(is_form);
    for (number, route) in paths.enumerate() {
        for (sends_json, wants_json) in [(true, true), (true, false), (false, true), (false, false)]
        {
            let what = format!("{route} {sends_json} {wants_json}");
            let email = format!("user-{number}-{sends_json}-{wants_json}@example.org");
            let Form { visitor, path, fields, leads_to } = form(&app, route, &email).await;
            // A message of an earlier step would be sent on.
            visitor.get("/").await.assert_status(200);
            assert!(!visitor.has_cookie("session-flash"), "{what}");
            let request = match sends_json {
                true => post_json(&app, &path, &fields),
                false => post(&app, &path, ContentType::Form, &url_encoded(&fields)),
            };
            let accept = if wants_json { Accept::JSON } else { Accept::HTML };
            let answer = visitor.send(request.header(accept)).await;
            let Some(leads_to) = leads_to else {
                answer.assert_status(200);
                match wants_json {
                    true => assert_eq!(json_of(&answer)["codes"].as_array().unwrap().len(), 10),
                    false => drop(answer.assert_text("Your recovery codes")),
                }
                continue;
            };
            match (wants_json, route.as_str()) {
                (true, _) => {
                    answer.assert_status(200);
                    assert_eq!(json_of(&answer), json!({"location": leads_to}), "{what}");
                    assert!(!visitor.has_cookie("session-flash"), "{what}");
                }
                (false, "/reset") => {
                    answer.assert_status(200).assert_text("Check your email");
                }
                (false, _) => {
                    answer.assert_redirect(leads_to);
                    assert!(visitor.has_cookie("session-flash"), "{what}");
                }
            }
        }
    }
}

#[rocket::async_test]
async fn a_refused_form_in_json_names_its_fields_and_changes_nothing() {
    let app = TestApp::new().await;
    let request = post_json(&app, "/register", &json!({"email": "ada", "password": "short"}));
    let answer = app.visitor().send(request.header(Accept::JSON)).await;
    assert_eq!(codes(&answer), (422, "invalid_form".into()));
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    let field = |number: usize, name: &str| problem["errors"][number][name].clone();
    assert_eq!((field(0, "field"), field(0, "code")), (json!("email"), json!("email_malformed")));
    assert_eq!(field(0, "message"), "Enter an address like name@example.org.");
    assert_eq!(
        (field(1, "field"), field(1, "code")),
        (json!("password"), json!("password_too_short"))
    );
    assert!(problem["codes"].is_null() && field(2, "field").is_null());

    // The answer to a browser is the page, with what was typed.
    let request = post_json(&app, "/register", &json!({"email": "ada", "password": "short"}));
    let page = app.visitor().send(request).await;
    page.assert_status(422).assert_text("value=\"ada\"").assert_text("password-error");
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn a_body_that_is_not_a_flat_object_is_refused() {
    let app = TestApp::new().await;
    let right = json!({"email": ADA, "password": PASSWORD}).to_string();
    let twice = right.replace('}', &format!(",\"\\u0065mail\":\"{ADA}\"}}"));
    for (body, status) in [
        (format!("[{right}]"), 422),
        ("null".into(), 422),
        ("\"email\"".into(), 422),
        (twice, 422),
        (right.replace('}', ",\"x\":{\"y\":1}}"), 422),
        (format!(r#"{{"email":["{ADA}"],"password":"{PASSWORD}"}}"#), 422),
        (format!(r#"{{"email":"{ADA}","password":{{"$ne":""}}}}"#), 422),
        (right.replace("email", "email[]"), 422),
        (right.replace('}', ""), 400),
        (format!("{right} x"), 400),
        (String::new(), 400),
        (format!("email={}&password={}", encode(ADA), encode(PASSWORD)), 400),
        (right.replace(ADA, &"a".repeat(40_000)), 413),
    ] {
        for path in ["/register", "/login"] {
            let request = post(&app, path, ContentType::JSON, &body).header(Accept::JSON);
            let answer = app.visitor().send(request).await;
            assert_eq!(codes(&answer).0, status, "{path} {body:.99}");
        }
    }
    assert_eq!((app.users().await, app.sessions().await), (0, 0));
    let request =
        post(&app, "/register", "application/json; charset=utf-8".parse().unwrap(), &right);
    app.visitor().send(request).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_account_and_its_lists_are_there_as_json() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let account = get_json(&app, &ada, "/account").await;
    let id = app.count("SELECT id FROM users").await.to_string();
    let expected = json!({
        "id": id,
        "email": ADA,
        "created_at": "2026-01-01T00:00:00Z",
        "verified_at": null,
        "roles": [],
        "language": "en",
    });
    assert_eq!(account, expected);
    app.advance(60);
    ada.post(&app.link(ADA, "/verify/").await, &[]).await.assert_redirect("/account");
    let account = get_json(&app, &ada, "/account").await;
    assert_eq!(account["verified_at"], "2026-01-01T00:01:00Z");

    app.visitor().log_in(ADA).await.assert_redirect("/account");
    let list = get_json(&app, &ada, "/account/sessions").await;
    let counts = (&list["page"], &list["last_page"], &list["total"]);
    assert_eq!(counts, (&json!(1), &json!(1), &json!(2)));
    let [first, second] = [0, 1].map(|number| &list["sessions"][number]);
    assert_eq!((&first["is_current"], &second["is_current"]), (&json!(true), &json!(false)));
    assert_eq!(first["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(second["created_at"], "2026-01-01T00:01:00Z");
    for name in ["device", "ip_address", "last_seen_at", "expires_at"] {
        assert!(first[name].is_string(), "{name}");
    }

    let history = get_json(&app, &ada, "/account/activity").await;
    let newest = &history["events"][0];
    assert_eq!(
        (&newest["kind"], &newest["at"]),
        (&json!("logged_in"), &json!("2026-01-01T00:01:00Z"))
    );
    assert_eq!(history["events"].as_array().unwrap().last().unwrap()["kind"], "signed_up");

    let all = get_json(&app, &ada, "/account/notices").await;
    assert_eq!((all.as_object().unwrap().len(), &all["failures"]), (7, &json!(true)));
    let request = post_json(&app, "/account/notices", &json!({"new_device": true}));
    ada.send(request.header(Accept::JSON)).await.assert_status(200);
    let some = get_json(&app, &ada, "/account/notices").await;
    assert_eq!((&some["new_device"], &some["failures"]), (&json!(true), &json!(false)));

    // A client that does not prefer JSON gets the pages.
    ada.get("/account").await.assert_status(200).assert_text("</html>");
}

#[rocket::async_test]
async fn a_redirect_of_a_get_stays_a_redirect_for_a_program() {
    let app = TestApp::new().await;
    let request = app.client.get("/.well-known/change-password").header(Accept::JSON);
    app.visitor().send(request).await.assert_redirect("/account/password");
}

#[rocket::async_test]
async fn a_script_is_told_to_log_in_or_to_ask_for_the_password_again() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let script = [
        ("Accept", "application/json"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Mode", "same-origin"),
        ("Sec-Fetch-Dest", "empty"),
    ];
    for (name, value) in script {
        for path in ["/account", "/account/delete"] {
            let request = app.client.get(path).header(header(name, value));
            let answer = app.visitor().send(request).await;
            assert_eq!(codes(&answer), (401, "log_in_required".into()), "{name}: {value}");
        }
    }
    app.advance(60 * 60);
    for (name, value) in script {
        let email = json!({"email": "new@example.org", "current_password": PASSWORD});
        for request in [
            app.client.get("/account/delete"),
            app.client.get("/account/export"),
            app.client.post("/account/sessions/revoke-others"),
            post_json(&app, "/account/email", &email),
        ] {
            let answer = ada.send(request.header(header(name, value))).await;
            assert_eq!(codes(&answer), (403, "reauthentication_required".into()), "{name}");
        }
    }
    let to = "/reauthenticate?next=%2Faccount%2Fdelete";
    ada.get("/account/delete").await.assert_redirect(to);

    let request = post_json(&app, "/reauthenticate", &json!({"password": PASSWORD}));
    let answer = ada.send(request.header(Accept::JSON)).await;
    assert_eq!(json_of(&answer), json!({"location": "/account"}));
    let request = app.client.get("/account/export").header(Accept::JSON);
    ada.send(request).await.assert_status(200);
}

#[rocket::async_test]
async fn a_script_of_another_site_cannot_send_json() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let fields = json!({"current_password": PASSWORD});
    for site in ["cross-site", "same-site"] {
        let request = post_json(&app, "/account/delete", &fields);
        let request = request.header(header("Sec-Fetch-Site", site)).header(Accept::JSON);
        assert_eq!(codes(&ada.send(request).await), (403, "cross_site".into()));
    }
    let request = post_json(&app, "/account/delete", &fields).header(Accept::JSON);
    let request = request.header(header("Origin", "http://evil.example"));
    assert_eq!(codes(&ada.send(request.header(header("Host", "site.example"))).await).0, 403);

    // What a form of another site can send without being asked, if nothing else stopped it.
    let plain = format!(r#"{{"current_password":"{PASSWORD}","x":"="}}"#);
    for kind in ["text/plain", "multipart/form-data; boundary=x"] {
        let request = app.client.post("/account/delete").header(header("Content-Type", kind));
        ada.send(request.body(&plain)).await.assert_status(415);
    }
    let request = post(&app, "/account/delete", ContentType::Form, &plain);
    ada.send(request).await.assert_status(422);
    assert_eq!(app.users().await, 1);
}

#[rocket::async_test]
async fn a_link_counts_no_body_of_another_type_as_a_form_without_a_password() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    let fields = json!({ "password": PASSWORD });
    for kind in ["text/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let request = app.client.post(&link).header(header("Content-Type", kind));
        app.visitor().send(request.body(fields.to_string())).await.assert_status(415);
    }
    app.visitor().send(app.client.post(&link).body("x")).await.assert_status(415);
    let too_long = json!({ "password": "a".repeat(40_000) });
    app.visitor().send(post_json(&app, &link, &too_long)).await.assert_status(413);
    assert_eq!(get_json(&app, &ada, "/account").await["verified_at"], Value::Null);

    // Another browser: with the password, it stays good.
    let wrong = post_json(&app, &link, &json!({ "password": "wrong horse battery" }));
    let answer = app.visitor().send(wrong.header(Accept::JSON)).await;
    assert_eq!(codes(&answer), (422, "invalid_form".into()));
    let kind = "application/json; charset=utf-8".parse().unwrap();
    let request = post(&app, &link, kind, &fields.to_string());
    app.visitor().send(request).await.assert_redirect("/login");
    app.visitor().log_in(ADA).await.assert_redirect("/account");

    // Once more from nobody who has used it: a program is told the reason in words.
    let answer = app.visitor().send(app.client.get(&link).header(Accept::JSON)).await;
    assert_eq!(codes(&answer), (404, "dead_link".into()));
    answer.assert_text("\"detail\":\"This link doesn't work any more.");

    // Without anything the link works, too, as in the account's own browser.
    let bob = app.registered("bob@example.org").await;
    let link = app.link("bob@example.org", "/verify/").await;
    bob.send(app.client.post(&link)).await.assert_redirect("/account");
}

/// What an application adds for a front end of another origin.
fn cors() -> AdHoc {
    AdHoc::on_response("CORS", |request, response| {
        Box::pin(async move {
            response.set_raw_header("Access-Control-Allow-Origin", "https://app.example");
            response.set_raw_header("Access-Control-Allow-Credentials", "true");
            response.set_raw_header("Access-Control-Allow-Headers", "Content-Type");
            response.set_raw_header("Vary", "Origin");
            if request.method() == Method::Options {
                response.set_status(Status::NoContent);
            }
        })
    })
}

#[rocket::async_test]
async fn a_front_end_of_a_trusted_origin_can_use_every_form() {
    let app = TestApp::built(
        |f| f.merge(("site.trusted_origins", ["https://app.example"])),
        |rocket| rocket.attach(cors()),
    )
    .await;
    let preflight = app.client.options("/login").header(header("Sec-Fetch-Site", "cross-site"));
    let preflight = preflight
        .header(header("Origin", "https://app.example"))
        .header(header("Access-Control-Request-Method", "POST"))
        .header(header("Access-Control-Request-Headers", "content-type"));
    let answer = app.visitor().send(preflight).await;
    answer.assert_status(204);
    assert_eq!(answer.header("access-control-allow-headers"), Some("Content-Type"));

    let fields = json!({"email": ADA, "password": PASSWORD});
    let from = |origin: &'static str| {
        let request = post_json(&app, "/register", &fields).header(Accept::JSON);
        let request = request.header(header("Sec-Fetch-Site", "cross-site"));
        request.header(header("Origin", origin))
    };
    let answer = app.visitor().send(from("https://evil.example")).await;
    assert_eq!(codes(&answer), (403, "cross_site".into()));
    let ada = app.visitor();
    assert_eq!(json_of(&ada.send(from("https://app.example")).await)["location"], "/account");
    assert_eq!(get_json(&app, &ada, "/account").await["email"], ADA);

    // A refusal can be read by the front end, too.
    let answer = app.visitor().send(app.client.get("/account").header(Accept::JSON)).await;
    answer.assert_status(401);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
}

#[derive(FromForm)]
struct Note {
    text: String,
    pages: Option<u32>,
}

#[post("/notes", data = "<form>")]
fn add(_user: &User, form: Posted<Note>) -> Result<Done, String> {
    let Posted(Note { text, pages }) = form;
    match pages {
        None => Ok(Done::to(uri!(note(text)))),
        Some(0) => Ok(Done::to("not a place")),
        Some(pages) => Err(format!("{pages} pages")),
    }
}

#[get("/notes/<text>")]
fn note(text: &str) -> Done {
    Done::to(format!("/elsewhere/{text}"))
}

#[rocket::async_test]
async fn an_applications_own_forms_take_json_and_say_where_to_go() {
    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![add, note])).await;
    let ada = app.registered(ADA).await;
    let request = |fields: &Value| post_json(&app, "/notes", fields);
    let fields = json!({"text": "buy tea"});
    let answer = ada.send(request(&fields).header(Accept::JSON)).await;
    assert_eq!(json_of(&answer), json!({"location": "/notes/buy%20tea"}));
    ada.send(request(&fields)).await.assert_redirect("/notes/buy%20tea");
    let answer = ada.send(request(&json!({"text": "", "pages": 12}))).await;
    assert_eq!(answer.body, "12 pages");
    ada.send(request(&json!({"text": "", "pages": -1}))).await.assert_redirect("/notes/");
    ada.send(request(&json!({"pages": 1})).header(Accept::JSON)).await.assert_status(422);
    ada.send(request(&json!({"text": "", "pages": 0}))).await.assert_status(500);

    let request = app.client.get("/notes/tea").header(Accept::JSON);
    ada.send(request).await.assert_redirect("/elsewhere/tea");
    let request = app.client.post("/notes").header(ContentType::JSON).header(Accept::JSON);
    let answer = app.visitor().send(request.body("{}")).await;
    assert_eq!(codes(&answer), (401, "log_in_required".into()));
}
