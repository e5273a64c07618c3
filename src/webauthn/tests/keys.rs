//! Keys that are registered or refused.

use super::*;
use crate::webauthn::public_key::PublicKey;

/// A parameter: a label and an encoded value.
type Parameter<'a> = (i8, &'a [u8]);

/// Returns the encoding of an integer from -24 to 23.
fn small(number: i8) -> u8 {
    let byte = if number < 0 { 0x1f - number } else { number };
    byte.try_into().unwrap()
}

fn cose_key(parameters: &[Parameter]) -> Vec<u8> {
    let mut key = head(5, parameters.len());
    for (label, value) in parameters {
        key.push(small(*label));
        key.extend(*value);
    }
    key
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&head(2, bytes.len()), bytes].concat()
}

pub fn es256(x: &[u8], y: &[u8]) -> Vec<u8> {
    cose_key(&[(1, b"\x02"), (3, b"\x26"), (-1, b"\x01"), (-2, &bytes(x)), (-3, &bytes(y))])
}

fn rs256(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let (modulus, exponent) = (bytes(modulus), bytes(exponent));
    cose_key(&[(1, b"\x03"), (3, b"\x39\x01\x00"), (-1, &modulus), (-2, &exponent)])
}

fn refusal(key: &[u8]) -> Option<Refusal> {
    PublicKey::parse(key).and_then(|key| key.check_point()).err()
}

#[test]
fn a_key_for_another_algorithm_is_refused() {
    let x = bytes(&[1; 32]);
    // ES384, PS256, RS1, Ed25519 by its newer number, none, and no number.
    for algorithm in [&b"\x38\x22"[..], b"\x38\x24", b"\x39\xff\xfe", b"\x32", b"\x00", b"\x40"] {
        let key = cose_key(&[(1, b"\x02"), (3, algorithm), (-1, b"\x01"), (-2, &x), (-3, &x)]);
        assert_eq!(refusal(&key), Some(Refusal::UnsupportedAlgorithm), "{algorithm:?}");
    }
    assert_eq!(refusal(b"\xa0"), Some(Refusal::UnsupportedAlgorithm));
}

#[test]
fn a_point_outside_of_the_curve_is_refused() {
    let key = Passkey::new().public_key();
    assert_eq!(refusal(&key), None);
    let mut off = key.clone();
    *off.last_mut().unwrap() ^= 1;
    assert_eq!(refusal(&off), Some(Refusal::UnusableKey));
    for key in [es256(&[0; 32], &[0; 32]), es256(&[0xff; 32], &[0xff; 32])] {
        assert_eq!(refusal(&key), Some(Refusal::UnusableKey));
    }
    // A registration looks at the point too.
    let passkey = Passkey::new();
    let mut data = passkey.attested_data();
    *data.last_mut().unwrap() ^= 1;
    let json = passkey.create_with(&creation(""), &attestation_object(&data));
    assert_eq!(verify_create(&json), Err(Refusal::UnusableKey));
}

#[test]
fn a_key_that_does_not_fit_es256_is_refused() {
    let passkey = Passkey::new();
    let point = passkey.pair.public_key().as_ref();
    let (x, y) = (bytes(&point[1..33]), bytes(&point[33..]));
    let good: [Parameter; 5] = [(1, b"\x02"), (3, b"\x26"), (-1, b"\x01"), (-2, &x), (-3, &y)];
    assert_eq!(refusal(&cose_key(&good)), None);
    let (short, long) = (bytes(&point[1..32]), bytes(point));
    for (at, parameter) in [
        (0, (1, &b"\x01"[..])),
        (0, (1, b"\x03")),
        (0, (1, b"\x41\x02")),
        (2, (-1, b"\x02")),
        (2, (-1, b"\x06")),
        (3, (-2, &short)),
        (3, (-2, &long)),
        (4, (-3, &short)),
        // A compressed point: WebAuthn does not allow it.
        (4, (-3, b"\xf5")),
        (4, (-3, b"\x00")),
        // One of them twice, and one missing.
        (4, (-2, &x)),
        (4, (-4, &y)),
    ] {
        let mut parameters = good;
        parameters[at] = parameter;
        assert_eq!(refusal(&cose_key(&parameters)), Some(Refusal::UnusableKey), "{parameter:?}");
    }
    let one_more = [&good[..], &[(4, b"\x00")]].concat();
    assert_eq!(refusal(&cose_key(&one_more)), Some(Refusal::UnusableKey));
    let twice = [&good[..], &[(3, b"\x26")]].concat();
    assert_eq!(refusal(&cose_key(&twice)), Some(Refusal::UnusableKey));
    for key in [&b""[..], b"\x80", b"\x00", &[&cose_key(&good)[..], b"\x00"].concat()] {
        assert_eq!(refusal(key), Some(Refusal::UnusableKey));
    }
}

#[test]
fn a_key_that_does_not_fit_eddsa_is_refused() {
    let (key, short) = (bytes(&[1; 32]), bytes(&[1; 31]));
    let good: [Parameter; 4] = [(1, b"\x01"), (3, b"\x27"), (-1, b"\x06"), (-2, &key)];
    assert_eq!(refusal(&cose_key(&good)), None);
    for (at, parameter) in
        [(0, (1, &b"\x02"[..])), (2, (-1, b"\x01")), (2, (-1, b"\x07")), (3, (-2, &short))]
    {
        let mut parameters = good;
        parameters[at] = parameter;
        assert_eq!(refusal(&cose_key(&parameters)), Some(Refusal::UnusableKey), "{parameter:?}");
    }
}

#[test]
fn a_key_that_does_not_fit_rs256_is_refused() {
    const EXPONENT: &[u8] = &[1, 0, 1];

    for length in [256, 384, 512, 1024] {
        assert_eq!(refusal(&rs256(&vec![0xff; length], EXPONENT)), None, "{length}");
    }
    let even = [&[0xff; 255][..], &[0xfe]].concat();
    let padded = [&[0][..], &[0xff; 256]].concat();
    for modulus in [&[0xff; 255][..], &[0xff; 1025], &even, &padded, b""] {
        assert_eq!(refusal(&rs256(modulus, EXPONENT)), Some(Refusal::UnusableKey));
    }
    for exponent in [&b""[..], &[1], &[2], &[0, 1, 0, 1], &[1, 0, 0, 0, 1]] {
        let key = rs256(&[0xff; 256], exponent);
        assert_eq!(refusal(&key), Some(Refusal::UnusableKey), "{exponent:?}");
    }
    let (modulus, exponent) = (bytes(&[0xff; 256]), bytes(EXPONENT));
    let key = [(1, &b"\x02"[..]), (3, b"\x39\x01\x00"), (-1, &modulus), (-2, &exponent)];
    assert_eq!(refusal(&cose_key(&key)), Some(Refusal::UnusableKey));
}
