//! Each lie of a provider in the log-in is refused, and changes nothing.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Site, assert_flow_ended};
use crate::servers::liar::{CLIENT, Liar, Part, SECRET, Signing};
use crate::servers::program::{Program, command};

const OTHER: &str = "https://evil.example";

/// What the provider says wrongly: a part, the name of a member, and its value. `null` as the whole
/// value leaves the member out.
type Lie = (Part, &'static str, Option<Value>);

fn lies(now: i64, issuer: &str) -> Vec<Lie> {
    use Part::{Answer, Claims, Token, UserInfo};
    let said = |part, name, value| (part, name, Some(value));
    let mut lies = vec![
        said(Claims, "iss", json!(OTHER)),
        said(Claims, "iss", json!(format!("{issuer}/"))),
        said(Claims, "iss", json!([issuer])),
        said(Claims, "aud", json!("another")),
        said(Claims, "aud", json!(["another"])),
        said(Claims, "aud", json!([])),
        said(Claims, "aud", json!(["another", "third"])),
        said(Claims, "aud", json!({ CLIENT: CLIENT })),
        said(Claims, "azp", json!("another")),
        said(Claims, "nonce", json!("another")),
        said(Claims, "nonce", json!("")),
        said(Claims, "nonce", json!(null)),
        said(Claims, "exp", json!(now - 61)),
        said(Claims, "exp", json!("tomorrow")),
        said(Claims, "exp", json!(null)),
        said(Claims, "iat", json!(now + 86400)),
        said(Claims, "iat", json!(now + 61)),
        said(Claims, "iat", json!(now - 86400)),
        said(Claims, "iat", json!(now - 700)),
        said(Claims, "iat", json!("now")),
        said(Claims, "sub", json!("")),
        said(Claims, "sub", json!(null)),
        said(Claims, "sub", json!(1001)),
        said(Claims, "sub", json!("a".repeat(300))),
        said(Claims, "at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        said(Token, "id_token", json!("a.b")),
        said(Token, "id_token", json!("a.b.c.d.e")),
        said(Token, "id_token", json!("")),
        said(Token, "id_token", json!(7)),
        said(Answer, "iss", json!(OTHER)),
        said(Answer, "iss", json!("")),
        said(Answer, "code", json!("another")),
        said(UserInfo, "sub", json!("1002")),
        said(UserInfo, "sub", json!(null)),
    ];
    for name in ["iss", "aud", "nonce", "exp", "iat", "sub"] {
        lies.push((Claims, name, None));
    }
    lies.extend([(Token, "id_token", None), (Answer, "iss", None), (UserInfo, "sub", None)]);
    lies
}

fn tell(liar: &Liar, (part, name, value): &Lie) {
    match value {
        Some(value) => liar.says(*part, name, value.clone()),
        None => liar.omits(*part, name),
    }
    if *part == Part::UserInfo {
        liar.tells_email_at_user_info();
    }
}

#[rocket::async_test]
async fn each_lie_is_refused_and_changes_nothing() {
    let site = Site::new().await;
    let before = site.state().await;
    for lie in lies(site.clock.now(), site.liar.issuer()) {
        site.liar.is_honest();
        tell(&site.liar, &lie);
        let visitor = site.visitor();
        let answer = site.log_in(&visitor).await;
        assert!([422, 503].contains(&answer.status.code), "{lie:?}: {}", answer.status);
        answer.assert_no_text("evil").assert_no_text("127.0.0.1").assert_text("/login");
        assert_flow_ended(&answer);
        assert_eq!(site.state().await, before, "{lie:?}");
        assert!(!visitor.is_logged_in().await, "{lie:?}");
    }
    site.liar.is_honest();
    site.came().await;
}

#[rocket::async_test]
async fn each_lie_is_refused_for_a_known_identity_too() {
    let site = Site::new().await;
    site.came().await;
    let before = site.state().await;
    for lie in lies(site.clock.now(), site.liar.issuer()) {
        // The user info is not asked about somebody who is known.
        if lie.0 == Part::UserInfo {
            continue;
        }
        site.liar.is_honest();
        tell(&site.liar, &lie);
        let answer = site.log_in(&site.visitor()).await;
        assert!([422, 503].contains(&answer.status.code), "{lie:?}: {}", answer.status);
        assert_eq!(site.state().await, before, "{lie:?}");
    }
}

#[rocket::async_test]
async fn each_false_signature_is_refused_and_changes_nothing() {
    let site = Site::new().await;
    let before = site.state().await;
    for signing in Signing::FALSE {
        site.liar.signs(signing);
        // Even if it says that it signs so.
        let announced = json!(["none", "HS256", "PS256", "ES256", "RS256"]);
        site.liar.says(Part::Metadata, "id_token_signing_alg_values_supported", announced);
        let answer = site.log_in(&site.visitor()).await;
        assert_eq!(answer.status.code, 422, "{signing:?}: {}", answer.body);
        assert_flow_ended(&answer);
        assert_eq!(site.state().await, before, "{signing:?}");
        site.advance(61);
    }
    site.liar.is_honest();
    site.came().await;
}

#[rocket::async_test]
async fn a_clock_that_differs_by_a_minute_does_no_harm() {
    let site = Site::new().await;
    let now = site.clock.now();
    for (name, value) in [("exp", now - 59), ("iat", now + 59), ("iat", now - 590)] {
        site.liar.is_honest();
        site.liar.says(Part::Claims, name, value);
        let answer = site.log_in(&site.visitor()).await;
        assert_eq!(answer.status.code, 303, "{name}: {}", answer.body);
    }
}

#[rocket::async_test]
async fn several_audiences_are_accepted_if_the_token_is_for_this_site() {
    let site = Site::new().await;
    site.liar.says(Part::Claims, "aud", json!(["another", CLIENT]));
    site.liar.says(Part::Claims, "azp", CLIENT);
    site.came().await;
    site.liar.says(Part::Claims, "azp", "another");
    site.log_in(&site.visitor()).await.assert_status(422);
    site.liar.is_honest();
    site.liar.says(Part::Claims, "aud", json!([CLIENT]));
    site.log_in(&site.visitor()).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_site_lies_to_nobody_about_its_callback() {
    let site = Site::with(|f| f.merge(("site.url", "https://login.example.org"))).await;
    let visitor = site.visitor();
    let request = site.client.get("/login/with/test");
    let request = request.header(crate::support::header("Host", "evil.example"));
    let answer = visitor.send(request).await;
    site.liar.answer(&super::leads_to(&answer));
    let callback = site.liar.asked()["redirect_uri"].clone();
    assert_eq!(callback, "https://login.example.org/login/with/test/callback");
}

#[test]
fn the_log_says_why_an_answer_was_refused_and_no_secret() {
    let (liar, dir) = (Liar::start(), TempDir::new().unwrap());
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    command.env(
        "ROCKET_PROVIDERS",
        format!(
            "{{test={{issuer=\"{}\",client_id=\"{CLIENT}\",client_secret=\"{SECRET}\"}}}}",
            liar.issuer()
        ),
    );
    let program = Program::start(command, &[("ROCKET_LOG_LEVEL", "normal")]);
    let mut seen = Vec::new();
    for (name, value) in [("nonce", json!("another")), ("aud", json!("another")), ("exp", json!(1))]
    {
        liar.is_honest();
        liar.says(Part::Claims, name, value);
        let begun = program.request("GET /login/with/test", None, "");
        let header = |name: &str| {
            let lines = begun.lines().filter_map(|line| line.split_once(": "));
            let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.to_owned()).unwrap_or_else(|| panic!("{begun}"))
        };
        let back = liar.answer(&header("location"));
        let cookie = header("set-cookie");
        let cookie = cookie.split(';').next().unwrap();
        let answer = program.request(&format!("GET {back}"), Some(cookie), "");
        assert!(answer.starts_with("HTTP/1.1 422"), "{name}: {answer}");
        let log = program.wait_for(&format!("({name})"));
        let mut lines = log.lines().filter(|line| line.contains(&format!("({name})")));
        let line = lines.next().unwrap();
        assert!(line.contains("providers.test: refused"), "{line}");
        seen.push((name, back, liar.id_token()));
    }
    // And until the last request is in the log.
    program.request("GET /healthz", None, "");
    let log = program.wait_for("GET /healthz");
    for (name, back, token) in seen {
        let secrets = back.split(['=', '&']).filter(|part| part.len() > 20);
        for secret in secrets.chain([SECRET, &token]) {
            assert!(!log.contains(secret), "{name}: {secret} in {log}");
        }
    }
}
