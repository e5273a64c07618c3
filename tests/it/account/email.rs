//! Changing the address.

use rocket::futures::future::join_all;

use crate::support::{Answer, PASSWORD, TestApp, Visitor};

const ADA: &str = "ada@example.org";
const NEW: &str = "lovelace@example.org";

async fn ask(visitor: &Visitor<'_>, email: &str) -> Answer {
    visitor.post("/account/email", &[("email", email), ("current_password", PASSWORD)]).await
}

#[rocket::async_test]
async fn the_address_changes_only_when_the_link_mailed_to_it_is_used() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await.assert_redirect("/account");
    let account = ada.get("/account").await;
    account.assert_text(&format!("emailed a link to {NEW}"));
    ada.get("/").await.assert_text(ADA).assert_no_text(NEW);
    app.visitor().log_in_with(NEW, PASSWORD).await.assert_status(422);

    let link = app.link(NEW, "/verify/").await;
    let page = ada.get(&link).await;
    page.assert_status(200)
        .assert_text(NEW)
        .assert_text("will become the email address of the account");
    page.assert_text(ADA).assert_no_text("type=\"password\"");
    ada.get("/").await.assert_text(ADA);

    ada.post(&link, &[]).await.assert_redirect("/account");
    let account = ada.get("/account").await;
    account
        .assert_text("Your email address is now lovelace@example.org.")
        .assert_text(NEW)
        .assert_text(">confirmed<");
    app.visitor().log_in(ADA).await.assert_status(422);
    app.visitor().log_in(NEW).await.assert_redirect("/account");
    app.visitor().post(&link, &[]).await.assert_status(404);
}

#[rocket::async_test]
async fn the_old_address_is_told_of_the_request_and_of_the_change() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await;
    assert_eq!(app.subjects(NEW).await, ["Confirm your new address"]);
    assert_eq!(app.subjects(ADA).await, ["Confirm your address", "Email change requested"]);
    app.mails().await[0].link("/not-me/");
    ada.post(&app.link(NEW, "/verify/").await, &[]).await;
    assert_eq!(app.subjects(ADA).await.len(), 3);
    let mail = &app.mails().await[0];
    assert_eq!(
        (mail.recipient.as_str(), mail.subject.starts_with("Your email address was changed at ")),
        (ADA, true)
    );
    assert!(mail.text.contains(NEW), "{}", mail.text);
}

#[rocket::async_test]
async fn a_change_needs_the_password_and_a_different_address() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for (email, password, field) in [
        (NEW, "", "current_password"),
        (NEW, "wrong horse battery", "current_password"),
        ("", PASSWORD, "email"),
        ("nobody", PASSWORD, "email"),
        (ADA, PASSWORD, "email"),
    ] {
        let fields = [("email", email), ("current_password", password)];
        let answer = ada.post("/account/email", &fields).await;
        answer.assert_status(422).assert_text(&format!(r#"id="{field}-error""#));
        answer.assert_text(&format!(r#"value="{email}""#)).assert_no_text("wrong horse");
    }
    assert_eq!(app.mails().await.len(), 1);
}

#[rocket::async_test]
async fn an_address_may_change_in_case_alone() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, "Ada@Example.org").await.assert_redirect("/account");
    ada.post(&app.link("Ada@Example.org", "/verify/").await, &[]).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("Ada@Example.org");
}

#[rocket::async_test]
async fn a_taken_address_gets_the_same_answer_as_a_free_one_and_its_owner_a_mail() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    let free = ask(&ada, "bib@example.org").await;
    let taken = ask(&ada, "BOB@example.org").await;
    taken.assert_redirect("/account");
    let shape = |answer: &Answer| -> Vec<String> {
        answer.headers.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(shape(&free), shape(&taken));
    assert_eq!(app.subjects("bob@example.org").await[1], "Someone tried to use your address");
    bob.get("/account/activity").await.assert_text("Someone tried to change to your address");
}

#[rocket::async_test]
async fn neither_the_export_nor_an_older_link_reveals_that_an_address_is_taken() {
    let app = TestApp::new().await;
    let (ada, _bob) = (app.registered(ADA).await, app.registered("bob@example.org").await);
    ask(&ada, NEW).await;
    let older = app.link(NEW, "/verify/").await;
    ask(&ada, "bob@example.org").await;
    let export = ada.get("/account/export").await;
    let export: serde_json::Value = serde_json::from_str(&export.body).unwrap();
    let change =
        export["links"].as_array().unwrap().iter().find(|link| link["purpose"] == "change_email");
    assert_eq!(change.unwrap()["email"], "bob@example.org");
    assert!(!export["mails"].to_string().contains("change_email\""), "{}", export["mails"]);
    ada.post(&older, &[]).await.assert_status(404);
}

#[rocket::async_test]
async fn a_former_address_is_reserved_for_its_owner_for_a_week() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    ask(&ada, NEW).await;
    ada.post(&app.link(NEW, "/verify/").await, &[]).await;
    app.visitor().register(ADA).await.assert_status(422).assert_text("is reserved for a week");
    let bob = app.registered("bob@example.org").await;
    ask(&bob, ADA).await.assert_redirect("/account");
    assert!(!app.mails().await.iter().any(|mail| {
        mail.recipient == ADA && mail.subject.starts_with("Confirm your new address")
    }));
    // Ada may move back, and after a week anybody may have the address.
    ask(&ada, ADA).await;
    let mail = &app.mails().await.into_iter().find(|mail| mail.recipient == ADA).unwrap();
    assert!(mail.subject.starts_with("Confirm your new address"), "{}", mail.subject);
    app.advance(7 * 24 * 60 * 60);
    app.registered(ADA).await;
}

#[rocket::async_test]
async fn a_former_address_that_was_never_confirmed_is_not_reserved() {
    let app = TestApp::new().await;
    let stranger = app.registered(ADA).await;
    ask(&stranger, NEW).await;
    stranger.post(&app.link(NEW, "/verify/").await, &[]).await;
    app.registered(ADA).await;
    // The mail that the stranger was sent there does not take the account back.
    let link = app.link(ADA, "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    assert_eq!(app.count("SELECT count(*) FROM users WHERE email = 'ada@example.org'").await, 1);
    assert!(!stranger.is_logged_in().await);
}

#[rocket::async_test]
async fn a_link_fails_if_its_address_was_taken_in_the_meantime() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await;
    let lovelace = app.registered(NEW).await;
    let link = app.mails().await;
    let link = link.iter().find(|mail| mail.subject.contains("new address")).unwrap();
    ada.post(&link.link("/verify/"), &[]).await.assert_status(404);
    ada.get("/").await.assert_text(ADA);
    lovelace.get("/").await.assert_text(NEW);
    assert_eq!(app.users().await, 2);
}

#[rocket::async_test]
async fn parallel_changes_never_confirm_an_address_whose_mail_was_not_opened() {
    // CVE-2026-32700.
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for round in 0..5 {
        let (own, other) =
            (format!("own{round}@example.org"), format!("victim{round}@example.org"));
        join_all([ask(&ada, &own), ask(&ada, &other)]).await;
        let mails = app.mails().await;
        let mail = mails.iter().find(|mail| mail.recipient == own).unwrap();
        // A second change races with the link from the mail to their own address.
        let link = mail.link("/verify/");
        rocket::tokio::join!(ada.post(&link, &[]), ask(&ada, &other));
        assert_eq!(app.count("SELECT count(*) FROM users WHERE email LIKE 'victim%'").await, 0);
    }
}

#[rocket::async_test]
async fn a_newer_request_a_new_password_or_expiry_ends_a_link() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await;
    let first = app.link(NEW, "/verify/").await;
    ask(&ada, "third@example.org").await;
    ada.post(&first, &[]).await.assert_status(404);

    let second = app.link("third@example.org", "/verify/").await;
    let fields = [("current_password", PASSWORD), ("new_password", "another horse battery")];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    ada.post(&second, &[]).await.assert_status(404);

    let fields = [("email", NEW), ("current_password", "another horse battery")];
    ada.post("/account/email", &fields).await.assert_redirect("/account");
    let third = app.link(NEW, "/verify/").await;
    app.advance(24 * 60 * 60);
    app.visitor().post(&third, &[]).await.assert_status(404);
    assert_eq!(app.count("SELECT count(*) FROM users WHERE email = 'ada@example.org'").await, 1);
}

// Account pre-hijacking: an attacker makes the account, somebody else owns the mailbox.

#[rocket::async_test]
async fn a_link_to_a_new_address_asks_another_browser_for_the_password() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await;
    let (link, phone) = (app.link(NEW, "/verify/").await, app.visitor());
    let page = phone.get(&link).await;
    page.assert_status(200).assert_text(NEW).assert_text(ADA).assert_text("type=\"password\"");
    for (password, message) in
        [("wrong horse battery", "Wrong password."), ("", "Enter the password.")]
    {
        let answer = phone.post(&link, &[("password", password)]).await;
        answer.assert_status(422).assert_text(message).assert_no_text("wrong horse");
    }
    ada.get("/").await.assert_text(ADA);

    phone.post(&link, &[("password", PASSWORD)]).await.assert_redirect("/login");
    phone.get("/login").await.assert_text("Your email address is now lovelace@example.org.");
    assert!(!phone.is_logged_in().await);
    // The same person confirmed, so the account stays as it was.
    ada.get("/account").await.assert_text(NEW);
    app.visitor().log_in(NEW).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_known_device_needs_no_password_to_confirm_a_new_address() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await;
    ada.log_out().await;
    let link = app.link(NEW, "/verify/").await;
    ada.get(&link).await.assert_no_text("type=\"password\"");
    ada.post(&link, &[]).await.assert_redirect("/login");
    ada.log_in(NEW).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn password_guesses_at_a_link_to_a_new_address_are_throttled() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ask(&ada, NEW).await;
    let (link, stranger) = (app.link(NEW, "/verify/").await, app.visitor());
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = stranger.post(&link, &[("password", "wrong horse battery")]).await;
        statuses.push(answer.status.code);
    }
    assert!(statuses.starts_with(&[422]) && statuses.ends_with(&[429]), "{statuses:?}");
    stranger.post(&link, &[("password", PASSWORD)]).await.assert_status(429);
    ada.get("/").await.assert_text(ADA);
}

#[rocket::async_test]
async fn an_account_is_never_shared_with_the_owner_of_its_new_address() {
    let app = TestApp::new().await;
    let attacker = app.registered(ADA).await;
    attacker.post(&app.link(ADA, "/verify/").await, &[]).await;
    attacker.post("/account/notices", &[]).await;
    ask(&attacker, NEW).await;

    // The owner of the mailbox confirms out of curiosity.
    let owner = app.visitor();
    let link = app.link(NEW, "/verify/").await;
    owner.get(&link).await.assert_text("For a week, its previous address can take it back.");
    owner.send(app.client.post(link)).await.assert_redirect("/login");
    owner.get("/login").await.assert_text("Its old password no longer works. Choose a new one now");
    assert!(!attacker.is_logged_in().await);
    for email in [ADA, NEW] {
        attacker.log_in(email).await.assert_status(422);
    }
    // The former address gets a mail even if notices were switched off.
    assert_eq!(app.mails().await[0].recipient, ADA);
    assert_eq!(app.count("SELECT count(*) FROM login_muted_notices").await, 0);

    owner.post("/reset", &[("email", NEW)]).await;
    let reset = app.link(NEW, "/reset/").await;
    owner.post(&reset, &[("new_password", "the owner's own words")]).await;
    owner.log_in_with(NEW, "the owner's own words").await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_current_address_is_told_when_a_former_one_takes_the_account_back() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    ask(&ada, NEW).await;
    ada.post(&app.link(NEW, "/verify/").await, &[]).await;
    ada.post("/account/notices", &[]).await;

    app.visitor().post(&app.link(ADA, "/not-me/").await, &[]).await.assert_redirect("/login");
    let mails = app.mails().await;
    let told = mails.iter().find(|mail| mail.recipient == NEW).unwrap();
    assert!(told.subject.starts_with("Your account was locked at "), "{}", told.subject);
    assert!(told.text.contains("address is ada@example.org again"), "{}", told.text);
    // It must not take the account back in turn.
    assert!(!told.text.contains("/not-me/") && !told.text.contains("/reset"), "{}", told.text);
}

#[rocket::async_test]
async fn the_current_address_is_told_when_a_former_one_only_locks_the_account() {
    let app = TestApp::new().await;
    let stranger = app.registered(ADA).await;
    ask(&stranger, NEW).await;
    stranger.post(&app.link(NEW, "/verify/").await, &[]).await;
    // Nobody had confirmed the former address, so somebody else may have it by now.
    app.registered(ADA).await;
    app.visitor().post(&app.link(ADA, "/not-me/").await, &[]).await.assert_redirect("/login");
    let mails = app.mails().await;
    let told = mails.iter().find(|mail| mail.recipient == NEW).unwrap();
    assert!(told.text.contains("keeps your address"), "{}", told.text);
    told.link("/reset");
}

#[rocket::async_test]
async fn a_lock_without_a_change_of_address_sends_only_one_mail() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    app.visitor().log_in(ADA).await;
    let before = app.mails().await.len();
    app.visitor().post(&app.link(ADA, "/not-me/").await, &[]).await.assert_redirect("/login");
    let mails = app.mails().await;
    assert_eq!(mails.len(), before + 1);
    mails[0].link("/reset/");
}
