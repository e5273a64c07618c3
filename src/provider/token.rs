//! Verifies the tokens of a provider: id tokens (OpenID Connect Core 1.0, 3.1.3.7) and logout tokens
//! (Back-Channel Logout 1.0, 2.6).

use ring::digest::{SHA256, SHA512, digest};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::keys::{Algorithm, Keys, bytes};
use crate::clock::Timestamp;

/// The longest token, in bytes. Those of companies name dozens of groups.
const LONGEST_TOKEN: usize = 64 * 1024;

/// How far the provider's clock may be from ours, in seconds.
const LEEWAY: Timestamp = 60;

/// The oldest token that is accepted, and the oldest log-in that counts as one of now, in seconds.
const OLDEST: Timestamp = 10 * 60;

/// How long a logout token without an end is good, in seconds.
const LOGOUT_WITHOUT_END: Timestamp = 2 * 60;

/// The longest `sub`, `sid` and `jti`, in bytes. The standard says so of `sub`.
const LONGEST_NAME: usize = 255;

/// The event of a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// No key of the provider has signed it. Newer keys may have.
    Signature,
    /// It says something else than it must. The text is for the log, and holds nothing that was sent.
    Claim(&'static str),
}

/// Whose tokens are accepted, and when.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub now: Timestamp,
}

/// What an id token must fit besides.
#[derive(Clone, Copy)]
pub struct Flow<'a> {
    pub nonce: &'a str,
    pub access_token: Option<&'a str>,
    /// The user was asked to log in again.
    pub is_again: bool,
}

/// What a good id token says.
#[derive(Debug)]
pub struct Identity {
    pub subject: String,
    pub sid: Option<String>,
    pub email: Option<String>,
    pub is_verified: bool,
}

/// What a good logout token says.
#[derive(Debug)]
pub struct Logout {
    pub subject: Option<String>,
    pub sid: Option<String>,
    pub jti: String,
    pub expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood, of which we know none.
    crit: Option<IgnoredAny>,
}

/// The claims of both kinds. A claim that stands there twice is refused by serde.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    exp: Option<f64>,
    iat: Option<f64>,
    nbf: Option<f64>,
    auth_time: Option<f64>,
    /// A logout token with a nonce is refused whatever it is, so `null` counts as one.
    #[serde(default, deserialize_with = "present")]
    nonce: Option<Value>,
    at_hash: Option<String>,
    sub: Option<String>,
    sid: Option<String>,
    jti: Option<String>,
    events: Option<Map<String, Value>>,
    email: Option<Value>,
    email_verified: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(de).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn all(&self) -> &[String] {
        match self {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Many(many) => many,
        }
    }
}

/// Verifies an id token.
///
/// # Errors
///
/// Returns the first reason why it is not good.
pub fn identity(
    token: &str,
    keys: &Keys,
    expected: Expected<'_>,
    flow: Flow<'_>,
) -> Result<Identity, Bad> {
    let (algorithm, claims) = open(token, keys, &["jwt"])?;
    claims.check(expected)?;
    claims.check_end(expected.now)?;
    // A token of another flow, which somebody has got hold of, must not log anybody in here.
    let nonce = claims.nonce.as_ref().and_then(Value::as_str).unwrap_or_default();
    if flow.nonce.is_empty() || !bool::from(nonce.as_bytes().ct_eq(flow.nonce.as_bytes())) {
        return Err(Bad::Claim("the id token is of another flow (nonce)"));
    }
    // A logout token has no nonce, so this is only for a provider that mixes them up.
    if claims.events.is_some() {
        return Err(Bad::Claim("the id token is a token of events"));
    }
    if let Some(hash) = &claims.at_hash
        && !flow.access_token.is_some_and(|token| is_hash_of(hash, token, algorithm))
    {
        return Err(Bad::Claim("the access token is not the one of the id token (at_hash)"));
    }
    if flow.is_again {
        claims.check_recent(expected.now)?;
    }
    let email = claims.email.as_ref().and_then(Value::as_str).map(str::to_owned);
    Ok(Identity {
        email,
        is_verified: is_true(claims.email_verified.as_ref()),
        subject: claims.sub.clone().ok_or(Bad::Claim("the id token has no sub"))?,
        sid: claims.sid,
    })
}

/// Verifies a logout token.
///
/// # Errors
///
/// Returns the first reason why it is not good.
pub fn logout(token: &str, keys: &Keys, expected: Expected<'_>) -> Result<Logout, Bad> {
    let now = expected.now;
    let (_, claims) = open(token, keys, &["logout+jwt"])?;
    let issued = claims.check(expected)?;
    let end = match claims.exp {
        Some(_) => claims.check_end(now)?,
        None if now - issued > LOGOUT_WITHOUT_END => {
            return Err(Bad::Claim("the logout token is old, and has no end"));
        }
        None => issued.saturating_add(LOGOUT_WITHOUT_END),
    };
    // Otherwise an id token, which the browser has seen, would be one.
    if claims.nonce.is_some() {
        return Err(Bad::Claim("the logout token has a nonce"));
    }
    let event = claims.events.as_ref().and_then(|events| events.get(LOGOUT_EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(Bad::Claim("the logout token has another event"));
    }
    if claims.sub.is_none() && claims.sid.is_none() {
        return Err(Bad::Claim("the logout token names neither a user nor a session"));
    }
    let jti = claims.jti.filter(|jti| is_name(jti));
    let jti = jti.ok_or(Bad::Claim("the logout token has no jti, or a long one"))?;
    // A token that is too old is refused whatever its end is, so nothing is remembered for longer.
    let oldest = issued.saturating_add(OLDEST);
    let expires_at = end.saturating_add(LEEWAY).min(oldest).saturating_add(1);
    Ok(Logout { subject: claims.sub, sid: claims.sid, jti, expires_at })
}

/// Verifies the signature of `token`, and returns its algorithm and claims. `kinds` are the types that
/// it may have in its header.
fn open(token: &str, keys: &Keys, kinds: &[&str]) -> Result<(Algorithm, Claims), Bad> {
    const MALFORMED: Bad = Bad::Claim("the token has another form than the standard says");
    if token.len() > LONGEST_TOKEN {
        return Err(Bad::Claim("the token is longer than 64 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED);
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let decoded = (bytes(header), bytes(claims), bytes(signature));
    let (Some(header), Some(claims), Some(signature)) = decoded else { return Err(MALFORMED) };
    let header: Header = serde_json::from_slice(&header).map_err(|_| MALFORMED)?;
    if header.crit.is_some() {
        return Err(Bad::Claim("the token asks for an extension (crit)"));
    }
    // The type tells id tokens and logout tokens from each other, and from access tokens.
    let kind = header.typ.map(|kind| kind.to_ascii_lowercase());
    let kind = kind.as_deref().map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
    if kind.is_some_and(|kind| !kinds.contains(&kind)) {
        return Err(Bad::Claim("the token is of another type (typ)"));
    }
    let algorithm = Algorithm::of(&header.alg);
    let algorithm = algorithm.ok_or(Bad::Claim("the token's algorithm is not permitted"))?;
    if !keys.verify(algorithm, header.kid.as_deref(), signed.as_bytes(), &signature) {
        return Err(Bad::Signature);
    }
    Ok((algorithm, serde_json::from_slice(&claims).map_err(|_| MALFORMED)?))
}

impl Claims {
    /// Checks what both kinds have in common, and returns when the token was issued.
    fn check(&self, expected: Expected<'_>) -> Result<Timestamp, Bad> {
        let Expected { issuer, client_id, now } = expected;
        if self.iss != issuer {
            return Err(Bad::Claim("the token is of another issuer (iss)"));
        }
        let audience = self.aud.all();
        if !audience.iter().any(|one| one == client_id) {
            return Err(Bad::Claim("the token is for another site (aud)"));
        }
        match &self.azp {
            Some(azp) if azp != client_id => {
                return Err(Bad::Claim("the token was made for another site (azp)"));
            }
            None if audience.len() > 1 => {
                return Err(Bad::Claim("the token is for several sites, and says not for which"));
            }
            _ => {}
        }
        let Some(issued) = self.iat.map(whole) else {
            return Err(Bad::Claim("the token has no time (iat)"));
        };
        if issued > now + LEEWAY {
            return Err(Bad::Claim("the token is of the future (iat)"));
        }
        if issued < now - OLDEST {
            return Err(Bad::Claim("the token is older than ten minutes (iat)"));
        }
        if self.nbf.map(whole).is_some_and(|start| start > now + LEEWAY) {
            return Err(Bad::Claim("the token is not good yet (nbf)"));
        }
        if self.sub.as_ref().is_some_and(|sub| !is_name(sub) || !is_printable(sub)) {
            return Err(Bad::Claim("the token names its user in another form (sub)"));
        }
        match self.sid.as_ref().is_some_and(|sid| !is_name(sid)) {
            true => Err(Bad::Claim("the token names its session in another form (sid)")),
            false => Ok(issued),
        }
    }

    /// Checks and returns the end.
    fn check_end(&self, now: Timestamp) -> Result<Timestamp, Bad> {
        let Some(end) = self.exp.map(whole) else {
            return Err(Bad::Claim("the token has no end (exp)"));
        };
        match end.saturating_add(LEEWAY) <= now {
            true => Err(Bad::Claim("the token has expired (exp)")),
            false => Ok(end),
        }
    }

    /// Checks that the user has logged in again, if the provider says when they did.
    fn check_recent(&self, now: Timestamp) -> Result<(), Bad> {
        let at = self.auth_time.map(whole);
        match at.is_some_and(|at| at > now + LEEWAY || at < now - OLDEST) {
            true => Err(Bad::Claim("the user has not logged in again (auth_time)")),
            false => Ok(()),
        }
    }
}

/// Returns whether the provider says that something is so. Some say it with a text.
pub fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(|value| *value == Value::Bool(true) || value.as_str() == Some("true"))
}

/// Returns a time in whole seconds. Those out of range become the first or the last one.
fn whole(time: f64) -> Timestamp {
    time.floor() as Timestamp
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// Returns whether `hash` is the left half of the token's hash. The algorithm of the signature names
/// the hash.
fn is_hash_of(hash: &str, token: &str, algorithm: Algorithm) -> bool {
    let kind = match algorithm {
        Algorithm::Rs256 | Algorithm::Es256 => &SHA256,
        Algorithm::EdDsa => &SHA512,
    };
    let whole = digest(kind, token.as_bytes());
    let (half, _) = whole.as_ref().split_at(whole.as_ref().len() / 2);
    bytes(hash).is_some_and(|hash| hash == half)
}
