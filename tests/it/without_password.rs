//! Accounts without a password: their owners log in with a passkey.

use rocket::http::Accept;
use rocket_login::Email;
use rocket_login::auth::Operator;
use rocket_login::testing::{Authenticator, app_code};
use serde_json::Value;

use crate::factors::{ADA, add_app, half_way, offer};
use crate::passkeys::{add, log_in, options, phone, with_passkey};
use crate::support::{Answer, PASSWORD, TestApp, Visitor};

const NEW: &str = "wooden battery horse";

async fn remove(visitor: &Visitor<'_>) -> Answer {
    visitor.post("/account/password/remove", &[]).await
}

/// Returns the ids of the visitor's passkeys and of their app, the oldest first.
async fn ids(app: &TestApp, visitor: &Visitor<'_>) -> Vec<String> {
    let request = app.client.get("/account/security").header(Accept::JSON);
    let ways: Value = serde_json::from_str(&visitor.send(request).await.body).unwrap();
    let factors = ways["factors"].as_array().unwrap().iter();
    factors.map(|factor| factor["id"].as_str().unwrap().to_owned()).collect()
}

#[rocket::async_test]
async fn an_account_with_a_passkey_and_codes_needs_no_password() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    let elsewhere = app.visitor();
    log_in(&elsewhere, &phone).await.assert_redirect("/account");
    let waiting = half_way(&app, ADA).await;
    ada.get("/account/security").await.assert_text("Remove the password");

    remove(&ada).await.assert_redirect("/account/security");
    let page = ada.get("/account/security").await;
    page.assert_text("The password was removed").assert_text("None. You log in without one.");
    assert!(!elsewhere.is_logged_in().await);
    waiting.get("/login/factor").await.assert_redirect("/login");
    app.visitor()
        .log_in(ADA)
        .await
        .assert_status(422)
        .assert_text("Wrong email address or password");
    log_in(&app.visitor(), &phone).await.assert_redirect("/account");
    let subjects = app.subjects(ADA).await;
    assert!(subjects.contains(&"Your password was removed".into()), "{subjects:?}");
    ada.get("/account/activity").await.assert_text("Password removed");
    // Nothing changes the second time.
    remove(&ada).await.assert_redirect("/account/security");
}

#[rocket::async_test]
async fn a_password_stays_without_another_way_in_and_back() {
    let app = TestApp::new().await;
    let ada = crate::factors::confirmed(&app, ADA).await;
    let refused = remove(&ada).await;
    refused.assert_status(422).assert_text("two passkeys, or one passkey and recovery codes");
    // An app alone logs nobody in, nor does a key that checks neither PIN nor finger.
    add_app(&app, &ada).await;
    add(&ada, &phone().without_verification(), "Key").await.assert_redirect("/account/security");
    remove(&ada).await.assert_status(422);
    ada.get("/account/security").await.assert_text("Works only together with a password");

    // One passkey and no code is not enough; a second passkey is.
    add(&ada, &phone(), "Phone").await.assert_redirect("/account/security");
    app.execute("DELETE FROM login_recovery_codes").await;
    remove(&ada).await.assert_status(422);
    add(&ada, &phone(), "Tablet").await.assert_status(200).assert_text("Your recovery codes");
    app.execute("DELETE FROM login_recovery_codes").await;
    remove(&ada).await.assert_redirect("/account/security");
}

#[rocket::async_test]
async fn the_last_passkey_of_an_account_without_a_password_stays() {
    let app = TestApp::new().await;
    let (first, second) = (phone(), phone());
    let ada = with_passkey(&app, &first).await;
    add(&ada, &second, "Tablet").await.assert_redirect("/account/security");
    add_app_beside(&app, &ada).await;
    remove(&ada).await.assert_status(303);

    let ids = ids(&app, &ada).await;
    let remove_factor = |id: &str| format!("/account/passkeys/{id}/remove");
    ada.post(&remove_factor(&ids[0]), &[]).await.assert_redirect("/account/security");
    let refused = ada.post(&remove_factor(&ids[1]), &[]).await;
    refused.assert_status(422).assert_text("This is your only way to log in");
    let request = app.client.post(remove_factor(&ids[1])).header(Accept::JSON);
    ada.send(request).await.assert_status(422).assert_text("last_way_in");
    log_in(&app.visitor(), &second).await.assert_redirect("/account");
    // The app is no way in, so it may go.
    ada.post("/account/app/remove", &[]).await.assert_redirect("/account/security");

    // With a password, the passkey may go as well.
    ada.post("/account/password", &[("new_password", NEW)]).await.assert_redirect("/account");
    ada.post(&remove_factor(&ids[1]), &[]).await.assert_redirect("/account/security");
}

/// Adds an app to an account that has recovery codes already.
async fn add_app_beside(app: &TestApp, visitor: &Visitor<'_>) {
    let (secret, sealed) = offer(app, visitor).await;
    let code = app_code(&secret, app.clock.now());
    let fields = [("secret", &*sealed), ("code", &*code)];
    visitor.post("/account/app", &fields).await.assert_redirect("/account/security");
}

#[rocket::async_test]
async fn a_user_without_a_password_is_asked_for_a_recent_log_in_instead() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    remove(&ada).await.assert_status(303);
    for path in ["/account/password", "/account/email", "/account/delete"] {
        ada.get(path).await.assert_status(200).assert_no_text("current_password");
    }

    app.advance(11 * 60);
    for path in ["/account/password", "/account/email", "/account/delete"] {
        let to = format!("/reauthenticate?next={}", path.replace('/', "%2F"));
        ada.get(path).await.assert_redirect(&to);
    }
    // An empty password, or one that was right before, opens nothing.
    for typed in ["", PASSWORD] {
        let fields = [("current_password", typed), ("new_password", NEW)];
        ada.post("/account/password", &fields).await.assert_status(303);
        let refused = ada.post("/reauthenticate", &[("password", typed)]).await;
        refused.assert_status(422).assert_text("Use your passkey to continue");
    }
    app.visitor().log_in_with(ADA, NEW).await.assert_status(422);

    let credential = phone.get(&options(&ada, "/reauthenticate/passkey").await);
    ada.post("/reauthenticate", &[("credential", &credential)]).await.assert_redirect("/account");
    let fields = [("email", "countess@example.org")];
    ada.post("/account/email", &fields).await.assert_redirect("/account");
    let link = app.link("countess@example.org", "/verify/").await;
    // In another browser there is no password that would show whose account it is.
    let page = app.visitor().get(&link).await;
    page.assert_text("log in with your passkey").assert_text("Take over this account");
    ada.post(&link, &[]).await.assert_redirect("/account");
    ada.post("/account/delete", &[]).await.assert_status(303);
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn a_user_without_a_password_sets_one_and_logs_in_with_it() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    remove(&ada).await.assert_status(303);
    ada.get("/account/password").await.assert_text("Your account has no password");
    ada.post("/account/password", &[("new_password", "short")]).await.assert_status(422);
    ada.post("/account/password", &[("new_password", NEW)]).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("Your password was set");
    app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/login/factor");
    // From then on it is asked for.
    let fields = [("new_password", "another horse battery")];
    ada.post("/account/password", &fields).await.assert_status(422);
}

#[rocket::async_test]
async fn a_reset_by_mail_gives_an_account_without_a_password_one_again() {
    let app = TestApp::new().await;
    let ada = with_passkey(&app, &phone()).await;
    let request = app.client.post("/account/codes").header(Accept::JSON);
    let codes: Value = serde_json::from_str(&ada.send(request).await.body).unwrap();
    remove(&ada).await.assert_status(303);

    // The phone is lost: the mailbox and a recovery code are the way back.
    let visitor = app.visitor();
    visitor.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    visitor.post(&link, &[("new_password", NEW)]).await.assert_status(422);
    let fields = [("new_password", NEW), ("code", codes["codes"][0].as_str().unwrap())];
    visitor.post(&link, &fields).await.assert_redirect("/login");
    app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/login/factor");
}

#[rocket::async_test]
async fn without_mail_recovery_codes_are_no_way_back() {
    let app =
        TestApp::with(|f| f.select("release").merge(("site.url", "https://example.org"))).await;
    let phone = || Authenticator::new("https://example.org");
    let ada = app.registered(ADA).await;
    app.execute("UPDATE users SET verified_at = created_at").await;
    add(&ada, &phone(), "Phone").await.assert_status(200);
    ada.get("/account/security").await.assert_no_text("Remove the password");
    remove(&ada).await.assert_status(422);
    add(&ada, &phone(), "Tablet").await.assert_redirect("/account/security");
    remove(&ada).await.assert_redirect("/account/security");
}

#[rocket::async_test]
async fn the_log_in_page_offers_passkeys_that_are_off_while_an_account_has_no_other_way_in() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    remove(&ada).await.assert_status(303);
    drop(ada);
    let app = app.restarted(|f| f.merge(("factors.passkeys", false))).await;
    let visitor = app.visitor();
    visitor.get("/login").await.assert_text("Log in with a passkey");
    log_in(&visitor, &phone).await.assert_redirect("/account");
    visitor.post("/account/password", &[("new_password", NEW)]).await.assert_redirect("/account");
    // A password is not removed while nobody can add a passkey.
    remove(&visitor).await.assert_status(422);
    drop(visitor);
    let app = app.restarted(|f| f.merge(("factors.passkeys", false))).await;
    app.visitor().get("/login").await.assert_no_text("passkey");
}

#[rocket::async_test]
async fn a_passkey_that_a_thief_has_removed_is_forgotten_by_no_browser_of_the_owner() {
    let app = TestApp::new().await;
    let (owners, thiefs) = (phone(), phone());
    let ada = with_passkey(&app, &owners).await;
    let thief = app.visitor();
    log_in(&thief, &owners).await.assert_redirect("/account");
    app.advance(60);
    add(&thief, &thiefs, "").await.assert_redirect("/account/security");
    let id = &ids(&app, &thief).await[0];
    let remove = format!("/account/passkeys/{id}/remove");
    thief.post(&remove, &[]).await.assert_redirect("/account/security");

    let known = async |visitor: &Visitor<'_>| -> usize {
        let told = visitor.get("/account/passkeys/known").await;
        let told: Value = serde_json::from_str(&told.body).unwrap();
        told["allAcceptedCredentialIds"].as_array().unwrap().len()
    };
    assert_eq!((known(&ada).await, known(&thief).await), (2, 1));
    log_in(&app.visitor(), &owners).await.assert_status(422).assert_no_text("data-unknown");

    let link = app.link(ADA, "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");
    log_in(&app.visitor(), &owners).await.assert_redirect("/account");
    log_in(&app.visitor(), &thiefs).await.assert_status(422);
}

#[rocket::async_test]
async fn a_key_that_checks_nobody_does_not_stand_in_for_a_password_that_is_not_there() {
    let app = TestApp::new().await;
    let (phone, key) = (phone(), phone().without_verification());
    let ada = with_passkey(&app, &phone).await;
    add(&ada, &key, "Key").await.assert_redirect("/account/security");
    remove(&ada).await.assert_status(303);
    app.advance(11 * 60);
    let credential = key.get(&options(&ada, "/reauthenticate/passkey").await);
    let refused = ada.post("/reauthenticate", &[("credential", &credential)]).await;
    refused.assert_status(422).assert_text("Use a passkey that asks for your PIN, finger or face.");
    ada.get("/account/delete").await.assert_status(303);
}

#[rocket::async_test]
async fn who_takes_an_account_over_gets_no_passkey_of_its_former_holder() {
    let app = TestApp::new().await;
    let trojan = phone();
    let eve = with_passkey(&app, &trojan).await;
    // Somebody moves their account to another person's address, and waits for its owner.
    let fields = [("email", "victim@example.org"), ("current_password", PASSWORD)];
    eve.post("/account/email", &fields).await.assert_redirect("/account");
    let link = app.link("victim@example.org", "/verify/").await;
    let victim = app.visitor();
    victim.post(&link, &[]).await.assert_redirect("/login");
    log_in(&app.visitor(), &trojan).await.assert_status(422);
    assert!(!eve.is_logged_in().await);

    // The new owner needs no code of the former one.
    victim.post("/reset", &[("email", "victim@example.org")]).await.assert_status(200);
    let link = app.link("victim@example.org", "/reset/").await;
    victim.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    victim.log_in_with("victim@example.org", NEW).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn an_operator_may_remove_the_last_way_in_and_a_reset_leads_back() {
    let app = TestApp::new().await;
    let phone = phone();
    let ada = with_passkey(&app, &phone).await;
    remove(&ada).await.assert_status(303);
    let operator = Operator::of(app.client.rocket()).unwrap();
    let found = operator.find_by_email(&Email::parse(ADA).unwrap()).await.unwrap().unwrap();
    assert_eq!(operator.remove_all_factors(&found.user).await.unwrap(), 1);
    log_in(&app.visitor(), &phone).await.assert_status(422);
    let visitor = app.visitor();
    visitor.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    visitor.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    visitor.log_in_with(ADA, NEW).await.assert_redirect("/account");
}
