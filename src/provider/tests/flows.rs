//! The way to a provider and back, and what goes wrong on it.

use super::*;

const DOWN: ProviderFailure = ProviderFailure::Down;

#[track_caller]
fn assert_refused<T: fmt::Debug>(result: Result<T, ProviderFailure>) {
    assert!(matches!(result, Err(ProviderFailure::Refused(_))), "{result:?}");
}

#[rocket::async_test]
async fn the_browser_is_led_to_the_provider_with_a_challenge() {
    let fake = Fake::new();
    let url = fake.provider.lead(ASK, NOW).await.unwrap();
    assert!(url.starts_with(&format!("{}/authorize?tenant=1&", fake.server.url)), "{url}");
    let pairs = pairs(&url);
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "site"),
        ("redirect_uri", ASK.callback),
        ("scope", "openid email"),
        ("state", "st&te"),
        ("nonce", "n0"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(pairs[name], value, "{name}");
    }
    assert_eq!(pairs["code_challenge"].len(), 43);
    assert!(!url.contains("v0") && !pairs.contains_key("prompt"), "{url}");
}

#[rocket::async_test]
async fn a_user_who_must_log_in_again_is_asked_to() {
    let mut fake = Fake::new();
    let again = Ask { is_again: true, ..ASK };
    let url = pairs(&fake.provider.lead(again, NOW).await.unwrap());
    assert_eq!((url["prompt"].as_str(), url["max_age"].as_str()), ("login", "0"));
    // Google answers `prompt=login` with an error.
    let Protocol::Oidc(oidc) = &mut fake.provider.protocol else { panic!() };
    oidc.has_no_prompt_login = true;
    let url = pairs(&fake.provider.lead(again, NOW).await.unwrap());
    assert_eq!((url["prompt"].as_str(), url["max_age"].as_str()), ("select_account", "0"));
}

#[rocket::async_test]
async fn a_code_is_exchanged_for_who_it_is() {
    let fake = Fake::new();
    let brought = fake.brought().await.unwrap();
    assert_eq!((brought.issuer.as_str(), brought.subject.as_str()), (&*fake.server.url, "u1"));
    assert_eq!(brought.email.as_deref(), Some("ann@example.org"));
    assert!(brought.is_verified && !brought.is_again);
    assert_eq!(brought.sid.as_deref(), Some("s1"));
    assert_eq!(fake.server.count("/me"), 0);

    let asked = fake.server.last("/token");
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST ") && !head.to_lowercase().contains("authorization"), "{head}");
    let form: HashMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "c0"),
        ("redirect_uri", KEPT.callback),
        ("code_verifier", "v0"),
        ("client_id", "site"),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
}

#[rocket::async_test]
async fn the_secret_is_shown_as_the_provider_wants_it() {
    let fake = Fake::configured(r#"{"client_secret": "s e"}"#);
    fake.brought().await.unwrap();
    let asked = fake.server.last("/token");
    let expected = format!("basic {}", BASE64_STANDARD.encode("site:s+e")).to_lowercase();
    assert!(asked.to_lowercase().contains(&format!("authorization: {expected}")), "{asked}");
    assert!(!asked.contains("client_id=") && !asked.contains("client_secret="), "{asked}");

    let fake = Fake::configured(r#"{"client_secret": "s e"}"#);
    let mut metadata = fake.metadata();
    metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    fake.server.set(METADATA, Page::json(&metadata));
    fake.brought().await.unwrap();
    let asked = fake.server.last("/token");
    assert!(asked.contains("client_id=site&client_secret=s+e"), "{asked}");

    let fake = Fake::configured(r#"{"client_secret": "s e"}"#);
    metadata = fake.metadata();
    metadata["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]);
    fake.server.set(METADATA, Page::json(&metadata));
    assert_eq!(fake.brought().await.unwrap_err(), DOWN);
}

#[rocket::async_test]
async fn an_answer_without_a_good_code_is_refused_before_anything_is_asked() {
    let fake = Fake::new();
    let brought = async |answer| fake.provider.brought(KEPT, answer, NOW).await;
    let none = Answer { code: None, iss: None, error: None };
    assert_refused(brought(none).await);
    assert_refused(brought(Answer { code: Some(""), ..none }).await);
    assert_refused(brought(Answer { error: Some("<script>alert(1)</script>"), ..ANSWER }).await);
    let denied = brought(Answer { error: Some("access_denied"), ..none }).await;
    assert_eq!(denied.unwrap_err(), ProviderFailure::Denied);
    // The code of another provider (mix-up).
    assert_refused(brought(Answer { iss: Some("https://evil.example"), ..ANSWER }).await);
    assert_eq!(fake.server.asked.lock().unwrap().len(), 0);

    assert!(brought(Answer { iss: Some(&fake.server.url), ..ANSWER }).await.is_ok());
}

#[rocket::async_test]
async fn an_issuer_that_is_announced_and_missing_is_refused() {
    let fake = Fake::new();
    let mut metadata = fake.metadata();
    metadata["authorization_response_iss_parameter_supported"] = true.into();
    fake.server.set(METADATA, Page::json(&metadata));
    assert_refused(fake.brought().await);
    assert_eq!(fake.server.count("/token"), 0);
    let answer = Answer { iss: Some(&fake.server.url), ..ANSWER };
    assert!(fake.provider.brought(KEPT, answer, NOW).await.is_ok());
}

#[rocket::async_test]
async fn a_code_that_the_provider_refuses_is_no_fault_of_the_provider() {
    let fake = Fake::new();
    for status in [400, 401] {
        fake.server.set("/token", Page::refusal(status, "invalid_grant"));
        assert_refused(fake.brought().await);
    }
    for page in [
        Page::refusal(403, "invalid_grant"),
        Page::refusal(500, "server_error"),
        Page::refusal(503, "server_error"),
        Page::Is(400, "text/html", "no".into()),
        Page::Is(400, "application/json", "no".into()),
    ] {
        fake.server.set("/token", page);
        assert_eq!(fake.brought().await.unwrap_err(), DOWN);
    }
}

#[rocket::async_test]
async fn an_answer_without_tokens_is_refused() {
    let fake = Fake::new();
    let token = fake.signer.sign(&fake.claims());
    for answer in [
        json!({}),
        json!({"access_token": "x"}),
        json!({"id_token": token, "token_type": "mac"}),
        json!({"id_token": token, "error": "invalid_grant"}),
        json!({"id_token": "x"}),
    ] {
        fake.server.set("/token", Page::json(&answer));
        assert_refused(fake.brought().await);
    }
    fake.server.set("/token", Page::json(&json!({"id_token": token})));
    assert!(fake.brought().await.is_ok());
}

#[rocket::async_test]
async fn a_token_that_does_not_hold_is_refused() {
    let fake = Fake::new();
    for (name, value) in [("nonce", json!("n1")), ("aud", json!("other")), ("exp", json!(NOW - 61))]
    {
        let mut claims = fake.claims();
        claims[name] = value;
        fake.say(&claims);
        assert_refused(fake.brought().await);
    }
    fake.say_token(&Signer::eddsa("one", 2).sign(&fake.claims()));
    assert_refused(fake.brought().await);
}

#[rocket::async_test]
async fn what_cannot_be_used_is_an_answer_of_a_provider_that_is_down() {
    let large = json!({"x": "y".repeat(256 * 1024)});
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{}";
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\
                 Content-Length: 0\r\n\r\n";
    let endless = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_owned()
        + &" ".repeat(300_000);
    for path in [METADATA, "/keys", "/token"] {
        for page in [
            Page::Is(200, "text/html", "<p>hello".into()),
            Page::Is(200, "application/json", "<p>hello".into()),
            Page::Is(200, "application/json", "[]".into()),
            Page::Is(200, "application/json", String::new()),
            Page::Is(204, "application/json", String::new()),
            Page::Is(404, "application/json", "{}".into()),
            Page::Is(500, "application/json", "{}".into()),
            Page::json(&large),
            Page::Raw(cut.into()),
            Page::Raw(moved.into()),
            Page::Raw(endless.clone()),
            Page::Raw("no http at all".into()),
            Page::Raw(String::new()),
        ] {
            let fake = Fake::new();
            fake.server.set(path, page.clone());
            let brought = fake.brought().await;
            assert_eq!(brought.unwrap_err(), DOWN, "{path}: {:?}", matches!(page, Page::Raw(_)));
        }
    }
}

#[rocket::async_test]
async fn a_silent_provider_costs_the_patience_and_no_more() {
    for path in [METADATA, "/keys", "/token"] {
        let mut fake = Fake::new();
        fake.provider.patience = Duration::from_millis(150);
        fake.server.set(path, Page::Silent);
        let began = std::time::Instant::now();
        assert_eq!(fake.brought().await.unwrap_err(), DOWN, "{path}");
        assert!(began.elapsed() < Duration::from_millis(900), "{path}: {:?}", began.elapsed());
    }
}

#[rocket::async_test]
async fn many_who_wait_for_a_silent_provider_are_turned_away() {
    let mut fake = Fake::new();
    fake.provider.patience = Duration::from_millis(400);
    fake.provider.lead(ASK, NOW).await.unwrap();
    fake.server.set("/token", Page::Silent);
    let began = std::time::Instant::now();
    let all = rocket::futures::future::join_all((0..200).map(|_| fake.brought())).await;
    assert!(all.iter().all(|brought| matches!(brought, Err(ProviderFailure::Down))));
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(fake.server.count("/token") <= 16, "{}", fake.server.count("/token"));
}

#[rocket::async_test]
async fn a_host_that_is_not_there_is_down() {
    let fake = Fake::new();
    let mut metadata = fake.metadata();
    metadata["token_endpoint"] = "http://127.0.0.1:1/token".into();
    fake.server.set(METADATA, Page::json(&metadata));
    assert_eq!(fake.brought().await.unwrap_err(), DOWN);
}

#[rocket::async_test]
async fn an_address_that_the_token_lacks_is_asked_for_once() {
    let fake = Fake::new();
    let mut claims = fake.claims();
    claims.as_object_mut().unwrap().retain(|name, _| !name.starts_with("email"));
    fake.say(&claims);
    let me = json!({"sub": "u1", "email": "me@example.org", "email_verified": "true"});
    fake.server.set("/me", Page::json(&me));
    let brought = fake.brought().await.unwrap();
    assert_eq!(brought.email.as_deref(), Some("me@example.org"));
    assert!(brought.is_verified && fake.server.count("/me") == 1);
    let asked = fake.server.last("/me").to_lowercase();
    assert!(asked.contains("authorization: bearer secret-access"), "{asked}");

    // An address of somebody else.
    fake.server.set("/me", Page::json(&json!({"sub": "u2", "email": "me@example.org"})));
    assert_refused(fake.brought().await);
    for page in [Page::refusal(500, "x"), Page::Is(200, "application/jwt", "a.b.c".into())] {
        fake.server.set("/me", page);
        assert_eq!(fake.brought().await.unwrap_err(), DOWN);
    }
    // It has no address, or does not say it to this site.
    for page in [
        Page::json(&json!({"sub": "u1"})),
        Page::json(&json!({"sub": "u1", "email": 5, "email_verified": true})),
        Page::refusal(403, "insufficient_scope"),
        Page::Is(404, "text/html", "no".into()),
    ] {
        fake.server.set("/me", page);
        let brought = fake.brought().await.unwrap();
        assert!(brought.email.is_none() && !brought.is_verified);
    }
}

#[rocket::async_test]
async fn an_address_that_is_none_counts_as_missing() {
    let fake = Fake::new();
    for text in ["".to_owned(), "   ".into(), format!("{}@example.org", "x".repeat(243))] {
        let mut claims = fake.claims();
        claims["email"] = text.into();
        fake.say(&claims);
        let brought = fake.brought().await.unwrap();
        assert!(brought.email.is_none() && !brought.is_verified);
    }
}

#[rocket::async_test]
async fn a_user_who_logs_in_again_is_not_asked_about_and_is_recent() {
    let fake = Fake::new();
    let mut claims = fake.claims();
    claims.as_object_mut().unwrap().remove("email");
    claims["auth_time"] = (NOW - 5).into();
    fake.say(&claims);
    let kept = Kept { is_again: true, ..KEPT };
    let brought = fake.provider.brought(kept, ANSWER, NOW).await.unwrap();
    assert!(brought.is_again && brought.email.is_none() && fake.server.count("/me") == 0);
    claims["auth_time"] = (NOW - 700).into();
    fake.say(&claims);
    assert_refused(fake.provider.brought(kept, ANSWER, NOW).await);
}

#[rocket::async_test]
async fn a_logout_token_is_read_with_the_same_keys() {
    let fake = Fake::new();
    let claims = json!({
        "iss": fake.server.url, "aud": "site", "sid": "s1", "jti": "j1", "iat": NOW,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let header = json!({"alg": "EdDSA", "kid": "one", "typ": "logout+jwt"});
    let token = fake.signer.sign_with(&header, &claims);
    let logged_out = fake.provider.log_out_token(&token, NOW).await.unwrap();
    assert_eq!(logged_out.issuer, fake.server.url);
    assert_eq!((logged_out.subject, logged_out.sid.as_deref()), (None, Some("s1")));
    assert_refused(fake.provider.log_out_token(&token, NOW + 200).await);
    assert_refused(fake.provider.log_out_token("x.y.z", NOW).await);
}

#[rocket::async_test]
async fn the_browser_is_led_to_the_end_of_the_providers_session() {
    let fake = Fake::new();
    let url = fake.provider.end_session("http://localhost/?a=b&c", NOW).await.unwrap();
    assert!(url.starts_with(&format!("{}/end?x=1&client_id=site&", fake.server.url)), "{url}");
    assert_eq!(pairs(&url)["post_logout_redirect_uri"], "http://localhost/?a=b&c");

    let fake = Fake::new();
    let mut metadata = fake.metadata();
    metadata["end_session_endpoint"] = Value::Null;
    fake.server.set(METADATA, Page::json(&metadata));
    assert_eq!(fake.provider.end_session("http://localhost/", NOW).await, None);
    let fake = Fake::new();
    fake.server.set(METADATA, Page::refusal(500, "x"));
    assert_eq!(fake.provider.end_session("http://localhost/", NOW).await, None);
}

#[rocket::async_test]
async fn a_check_says_in_words_what_is_wrong() {
    let fake = Fake::new();
    fake.provider.check().await.unwrap();
    let mut metadata = fake.metadata();
    metadata["issuer"] = "https://other.example".into();
    fake.server.set(METADATA, Page::json(&metadata));
    let problem = fake.provider.check().await.unwrap_err();
    assert!(problem.contains("another issuer: https://other.example"), "{problem}");
    fake.server.set(METADATA, Page::Is(404, "text/html", "no".into()));
    let problem = fake.provider.check().await.unwrap_err();
    assert!(problem.contains("has the status 404"), "{problem}");
    fake.server.set(METADATA, Page::json(&fake.metadata()));
    fake.server.set("/keys", Page::json(&json!({"keys": []})));
    let problem = fake.provider.check().await.unwrap_err();
    assert!(problem.contains("no key of a kind"), "{problem}");
}

/// GitHub with its API on one server.
fn github() -> (Server, Provider) {
    let server = Server::new();
    let config = json!({
        "kind": "github", "client_id": "site", "client_secret": "s3",
        "url": format!("{}/", server.url), "api": format!("{}/api/v3/", server.url),
    });
    let config = serde_json::from_value(config).unwrap();
    server.set("/login/oauth/access_token", Page::json(&json!({"access_token": "gho"})));
    server.set("/api/v3/user", Page::json(&json!({"id": 583_231, "login": "ann", "email": null})));
    let addresses = json!([
        {"email": "old@example.org", "primary": false, "verified": true, "visibility": null},
        {"email": "ann@example.org", "primary": true, "verified": true, "visibility": "public"},
    ]);
    server.set("/api/v3/user/emails", Page::json(&addresses));
    (server, Provider::new("github", &config).unwrap())
}

#[rocket::async_test]
async fn github_says_who_it_is_by_number_and_primary_address() {
    let (server, github) = github();
    let url = github.lead(ASK, NOW).await.unwrap();
    assert!(url.starts_with(&format!("{}/login/oauth/authorize?", server.url)), "{url}");
    let pairs = pairs(&url);
    assert_eq!((&*pairs["scope"], &*pairs["code_challenge_method"]), ("user:email", "S256"));
    assert!(server.asked.lock().unwrap().is_empty());

    let brought = github.brought(KEPT, ANSWER, NOW).await.unwrap();
    assert_eq!((&brought.issuer, brought.subject.as_str()), (&server.url, "583231"));
    assert_eq!(brought.email.as_deref(), Some("ann@example.org"));
    assert!(brought.is_verified && !brought.is_again && brought.sid.is_none());
    let token = server.last("/login/oauth/access_token").to_lowercase();
    assert!(token.contains("accept: application/json"), "{token}");
    assert!(token.contains("client_id=site&client_secret=s3"), "{token}");
    let user = server.last("/api/v3/user").to_lowercase();
    assert!(user.contains("user-agent: rocket-login/") && user.contains("bearer gho"), "{user}");
}

#[rocket::async_test]
async fn an_address_at_github_counts_only_if_it_is_primary_and_verified() {
    let (server, github) = github();
    for page in [
        Page::json(&json!([])),
        Page::json(&json!([{"email": "a@b.example", "primary": true, "verified": false}])),
        Page::json(&json!([{"email": "a@b.example", "primary": false, "verified": true}])),
        Page::refusal(404, "x"),
        Page::Is(403, "text/html", "no".into()),
    ] {
        server.set("/api/v3/user/emails", page);
        let brought = github.brought(KEPT, ANSWER, NOW).await.unwrap();
        assert!(brought.email.is_none() && !brought.is_verified);
    }
    server.set("/api/v3/user/emails", Page::refusal(502, "x"));
    assert_eq!(github.brought(KEPT, ANSWER, NOW).await.unwrap_err(), DOWN);
}

#[rocket::async_test]
async fn github_refuses_with_a_good_status() {
    let (server, github) = github();
    server.set("/login/oauth/access_token", Page::refusal(200, "bad_verification_code"));
    assert_refused(github.brought(KEPT, ANSWER, NOW).await);
    server.set("/login/oauth/access_token", Page::json(&json!({"scope": ""})));
    assert_refused(github.brought(KEPT, ANSWER, NOW).await);
    server.set("/login/oauth/access_token", Page::json(&json!({"access_token": "a\r\nb"})));
    assert_refused(github.brought(KEPT, ANSWER, NOW).await);
    server.set("/login/oauth/access_token", Page::json(&json!({"access_token": "gho"})));
    server.set("/api/v3/user", Page::json(&json!({"id": "583231"})));
    assert_eq!(github.brought(KEPT, ANSWER, NOW).await.unwrap_err(), DOWN);
}

#[rocket::async_test]
async fn github_is_asked_for_nothing_that_it_cannot_do() {
    let (server, github) = github();
    assert!(!github.can_reauthenticate());
    assert_refused(github.lead(Ask { is_again: true, ..ASK }, NOW).await);
    assert_refused(github.brought(Kept { is_again: true, ..KEPT }, ANSWER, NOW).await);
    assert_refused(github.log_out_token("x.y.z", NOW).await);
    assert_eq!(github.end_session("http://localhost/", NOW).await, None);
    let other = Answer { iss: Some("https://evil.example/login/oauth"), ..ANSWER };
    assert_refused(github.brought(KEPT, other, NOW).await);
    assert!(server.asked.lock().unwrap().is_empty());

    let iss = format!("{}/login/oauth", server.url);
    let own = Answer { iss: Some(&iss), ..ANSWER };
    assert!(github.brought(KEPT, own, NOW).await.is_ok());
    github.check().await.unwrap();
    server.set("/api/v3", Page::refusal(502, "x"));
    assert!(github.check().await.unwrap_err().contains("status 502"));
}

#[test]
fn a_provider_does_not_print_its_secret() {
    let fake = Fake::configured(r#"{"client_secret": "hunter2"}"#);
    let shown = format!("{:?}", Providers(vec![Arc::new(fake.provider)]));
    assert!(shown.contains("acme") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn providers_are_found_by_name_and_issuer_and_have_their_marks() {
    use crate::config::{Config, defaults};
    let figment = rocket::figment::Figment::from(rocket::Config::debug_default());
    let mut figment = figment.merge(defaults()).select(rocket::Config::DEBUG_PROFILE);
    for (name, issuer) in [
        ("google", "https://accounts.google.com"),
        ("entra", "https://login.microsoftonline.com/9188040d/v2.0"),
        ("apple", "https://appleid.apple.com"),
        ("gitlab", "https://gitlab.com"),
        ("own", "https://accounts.google.com.evil.example"),
    ] {
        figment = figment.merge((format!("providers.{name}.issuer"), issuer));
        figment = figment.merge((format!("providers.{name}.client_id"), "site"));
    }
    for (key, value) in [("kind", "github"), ("client_id", "site"), ("client_secret", "s")] {
        figment = figment.merge((format!("providers.github.{key}"), value));
    }
    let providers = Providers::new(&Config::from_figment(&figment).unwrap());
    let names: Vec<_> = providers.iter().map(|provider| provider.name()).collect();
    assert_eq!(names, ["apple", "entra", "github", "gitlab", "google", "own"]);
    let marks: Vec<_> = providers.iter().map(|provider| provider.mark()).collect();
    let [apple, entra, github, gitlab] = [Mark::Apple, Mark::Microsoft, Mark::GitHub, Mark::GitLab];
    assert_eq!(marks, [apple, entra, github, gitlab, Mark::Google, Mark::None]);
    assert_eq!(serde_json::to_value(marks).unwrap()[2], "github");
    assert_eq!(providers.of_issuer("https://github.com").unwrap().name(), "github");
    assert_eq!(providers.get("gitlab").unwrap().label(), "GitLab");
    assert!(providers.get("x").is_none() && providers.of_issuer("").is_none());
    assert!(!providers.is_empty() && !providers.get("own").unwrap().is_strong());
}
