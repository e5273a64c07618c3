//! GitHub, which does not speak OpenID Connect.

use rocket::figment::Figment;
use serde_json::{Value, json};

use super::{ADA, assert_flow_ended, come_back, identities, leads_to};
use crate::factors::confirmed;
use crate::servers::liar::{
    CLIENT, Fault, GITHUB_EMAILS, GITHUB_TOKEN, GITHUB_USER, Liar, Part, SECRET,
};
use crate::support::{Answer, TestApp, Visitor};

struct GitHub {
    app: TestApp,
    liar: Liar,
}

impl GitHub {
    async fn new() -> Self {
        let liar = Liar::start();
        let configure = |f: Figment| {
            f.merge(("providers.github.kind", "github"))
                .merge(("providers.github.url", liar.issuer()))
                .merge(("providers.github.api", liar.issuer()))
                .merge(("providers.github.client_id", CLIENT))
                .merge(("providers.github.client_secret", SECRET))
        };
        let app = TestApp::with(configure).await;
        liar.follow(&app.clock);
        GitHub { app, liar }
    }

    async fn log_in<'a>(&'a self, visitor: &Visitor<'a>) -> Answer {
        let begun = visitor.get("/login/with/github").await;
        let back = self.liar.answer(&leads_to(&begun));
        come_back(&self.app, visitor, &back).await
    }
}

fn email(email: &str, is_primary: bool, is_verified: bool) -> Value {
    json!({ "email": email, "primary": is_primary, "verified": is_verified, "visibility": null })
}

#[rocket::async_test]
async fn the_primary_address_that_github_has_confirmed_makes_an_account() {
    let site = GitHub::new().await;
    let visitor = site.app.visitor();
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.get("/account").await.assert_text(ADA);
    let asked = site.liar.asked();
    assert_eq!(asked["scope"], "user:email");
    assert_eq!(asked["code_challenge_method"], "S256");
    let subject = site.app.text("SELECT subject FROM login_identities").await;
    let issuer = site.app.text("SELECT issuer FROM login_identities").await;
    assert_eq!((subject.as_str(), issuer.as_str()), ("1001", site.liar.issuer()));
    // A name at GitHub may be taken over; the number stays.
    site.liar.says(Part::GitHubUser, "login", "somebody-else");
    site.log_in(&site.app.visitor()).await.assert_redirect("/account");
    assert_eq!((site.app.users().await, identities(&site.app).await), (1, 1));
}

#[rocket::async_test]
async fn no_other_address_of_github_makes_an_account() {
    let site = GitHub::new().await;
    for emails in [
        json!([]),
        json!([email(ADA, false, true)]),
        json!([email(ADA, true, false)]),
        json!([email("bob@example.org", true, false), email(ADA, false, true)]),
        json!({ "email": ADA }),
        json!([{ "email": ADA, "primary": true }]),
        json!([{ "email": ADA, "primary": "true", "verified": 1 }]),
        json!([7]),
    ] {
        site.liar.lists_emails(emails.clone());
        let visitor = site.app.visitor();
        let answer = site.log_in(&visitor).await;
        assert!([422, 503].contains(&answer.status.code), "{emails}: {}", answer.status);
        assert_flow_ended(&answer);
        assert_eq!((site.app.users().await, identities(&site.app).await), (0, 0), "{emails}");
    }
}

#[rocket::async_test]
async fn a_known_address_is_not_linked_by_github_either() {
    let site = GitHub::new().await;
    confirmed(&site.app, ADA).await;
    let answer = site.log_in(&site.app.visitor()).await;
    answer.assert_status(422).assert_text("/account/providers/github/link");
    assert_eq!(identities(&site.app).await, 0);
}

#[rocket::async_test]
async fn a_user_connects_github_and_logs_in_with_it() {
    let site = GitHub::new().await;
    let ada = confirmed(&site.app, ADA).await;
    site.liar.is("1001", "elsewhere@example.com");
    let begun = ada.get("/account/providers/github/link").await;
    let back = site.liar.answer(&leads_to(&begun));
    come_back(&site.app, &ada, &back).await.assert_redirect("/account/security");
    let visitor = site.app.visitor();
    site.log_in(&visitor).await.assert_redirect("/account");
    visitor.get("/account").await.assert_text(ADA);
    ada.post("/account/providers/github/unlink", &[]).await.assert_redirect("/account/security");
    assert_eq!(identities(&site.app).await, 0);
}

#[rocket::async_test]
async fn github_that_fails_logs_nobody_in() {
    let site = GitHub::new().await;
    for path in [GITHUB_TOKEN, GITHUB_USER, GITHUB_EMAILS] {
        for fault in [
            Fault::Huge,
            Fault::HugeUnannounced,
            Fault::Redirect("http://169.254.169.254/".into()),
            Fault::Html,
            Fault::Status(500),
            Fault::Cut,
            Fault::Closed,
        ] {
            site.liar.is_honest();
            let visitor = site.app.visitor();
            site.liar.fails(path, fault.clone());
            let answer = site.log_in(&visitor).await;
            assert_eq!(answer.status.code, 503, "{path} {fault:?}: {}", answer.body);
            assert_flow_ended(&answer);
            assert_eq!((site.app.users().await, site.app.sessions().await), (0, 0));
        }
    }
    site.liar.is_honest();
    site.log_in(&site.app.visitor()).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn github_that_lies_logs_nobody_in() {
    let site = GitHub::new().await;
    for (part, name, value) in [
        (Part::GitHubUser, "id", Some(json!("1001"))),
        (Part::GitHubUser, "id", Some(json!(null))),
        (Part::GitHubUser, "id", Some(json!(-1))),
        (Part::GitHubUser, "id", Some(json!(1.5))),
        (Part::GitHubUser, "id", None),
        (Part::Token, "access_token", None),
        (Part::Token, "access_token", Some(json!("somebody else's"))),
        (Part::Token, "access_token", Some(json!("a\r\nX-Header: b"))),
        (Part::Answer, "code", None),
        (Part::Answer, "code", Some(json!("unknown"))),
    ] {
        site.liar.is_honest();
        match &value {
            Some(value) => site.liar.says(part, name, value.clone()),
            None => site.liar.omits(part, name),
        }
        let answer = site.log_in(&site.app.visitor()).await;
        assert!([422, 503].contains(&answer.status.code), "{name} {value:?}: {}", answer.status);
        assert_flow_ended(&answer);
        assert_eq!((site.app.users().await, site.app.sessions().await), (0, 0), "{value:?}");
    }
}

#[rocket::async_test]
async fn the_back_channel_is_not_for_github() {
    let site = GitHub::new().await;
    let ada = site.app.visitor();
    site.log_in(&ada).await.assert_redirect("/account");
    let token = site.liar.log_out_token(&json!({ "sub": "1001" }));
    let fields = [("logout_token", &*token)];
    let answer = site.app.visitor().post("/login/with/github/logout", &fields).await;
    assert!([400, 404].contains(&answer.status.code), "{}", answer.status);
    assert!(ada.is_logged_in().await);
}
