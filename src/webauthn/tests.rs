//! Each test breaks one thing in a response that is good otherwise.

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::UserVerification::{Preferred, Required};
use super::response::{Assertion, NewCredential};
use super::*;

mod keys;
mod vectors;

const CHALLENGE: &[u8] = b"a challenge of thirty-two bytes!";

const ORIGIN: &str = "https://example.org";

// The flags.
const UP: u8 = 0x01;
const UV: u8 = 0x04;
const BE: u8 = 0x08;
const BS: u8 = 0x10;
const AT: u8 = 0x40;
const ED: u8 = 0x80;

fn rp() -> RelyingParty {
    RelyingParty {
        id: "example.org".to_owned(),
        name: "Example".to_owned(),
        origins: vec![ORIGIN.to_owned(), "https://login.example.org".to_owned()],
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A passkey, and what its authenticator says.
struct Passkey {
    pair: EcdsaKeyPair,
    id: Vec<u8>,
    rp_id: &'static str,
    flags: u8,
    count: u32,
    /// What follows everything else in the authenticator data.
    extensions: &'static [u8],
}

impl Passkey {
    fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_ASN1_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Passkey {
            pair: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(),
            id: b"an id".to_vec(),
            rp_id: "example.org",
            flags: UP | UV,
            count: 0,
            extensions: b"",
        }
    }

    fn with_flags(flags: u8) -> Self {
        Passkey { flags, ..Self::new() }
    }

    fn public_key(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        keys::es256(&point[1..33], &point[33..])
    }

    /// Returns the authenticator data of an assertion.
    fn data(&self) -> Vec<u8> {
        let mut data = Sha256::digest(self.rp_id).to_vec();
        data.push(self.flags);
        data.extend(self.count.to_be_bytes());
        data.extend(self.extensions);
        data
    }

    /// Returns the authenticator data of a registration.
    fn attested_data(&self) -> Vec<u8> {
        let mut data = self.data();
        data.truncate(37);
        data[32] |= AT;
        data.extend(*b"an authenticator");
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(self.public_key());
        data.extend(self.extensions);
        data
    }

    fn create(&self, client_data: &str) -> Value {
        self.create_with(client_data, &attestation_object(&self.attested_data()))
    }

    fn create_with(&self, client_data: &str, attestation_object: &[u8]) -> Value {
        json!({
            "id": encode(&self.id),
            "rawId": encode(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": encode(client_data),
                "attestationObject": encode(attestation_object),
            },
            "clientExtensionResults": {},
        })
    }

    fn get(&self, client_data: &str) -> Value {
        self.get_with(client_data, &self.data())
    }

    fn get_with(&self, client_data: &str, data: &[u8]) -> Value {
        let message = [data, &Sha256::digest(client_data)].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "id": encode(&self.id),
            "rawId": encode(&self.id),
            "type": "public-key",
            "authenticatorAttachment": null,
            "response": {
                "clientDataJSON": encode(client_data),
                "authenticatorData": encode(data),
                "signature": encode(signature),
                "userHandle": null,
            },
            "clientExtensionResults": {},
        })
    }

    fn verify_get(
        &self,
        json: &Value,
        verification: UserVerification,
    ) -> Result<Assertion, Refusal> {
        self.verify_get_after(json, verification, self.flags & BE != 0, 0)
    }

    fn verify_get_after(
        &self,
        json: &Value,
        verification: UserVerification,
        is_backup_eligible: bool,
        sign_count: u32,
    ) -> Result<Assertion, Refusal> {
        let public_key = &self.public_key();
        let stored = StoredKey { public_key, is_backup_eligible, sign_count };
        let response = AuthenticationResponse::parse(&json.to_string())?;
        response.verify(&rp(), CHALLENGE, &stored, verification)
    }

    /// Returns the refusal of a registration and of a log-in, which must be the same.
    fn refusal(&self, rest_of_client_data: &str) -> Option<Refusal> {
        let created = verify_create(&self.create(&creation(rest_of_client_data))).err();
        let got = self.verify_get(&self.get(&request(rest_of_client_data)), Preferred).err();
        assert_eq!(created, got);
        created
    }
}

fn verify_create(json: &Value) -> Result<NewCredential, Refusal> {
    RegistrationResponse::parse(&json.to_string())?.verify(&rp(), CHALLENGE)
}

fn client_data(r#type: &str, challenge: &[u8], origin: &str, rest: &str) -> String {
    let challenge = encode(challenge);
    format!(r#"{{"type":"{type}","challenge":"{challenge}","origin":"{origin}"{rest}}}"#)
}

fn creation(rest: &str) -> String {
    client_data("webauthn.create", CHALLENGE, ORIGIN, rest)
}

fn request(rest: &str) -> String {
    client_data("webauthn.get", CHALLENGE, ORIGIN, rest)
}

/// Returns a head of CBOR with an argument of four bytes, which is not the shortest form.
fn head(major: u8, argument: usize) -> Vec<u8> {
    let mut head = vec![major << 5 | 26];
    head.extend(u32::try_from(argument).unwrap().to_be_bytes());
    head
}

fn attestation_object(data: &[u8]) -> Vec<u8> {
    attestation_object_with(b"\xa0", data)
}

fn attestation_object_with(statement: &[u8], data: &[u8]) -> Vec<u8> {
    let data = [&head(2, data.len())[..], data].concat();
    [b"\xa3\x63fmt\x64none\x67attStmt", statement, b"\x68authData", &data].concat()
}

#[test]
fn a_passkey_is_registered_and_logs_in() {
    let passkey = Passkey { count: 7, ..Passkey::with_flags(UP | BE | BS) };
    let mut json = passkey.create(&creation(""));
    json["response"]["transports"] = json!(["usb", "internal", "cable", "internal"]);
    json["clientExtensionResults"] = json!({ "credProps": { "rk": true }, "other": [] });
    let created = verify_create(&json).unwrap();
    let expected = NewCredential {
        id: b"an id".to_vec(),
        public_key: passkey.public_key(),
        sign_count: 7,
        aaguid: *b"an authenticator",
        is_user_verified: false,
        is_backup_eligible: true,
        is_backed_up: true,
        transports: vec!["internal".to_owned(), "usb".to_owned()],
        is_discoverable: Some(true),
    };
    assert_eq!(created, expected);

    let passkey = Passkey { flags: UP | UV | BE, count: 8, ..passkey };
    let json = passkey.get(&request(""));
    let assertion = passkey.verify_get_after(&json, Required, true, 7).unwrap();
    let expected = Assertion {
        sign_count: 8,
        is_clone_suspected: false,
        is_user_verified: true,
        is_backed_up: false,
    };
    assert_eq!(assertion, expected);
}

#[test]
fn a_missing_extension_result_is_none() {
    let passkey = Passkey::new();
    for results in [json!({}), json!({ "credProps": {} }), json!({ "credProps": null })] {
        let mut json = passkey.create(&creation(""));
        json["clientExtensionResults"] = results;
        let created = verify_create(&json).unwrap();
        assert_eq!((created.is_discoverable, created.transports), (None, vec![]));
    }
    let mut json = passkey.create(&creation(""));
    json.as_object_mut().unwrap().remove("clientExtensionResults");
    assert!(verify_create(&json).is_ok());
}

#[test]
fn the_caller_finds_its_challenge_and_the_passkey() {
    let passkey = Passkey::new();
    let json = passkey.create(&creation("")).to_string();
    assert_eq!(RegistrationResponse::parse(&json).unwrap().challenge(), CHALLENGE);
    let mut json = passkey.get(&request(""));
    for (handle, expected) in [
        (json!(encode("a handle")), Some(&b"a handle"[..])),
        (json!(""), None),
        (Value::Null, None),
    ] {
        json["response"]["userHandle"] = handle;
        let response = AuthenticationResponse::parse(&json.to_string()).unwrap();
        assert_eq!(response.challenge(), CHALLENGE);
        assert_eq!(response.credential_id(), b"an id");
        assert_eq!(response.user_handle(), expected);
        passkey.verify_get(&json, Required).unwrap();
    }
}

#[test]
fn a_response_of_the_other_ceremony_is_refused() {
    let passkey = Passkey::new();
    for r#type in ["webauthn.get", "webauthn.create ", "payment.get", ""] {
        let client_data = client_data(r#type, CHALLENGE, ORIGIN, "");
        assert_eq!(verify_create(&passkey.create(&client_data)), Err(Refusal::WrongType));
    }
    for r#type in ["webauthn.create", "webauthn.get ", "payment.get", ""] {
        let json = passkey.get(&client_data(r#type, CHALLENGE, ORIGIN, ""));
        assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::WrongType));
    }
}

#[test]
fn another_challenge_is_refused() {
    let passkey = Passkey::new();
    for challenge in [&b""[..], &CHALLENGE[1..], b"a challenge of thirty-two bytes?"] {
        let json = passkey.create(&client_data("webauthn.create", challenge, ORIGIN, ""));
        assert_eq!(verify_create(&json), Err(Refusal::WrongChallenge));
        let json = passkey.get(&client_data("webauthn.get", challenge, ORIGIN, ""));
        assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::WrongChallenge));
    }
}

#[test]
fn another_origin_is_refused() {
    let passkey = Passkey::new();
    for origin in [
        "http://example.org",
        "https://example.org/",
        "https://example.org:8443",
        "https://www.example.org",
        "https://notexample.org",
        "https://example.org.example.com",
        "https://EXAMPLE.org",
        "android:apk-key-hash:x",
        "null",
        "",
    ] {
        let json = passkey.create(&client_data("webauthn.create", CHALLENGE, origin, ""));
        assert_eq!(verify_create(&json), Err(Refusal::WrongOrigin), "{origin}");
        let json = passkey.get(&client_data("webauthn.get", CHALLENGE, origin, ""));
        assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::WrongOrigin), "{origin}");
    }
}

#[test]
fn every_origin_of_the_list_is_taken() {
    let passkey = Passkey::new();
    for origin in &rp().origins {
        verify_create(&passkey.create(&client_data("webauthn.create", CHALLENGE, origin, "")))
            .unwrap();
    }
}

#[test]
fn a_frame_of_another_site_is_refused() {
    let passkey = Passkey::new();
    for rest in [
        r#","crossOrigin":true"#,
        r#","crossOrigin":true,"topOrigin":"https://example.com""#,
        r#","crossOrigin":false,"topOrigin":"https://example.com""#,
        r#","topOrigin":"https://example.org""#,
    ] {
        assert_eq!(passkey.refusal(rest), Some(Refusal::CrossOrigin), "{rest}");
    }
}

#[test]
fn unknown_keys_in_the_client_data_are_ignored() {
    let passkey = Passkey::new();
    for rest in ["", r#","crossOrigin":false,"other_keys_can_be_added_here":{"a":[1]},"other":0"#] {
        assert_eq!(passkey.refusal(rest), None);
    }
}

#[test]
fn client_data_that_is_not_one_object_is_refused() {
    let passkey = Passkey::new();
    for rest in [
        r#","origin":"https://example.org""#,
        r#","type":"webauthn.create""#,
        r#","crossOrigin":false,"crossOrigin":false"#,
        r#","crossOrigin":"false""#,
        r#","topOrigin":0"#,
        "}{",
        ",",
        "}",
    ] {
        assert_eq!(passkey.refusal(rest), Some(Refusal::Malformed("the client data")), "{rest}");
    }
    let challenge = encode(CHALLENGE);
    for client_data in [
        format!(r#"["webauthn.create","{challenge}","https://example.org",null,null]"#),
        r#"{"type":"webauthn.create","origin":"https://example.org"}"#.to_owned(),
        creation("").replace(&challenge, &format!("{challenge}=")),
        format!("\u{feff}{}", creation("")),
        String::new(),
    ] {
        let refusal = verify_create(&passkey.create(&client_data)).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed("the client data"), "{client_data}");
    }
}

#[test]
fn a_passkey_of_another_site_is_refused() {
    for rp_id in ["example.com", "org", "login.example.org", ""] {
        let passkey = Passkey { rp_id, ..Passkey::new() };
        assert_eq!(passkey.refusal(""), Some(Refusal::WrongRelyingParty));
    }
}

#[test]
fn an_untouched_authenticator_is_refused() {
    assert_eq!(Passkey::with_flags(UV).refusal(""), Some(Refusal::UserNotPresent));
}

#[test]
fn an_unverified_user_is_refused_if_verification_is_required() {
    let passkey = Passkey::with_flags(UP);
    let json = passkey.get(&request(""));
    assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::UserNotVerified));
    assert!(!passkey.verify_get(&json, Preferred).unwrap().is_user_verified);
    let passkey = Passkey::with_flags(UP | UV);
    let json = passkey.get(&request(""));
    assert!(passkey.verify_get(&json, Preferred).unwrap().is_user_verified);
}

#[test]
fn a_backup_of_what_cannot_be_backed_up_is_refused() {
    assert_eq!(Passkey::with_flags(UP | BS).refusal(""), Some(Refusal::BackupState));
    assert_eq!(Passkey::with_flags(UP | BE | BS).refusal(""), None);
}

#[test]
fn a_changed_backup_eligibility_is_refused() {
    for flags in [UP | UV, UP | UV | BE] {
        let passkey = Passkey::with_flags(flags);
        let (json, other) = (passkey.get(&request("")), flags & BE == 0);
        let refused = passkey.verify_get_after(&json, Required, other, 0);
        assert_eq!(refused, Err(Refusal::BackupEligibility));
        passkey.verify_get_after(&json, Required, !other, 0).unwrap();
    }
}

#[test]
fn unknown_flags_are_ignored() {
    assert_eq!(Passkey::with_flags(UP | 0x02 | 0x20).refusal(""), None);
}

#[test]
fn a_counter_that_does_not_grow_is_told_and_no_more() {
    for (stored, sent, larger, is_clone_suspected) in [
        (0, 0, 0, false),
        (0, 1, 1, false),
        (5, 6, 6, false),
        (5, u32::MAX, u32::MAX, false),
        (5, 5, 5, true),
        (5, 4, 5, true),
        (5, 0, 5, true),
    ] {
        let passkey = Passkey { count: sent, ..Passkey::new() };
        let json = passkey.get(&request(""));
        let assertion = passkey.verify_get_after(&json, Required, false, stored).unwrap();
        let told = (assertion.sign_count, assertion.is_clone_suspected);
        assert_eq!(told, (larger, is_clone_suspected), "{stored} {sent}");
    }
}

#[test]
fn a_wrong_signature_is_refused() {
    let passkey = Passkey::new();
    let json = passkey.get(&request(""));
    assert_eq!(Passkey::new().verify_get(&json, Required), Err(Refusal::WrongSignature));
    for signature in ["", "MAYCAQACAQA", "MAYCAQECAQE"] {
        let mut json = json.clone();
        json["response"]["signature"] = json!(signature);
        assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::WrongSignature));
    }
    let mut json = json.clone();
    json["response"]["clientDataJSON"] = json!(encode(request(" ")));
    assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::WrongSignature));
}

#[test]
fn an_id_of_a_wrong_length_is_refused() {
    for length in [0, 1024, 2048] {
        let passkey = Passkey { id: vec![7; length], ..Passkey::new() };
        assert_eq!(passkey.refusal(""), Some(Refusal::IdLength));
        // The length inside of the authenticator data alone.
        let object = attestation_object(&passkey.attested_data());
        let json = Passkey::new().create_with(&creation(""), &object);
        assert_eq!(verify_create(&json), Err(Refusal::IdLength));
    }
    for length in [1, 1023] {
        let passkey = Passkey { id: vec![7; length], ..Passkey::new() };
        assert_eq!(passkey.refusal(""), None);
    }
}

#[test]
fn several_ids_are_refused() {
    let passkey = Passkey::new();
    let another = json!(encode("another id"));
    for key in ["id", "rawId"] {
        let mut json = passkey.create(&creation(""));
        json[key] = another.clone();
        assert_eq!(verify_create(&json), Err(Refusal::IdMismatch));
        let mut json = passkey.get(&request(""));
        json[key] = another.clone();
        assert_eq!(passkey.verify_get(&json, Required), Err(Refusal::IdMismatch));
    }
    // The authenticator data has yet another one.
    let mut json = passkey.create(&creation(""));
    (json["id"], json["rawId"]) = (another.clone(), another);
    assert_eq!(verify_create(&json), Err(Refusal::IdMismatch));
}

#[test]
fn a_registration_without_a_credential_is_refused() {
    let passkey = Passkey::new();
    let json = passkey.create_with(&creation(""), &attestation_object(&passkey.data()));
    assert_eq!(verify_create(&json), Err(Refusal::NoCredential));
}

#[test]
fn bytes_after_the_authenticator_data_are_refused() {
    const MALFORMED: Option<Refusal> = Some(Refusal::Malformed("the authenticator data"));

    for (flags, extensions, refusal) in [
        (UP, &b"\x00"[..], MALFORMED),
        (UP, b"\xa0", MALFORMED),
        (UP | ED, b"", MALFORMED),
        (UP | ED, b"\xa0\x00", MALFORMED),
        (UP | ED, b"\x80", MALFORMED),
        (UP | ED, b"\xa1\x6bcredProtect", MALFORMED),
        (UP | ED, b"\xa0", None),
        (UP | ED, b"\xa1\x6bcredProtect\x02", None),
    ] {
        let passkey = Passkey { extensions, ..Passkey::with_flags(flags) };
        assert_eq!(passkey.refusal(""), refusal, "{extensions:?}");
    }
}

#[test]
fn a_cut_response_is_refused() {
    let passkey = Passkey { extensions: b"\xa1\x61a\x01", ..Passkey::with_flags(UP | UV | ED) };
    let data = passkey.attested_data();
    for length in 0..data.len() {
        let object = attestation_object(&data[..length]);
        let refusal = verify_create(&passkey.create_with(&creation(""), &object)).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed("the authenticator data"), "{length}");
    }
    let object = attestation_object(&data);
    for length in 0..object.len() {
        let json = passkey.create_with(&creation(""), &object[..length]);
        let refusal = verify_create(&json).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed("the attestation object"), "{length}");
    }
    let data = passkey.data();
    for length in 0..data.len() {
        let json = passkey.get_with(&request(""), &data[..length]);
        let refusal = passkey.verify_get(&json, Required).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed("the authenticator data"), "{length}");
    }
    let json = passkey.create(&creation("")).to_string();
    for length in 0..json.len() {
        let refusal = RegistrationResponse::parse(&json[..length]).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed("the response"), "{length}");
    }
}

#[test]
fn a_statement_is_skipped_and_bounded() {
    const MALFORMED: Option<Refusal> = Some(Refusal::Malformed("the attestation object"));

    let nested = |levels: usize| [vec![0x81; levels], vec![0]].concat();
    let deep = |levels: usize| [b"\xa1\x00".repeat(levels), vec![0]].concat();
    for (statement, refusal) in [
        (b"\xa2\x61a\x26\x61b\xf5".to_vec(), None),
        (b"\x82\xa0\xfb\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(), None),
        (nested(8), None),
        (nested(9), MALFORMED),
        (nested(10_000), MALFORMED),
        (deep(8), None),
        (deep(9), MALFORMED),
        (deep(5_000), MALFORMED),
        // Lengths beyond the end.
        (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), MALFORMED),
        (b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec(), MALFORMED),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), MALFORMED),
        (b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), MALFORMED),
        // Indefinite lengths, a reserved length and a tag.
        (b"\x5f\x41a\xff".to_vec(), MALFORMED),
        (b"\x9f\xff".to_vec(), MALFORMED),
        (b"\xbf\xff".to_vec(), MALFORMED),
        (b"\x1c".to_vec(), MALFORMED),
        ([&[0x1c][..], &[0; 16]].concat(), MALFORMED),
        (b"\xc0".to_vec(), MALFORMED),
        (b"\xc0\x60".to_vec(), MALFORMED),
    ] {
        let passkey = Passkey::new();
        let object = attestation_object_with(&statement, &passkey.attested_data());
        let json = passkey.create_with(&creation(""), &object);
        // The long ones must fail for their depth, not for their length.
        assert!(json.to_string().len() < 16 * 1024, "{}", statement.len());
        assert_eq!(verify_create(&json).err(), refusal, "{statement:?}");
    }
}

#[test]
fn an_attestation_object_needs_each_entry_once() {
    let passkey = Passkey::new();
    let data = passkey.attested_data();
    let data = [&b"\x68authData"[..], &head(2, data.len()), &data].concat();
    let (format, statement) = (&b"\x63fmt\x64none"[..], &b"\x67attStmt\xa0"[..]);
    for (entries, is_good) in [
        (&[format, statement, &data][..], true),
        (&[&data, statement, format], true),
        (&[format, statement, &data, b"\x65other\x80"], true),
        (&[statement, &data], false),
        (&[format, &data], false),
        (&[format, statement], false),
        (&[format, statement, &data, &data], false),
        (&[format, statement, &data, format], false),
        (&[format, statement, &data, statement], false),
        (&[format, statement, &data, b"\x01\x80"], false),
        (&[b"\x63fmt\x44none", statement, &data], false),
        (&[b"\x63fmt\x62\xff\xff", statement, &data], false),
        (&[format, statement, b"\x68authData\x60"], false),
    ] {
        let object = [&head(5, entries.len()), &entries.concat()[..]].concat();
        let result = verify_create(&passkey.create_with(&creation(""), &object));
        let refusal = Refusal::Malformed("the attestation object");
        assert_eq!(result.err(), (!is_good).then_some(refusal), "{entries:?}");
        let trailing = [&object[..], b"\x00"].concat();
        assert!(verify_create(&passkey.create_with(&creation(""), &trailing)).is_err());
    }
}

#[test]
fn a_response_of_another_form_is_refused() {
    let passkey = Passkey::new();
    let good = passkey.create(&creation(""));
    for (pointer, value) in [
        ("/type", json!("password")),
        ("/id", json!(null)),
        ("/rawId", json!(7)),
        ("/id", json!("YW4gaWQ=")),
        ("/id", json!("YW4gaW+")),
        ("/response", json!([])),
        ("/response/attestationObject", json!(null)),
        ("/response/clientDataJSON", json!({})),
        ("/clientExtensionResults", json!(7)),
    ] {
        let mut json = good.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        assert_eq!(verify_create(&json), Err(Refusal::Malformed("the response")), "{pointer}");
    }
    for json in ["", "{}", "[]", "null", "\0", &"[".repeat(16_000), &"{\"a\":".repeat(3_000)] {
        let malformed = Refusal::Malformed("the response");
        assert_eq!(RegistrationResponse::parse(json).unwrap_err(), malformed);
        assert_eq!(AuthenticationResponse::parse(json).unwrap_err(), malformed);
    }
}

#[test]
fn a_response_longer_than_16_kib_is_refused() {
    let json = Passkey::new().create(&creation("")).to_string();
    let padded = |length: usize| format!("{json}{}", " ".repeat(length - json.len()));
    assert!(RegistrationResponse::parse(&padded(16 * 1024)).is_ok());
    let refusal = RegistrationResponse::parse(&padded(16 * 1024 + 1)).unwrap_err();
    assert_eq!(refusal, Refusal::Malformed("the response"));
}

#[test]
fn the_creation_options_are_those_of_the_specification() {
    let user = UserEntity { id: &[0xff; 32], name: "ann@example.org", display_name: "Ann" };
    let transports = ["internal".to_owned()];
    let exclude = [CredentialDescriptor { id: b"an id", transports: &transports }];
    let options = creation_options(&rp(), user, CHALLENGE, &exclude);
    let expected = json!({
        "rp": { "id": "example.org", "name": "Example" },
        "user": {
            "id": "__________________________________________8",
            "name": "ann@example.org",
            "displayName": "Ann",
        },
        "challenge": "YSBjaGFsbGVuZ2Ugb2YgdGhpcnR5LXR3byBieXRlcyE",
        "pubKeyCredParams": [
            { "type": "public-key", "alg": -7 },
            { "type": "public-key", "alg": -8 },
            { "type": "public-key", "alg": -257 },
        ],
        "timeout": 300_000,
        "excludeCredentials": [
            { "type": "public-key", "id": "YW4gaWQ", "transports": ["internal"] },
        ],
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": false,
            "userVerification": "preferred",
        },
        "hints": [],
        "attestation": "none",
        "extensions": { "credProps": true },
    });
    assert_eq!(options, expected);
}

#[test]
fn the_request_options_are_those_of_the_specification() {
    let options = request_options(&rp(), CHALLENGE, &[], Required);
    let expected = json!({
        "challenge": "YSBjaGFsbGVuZ2Ugb2YgdGhpcnR5LXR3byBieXRlcyE",
        "rpId": "example.org",
        "timeout": 300_000,
        "allowCredentials": [],
        "userVerification": "required",
        "hints": [],
    });
    assert_eq!(options, expected);
    let allow = [CredentialDescriptor { id: b"an id", transports: &[] }];
    let options = request_options(&rp(), CHALLENGE, &allow, Preferred);
    let expected = json!([{ "type": "public-key", "id": "YW4gaWQ", "transports": [] }]);
    assert_eq!(options["allowCredentials"], expected);
    assert_eq!(options["userVerification"], "preferred");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_panics(text: String) {
        let _ = RegistrationResponse::parse(&text);
        let _ = AuthenticationResponse::parse(&text);
    }

    #[test]
    fn no_bytes_panic(
        client_data: Vec<u8>,
        data: Vec<u8>,
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let passkey = Passkey::new();
        let mut json = passkey.create_with(&creation(""), &data);
        let _ = verify_create(&json);
        // Bytes that get as far as the key.
        let attested = passkey.attested_data();
        let object = attestation_object(&[&attested[..37 + 18 + passkey.id.len()], &rest].concat());
        json["response"]["attestationObject"] = json!(encode(object));
        let _ = verify_create(&json);
        json["response"]["clientDataJSON"] = json!(encode(client_data));
        let _ = verify_create(&json);
    }

    #[test]
    fn a_changed_byte_of_a_registration_never_panics(at: prop::sample::Index, byte: u8) {
        let passkey = Passkey::new();
        let mut object = attestation_object(&passkey.attested_data());
        *at.get_mut(&mut object[..]) = byte;
        let _ = verify_create(&passkey.create_with(&creation(""), &object));
    }

    #[test]
    fn a_changed_byte_of_an_assertion_is_refused(
        part in prop::sample::select(&["clientDataJSON", "authenticatorData", "signature"]),
        at: prop::sample::Index,
        mask in 1u8..,
    ) {
        let passkey = Passkey::new();
        let mut json = passkey.get(&request(r#","crossOrigin":false,"other":"key""#));
        let value = &mut json["response"][part];
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
        *at.get_mut(&mut bytes[..]) ^= mask;
        *value = json!(encode(bytes));
        prop_assert!(passkey.verify_get(&json, Required).is_err());
    }
}
