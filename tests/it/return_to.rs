//! The page that a visitor sees after the log-in.

use crate::support::{PASSWORD, TestApp};

#[rocket::async_test]
async fn a_log_in_leads_back_to_the_requested_page() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await.log_out().await;
    let visitor = app.visitor();
    let sent = visitor.get("/account?tab=1&x=a%26b").await;
    sent.assert_redirect("/login?next=%2Faccount%3Ftab%3D1%26x%3Da%2526b");
    let form = visitor.get(sent.header("location").unwrap()).await;
    form.assert_text(r#"name="next" value="/account?tab=1&amp;x=a%26b""#);
    form.assert_text("/register?next=%2Faccount%3Ftab%3D1%26x%3Da%2526b");

    let fields =
        [("email", "ada@example.org"), ("password", PASSWORD), ("next", "/account?tab=1&x=a%26b")];
    visitor.post("/login", &fields).await.assert_redirect("/account?tab=1&x=a%26b");
}

#[rocket::async_test]
async fn a_refused_form_keeps_the_return_path() {
    let app = TestApp::new().await;
    for page in ["/login", "/register"] {
        let fields = [("email", "ada@example.org"), ("password", "x"), ("next", "/notes")];
        let refused = app.visitor().post(page, &fields).await;
        refused.assert_status(422).assert_text(r#"name="next" value="/notes""#);
    }
}

#[rocket::async_test]
async fn nobody_is_sent_to_another_site() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    for (number, next) in [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        "https://evil.example/",
        "https:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "@evil.example",
        ".evil.example",
        " //evil.example",
        "/a\r\nSet-Cookie: x=y",
        "\u{0}/account",
        "notes",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let fields = [("email", "ada@example.org"), ("password", PASSWORD), ("next", next)];
        app.visitor().post("/login", &fields).await.assert_redirect("/account");

        let email = format!("ada{number}@example.org");
        let fields = [("email", email.as_str()), ("password", PASSWORD), ("next", next)];
        app.visitor().post("/register", &fields).await.assert_redirect("/account");
    }
}

#[rocket::async_test]
async fn a_private_act_without_a_log_in_is_not_replayed() {
    use rocket::{get, post, routes};
    use rocket_login::User;

    #[post("/notes")]
    fn add(_user: &User) -> &'static str {
        "added"
    }

    #[get("/notes")]
    fn list(_user: &User) -> &'static str {
        "notes"
    }

    let app = TestApp::built(|f| f, |rocket| rocket.mount("/", routes![add, list])).await;
    app.visitor().post("/notes", &[]).await.assert_redirect("/login");
    app.visitor().get("/notes").await.assert_redirect("/login?next=%2Fnotes");
    app.visitor().send(app.client.head("/notes")).await.assert_redirect("/login?next=%2Fnotes");

    let ada = app.registered("ada@example.org").await;
    ada.post("/notes", &[]).await.assert_status(200).assert_text("added");
    ada.get("/notes").await.assert_status(200).assert_text("notes");
}
