//! Log-out here and at the provider.

use super::{ADA, Site, leads_to};
use crate::factors::confirmed;
use crate::servers::liar::{CLIENT, DISCOVERY, Fault, Part};

const BUTTON: &str = "name=\"provider\"";

#[rocket::async_test]
async fn a_second_button_logs_out_at_the_provider_as_well() {
    let site = Site::new().await;
    let ada = site.came().await;
    ada.get("/logout").await.assert_status(200).assert_text(BUTTON).assert_text("Test");
    let answer = ada.post("/logout", &[("provider", "true")]).await;
    let to = leads_to(&answer);
    let query = to.strip_prefix(&format!("{}/end-session?", site.liar.issuer())).unwrap();
    assert!(query.contains(&format!("client_id={CLIENT}")), "{query}");
    let back = "post_logout_redirect_uri=http%3A%2F%2Flocalhost%3A8000%2Flogin";
    assert!(query.contains(back), "{query}");
    // The session here has ended, whatever the provider does.
    assert!(!ada.is_logged_in().await && !ada.has_cookie("session"));
    assert_eq!(answer.header("clear-site-data"), Some("\"storage\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(site.sessions().await, 0);
    // The usual button leads nowhere else.
    let ada = site.came().await;
    ada.post("/logout", &[]).await.assert_redirect("/");
}

#[rocket::async_test]
async fn without_a_provider_or_its_address_there_is_one_button() {
    let site = Site::new().await;
    let ada = confirmed(&site, ADA).await;
    site.connect(&ada).await.assert_redirect("/account/security");
    // This session began with a password.
    ada.get("/logout").await.assert_no_text(BUTTON);
    ada.post("/logout", &[("provider", "true")]).await.assert_redirect("/");
    assert!(!ada.is_logged_in().await);

    let site = Site::new().await;
    site.liar.omits(Part::Metadata, "end_session_endpoint");
    let ada = site.came().await;
    ada.get("/logout").await.assert_no_text(BUTTON);
    ada.post("/logout", &[("provider", "true")]).await.assert_redirect("/");
    assert!(!ada.is_logged_in().await);
    site.visitor().get("/logout").await.assert_no_text(BUTTON);
}

#[rocket::async_test]
async fn a_provider_that_is_down_keeps_nobody_logged_in() {
    let site = Site::new().await;
    let session = site.came().await.session_cookie();
    // It knows nothing of the provider yet.
    let site = site.restarted(|f| f).await;
    site.liar.fails(DISCOVERY, Fault::Closed);
    let ada = site.visitor();
    ada.set_cookie("session", session);
    assert!(ada.is_logged_in().await);
    ada.post("/logout", &[("provider", "true")]).await.assert_redirect("/");
    assert_eq!(site.sessions().await, 0);
}
