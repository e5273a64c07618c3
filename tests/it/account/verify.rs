//! Confirming an address with a link that was mailed to it.

use rocket::figment::Figment;
use rocket::futures::future::join_all;

use crate::support::{PASSWORD, TestApp, header};

const ADA: &str = "ada@example.org";
const HOUR: u64 = 60 * 60;

fn confirm(figment: Figment) -> Figment {
    figment.merge(("accounts.registration", "confirm"))
}

#[rocket::async_test]
async fn a_sign_up_mails_a_link_that_confirms_the_address() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    assert_eq!(app.subjects(ADA).await, ["Confirm your address"]);
    ada.get("/account").await.assert_text("Your address is not confirmed yet.");

    let link = app.link(ADA, "/verify/").await;
    ada.post(&link, &[]).await.assert_redirect("/account");
    let account = ada.get("/account").await;
    account
        .assert_text("Your email address ada@example.org is confirmed.")
        .assert_text(">confirmed<");
    account.assert_no_text("not confirmed yet");
}

#[rocket::async_test]
async fn opening_a_link_shows_a_button_and_changes_nothing() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    for _ in 0..3 {
        let page = app.visitor().get(&link).await;
        page.assert_status(200).assert_text(ADA).assert_text(r#"<button type="submit">Confirm"#);
        assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    app.client.head(link.clone()).dispatch().await;
    assert_eq!(app.count("SELECT count(*) FROM users WHERE verified_at IS NOT NULL").await, 0);
}

#[rocket::async_test]
async fn confirming_in_another_browser_needs_the_password_and_logs_nobody_in() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let (link, phone) = (app.link(ADA, "/verify/").await, app.visitor());
    phone.get(&link).await.assert_text("Enter the password you chose");
    let wrong = phone.post(&link, &[("password", "wrong horse battery")]).await;
    wrong.assert_status(422).assert_text(r#"id="password-error""#).assert_no_text("wrong horse");
    // An empty password is refused, unlike a missing one: a slip must not take over the account.
    phone
        .post(&link, &[("password", "")])
        .await
        .assert_status(422)
        .assert_text("Enter the password.");
    phone.post(&link, &[("password", PASSWORD)]).await.assert_redirect("/login");
    phone.get("/login").await.assert_text("Your email address ada@example.org is confirmed.");
    assert!(!phone.is_logged_in().await);
    assert!(ada.is_logged_in().await);
    app.visitor().log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_device_that_signed_up_needs_no_password_to_confirm_after_log_out() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.log_out().await;
    let link = app.link(ADA, "/verify/").await;
    ada.get(&link).await.assert_no_text("type=\"password\"");
    ada.post(&link, &[]).await.assert_redirect("/login");
    ada.log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_owner_who_confirms_a_strangers_sign_up_takes_the_account_over() {
    let app = TestApp::new().await;
    let (stranger, ada) = (app.registered(ADA).await, app.visitor());
    let link = app.link(ADA, "/verify/").await;
    // A program may send no form at all.
    ada.send(app.client.post(link)).await.assert_redirect("/login");
    ada.get("/login").await.assert_text("Choose a new one now");
    assert!(!stranger.is_logged_in().await);
    stranger.log_in(ADA).await.assert_status(422);
    ada.post("/reset", &[("email", ADA)]).await;
    let reset = app.link(ADA, "/reset/").await;
    ada.post(&reset, &[("new_password", "the owner's own words")]).await.assert_redirect("/login");
    ada.log_in_with(ADA, "the owner's own words").await.assert_redirect("/account");
    ada.get("/account").await.assert_text(">confirmed<");
}

#[rocket::async_test]
async fn a_sign_up_can_be_finished_in_another_browser_with_the_password() {
    let app = TestApp::with(confirm).await;
    app.visitor().register(ADA).await;
    let (link, phone) = (app.link(ADA, "/verify/").await, app.visitor());
    phone.post(&link, &[("password", "wrong horse battery")]).await.assert_status(422);
    phone.post(&link, &[("password", PASSWORD)]).await.assert_redirect("/login");
    phone.log_in(ADA).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_pending_sign_up_makes_no_account_after_registration_is_closed() {
    let app = TestApp::with(confirm).await;
    app.visitor().register(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    let app = app.restarted(|f| f.merge(("accounts.registration", "closed"))).await;
    app.visitor().post(&link, &[]).await.assert_status(404);
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn a_link_works_once() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    ada.post(&link, &[]).await.assert_redirect("/account");
    let (bob, other) = (app.registered("bob@example.org").await, app.visitor());
    for answer in [other.post(&link, &[]).await, bob.post(&link, &[]).await, bob.get(&link).await] {
        answer.assert_status(404).assert_text("This link no longer works");
        assert_eq!(answer.header("referrer-policy"), Some("strict-origin"));
    }
}

#[rocket::async_test]
async fn only_one_of_several_parallel_uses_of_a_link_takes_effect() {
    let app = TestApp::with(confirm).await;
    for (email, path) in [("ada@example.org", "/verify/"), ("bob@example.org", "/verify/")] {
        let visitor = app.visitor();
        visitor.register(email).await.assert_redirect("/register/sent");
        let link = app.link(email, path).await;
        // Later uses in the same browser show what the link did; for strangers it is dead.
        let stranger = app.visitor();
        let answers = join_all((0..8).map(|_| visitor.post(&link, &[]))).await;
        answers.iter().for_each(|answer| _ = answer.assert_redirect("/login"));
        let answers = join_all((0..8).map(|_| stranger.post(&link, &[]))).await;
        answers.iter().for_each(|answer| _ = answer.assert_status(404));
    }
    assert_eq!(app.users().await, 2);
    for kind in ["signed_up", "email_verified"] {
        let events = format!("SELECT count(*) FROM login_events WHERE kind = '{kind}'");
        let row = sqlx::query_scalar(sqlx::AssertSqlSafe(events));
        let events: i64 = row.fetch_one(&mut app.db().await).await.unwrap();
        assert_eq!(events, 2, "{kind}");
    }
}

#[rocket::async_test]
async fn a_link_expires_after_exactly_24_hours() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    app.advance(24 * HOUR - 1);
    let link = app.link(ADA, "/verify/").await;
    ada.post(&link, &[("password", PASSWORD)]).await.assert_redirect("/login");
    app.advance(1);
    let link = app.link("bob@example.org", "/verify/").await;
    bob.get(&link).await.assert_status(404);
    bob.post(&link, &[]).await.assert_status(404);
    assert_eq!(app.count("SELECT count(*) FROM users WHERE verified_at IS NOT NULL").await, 1);
}

#[rocket::async_test]
async fn a_newer_link_ends_the_older_one() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let first = app.link(ADA, "/verify/").await;
    ada.post("/account/verify", &[]).await.assert_redirect("/account");
    let second = app.link(ADA, "/verify/").await;
    assert_ne!(first, second);
    ada.post(&first, &[]).await.assert_status(404);
    ada.post(&second, &[]).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_confirmed_address_is_not_mailed_a_link_again() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    ada.post("/account/verify", &[]).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("Your address is already confirmed.");
    assert_eq!(app.subjects(ADA).await.len(), 1);
}

#[rocket::async_test]
async fn a_malformed_link_is_a_dead_link() {
    let app = TestApp::new().await;
    let long = "A".repeat(3000);
    for token in ["x", "A", &"A".repeat(43), "..%2f", "%00", "%ff", &long] {
        for path in ["verify", "reset", "not-me"] {
            let path = format!("/{path}/{token}");
            app.visitor().get(&path).await.assert_status(404);
            let answer = app.visitor().post(&path, &[("new_password", PASSWORD)]).await;
            answer.assert_status(404);
        }
    }
}

#[rocket::async_test]
async fn a_link_works_only_for_its_own_purpose() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let verify = app.link(ADA, "/verify/").await;
    let reset = app.link(ADA, "/reset/").await;
    let swapped = [verify.replace("verify", "reset"), reset.replace("reset", "verify")];
    for path in swapped.iter().chain([&verify.replace("verify", "not-me")]) {
        app.visitor().get(path).await.assert_status(404);
        app.visitor().post(path, &[("new_password", PASSWORD)]).await.assert_status(404);
    }
}

#[rocket::async_test]
async fn the_database_holds_no_link_token_in_clear_text() {
    let app = TestApp::with(confirm).await;
    let ada = app.visitor();
    ada.register(ADA).await;
    let verify = app.link(ADA, "/verify/").await;
    ada.post(&verify, &[]).await;
    ada.post("/reset", &[("email", ADA)]).await;
    let reset = app.link(ADA, "/reset/").await;

    app.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let file = std::fs::read(app.dir.path().join("login.db")).unwrap();
    for link in [verify, reset] {
        let token = link.rsplit('/').next().unwrap();
        assert_eq!(token.len(), 43);
        assert!(!file.windows(43).any(|window| window == token.as_bytes()), "{link}");
    }
    assert_eq!(app.count("SELECT min(length(id)) FROM login_tokens").await, 32);
}

#[rocket::async_test]
async fn links_are_built_from_the_configured_address_and_never_from_the_request() {
    let app = TestApp::with(|f| f.merge(("site.url", "https://login.example.org"))).await;
    app.registered(ADA).await;
    let request = app.client.post("/reset").header(rocket::http::ContentType::Form);
    let request = request
        .header(rocket::http::Header::new("Host", "evil.example"))
        .header(rocket::http::Header::new("X-Forwarded-Host", "evil.example"))
        .body(format!("email={ADA}"));
    app.visitor().send(request).await.assert_status(200);
    for mail in app.mails().await {
        assert!(mail.text.contains("https://login.example.org/"), "{}", mail.text);
        assert!(!mail.text.contains("evil") && !mail.html.contains("evil"), "{}", mail.text);
    }
}

// Registration with a confirmed address.

#[rocket::async_test]
async fn a_pending_sign_up_is_no_account_and_logs_nobody_in() {
    let app = TestApp::with(confirm).await;
    let ada = app.visitor();
    ada.register(ADA).await.assert_redirect("/register/sent");
    ada.get("/register/sent").await.assert_status(200).assert_text("Check your email");
    assert!(!ada.is_logged_in().await);
    assert_eq!(app.users().await, 0);
    ada.log_in(ADA).await.assert_status(422).assert_text("Wrong email address or password.");

    ada.post(&app.link(ADA, "/verify/").await, &[]).await.assert_redirect("/login");
    assert!(!ada.is_logged_in().await);
    ada.log_in(ADA).await.assert_redirect("/account");
    ada.get("/account").await.assert_text(">confirmed<");
    // The device signed up, so its first log-in sends no notice.
    assert_eq!(app.subjects(ADA).await, ["Confirm your address"]);
}

#[rocket::async_test]
async fn a_sign_up_gets_the_same_answer_for_a_free_and_a_taken_address() {
    let app = TestApp::with(confirm).await;
    let ada = app.visitor();
    ada.register(ADA).await;
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;

    let free = app.visitor().register("bob@example.org").await;
    let hashes = || app.client.rocket().state::<rocket_login::password::Hasher>().unwrap().count();
    let before = hashes();
    let taken = app.visitor().register("ADA@example.org").await;
    assert_eq!(hashes() - before, 1);
    assert_eq!(free.status, taken.status);
    assert_eq!(free.body, taken.body);
    let shape = |answer: &crate::support::Answer| -> Vec<String> {
        answer.headers.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(shape(&free), shape(&taken));

    assert_eq!(app.users().await, 1);
    assert_eq!(app.subjects(ADA).await, ["Confirm your address", "You already have an account"]);
    ada.log_in(ADA).await.assert_redirect("/account");
    ada.get("/account/activity").await.assert_text("Someone tried to sign up with your address");
}

#[rocket::async_test]
async fn a_password_chosen_in_another_browser_never_becomes_the_owners() {
    let app = TestApp::with(confirm).await;
    let (attacker, owner) = (app.visitor(), app.visitor());
    attacker.register(ADA).await.assert_redirect("/register/sent");

    // The owner did not sign up, but confirms out of curiosity.
    let link = app.link(ADA, "/verify/").await;
    owner.post(&link, &[]).await.assert_redirect("/login");
    owner.get("/login").await.assert_text("Choose a new one now");
    attacker.log_in(ADA).await.assert_status(422);
    attacker.post(&link, &[]).await.assert_status(404);

    // The reader of the mail chooses the password.
    owner.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let reset = app.link(ADA, "/reset/").await;
    owner
        .post(&reset, &[("new_password", "the owner's own words")])
        .await
        .assert_redirect("/login");
    owner.log_in_with(ADA, "the owner's own words").await.assert_redirect("/account");
    attacker.log_in(ADA).await.assert_status(422);
}

#[rocket::async_test]
async fn only_the_mailbox_owner_gets_in_when_two_sign_up_with_one_address() {
    let app = TestApp::with(confirm).await;
    let (attacker, owner) = (app.visitor(), app.visitor());
    let own = [("email", ADA), ("password", "the owner's own words")];
    // The attacker comes first, and comes again after the owner.
    attacker.register(ADA).await;
    owner.post("/register", &own).await.assert_redirect("/register/sent");
    let link = app.link(ADA, "/verify/").await;
    owner.post(&link, &[]).await.assert_redirect("/login");
    attacker.log_in(ADA).await.assert_status(422);
    owner.log_in_with(ADA, "the owner's own words").await.assert_redirect("/account");

    let bob = "bob@example.org";
    let own = [("email", bob), ("password", "the owner's own words")];
    owner.post("/register", &own).await;
    let older = app.link(bob, "/verify/").await;
    attacker.register(bob).await;
    owner.post(&older, &[]).await.assert_status(404);
    owner.post(&app.link(bob, "/verify/").await, &[]).await;
    attacker.log_in(bob).await.assert_status(422);
    owner.log_in_with(bob, "the owner's own words").await.assert_status(422);
}

#[rocket::async_test]
async fn a_forged_sign_up_cookie_proves_nothing() {
    let app = TestApp::with(confirm).await;
    let (attacker, owner) = (app.visitor(), app.visitor());
    attacker.register(ADA).await;
    // First the cookie of another sign-up, then one that was never sealed.
    owner.register("bob@example.org").await;
    let link = app.link(ADA, "/verify/").await;
    owner.post(&link, &[]).await.assert_redirect("/login");
    owner.set_cookie("session-sign-up", "AAAA");
    owner.post(&app.link("bob@example.org", "/verify/").await, &[]).await;
    for email in [ADA, "bob@example.org"] {
        app.visitor().log_in(email).await.assert_status(422);
    }
}

#[rocket::async_test]
async fn expired_links_are_swept() {
    let app = TestApp::with(confirm).await;
    app.visitor().register(ADA).await;
    app.advance(24 * HOUR + HOUR);
    // The sweep wakes when the clock moves, if it is already asleep.
    app.until_after(3600, "SELECT count(*) = 0 FROM login_tokens").await;
}

#[rocket::async_test]
async fn a_links_form_is_accepted_without_sec_fetch_site() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let link = app.link(ADA, "/verify/").await;
    // Over http, browsers send this origin because of the page's `strict-origin`.
    // `no-referrer` made it `null`, which is not our origin.
    for (origin, status) in
        [("null", 403), ("http://192.0.2.2:8000", 403), ("http://192.0.2.1:8000", 303)]
    {
        let request = app.client.post(link.clone()).header(header("Host", "192.0.2.1:8000"));
        app.visitor().send(request.header(header("Origin", origin))).await.assert_status(status);
    }
}
