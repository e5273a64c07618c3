//! Bad input gets a clear answer, stores nothing and breaks nothing.

use rocket::http::{ContentType, Header, Method};

use crate::support::{Answer, PASSWORD, TestApp, encode};

const FORMS: [&str; 2] = ["/register", "/login"];
const FIELDS: [&str; 3] = ["email", "password", "next"];

/// The form's fields with `field` replaced by the encoded `value`.
fn body(field: &str, value: &str) -> String {
    let password = encode(PASSWORD);
    let fields = [("email", "ada%40example.org"), ("password", &password), ("next", "%2Faccount")];
    let fields =
        fields.map(|(name, good)| format!("{name}={}", if name == field { value } else { good }));
    fields.join("&")
}

async fn assert_refused(app: &TestApp, answer: &Answer, what: &str) {
    assert!(answer.status.class().is_client_error(), "{what}: {}", answer.status);
    assert!(answer.body.contains("</html>"), "{what}: {}", answer.body);
    assert_eq!((app.users().await, app.sessions().await), (0, 0), "{what}");
}

#[rocket::async_test]
async fn a_missing_or_empty_field_is_refused() {
    let app = TestApp::new().await;
    for form in FORMS {
        for field in ["email", "password"] {
            for body in [body(field, ""), body(field, "").replace(&format!("{field}="), "other=")] {
                let answer = app.visitor().post_raw(form, &body).await;
                answer.assert_status(422).assert_text(&format!(r#"id="{field}-error""#));
                assert_refused(&app, &answer, &format!("{form} {body}")).await;
            }
        }
        let answer = app.visitor().post_raw(form, "").await;
        answer.assert_status(422).assert_text("email-error").assert_text("password-error");
    }
}

#[rocket::async_test]
async fn a_field_of_a_megabyte_is_refused() {
    let app = TestApp::new().await;
    for form in FORMS {
        for field in FIELDS {
            let answer = app.visitor().post_raw(form, body(field, &"a".repeat(1 << 20))).await;
            answer.assert_status(413);
            assert_refused(&app, &answer, form).await;
        }
    }
}

#[rocket::async_test]
async fn a_field_longer_than_its_limit_is_refused() {
    let app = TestApp::new().await;
    for (field, value) in
        [("email", format!("{}%40example.org", "a".repeat(9_000))), ("password", "a".repeat(9_000))]
    {
        for form in FORMS {
            let answer = app.visitor().post_raw(form, body(field, &value)).await;
            answer.assert_status(422);
            assert_refused(&app, &answer, form).await;
        }
    }
}

#[rocket::async_test]
async fn a_field_with_nul_or_invalid_utf8_is_refused() {
    let app = TestApp::new().await;
    for form in FORMS {
        for field in ["email", "password"] {
            for value in [
                "ada%00%40example.org",
                "twelve%00characters",
                "twelve%ff%fecharacters",
                "%c3%28%40example.org",
            ] {
                let answer = app.visitor().post_raw(form, body(field, value)).await;
                answer.assert_status(422);
                assert_refused(&app, &answer, &format!("{form} {field} {value}")).await;
            }
        }
        let raw =
            [b"email=ada%40example.org&password=twelve".as_slice(), b"\xff\xfe", b"characters"]
                .concat();
        let answer = app.visitor().post_raw(form, raw).await;
        answer.assert_status(400);
        assert_refused(&app, &answer, form).await;
    }
}

#[rocket::async_test]
async fn a_field_sent_twice_is_refused() {
    let app = TestApp::new().await;
    for form in FORMS {
        for field in FIELDS {
            for again in [
                format!("{field}=x"),
                field.to_string(),
                format!("%{:02x}{}=x", field.as_bytes()[0], &field[1..]),
            ] {
                let answer =
                    app.visitor().post_raw(form, format!("{}&{again}", body("", ""))).await;
                answer.assert_status(422);
                assert_refused(&app, &answer, &again).await;
            }
        }
    }
}

#[rocket::async_test]
async fn nested_names_are_not_mistaken_for_fields() {
    let app = TestApp::new().await;
    for name in ["email[]", "email[0]", "email.x"] {
        let sent = body("", "").replace("email=", &format!("{}=", encode(name)));
        for form in FORMS {
            let answer = app.visitor().post_raw(form, &sent).await;
            assert_refused(&app, &answer, name).await;
        }
    }
}

#[rocket::async_test]
async fn a_body_that_is_not_a_form_is_refused() {
    let app = TestApp::new().await;
    let json = r#"{"email":"ada@example.org","password":"correct horse battery"}"#;
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nada@example.org\r\n\
         --x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ncorrect horse battery\r\n--x--\r\n";
    for form in FORMS {
        for (kind, body) in [
            (Some("application/problem+json"), json),
            (Some("text/json"), json),
            (Some("text/plain"), json),
            (Some("text/plain"), "email=ada%40example.org&password=correct+horse+battery"),
            (Some("multipart/form-data; boundary=x"), multipart),
            (Some("multipart/form-data"), multipart),
            (Some("nonsense"), "email=ada%40example.org"),
            (None, "email=ada%40example.org&password=correct+horse+battery"),
        ] {
            let request = app.client.post(form).body(body);
            let request = match kind {
                Some(kind) => request.header(Header::new("Content-Type", kind)),
                None => request,
            };
            let answer = app.visitor().send(request).await;
            answer.assert_status(415);
            assert_refused(&app, &answer, &format!("{kind:?}")).await;
        }
    }
}

#[rocket::async_test]
async fn stray_percent_signs_and_thousands_of_fields_are_refused() {
    let app = TestApp::new().await;
    for sent in [
        "%",
        "%zz",
        "email=%",
        "&&&&&&",
        "=",
        "=&=",
        "email",
        &"a=b&".repeat(4_000),
        &"&".repeat(16_000),
    ] {
        for form in FORMS {
            let answer = app.visitor().post_raw(form, sent).await;
            assert_refused(&app, &answer, sent).await;
        }
    }
}

#[rocket::async_test]
async fn unknown_fields_change_nothing() {
    let app = TestApp::new().await;
    let extra = "&is_admin=1&id=7&role=root&user_id=7&created_at=0&remember=on";
    app.visitor().post_raw("/register", body("", "") + extra).await.assert_status(303);
    assert_eq!(app.count("SELECT count(*) FROM users WHERE id = 1 AND created_at > 0").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM sessions WHERE NOT remember").await, 1);
}

#[rocket::async_test]
async fn sql_in_a_field_is_treated_as_text() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await.log_out().await;
    for sql in ["' OR '1'='1", "ada@example.org' --", "'; DROP TABLE users; --", "%"] {
        let fields = [("email", sql), ("password", sql)];
        app.visitor().post("/login", &fields).await.assert_status(422);
    }
    assert_eq!((app.users().await, app.sessions().await), (1, 0));
}

#[rocket::async_test]
async fn malformed_paths_show_neither_the_account_nor_a_file() {
    let app = TestApp::new().await;
    for path in [
        "//account",
        "/account/",
        "/%61ccount",
        "/./account",
        "/account;x",
        "/ACCOUNT",
        "/account%2f",
        "/account%00",
        "/%00",
        "/..%2f..%2fetc%2fpasswd",
        "/static/..%2fCargo.toml",
        "/static/%2e%2e",
        "/?%00",
        "/login?next=%ff",
    ] {
        let answer = app.visitor().get(path).await;
        assert!(answer.status.code < 500, "{path}: {}", answer.status);
        answer.assert_no_text("Member since").assert_no_text("[package]");
    }
}

#[rocket::async_test]
async fn headers_and_queries_that_name_a_user_log_nobody_in() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    let request = app
        .client
        .get("/account")
        .header(Header::new("X-User", "ada@example.org"))
        .header(Header::new("Remote-User", "1"))
        .header(Header::new("Authorization", "Basic YWRhQGV4YW1wbGUub3JnOng="));
    app.visitor().send(request).await.assert_status(303);
    app.visitor().get("/account?session=1&sid=1&user_id=1").await.assert_status(303);
}

#[rocket::async_test]
async fn a_body_that_a_route_does_not_expect_is_ignored() {
    let app = TestApp::new().await;
    for method in [Method::Get, Method::Head] {
        let request = app.client.req(method, "/login").header(ContentType::Form).body("email=a");
        app.visitor().send(request).await.assert_status(200);
    }
    app.visitor().post_raw("/logout", "a".repeat(100_000)).await.assert_status(303);
}
