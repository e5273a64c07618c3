//! Which tokens are refused, and which keys are skipped.

use super::super::keys::Algorithm;
use super::super::token::{Bad, Expected, Flow, Identity, Logout, identity, logout};
use super::*;

const ISSUER: &str = "https://login.example.org";

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "site", "sub": "u1", "nonce": "n0", "iat": NOW, "exp": NOW + 300,
    })
}

fn logout_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ["site"], "sub": "u1", "sid": "s1", "jti": "j1", "iat": NOW,
        "exp": NOW + 120, "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    })
}

/// Returns `claims` with changes. A change to `null` removes the claim.
fn changed(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        match value {
            Value::Null => {
                claims.as_object_mut().unwrap().remove(*name);
            }
            value => claims[*name] = value.clone(),
        }
    }
    claims
}

fn expected() -> Expected<'static> {
    Expected { issuer: ISSUER, client_id: "site", now: NOW }
}

fn flow() -> Flow<'static> {
    Flow { nonce: "n0", access_token: Some("access"), is_again: false }
}

fn signer() -> Signer {
    Signer::eddsa("one", 1)
}

fn read(token: &str) -> Result<Identity, Bad> {
    identity(token, &keys(&set(&[&signer()])).unwrap(), expected(), flow())
}

fn of(changes: &[(&str, Value)]) -> Result<Identity, Bad> {
    read(&signer().sign(&changed(claims(), changes)))
}

fn read_logout(header: &Value, claims: &Value) -> Result<Logout, Bad> {
    let token = signer().sign_with(header, claims);
    logout(&token, &keys(&set(&[&signer()])).unwrap(), expected())
}

fn logout_header() -> Value {
    json!({"alg": "EdDSA", "kid": "one", "typ": "logout+jwt"})
}

fn of_logout(changes: &[(&str, Value)]) -> Result<Logout, Bad> {
    read_logout(&logout_header(), &changed(logout_claims(), changes))
}

#[test]
fn a_token_of_each_algorithm_is_good() {
    for signer in [Signer::rs256("a"), Signer::es256("b"), Signer::eddsa("c", 1)] {
        let keys = keys(&set(&[&signer])).unwrap();
        let identity = identity(&signer.sign(&claims()), &keys, expected(), flow()).unwrap();
        assert_eq!(identity.subject, "u1", "{}", signer.0);
    }
}

#[test]
fn a_claim_that_does_not_hold_is_refused() {
    let long = "x".repeat(256);
    let cases: &[(&str, Value)] = &[
        ("iss", Value::Null),
        ("iss", "https://login.example.org/".into()),
        ("iss", "https://evil.example".into()),
        ("aud", Value::Null),
        ("aud", "other".into()),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!(["site", "other"])),
        ("aud", json!({"site": 1})),
        ("azp", "other".into()),
        ("exp", Value::Null),
        ("exp", json!("9999999999")),
        ("exp", json!(NOW - 60)),
        ("exp", json!(-1e300)),
        ("iat", Value::Null),
        ("iat", json!(NOW + 61)),
        ("iat", json!(NOW + 86_400)),
        ("iat", json!(1e300)),
        ("iat", json!(NOW - 601)),
        ("nbf", json!(NOW + 61)),
        ("nonce", Value::Null),
        ("nonce", "n1".into()),
        ("nonce", "".into()),
        ("nonce", json!(["n0"])),
        ("sub", Value::Null),
        ("sub", "".into()),
        ("sub", "ü".into()),
        ("sub", "a\nb".into()),
        ("sub", json!(1)),
        ("sub", long.clone().into()),
        ("sid", long.into()),
        ("sid", "".into()),
        ("at_hash", "AAAA".into()),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
    ];
    for (name, value) in cases {
        let refused = of(&[(name, value.clone())]);
        assert!(matches!(refused, Err(Bad::Claim(_))), "{name}: {value}");
    }
}

#[test]
fn a_claim_at_the_edge_of_what_holds_is_good() {
    for (name, value) in [
        ("aud", json!(["site"])),
        ("azp", "site".into()),
        ("exp", json!(NOW - 59)),
        ("exp", json!(NOW as f64 + 0.5)),
        ("exp", json!(1e300)),
        ("iat", json!(NOW + 60)),
        ("iat", json!(NOW - 600)),
        ("nbf", json!(NOW + 60)),
        ("sub", "x".repeat(255).into()),
        ("sid", "x".repeat(255).into()),
        ("email", json!(5)),
        ("auth_time", json!(1)),
        ("unknown", json!([{"x": null}])),
    ] {
        assert!(of(&[(name, value.clone())]).is_ok(), "{name}: {value}");
    }
    let several = [("aud", json!(["other", "site"])), ("azp", "site".into())];
    assert!(of(&several).is_ok());
    assert!(of(&[several[0].clone(), ("azp", "other".into())]).is_err());
}

#[test]
fn an_address_is_verified_only_if_the_provider_says_so() {
    for (value, is_verified) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!("TRUE"), false),
        (json!(1), false),
        (Value::Null, false),
    ] {
        let identity = of(&[("email", "a@b.example".into()), ("email_verified", value)]).unwrap();
        assert_eq!(identity.is_verified, is_verified);
    }
}

#[test]
fn a_claim_that_stands_there_twice_is_refused() {
    let text = claims().to_string();
    for twice in [r#"{"sub":"u2","#, r#"{"nonce":"n1","#, r#"{"iss":"x","#] {
        let text = text.replacen('{', twice, 1);
        let signer = signer();
        let Private::EdDsa(pair) = &signer.1 else { panic!() };
        let signed = format!("{}.{}", base64(signer.header().to_string()), base64(text));
        let signature = base64(pair.sign(signed.as_bytes()));
        assert!(matches!(read(&format!("{signed}.{signature}")), Err(Bad::Claim(_))), "{twice}");
    }
}

#[test]
fn an_access_token_is_that_of_the_id_token() {
    use ring::digest::{SHA256, SHA512, digest};
    let eddsa = base64(&digest(&SHA512, b"access").as_ref()[..32]);
    let rs256 = base64(&digest(&SHA256, b"access").as_ref()[..16]);
    assert!(of(&[("at_hash", eddsa.clone().into())]).is_ok());
    assert!(of(&[("at_hash", rs256.clone().into())]).is_err());
    let signer = Signer::rs256("a");
    let keys = keys(&set(&[&signer])).unwrap();
    let of = |hash: &str, access_token| {
        let token = signer.sign(&changed(claims(), &[("at_hash", hash.into())]));
        identity(&token, &keys, expected(), Flow { access_token, ..flow() }).is_ok()
    };
    assert!(of(&rs256, Some("access")) && !of(&eddsa, Some("access")));
    assert!(!of(&rs256, Some("other")) && !of(&rs256, None));
}

#[test]
fn who_was_asked_to_log_in_again_has_done_so() {
    let keys = keys(&set(&[&signer()])).unwrap();
    let of = |at: Value| {
        let token = signer().sign(&changed(claims(), &[("auth_time", at)]));
        identity(&token, &keys, expected(), Flow { is_again: true, ..flow() }).is_ok()
    };
    assert!(of(Value::Null) && of(json!(NOW)) && of(json!(NOW - 600)) && of(json!(NOW + 60)));
    assert!(!of(json!(NOW - 601)) && !of(json!(NOW + 61)) && !of(json!(0)));
}

#[test]
fn a_header_that_asks_for_something_else_is_refused() {
    let signer = signer();
    let mut cases = vec![
        json!({"kid": "one"}),
        json!({"alg": "EdDSA", "kid": "one", "crit": ["exp"], "exp": 1}),
        json!({"alg": "EdDSA", "kid": 1}),
    ];
    let kinds = ["logout+jwt", "at+jwt", "application/logout+jwt", "", "JWE"];
    cases.extend(kinds.map(|typ| json!({"alg": "EdDSA", "kid": "one", "typ": typ})));
    for algorithm in ["none", "None", "HS256", "RS512", "PS256", "ES384", "Ed25519", "eddsa", ""] {
        cases.push(json!({"alg": algorithm, "kid": "one"}));
    }
    for header in cases {
        let refused = read(&signer.sign_with(&header, &claims()));
        assert!(matches!(refused, Err(Bad::Claim(_))), "{header}");
    }
    for typ in ["JWT", "jwt", "application/jwt"] {
        let header =
            json!({"alg": "EdDSA", "kid": "one", "typ": typ, "jku": "https://evil.example"});
        assert!(read(&signer.sign_with(&header, &claims())).is_ok(), "{typ}");
    }
    assert!(read(&signer.sign_with(&json!({"alg": "EdDSA"}), &claims())).is_ok());
}

#[test]
fn an_unsigned_token_is_refused() {
    let header = base64(r#"{"alg":"none"}"#);
    let token = format!("{header}.{}.", base64(claims().to_string()));
    assert!(matches!(read(&token), Err(Bad::Claim(_))));
}

#[test]
fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
    use ring::hmac;
    let jwk = signer().jwk();
    let public = jwk["x"].as_str().unwrap();
    for key in [super::super::keys::bytes(public).unwrap(), public.as_bytes().to_vec()] {
        let header = json!({"alg": "HS256", "kid": "one", "typ": "JWT"});
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims().to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let token = format!("{signed}.{}", base64(hmac::sign(&key, signed.as_bytes())));
        assert!(matches!(read(&token), Err(Bad::Claim(_))));
    }
}

#[test]
fn a_token_of_another_form_is_refused() {
    let good = signer().sign(&claims());
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for bad in [
        String::new(),
        "a.b".into(),
        format!("{header}.{body}"),
        format!("{header}.{body}.{signature}.x"),
        format!("{header}.{body}.{signature}="),
        format!("{header}=.{body}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}.{body}.{signature}").replace('.', ".."),
        "x".repeat(70_000),
        format!("{good}{}", "A".repeat(70_000)),
    ] {
        let refused = read(&bad);
        assert!(matches!(refused, Err(Bad::Claim(_))), "{}", &bad[..bad.len().min(60)]);
    }
    assert_eq!(read(&format!("{header}.{body}.")).unwrap_err(), Bad::Signature);
}

#[test]
fn a_changed_byte_of_a_token_is_refused() {
    let good = signer().sign(&claims());
    for at in 0..good.len() {
        let mut bad = good.clone().into_bytes();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        assert!(read(std::str::from_utf8(&bad).unwrap()).is_err(), "{at}");
    }
}

#[test]
fn a_key_that_does_not_fit_the_token_is_not_tried() {
    let (one, two) = (Signer::eddsa("one", 1), Signer::eddsa("two", 2));
    let token = one.sign(&claims());
    let read = |keys: &Keys| identity(&token, keys, expected(), flow()).err();
    assert_eq!(read(&keys(&set(&[&two])).unwrap()), Some(Bad::Signature));
    // Two keys with one id: the right one of them counts.
    let twin = Signer::eddsa("one", 2);
    assert_eq!(read(&keys(&set(&[&twin, &one])).unwrap()), None);
    let other = Signer::es256("one");
    assert_eq!(read(&keys(&set(&[&other])).unwrap()), Some(Bad::Signature));
    // A token without an id is tried with all.
    let token = one.sign_with(&json!({"alg": "EdDSA"}), &claims());
    let all = keys(&set(&[&two, &other, &one])).unwrap();
    assert!(identity(&token, &all, expected(), flow()).is_ok());
}

#[test]
fn a_key_for_something_else_is_skipped() {
    let good = signer().jwk();
    let rsa = Signer::rs256("rsa").jwk();
    let small = json!({"kty": "RSA", "n": base64([0xff; 128]), "e": "AQAB"});
    let large = json!({"kty": "RSA", "n": base64([0xff; 1025]), "e": "AQAB"});
    for bad in [
        json!(null),
        json!(7),
        json!({}),
        json!({"kty": "oct", "k": "AAAA"}),
        small,
        large,
        changed(rsa.clone(), &[("e", base64([1; 6]).into())]),
        changed(rsa.clone(), &[("e", Value::Null)]),
        changed(rsa.clone(), &[("e", "".into())]),
        changed(rsa.clone(), &[("alg", "RS512".into())]),
        changed(rsa, &[("alg", "ES256".into())]),
        changed(good.clone(), &[("use", "enc".into())]),
        changed(good.clone(), &[("key_ops", json!(["encrypt"]))]),
        changed(good.clone(), &[("crv", "Ed448".into())]),
        changed(good.clone(), &[("crv", "X25519".into())]),
        changed(good.clone(), &[("crv", Value::Null)]),
        changed(good.clone(), &[("alg", "HS256".into())]),
        changed(good.clone(), &[("x", base64([1; 31]).into())]),
        changed(good.clone(), &[("x", "AQAB==".into())]),
        changed(Signer::es256("b").jwk(), &[("crv", "P-384".into())]),
        changed(Signer::es256("b").jwk(), &[("y", base64([1; 33]).into())]),
    ] {
        assert!(keys(&json!({"keys": [bad]})).is_none(), "{bad}");
        // It does not spoil the others.
        assert!(keys(&json!({"keys": [bad, good]})).is_some(), "{bad}");
    }
    assert!(keys(&json!({"keys": []})).is_none());
    let plain =
        changed(good, &[("use", Value::Null), ("kid", Value::Null), ("alg", "EdDSA".into())]);
    assert!(keys(&json!({"keys": [plain]})).is_some());
}

#[test]
fn a_zero_before_a_modulus_is_taken_off() {
    let signer = Signer::rs256("a");
    let mut jwk = signer.jwk();
    let modulus = super::super::keys::bytes(jwk["n"].as_str().unwrap()).unwrap();
    jwk["n"] = base64([&[0], &modulus[..]].concat()).into();
    let keys = keys(&json!({"keys": [jwk]})).unwrap();
    assert!(identity(&signer.sign(&claims()), &keys, expected(), flow()).is_ok());
}

#[test]
fn a_point_outside_of_the_curve_verifies_nothing() {
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64([1; 32]), "y": base64([1; 32])});
    let keys = keys(&json!({"keys": [jwk]})).unwrap();
    assert!(!keys.verify(Algorithm::Es256, None, b"x", &[1; 64]));
    assert!(!keys.verify(Algorithm::Es256, None, b"x", &[0; 64]));
}

#[test]
fn a_logout_token_names_whom_it_logs_out() {
    let both = of_logout(&[]).unwrap();
    assert_eq!((both.subject.as_deref(), both.sid.as_deref()), (Some("u1"), Some("s1")));
    assert_eq!(both.jti, "j1");
    assert!(of_logout(&[("sub", Value::Null)]).unwrap().subject.is_none());
    assert!(of_logout(&[("sid", Value::Null)]).unwrap().sid.is_none());
    assert!(of_logout(&[("sid", Value::Null), ("sub", Value::Null)]).is_err());
}

#[test]
fn a_logout_token_that_does_not_hold_is_refused() {
    let event = "http://schemas.openid.net/event/backchannel-logout";
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("other")),
        ("iat", Value::Null),
        ("iat", json!(NOW + 61)),
        ("iat", json!(NOW - 601)),
        ("exp", json!(NOW - 60)),
        ("nonce", json!("n0")),
        ("events", Value::Null),
        ("events", json!({})),
        ("events", json!([event])),
        ("events", json!({event: "x"})),
        ("events", json!({"http://schemas.openid.net/event/other": {}})),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(256))),
        ("sub", json!("")),
        ("sid", json!("x".repeat(256))),
    ] {
        let refused = of_logout(&[(name, value.clone())]);
        assert!(matches!(refused, Err(Bad::Claim(_))), "{name}: {value}");
    }
    // A nonce is refused even if it is `null`.
    let mut claims = logout_claims();
    claims["nonce"] = Value::Null;
    assert!(read_logout(&logout_header(), &claims).is_err());
}

#[test]
fn a_logout_token_without_an_end_is_good_for_two_minutes() {
    let of = |iat| of_logout(&[("exp", Value::Null), ("iat", json!(iat))]);
    assert!(of(NOW - 120).is_ok() && of(NOW - 121).is_err());
}

#[test]
fn the_name_of_a_logout_token_is_remembered_while_the_token_is_good() {
    let header = logout_header();
    for (iat, exp) in [(NOW, Some(NOW + 120)), (NOW, Some(NOW + 90_000)), (NOW - 30, None)] {
        let exp = exp.map_or(Value::Null, Value::from);
        let claims = changed(logout_claims(), &[("iat", json!(iat)), ("exp", exp)]);
        let until = read_logout(&header, &claims).unwrap().expires_at;
        let token = signer().sign_with(&header, &claims);
        let keys = keys(&set(&[&signer()])).unwrap();
        assert!(logout(&token, &keys, Expected { now: until, ..expected() }).is_err());
        assert!(until <= NOW + 601, "{until}");
    }
}

#[test]
fn id_tokens_and_logout_tokens_are_not_mistaken_for_each_other() {
    for typ in ["JWT", "jwt", "at+jwt", "x"] {
        let header = json!({"alg": "EdDSA", "kid": "one", "typ": typ});
        assert!(read_logout(&header, &logout_claims()).is_err(), "{typ}");
    }
    for header in [json!({"alg": "EdDSA", "kid": "one"}), logout_header()] {
        assert!(read_logout(&header, &logout_claims()).is_ok(), "{header}");
        assert!(read_logout(&header, &claims()).is_err(), "{header}");
        let as_identity = signer().sign_with(&header, &logout_claims());
        assert!(read(&as_identity).is_err(), "{header}");
    }
}
