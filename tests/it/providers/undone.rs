//! "This was not me" with a provider.

use super::{ADA, BOB, Site};
use crate::factors::confirmed;
use crate::support::Visitor;

const UNLINK: &str = "/account/providers/test/unlink";

/// Uses the link of the newest mail to Ada whose subject begins with `subject`.
async fn not_me(site: &Site, subject: &str) {
    let mails = site.mails().await;
    let mut mails = mails.iter().filter(|mail| mail.recipient == ADA);
    let mail =
        mails.find(|mail| mail.subject.starts_with(subject) && mail.text.contains("/not-me/"));
    let link = mail.unwrap_or_else(|| panic!("no mail {subject}")).link("/not-me/");
    site.visitor().post(&link, &[]).await.assert_redirect("/login");
}

async fn is_ada(site: &Site, subject: &str) -> bool {
    site.liar.is(subject, "somebody@example.com");
    let visitor: Visitor<'_> = site.visitor();
    let answer = site.log_in(&visitor).await;
    answer.status.code == 303 && visitor.get("/account").await.body.contains(ADA)
}

#[rocket::async_test]
async fn this_was_not_me_removes_the_identity_that_a_thief_has_connected() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    site.advance(60);
    // A thief at the owner's open session.
    site.liar.is("6666", "thief@example.com");
    site.connect(&ada).await.assert_redirect("/account/security");
    assert!(is_ada(&site, "6666").await);
    not_me(&site, "New way to log in").await;
    assert!(!ada.is_logged_in().await);
    assert!(!is_ada(&site, "6666").await);
    assert!(is_ada(&site, "1001").await);
}

#[rocket::async_test]
async fn this_was_not_me_brings_back_the_identity_that_a_thief_has_disconnected() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    site.advance(60);
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    site.advance(60);
    site.liar.is("6666", "thief@example.com");
    site.connect(&ada).await.assert_redirect("/account/security");
    not_me(&site, "Way to log in removed").await;
    assert!(!is_ada(&site, "6666").await);
    assert!(is_ada(&site, "1001").await);
}

#[rocket::async_test]
async fn an_identity_that_somebody_else_has_meanwhile_is_not_brought_back() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    site.advance(60);
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    let bob = confirmed(&site, BOB).await;
    site.liar.is("1001", "somebody@example.com");
    site.connect(&bob).await.assert_redirect("/account/security");
    not_me(&site, "Way to log in removed").await;
    assert!(!is_ada(&site, "1001").await);
    assert_eq!(site.identities().await, 1);
}

#[rocket::async_test]
async fn a_disconnected_identity_is_forgotten_after_a_week() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    assert_eq!(site.count("SELECT count(*) FROM login_identities").await, 1);
    site.until_after(60 * 60, "SELECT count(*) = 0 FROM login_identities").await;
}

#[rocket::async_test]
async fn an_address_that_moves_to_its_owner_takes_no_identity_along() {
    let site = Site::new().await;
    let eve = confirmed(&site, "eve@example.org").await;
    site.liar.is("6666", "eve@example.org");
    site.connect(&eve).await.assert_redirect("/account/security");
    // Somebody moves their account to another person's address, and waits for its owner.
    let fields = [("email", ADA), ("current_password", crate::support::PASSWORD)];
    eve.post("/account/email", &fields).await.assert_redirect("/account");
    let link = site.link(ADA, "/verify/").await;
    site.visitor().post(&link, &[]).await.assert_redirect("/login");
    assert_eq!(site.identities().await, 0);
    assert!(!is_ada(&site, "6666").await);
}
