//! The address that was typed is filled in on the next page, and travels in no path.

use rocket_login::testing::Answer;

use crate::support::{PASSWORD, TestApp, Visitor, encode, sealed};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";
const WRONG: &str = "wrong horse battery";

/// The cookie with the address.
const COOKIE: &str = "session-email";

/// Asserts that the page has a form with the address `email` filled in.
#[track_caller]
fn assert_filled_in(page: &Answer, email: &str) {
    let field = page.body.split("<input ").find(|input| input.starts_with(r#"id="email""#));
    let field = field.expect("a field for the address").split('>').next().unwrap();
    assert!(field.contains(&format!(r#"value="{email}""#)), "{field}");
}

/// Opens the log-in page, which fills in `email` and puts the cursor into the next field.
async fn assert_log_in_knows(visitor: &Visitor<'_>, email: &str) {
    let page = visitor.get("/login").await;
    assert_filled_in(page.assert_status(200), email);
    let focused = page.body.split("autofocus").next().unwrap();
    let field = focused.rsplit("<input").next().unwrap();
    assert!(field.contains(r#"name="password""#), "{field}");
}

/// Asserts that an answer tells the address to nobody but this browser.
#[track_caller]
fn assert_in_no_path(answer: &Answer) {
    for (name, value) in &answer.headers {
        // Three letters alone are in a sealed cookie now and then.
        let part = if name.eq_ignore_ascii_case("set-cookie") { "ada@" } else { "ada" };
        let plain = value.contains(part) || value.contains(&encode(ADA));
        assert!(!plain, "{name}: {value}");
    }
}

#[rocket::async_test]
async fn after_a_reset_the_log_in_knows_the_address() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let visitor = app.visitor();
    let sent = visitor.post("/reset", &[("email", ADA)]).await;
    assert_in_no_path(&sent);
    // A typo is corrected in the form, and nobody types the address for the log-in again.
    assert_filled_in(&visitor.get("/reset").await, ADA);
    assert_log_in_knows(&visitor, ADA).await;

    // The link is opened in another browser.
    let other = app.visitor();
    let done = other.post(&app.link(ADA, "/reset/").await, &[("new_password", NEW)]).await;
    assert_in_no_path(done.assert_redirect("/login"));
    assert_log_in_knows(&other, ADA).await;
    other.get("/login").await.assert_text("autofocus");
    other.log_in_with(ADA, NEW).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn after_a_confirmation_the_log_in_knows_the_address() {
    let app = TestApp::with(|f| f.merge(("accounts.registration", "confirm"))).await;
    let visitor = app.visitor();
    assert_in_no_path(visitor.register(ADA).await.assert_redirect("/register/sent"));
    let sent = visitor.get("/register/sent").await;
    sent.assert_text("We've sent an email to <strong class=\"address\">ada@example.org</strong>.");
    sent.assert_text(r#"href="/register">Sign up again"#);
    assert_filled_in(&visitor.get("/register").await, ADA);
    // The page says nothing in a browser that has not signed up.
    app.visitor().get("/register/sent").await.assert_text("the address you entered");

    // The mail is opened in another browser.
    let other = app.visitor();
    let link = app.link(ADA, "/verify/").await;
    let done = other.post(&link, &[("password", PASSWORD)]).await;
    assert_in_no_path(done.assert_redirect("/login"));
    assert_log_in_knows(&other, ADA).await;
}

#[rocket::async_test]
async fn after_not_me_the_log_in_knows_the_address() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.visitor().log_in(ADA).await;
    let visitor = app.visitor();
    let done = visitor.post(&app.link(ADA, "/not-me/").await, &[]).await;
    assert_in_no_path(done.assert_redirect("/login"));
    assert_log_in_knows(&visitor, ADA).await;
}

#[rocket::async_test]
async fn a_taken_address_leads_to_the_log_in_that_knows_it() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let visitor = app.visitor();
    let typed = [("email", ADA), ("password", WRONG), ("next", "/notes?page=2")];
    let refused = visitor.post("/register", &typed).await;
    refused.assert_status(422).assert_text("This address already has an account. <a href=");
    assert_in_no_path(&refused);
    let body = &refused.body;
    assert!(body.contains(r#"<a href="/login?next=%2Fnotes%3Fpage%3D2">Log in instead</a>"#));
    assert_log_in_knows(&visitor, ADA).await;

    // Another mistake has no such link.
    let refused = visitor.post("/register", &[("email", "ada"), ("password", WRONG)]).await;
    refused.assert_status(422).assert_no_text("Log in instead");
}

#[rocket::async_test]
async fn after_a_refused_log_in_the_reset_knows_the_address() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let visitor = app.visitor();
    visitor.log_in_with(ADA, WRONG).await.assert_status(422);
    assert_filled_in(&visitor.get("/reset").await, ADA);
    // The site keeps only a text that is an address.
    let other = app.visitor();
    other.log_in_with("ada", WRONG).await.assert_status(422);
    assert!(!other.has_cookie(COOKIE));
}

#[rocket::async_test]
async fn a_log_in_and_a_sign_up_forget_the_address() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let visitor = app.visitor();
    visitor.log_in_with(ADA, WRONG).await.assert_status(422);
    assert!(visitor.has_cookie(COOKIE));
    visitor.log_in(ADA).await.assert_redirect("/account");
    assert!(!visitor.has_cookie(COOKIE));
    visitor.log_out().await;
    visitor.get("/login").await.assert_no_text(ADA);

    visitor.log_in_with("bob@example.org", WRONG).await.assert_status(422);
    visitor.register("bob@example.org").await.assert_redirect("/account");
    assert!(!visitor.has_cookie(COOKIE));
}

#[rocket::async_test]
async fn a_log_out_and_a_deletion_leave_no_address_for_the_next_person() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post("/reset", &[("email", ADA)]).await.assert_status(200);
    assert!(ada.has_cookie(COOKIE));
    ada.log_out().await;
    ada.get("/login").await.assert_no_text(ADA);

    ada.log_in(ADA).await.assert_redirect("/account");
    ada.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let password = [("current_password", crate::support::PASSWORD)];
    ada.post("/account/delete", &password).await.assert_redirect("/");
    ada.get("/login").await.assert_no_text(ADA);
}

#[rocket::async_test]
async fn a_sign_up_that_knows_the_address_asks_for_the_password() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    visitor.log_in_with(ADA, WRONG).await.assert_status(422);
    let page = visitor.get("/register").await;
    assert_filled_in(&page, ADA);
    let field = page.body.split("autofocus").next().unwrap().rsplit("<input").next().unwrap();
    assert!(field.contains(r#"name="password""#), "{field}");
}

#[rocket::async_test]
async fn only_this_site_fills_in_an_address() {
    let app = TestApp::new().await;
    for path in ["/login", "/register", "/reset"] {
        for query in ["email=eve%40example.org", "username=eve%40example.org&login_hint=eve"] {
            let page = app.visitor().get(&format!("{path}?{query}")).await;
            page.assert_status(200).assert_no_text(r#"value="eve"#);
        }
        // A cookie that was not sealed here, or for another purpose, is none.
        let visitor = app.visitor();
        visitor.set_cookie(COOKIE, "eve@example.org");
        visitor.get(path).await.assert_status(200).assert_no_text("eve@");
        visitor.set_cookie(COOKIE, sealed("session-flash", "eve@example.org"));
        visitor.get(path).await.assert_status(200).assert_no_text("eve@");
        // This one is.
        visitor.set_cookie(COOKIE, sealed(COOKIE, "ada@example.org"));
        assert_filled_in(&visitor.get(path).await, ADA);
    }
}

#[rocket::async_test]
async fn the_cookie_of_the_address_is_sealed_and_ends_after_ten_minutes() {
    let app = TestApp::release().await;
    let refused = app.visitor().log_in_with(ADA, WRONG).await;
    let name = "__Host-session-email";
    let attributes = refused.cookie_attributes(name);
    assert_eq!(attributes, ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax", "Secure"]);
    assert!(!refused.set_cookie(name).unwrap().contains("ada"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
}

#[rocket::async_test]
async fn a_program_gets_no_cookie_for_the_address() {
    let app = TestApp::new().await;
    let visitor = app.visitor();
    let request = app.client.post("/login").header(rocket::http::ContentType::Form);
    let request = request.header(rocket::http::Accept::JSON);
    let body = "email=ada%40example.org&password=wrong+horse+battery";
    visitor.send(request.body(body)).await.assert_status(422);
    assert!(!visitor.has_cookie(COOKIE));
}

/// Returns the length of a `Set-Cookie` line, in which `%2B` is one character.
fn decoded_length(line: &str) -> usize {
    line.len() - 2 * line.matches('%').count()
}

#[rocket::async_test]
async fn a_refused_log_in_mentions_the_mailed_link_for_every_address_alike() {
    let confirm = |f: rocket::figment::Figment| f.merge(("accounts.registration", "confirm"));
    let app = TestApp::new().await;
    for email in ["ada@example.org", "dis@example.org"] {
        app.registered(email).await;
    }
    app.execute("UPDATE users SET disabled_at = 1 WHERE email = 'dis@example.org'").await;
    let app = app.restarted(confirm).await;
    app.visitor().register("new@example.org").await.assert_redirect("/register/sent");

    let mut pages = Vec::new();
    for email in ["ada@example.org", "dis@example.org", "new@example.org", "non@example.org"] {
        let page = app.visitor().log_in_with(email, WRONG).await;
        page.assert_status(422).assert_text("Signed up recently?");
        // The cookie with the address is as long as the address, before it is encoded.
        let headers = page.headers.iter().map(|(name, value)| match name.as_str() {
            "Set-Cookie" => (name.clone(), decoded_length(value).to_string()),
            _ => (name.clone(), value.clone()),
        });
        let headers: Vec<_> = headers.collect();
        pages.push((page.body.replace(email, "…"), headers));
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]), "{pages:#?}");

    // Somebody who has signed up, and has lost the mail, gets another link in this way.
    let visitor = app.visitor();
    visitor.register("new@example.org").await;
    visitor.log_in("new@example.org").await.assert_status(422).assert_text("Signed up recently?");
    let form = visitor.get("/register").await;
    assert_filled_in(&form, "new@example.org");
    visitor.register("new@example.org").await.assert_redirect("/register/sent");
    visitor.post(&app.link("new@example.org", "/verify/").await, &[]).await;
    visitor.log_in("new@example.org").await.assert_redirect("/account");

    // Where a sign-up needs no link, nobody is told of one.
    let app = app.restarted(|f| f).await;
    app.visitor().log_in_with(ADA, WRONG).await.assert_no_text("Signed up recently?");
}
