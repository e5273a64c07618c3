//! Whom an identity logs in, and which accounts it makes.

use serde_json::{Value, json};

use super::{ADA, BOB, Site, assert_asks_to_connect, assert_flow_ended, identities, json};
use crate::factors::confirmed;
use crate::servers::liar::{Part, TOKEN, USER_INFO};
use crate::support::PASSWORD;

const NEW: &str = "wooden battery horse";

#[rocket::async_test]
async fn an_unknown_identity_with_a_confirmed_address_gets_an_account() {
    for registration in ["open", "confirm"] {
        let site = Site::with(|f| f.merge(("accounts.registration", registration))).await;
        let ada = site.visitor();
        let answer = site.log_in(&ada).await;
        answer.assert_redirect("/account");
        assert_flow_ended(&answer);
        ada.get("/account").await.assert_status(200).assert_text(ADA);
        assert_eq!((site.users().await, site.identities().await), (1, 1));
        let confirmed = "SELECT count(*) FROM users WHERE verified_at IS NOT NULL";
        assert_eq!(site.count(confirmed).await, 1, "{registration}");
        // No password opens it, and it is a recent log-in.
        site.visitor().log_in(ADA).await.assert_status(422);
        site.visitor().log_in_with(ADA, "").await.assert_status(422);
        ada.get("/account/delete").await.assert_status(200).assert_no_text("current_password");
        ada.get("/account/security").await.assert_status(200);
    }
}

#[rocket::async_test]
async fn nobody_gets_an_account_by_a_provider_where_registration_is_closed() {
    let site = Site::with(|f| f.merge(("accounts.registration", "closed"))).await;
    let (visitor, before) = (site.visitor(), site.state().await);
    let answer = site.log_in(&visitor).await;
    answer.assert_status(403);
    assert_flow_ended(&answer);
    assert_eq!(site.state().await, before);
    assert!(!visitor.is_logged_in().await);
}

#[rocket::async_test]
async fn an_identity_that_is_known_logs_in_where_registration_is_closed() {
    let site = Site::new().await;
    site.came().await;
    let site = site.restarted(|f| f.merge(("accounts.registration", "closed"))).await;
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    assert_eq!(site.users().await, 1);
}

#[rocket::async_test]
async fn an_identity_logs_in_again_whatever_address_it_has_now() {
    let site = Site::new().await;
    let ada = site.came().await;
    let first = ada.session_cookie();
    site.registered(BOB).await;
    for email in [ADA, "lovelace@example.org", BOB, "not an address", ""] {
        site.liar.is("1001", email);
        let visitor = site.visitor();
        site.log_in(&visitor).await.assert_redirect("/account");
        visitor.get("/account").await.assert_text(ADA).assert_no_text(BOB);
        assert_ne!(visitor.session_cookie(), first);
    }
    for lie in [json!(false), json!("false"), json!(null)] {
        site.liar.says(Part::Claims, "email_verified", lie);
        site.log_in(&site.visitor()).await.assert_redirect("/account");
    }
    site.liar.omits(Part::Claims, "email");
    site.liar.omits(Part::UserInfo, "email");
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    assert_eq!((site.users().await, site.identities().await), (2, 1));
    assert_eq!(site.text("SELECT email FROM users WHERE id = 1").await, ADA);
}

#[rocket::async_test]
async fn a_log_in_in_an_open_session_replaces_it() {
    let site = Site::new().await;
    let ada = site.came().await;
    let first = ada.session_cookie();
    site.log_in(&ada).await.assert_redirect("/account");
    let stolen = site.visitor();
    stolen.set_cookie("session", first);
    assert!(ada.is_logged_in().await && !stolen.is_logged_in().await);
    site.liar.is("1002", BOB);
    site.log_in(&ada).await.assert_redirect("/account");
    ada.get("/account").await.assert_text(BOB);
    assert_eq!(site.sessions().await, 1);
}

#[rocket::async_test]
async fn a_known_address_is_never_linked_by_itself() {
    // An account whose address is not confirmed may be a trap (account pre-hijacking), and a
    // provider's word for an address may be bought.
    for (is_confirmed, email) in
        [(true, ADA), (false, ADA), (true, "ADA@example.ORG"), (false, " Ada@Example.org ")]
    {
        for is_verified in [Some(json!(true)), Some(json!(false)), None] {
            let site = Site::with(|f| f.merge(("throttle.enabled", false))).await;
            match is_confirmed {
                true => drop(confirmed(&site, ADA).await),
                false => drop(site.registered(ADA).await),
            }
            site.liar.is("1001", email);
            match is_verified {
                Some(value) => site.liar.says(Part::Claims, "email_verified", value),
                None => site.liar.omits(Part::Claims, "email_verified"),
            }
            let (visitor, before) = (site.visitor(), site.state().await);
            let answer = site.log_in(&visitor).await;
            assert_asks_to_connect(&answer);
            assert_flow_ended(&answer);
            assert_eq!(site.state().await, before);
            assert!(!visitor.is_logged_in().await);
            // The account is as it was.
            let verified = "SELECT count(*) FROM users WHERE verified_at IS NOT NULL";
            assert_eq!(site.count(verified).await, i64::from(is_confirmed));
            site.visitor().log_in(ADA).await.assert_redirect("/account");
            // And nothing was kept: the next one is asked the same.
            assert_asks_to_connect(&site.log_in(&visitor).await);
        }
    }
}

#[rocket::async_test]
async fn a_log_in_first_connects_a_known_address() {
    let site = Site::new().await;
    confirmed(&site, ADA).await;
    let ada = site.visitor();
    assert_asks_to_connect(&site.log_in(&ada).await);
    let link = "/account/providers/test/link";
    let fields = [("email", ADA), ("password", PASSWORD), ("next", link)];
    let logged_in = ada.post("/login", &fields).await;
    let next = super::leads_to(&logged_in);
    assert!(next.starts_with(link), "{next}");
    let back = site.go(&ada, &next).await;
    site.come_back(&ada, &back).await.assert_redirect("/account/security");
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    assert_eq!((site.users().await, site.identities().await), (1, 1));
}

#[rocket::async_test]
async fn a_waiting_sign_up_does_not_keep_its_address_from_the_owner() {
    let site = Site::with(|f| f.merge(("accounts.registration", "confirm"))).await;
    // Nobody knows yet if the address belongs to this visitor.
    let thief = site.visitor();
    thief.register(ADA).await.assert_status(303);
    let link = site.link(ADA, "/verify/").await;
    let ada = site.came().await;
    thief.post(&link, &[]).await;
    thief.log_in(ADA).await.assert_status(422);
    ada.get("/account").await.assert_text(ADA);
    assert_eq!(site.users().await, 1);
}

#[rocket::async_test]
async fn an_unknown_identity_without_a_confirmed_address_gets_no_account() {
    let site = Site::new().await;
    let long = format!("{}@example.org", "a".repeat(300));
    let values = |name: &'static str, values: Vec<Value>| {
        values.into_iter().map(move |value| (name, Some(value)))
    };
    let unverified = [json!(false), json!("false"), json!(null), json!(1), json!("yes"), json!([])];
    let invalid = [json!("not an address"), json!(""), json!(null), json!(7), json!([ADA])];
    let more = [json!(long), json!("ada@example.org\n"), json!("ada\0@example.org")];
    let lies = values("email_verified", unverified.into())
        .chain(values("email", invalid.into_iter().chain(more).collect()))
        .chain([("email_verified", None), ("email", None)]);
    for (name, value) in lies {
        site.liar.is_honest();
        for part in [Part::Claims, Part::UserInfo] {
            match &value {
                Some(value) => site.liar.says(part, name, value.clone()),
                None => site.liar.omits(part, name),
            }
        }
        let (visitor, before) = (site.visitor(), site.state().await);
        let answer = site.log_in(&visitor).await;
        // White space around an address is no mistake.
        if value == Some(json!("ada@example.org\n")) && answer.status.code == 303 {
            site.execute("DELETE FROM users").await;
            continue;
        }
        assert_eq!(answer.status.code, 422, "{name} {value:?}: {}", answer.body);
        assert_flow_ended(&answer);
        assert_eq!(site.state().await, before, "{name} {value:?}");
    }
}

#[rocket::async_test]
async fn true_as_a_text_confirms_an_address() {
    let site = Site::new().await;
    site.liar.says(Part::Claims, "email_verified", "true");
    site.came().await;
    assert_eq!(site.count("SELECT count(*) FROM users WHERE verified_at IS NOT NULL").await, 1);
}

#[rocket::async_test]
async fn an_address_that_only_the_user_info_has_is_asked_for_once() {
    let site = Site::new().await;
    site.liar.tells_email_at_user_info();
    site.came().await.get("/account").await.assert_text(ADA);
    assert_eq!((site.liar.count(TOKEN), site.liar.count(USER_INFO)), (1, 1));
    site.liar.is_honest();
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    assert_eq!((site.liar.count(TOKEN), site.liar.count(USER_INFO)), (2, 1));
}

#[rocket::async_test]
async fn a_subject_that_comes_back_after_its_account_was_deleted_gets_a_new_one() {
    let site = Site::new().await;
    let ada = site.came().await;
    ada.post("/account/delete", &[]).await.assert_redirect("/");
    assert_eq!(
        (site.users().await, site.count("SELECT count(*) FROM login_identities").await),
        (0, 0)
    );
    let again = site.came().await;
    assert_eq!(site.text("SELECT CAST(max(id) AS TEXT) FROM users").await, "2");
    assert!(again.is_logged_in().await && !ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_disabled_account_is_told_what_a_password_log_in_is_told() {
    let site = Site::new().await;
    let ada = site.came().await;
    site.execute("UPDATE users SET disabled_at = 1").await;
    let visitor = site.visitor();
    let answer = site.log_in(&visitor).await;
    answer.assert_status(422).assert_text("This account is disabled.");
    assert_flow_ended(&answer);
    assert!(!visitor.is_logged_in().await && !ada.is_logged_in().await);
}

#[rocket::async_test]
async fn wrong_passwords_of_a_stranger_do_not_keep_the_provider_away() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    let stranger = site.visitor();
    let mut wrong = 0;
    while stranger.log_in_with(ADA, "wrong horse battery").await.status.code != 429 {
        wrong += 1;
        assert!(wrong < 100);
    }
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    stranger.log_in_with(ADA, "wrong horse battery").await.assert_status(429);
}

#[rocket::async_test]
async fn a_reset_by_mail_gives_an_account_of_a_provider_a_password() {
    let site = Site::new().await;
    site.came().await;
    let visitor = site.visitor();
    visitor.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = site.link(ADA, "/reset/").await;
    visitor.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    visitor.log_in_with(ADA, NEW).await.assert_redirect("/account");
    site.log_in(&site.visitor()).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_provider_that_is_gone_locks_nobody_out() {
    let site = Site::new().await;
    site.came().await;
    let Site { app, liar } = site;
    let app = app.restarted(|f| f).await;
    let visitor = app.visitor();
    for path in [
        "/login/with/test",
        "/login/with/test/callback?code=a&state=b",
        "/reauthenticate/with/test",
    ] {
        visitor.get(path).await.assert_status(404);
    }
    let token = liar.log_out_token(&json!({ "sid": liar.sid() }));
    visitor.post("/login/with/test/logout", &[("logout_token", &token)]).await.assert_status(404);
    visitor.get("/login").await.assert_no_text("/login/with/");

    visitor.post("/reset", &[("email", ADA)]).await.assert_status(200);
    let link = app.link(ADA, "/reset/").await;
    visitor.post(&link, &[("new_password", NEW)]).await.assert_redirect("/login");
    visitor.log_in_with(ADA, NEW).await.assert_redirect("/account");
    visitor.get("/account/providers/test/link").await.assert_status(404);
    visitor.get("/account/security").await.assert_text("/account/providers/test/unlink");
    let answer = visitor.post("/account/providers/test/unlink", &[]).await;
    answer.assert_redirect("/account/security");
    assert_eq!(identities(&app).await, 0);
}

#[rocket::async_test]
async fn the_name_of_a_provider_may_change() {
    let site = Site::new().await;
    site.came().await;
    let Site { app, liar } = site;
    let app = app.restarted(|f| super::with_provider(f, "renamed", &liar)).await;
    let visitor = app.visitor();
    let answer = visitor.get("/login/with/renamed").await;
    let back = liar.answer(&super::leads_to(&answer));
    super::come_back(&app, &visitor, &back).await.assert_redirect("/account");
    assert_eq!((app.users().await, identities(&app).await), (1, 1));
    // The account has this way in, and it is the last one.
    visitor.post("/account/providers/renamed/unlink", &[]).await.assert_status(422);
}

#[rocket::async_test]
async fn the_export_has_the_identities_and_the_deletion_removes_them() {
    let site = Site::new().await;
    let ada = site.came().await;
    let export = ada.get("/account/export").await;
    export.assert_status(200).assert_text("1001").assert_text(site.liar.issuer());
    let export: Value = serde_json::from_str(&export.body).unwrap();
    assert!(export.to_string().contains("provider"), "{export}");
    ada.post("/account/delete", &[]).await.assert_redirect("/");
    assert_eq!(site.count("SELECT count(*) FROM login_identities").await, 0);
}

#[rocket::async_test]
async fn the_log_in_page_has_a_button_for_each_provider_and_the_last_one_first() {
    let site = Site::new().await;
    let other = crate::servers::liar::Liar::start();
    let site = site.restarted(|f| super::with_provider(f, "another", &other)).await;
    let place = |body: &str, name: &str| {
        let place = unescaped_place(body, &format!("/login/with/{name}"));
        place.unwrap_or_else(|| panic!("{name} is not in {body}"))
    };
    let visitor = site.visitor();
    for path in ["/login", "/register"] {
        let page = visitor.get(path).await;
        assert!(place(&page.body, "another") < place(&page.body, "test"));
    }
    assert_eq!(other.count_all() + site.liar.count_all(), 0, "a page asks nobody");
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.log_out().await.assert_redirect("/");
    let page = visitor.get("/login?next=%2Fnotes").await;
    assert!(place(&page.body, "test") < place(&page.body, "another"));
    assert!(super::unescaped(&page.body).contains("/login/with/test?next=%2Fnotes"));
    let site = site.restarted(|f| f.merge(("accounts.registration", "closed"))).await;
    site.visitor().get("/login").await.assert_text("/login/with/test");
}

fn unescaped_place(body: &str, path: &str) -> Option<usize> {
    super::unescaped(body).find(path)
}

#[rocket::async_test]
async fn a_program_sees_the_identities_of_its_user() {
    let site = Site::new().await;
    let ada = site.came().await;
    let page = json(&site, &ada, "/account/security").await;
    page.assert_status(200);
    let ways: Value = serde_json::from_str(&page.body).unwrap();
    let identities = ways["identities"].as_array().unwrap();
    assert_eq!((identities.len(), &identities[0]["provider"]), (1, &json!("test")));
}
