//! Connecting a provider to an account, and disconnecting it.

use super::{ADA, BOB, Site, assert_flow_ended, code_of, leads_to};
use crate::factors::confirmed;
use crate::passkeys;
use crate::servers::liar::Liar;
use crate::support::{Answer, PASSWORD, Visitor, header};

const LINK: &str = "/account/providers/test/link";
const UNLINK: &str = "/account/providers/test/unlink";

/// Returns a visitor who has confirmed their address and connected the provider.
async fn connected(site: &Site) -> Visitor<'_> {
    let ada = confirmed(site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    ada
}

#[rocket::async_test]
async fn a_connected_provider_logs_in_and_its_address_does_not_matter() {
    let site = Site::new().await;
    site.liar.is("1001", "elsewhere@example.com");
    let ada = connected(&site).await;
    let page = ada.get("/account/security").await;
    page.assert_text("elsewhere@example.com").assert_text(UNLINK);
    ada.get("/account/activity").await.assert_text("Provider connected");
    let visitor = site.visitor();
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.get("/account").await.assert_text(ADA);
    // The password goes on working, and stays the password.
    site.visitor().log_in(ADA).await.assert_redirect("/account");
    let mail = site.mails().await.into_iter().find(|mail| mail.text.contains("/not-me/"));
    assert_eq!(mail.unwrap().recipient, ADA);
}

#[rocket::async_test]
async fn connecting_what_is_connected_changes_nothing() {
    let site = Site::new().await;
    let ada = connected(&site).await;
    let before = site.state().await;
    let answer = site.connect(&ada).await;
    answer.assert_redirect("/account/security");
    assert_flow_ended(&answer);
    assert_eq!(site.state().await, before);
    let linked = "SELECT count(*) FROM login_events WHERE kind = 'provider_linked'";
    assert_eq!(site.count(linked).await, 1);
}

#[rocket::async_test]
async fn an_identity_of_another_account_is_not_connected() {
    let site = Site::new().await;
    connected(&site).await;
    let bob = confirmed(&site, BOB).await;
    let before = site.state().await;
    let answer = site.connect(&bob).await;
    answer.assert_status(422);
    assert_flow_ended(&answer);
    assert_eq!(site.state().await, before);
    let visitor = site.visitor();
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.get("/account").await.assert_text(ADA);
    assert!(bob.is_logged_in().await);
}

#[rocket::async_test]
async fn an_account_may_have_several_identities_of_one_provider_and_of_several() {
    let (site, other) = (Site::new().await, Liar::start());
    let site = site.restarted(|f| super::with_provider(f, "other", &other)).await;
    other.follow(&site.clock);
    let ada = connected(&site).await;
    site.liar.is("1002", "elsewhere@example.com");
    site.connect(&ada).await.assert_redirect("/account/security");
    let answer = ada.get("/account/providers/other/link").await;
    let back = other.answer(&leads_to(&answer));
    site.come_back(&ada, &back).await.assert_redirect("/account/security");
    assert_eq!((site.users().await, site.identities().await), (1, 3));
    for subject in ["1001", "1002"] {
        site.liar.is(subject, "anywhere@example.com");
        let visitor = site.visitor();
        site.log_in(&visitor).await.assert_redirect("/account");
        visitor.get("/account").await.assert_text(ADA);
    }
    // Subject 1001 of the other provider is not that of the first one.
    ada.post("/account/providers/other/unlink", &[]).await.assert_status(303);
    site.liar.is("1001", ADA);
    site.log_in(&site.visitor()).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn only_the_session_that_began_to_connect_ends_it() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    confirmed(&site, BOB).await;
    let before = site.identities().await;

    let back = site.go(&ada, LINK).await;
    ada.log_out().await.assert_redirect("/");
    let answer = site.come_back(&ada, &back).await;
    assert_eq!(answer.status.code, 422, "logged out: {}", answer.body);
    assert_flow_ended(&answer);

    ada.log_in(ADA).await.assert_redirect("/account");
    let back = site.go(&ada, LINK).await;
    ada.log_in(BOB).await.assert_redirect("/account");
    // Otherwise the identity would be planted in somebody else's account.
    let answer = site.come_back(&ada, &back).await;
    assert_eq!(answer.status.code, 422, "another user: {}", answer.body);
    ada.get("/account").await.assert_text(BOB);

    ada.log_in(ADA).await.assert_redirect("/account");
    let back = site.go(&ada, LINK).await;
    ada.log_out().await.assert_redirect("/");
    ada.log_in(ADA).await.assert_redirect("/account");
    site.come_back(&ada, &back).await.assert_status(422);
    assert_eq!((site.identities().await, before), (0, 0));
}

#[rocket::async_test]
async fn a_new_token_of_the_same_session_ends_no_connecting() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    let back = site.go(&ada, LINK).await;
    ada.post("/reauthenticate", &[("password", PASSWORD)]).await.assert_redirect("/account");
    site.come_back(&ada, &back).await.assert_redirect("/account/security");
    assert_eq!(site.identities().await, 1);
}

#[rocket::async_test]
async fn an_answer_for_somebodys_account_is_worth_nothing_in_another_browser() {
    let site = Site::new().await;
    let (ada, bob) = (confirmed(&site, ADA).await, confirmed(&site, BOB).await);
    // Ada is led to an address that connects her account with the identity of Bob.
    let back = site.go(&bob, LINK).await;
    site.come_back(&ada, &back).await.assert_status(422);
    site.come_back(&site.visitor(), &back).await.assert_status(422);
    assert_eq!(site.identities().await, 0);
}

#[rocket::async_test]
async fn connecting_and_disconnecting_need_a_recent_log_in() {
    let site = Site::new().await;
    let ada = connected(&site).await;
    site.advance(11 * 60);
    let to = "/reauthenticate?next=%2Faccount%2Fproviders%2Ftest%2Flink";
    let answer = ada.get(LINK).await;
    answer.assert_redirect(to);
    assert!(super::flow_cookies(&answer).is_empty());
    let answer = ada.post(UNLINK, &[]).await;
    answer.assert_status(303);
    assert!(answer.header("location").unwrap().starts_with("/reauthenticate"));
    assert_eq!(site.identities().await, 1);
    let answer = super::json(&site, &ada, LINK).await;
    answer.assert_status(403);
    assert_eq!(code_of(&answer), "reauthentication_required");
    let visitor = site.visitor();
    let to = "/login?next=%2Faccount%2Fproviders%2Ftest%2Flink";
    visitor.get(LINK).await.assert_redirect(to);
    visitor.post(UNLINK, &[]).await.assert_redirect("/login");
    assert_eq!(site.liar.count("/authorize"), 0);
}

#[rocket::async_test]
async fn a_log_in_may_grow_old_while_the_user_is_at_the_provider() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.advance(9 * 60 + 50);
    let back = site.go(&ada, LINK).await;
    site.advance(60);
    let answer = site.come_back(&ada, &back).await;
    answer.assert_redirect("/account/security");
    assert_eq!(site.identities().await, 1);
}

#[rocket::async_test]
async fn another_site_connects_and_disconnects_nothing() {
    let site = Site::new().await;
    let ada = connected(&site).await;
    for from in ["cross-site", "same-site"] {
        let request = site.client.get(LINK).header(header("Sec-Fetch-Site", from));
        let answer = ada.send(request).await;
        let is_refused = answer.status.code == 403;
        assert!(is_refused || from == "same-site", "{from}: {}", answer.status);
        let request = site.client.post(UNLINK).header(header("Sec-Fetch-Site", from));
        ada.send(request).await.assert_status(403);
    }
    assert_eq!(site.identities().await, 1);
    for from in ["same-origin", "none"] {
        let request = site.client.get(LINK).header(header("Sec-Fetch-Site", from));
        site.liar.answer(&leads_to(&ada.send(request).await));
    }
}

#[rocket::async_test]
async fn no_chain_of_links_connects_a_provider_without_a_click() {
    const REFRESH: &str = "http-equiv=\"refresh\"";
    let (site, other) = (Site::new().await, Liar::start());
    let site = site.restarted(|f| super::with_provider(f, "other", &other)).await;
    other.follow(&site.clock);
    let ada = site.came().await;
    let is_asked = |answer: &Answer| {
        answer.assert_status(200).assert_text("Connect").assert_no_text(REFRESH);
    };
    // Another site leads to a log-in that needs no click, and from there to connecting. Who is logged
    // in at the other provider may be the attacker.
    let next = "%2Faccount%2Fproviders%2Fother%2Flink";
    let back = site.go(&ada, &format!("/login/with/test?next={next}")).await;
    is_asked(&site.come_back(&ada, &back).await);
    let back = site.go(&ada, &format!("/reauthenticate/with/test?next={next}")).await;
    is_asked(&site.come_back(&ada, &back).await);
    ada.post("/account/password", &[("new_password", PASSWORD)]).await.assert_redirect("/account");
    let link = "/account/providers/other/link";
    for path in ["/login", "/reauthenticate"] {
        let fields = [("email", ADA), ("password", PASSWORD), ("next", link)];
        ada.post(path, &fields).await.assert_redirect(link);
        is_asked(&ada.get(link).await);
    }
    // Not even a log-in that is too old leads a visitor of another site on.
    site.advance(11 * 60);
    for visitor in [&ada, &site.visitor()] {
        let request = site.client.get(link).header(header("Sec-Fetch-Site", "cross-site"));
        visitor.send(request).await.assert_status(403);
    }
    assert_eq!(other.count("/token"), 0);
    assert_eq!(site.identities().await, 1);
}

#[rocket::async_test]
async fn a_disconnected_provider_logs_nobody_in() {
    let site = Site::new().await;
    let ada = connected(&site).await;
    let by_provider = site.visitor();
    site.log_in(&by_provider).await.assert_redirect("/account");
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    assert_eq!(site.identities().await, 0);
    ada.get("/account/activity").await.assert_text("Provider disconnected");
    let before = site.users().await;
    super::assert_asks_to_connect(&site.log_in(&site.visitor()).await);
    assert_eq!(site.users().await, before);
    let subjects = site.subjects(ADA).await;
    let told = subjects.iter().filter(|subject| subject.contains("ay to log in")).count();
    assert_eq!(told, 2, "{subjects:?}");

    // Its owner may connect it again, and so may somebody else.
    let bob = confirmed(&site, BOB).await;
    site.connect(&bob).await.assert_redirect("/account/security");
    let visitor = site.visitor();
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.get("/account").await.assert_text(BOB);
}

#[rocket::async_test]
async fn one_cannot_disconnect_what_is_not_ones_own() {
    let site = Site::new().await;
    connected(&site).await;
    let bob = confirmed(&site, BOB).await;
    let answer = bob.post(UNLINK, &[]).await;
    assert!([303, 404].contains(&answer.status.code), "{}", answer.status);
    let answer = bob.post(UNLINK, &[("id", "1")]).await;
    assert!([303, 404].contains(&answer.status.code), "{}", answer.status);
    bob.post("/account/providers/nowhere/unlink", &[]).await.assert_status(404);
    bob.get("/account/providers/nowhere/link").await.assert_status(404);
    assert_eq!(site.identities().await, 1);
}

#[rocket::async_test]
async fn the_last_way_in_stays() {
    let site = Site::new().await;
    let ada = site.came().await;
    ada.post(UNLINK, &[]).await.assert_status(422);
    let request = site.client.post(UNLINK).header(rocket::http::Accept::JSON);
    let answer = ada.send(request).await;
    answer.assert_status(422);
    assert_eq!(code_of(&answer), "last_way_in");
    assert_eq!(site.identities().await, 1);

    // A passkey is a way in.
    let phone = passkeys::phone();
    passkeys::add(&ada, &phone, "").await.assert_status(200);
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    assert_eq!(site.identities().await, 0);
    passkeys::log_in(&site.visitor(), &phone).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn a_password_is_a_way_in_and_its_owner_may_do_without_it() {
    let site = Site::new().await;
    let ada = site.came().await;
    let fields = [("new_password", "wooden battery horse")];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    site.visitor().log_in_with(ADA, "wooden battery horse").await.assert_redirect("/account");
}

#[rocket::async_test]
async fn with_a_provider_the_password_and_the_passkeys_may_go_but_not_all() {
    let site = Site::new().await;
    let ada = connected(&site).await;
    let phone = passkeys::phone();
    passkeys::add(&ada, &phone, "").await.assert_status(200);
    ada.post("/account/password/remove", &[]).await.assert_redirect("/account/security");
    let page = super::json(&site, &ada, "/account/security").await;
    let ways: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    let id = ways["factors"][0]["id"].as_str().unwrap().to_owned();
    let remove = format!("/account/passkeys/{id}/remove");
    ada.post(&remove, &[]).await.assert_redirect("/account/security");
    ada.post(UNLINK, &[]).await.assert_status(422);
    site.log_in(&site.visitor()).await.assert_redirect("/account");
    // Without the provider the last passkey would have stayed.
    passkeys::add(&ada, &phone, "").await.assert_status(200);
    ada.post(UNLINK, &[]).await.assert_redirect("/account/security");
    let page = super::json(&site, &ada, "/account/security").await;
    let ways: serde_json::Value = serde_json::from_str(&page.body).unwrap();
    let id = ways["factors"][0]["id"].as_str().unwrap().to_owned();
    ada.post(&format!("/account/passkeys/{id}/remove"), &[]).await.assert_status(422);
}

#[rocket::async_test]
async fn two_who_remove_the_last_two_ways_in_at_once_leave_one() {
    let (site, other) = (Site::new().await, Liar::start());
    let site = site.restarted(|f| super::with_provider(f, "other", &other)).await;
    other.follow(&site.clock);
    let ada = site.came().await;
    let back = other.answer(&leads_to(&ada.get("/account/providers/other/link").await));
    site.come_back(&ada, &back).await.assert_redirect("/account/security");
    let again = site.visitor();
    site.log_in(&again).await.assert_redirect("/account");
    let removals = rocket::futures::future::join(
        ada.post(UNLINK, &[]),
        again.post("/account/providers/other/unlink", &[]),
    );
    let (one, other) = removals.await;
    assert_eq!(site.identities().await, 1, "{} and {}", one.status, other.status);
}
