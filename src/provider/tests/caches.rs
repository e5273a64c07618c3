//! Copies of metadata and keys, and how long they are used.

use super::*;

const HOUR: Timestamp = 60 * 60;

#[rocket::async_test]
async fn metadata_and_keys_are_kept_and_renewed_in_the_background() {
    let fake = Fake::new();
    for now in [NOW, NOW + 1, NOW + HOUR - 1] {
        fake.provider.lead(ASK, now).await.unwrap();
    }
    fake.brought().await.unwrap();
    fake.brought().await.unwrap();
    assert_eq!((fake.server.count(METADATA), fake.server.count("/keys")), (1, 1));

    let mut metadata = fake.metadata();
    metadata["authorization_endpoint"] = format!("{}/moved", fake.server.url).into();
    fake.server.set(METADATA, Page::json(&metadata));
    let old = fake.provider.lead(ASK, NOW + HOUR).await.unwrap();
    assert!(old.contains("/authorize?"), "{old}");
    let Protocol::Oidc(oidc) = &fake.provider.protocol else { panic!() };
    oidc.metadata.settled().await;
    assert!(fake.provider.lead(ASK, NOW + HOUR).await.unwrap().contains("/moved?"));
    assert_eq!(fake.server.count(METADATA), 2);
}

#[rocket::async_test]
async fn old_metadata_are_used_while_the_provider_is_down() {
    let fake = Fake::new();
    fake.provider.lead(ASK, NOW).await.unwrap();
    fake.server.set(METADATA, Page::refusal(500, "x"));
    assert!(fake.provider.lead(ASK, NOW + 25 * HOUR).await.is_ok());
    assert_eq!(fake.server.count(METADATA), 2);
    // The failure is remembered, so nobody waits again.
    assert!(fake.provider.lead(ASK, NOW + 25 * HOUR + 29).await.is_ok());
    assert_eq!(fake.server.count(METADATA), 2);
    assert!(fake.provider.lead(ASK, NOW + 25 * HOUR + 30).await.is_ok());
    assert_eq!(fake.server.count(METADATA), 3);

    let mut metadata = fake.metadata();
    metadata["authorization_endpoint"] = format!("{}/moved", fake.server.url).into();
    fake.server.set(METADATA, Page::json(&metadata));
    let url = fake.provider.lead(ASK, NOW + 26 * HOUR).await.unwrap();
    assert!(url.contains("/moved?"), "{url}");
}

#[rocket::async_test]
async fn a_silent_provider_leaves_half_of_the_time_to_old_metadata() {
    let mut fake = Fake::new();
    fake.provider.lead(ASK, NOW).await.unwrap();
    fake.provider.patience = Duration::from_millis(200);
    fake.server.set(METADATA, Page::Silent);
    assert!(fake.provider.lead(ASK, NOW + 25 * HOUR).await.is_ok());
}

#[rocket::async_test]
async fn a_provider_that_was_down_is_asked_again_after_half_a_minute() {
    let fake = Fake::new();
    fake.server.set(METADATA, Page::refusal(500, "x"));
    for now in [NOW, NOW + 1, NOW + 29] {
        assert_eq!(fake.provider.lead(ASK, now).await.unwrap_err(), ProviderFailure::Down);
    }
    assert_eq!(fake.server.count(METADATA), 1);
    fake.server.set(METADATA, Page::json(&fake.metadata()));
    assert!(fake.provider.lead(ASK, NOW + 29).await.is_err());
    assert!(fake.provider.lead(ASK, NOW + 30).await.is_ok());
}

#[rocket::async_test]
async fn keys_that_could_not_be_had_are_not_kept() {
    let fake = Fake::new();
    fake.server.set("/keys", Page::Is(503, "application/json", set(&[&fake.signer]).to_string()));
    assert_eq!(fake.brought().await.unwrap_err(), ProviderFailure::Down);
    fake.server.set("/keys", Page::json(&set(&[&fake.signer])));
    let mut claims = fake.claims();
    claims["iat"] = (NOW + 30).into();
    fake.say(&claims);
    assert!(fake.brought_at(NOW + 30).await.is_ok());
}

#[rocket::async_test]
async fn many_visitors_at_once_cause_one_question() {
    let fake = Fake::new();
    let all =
        rocket::futures::future::join_all((0..50).map(|_| fake.provider.lead(ASK, NOW))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.server.count(METADATA), 1);

    let fake = Fake::new();
    fake.server.set(METADATA, Page::refusal(500, "x"));
    let all =
        rocket::futures::future::join_all((0..50).map(|_| fake.provider.lead(ASK, NOW))).await;
    assert!(all.iter().all(Result::is_err));
    assert_eq!(fake.server.count(METADATA), 1);
}

#[rocket::async_test]
async fn a_rotated_key_is_fetched_once() {
    let mut fake = Fake::new();
    fake.brought().await.unwrap();
    fake.signer = Signer::eddsa("two", 2);
    fake.server.set("/keys", Page::json(&set(&[&fake.signer])));
    fake.say(&fake.claims());
    fake.brought().await.unwrap();
    fake.brought().await.unwrap();
    assert_eq!(fake.server.count("/keys"), 2);

    // Another key under the same name.
    fake.signer = Signer::eddsa("two", 3);
    fake.server.set("/keys", Page::json(&set(&[&fake.signer])));
    let mut claims = fake.claims();
    claims["iat"] = (NOW + 60).into();
    fake.say(&claims);
    fake.brought_at(NOW + 60).await.unwrap();
    assert_eq!(fake.server.count("/keys"), 3);
}

#[rocket::async_test]
async fn unknown_keys_cause_one_question_a_minute() {
    let fake = Fake::new();
    let stranger = Signer::eddsa("stranger", 9);
    let mut claims = fake.claims();
    claims["exp"] = (NOW + 900).into();
    fake.say_token(&stranger.sign(&claims));
    for now in [NOW, NOW + 1, NOW + 59] {
        let refused = fake.brought_at(now).await;
        assert!(matches!(refused, Err(ProviderFailure::Refused(_))), "{refused:?}");
        assert_eq!(fake.server.count("/keys"), 2);
    }
    assert!(fake.brought_at(NOW + 60).await.is_err());
    assert_eq!(fake.server.count("/keys"), 3);
}

#[rocket::async_test]
async fn the_old_keys_stay_if_newer_ones_cannot_be_had() {
    let fake = Fake::new();
    fake.brought().await.unwrap();
    fake.server.set("/keys", Page::refusal(500, "x"));
    fake.say_token(&Signer::eddsa("stranger", 9).sign(&fake.claims()));
    assert_eq!(fake.brought().await.unwrap_err(), ProviderFailure::Down);
    fake.say(&fake.claims());
    assert!(fake.brought().await.is_ok());
}
