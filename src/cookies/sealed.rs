//! Cookies that only this site can read or write.
//!
//! They have the format of Rocket's private cookies, but are sealed with keys of our own. Rocket
//! has only one key, and a change of it would log everybody out (rwf2/Rocket#1085).

use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cookie::{CookieJar, Key};
#[cfg(feature = "passkeys")]
use hmac::{Hmac, KeyInit as _, Mac};
use rocket::Request;
use rocket::http::{Cookie, RawStr, SameSite};
#[cfg(feature = "passkeys")]
use sha2::Sha256;

use crate::config::{self, Config};

/// The longest cookie that browsers keep, in bytes (RFC 6265bis, section 5.6).
const MAX_SEALED_LENGTH: usize = 4096;

/// The length of the random number with which a cookie begins, in bytes (AES-GCM).
const NONCE_LENGTH: usize = 12;

/// The largest number of cookies with one name and a valid seal that are used. A browser has two
/// after a change of `session.cookie_path`. The number has a bound because each may cost a query.
pub const MOST_OPENED: usize = 8;

/// Returns the values of all cookies named `name` in the request, in the order of the header.
///
/// There may be several: another application on this host, another path or a parent domain may have
/// set a cookie with this name, and no rule says which comes first (RFC 6265, section 4.2.2).
/// Rocket keeps only the last one.
///
/// Names are compared without decoding. Rocket decodes them: a sibling domain may set
/// `__Host%2Dsession`, because the browser sees no prefix in it, and Rocket would read it as
/// `__Host-session`, with the session of its sender (cookie tossing).
pub fn values<'r>(request: &'r Request<'_>, name: &str) -> impl Iterator<Item = &'r str> {
    received(request).filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

/// Returns names and values of all cookies whose names begin with `prefix`, like [`values()`], and at
/// most 20: each may have to be opened.
#[cfg(feature = "providers")]
pub fn beginning_with(request: &Request<'_>, prefix: &str) -> Vec<(String, String)> {
    let wanted = received(request).filter(|(key, _)| key.starts_with(prefix)).take(20);
    wanted.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Names and values of all cookies of a request. They are read once: the guards of one page ask up to
/// eight times, and Rocket hashes a header's name letter by letter.
struct Received(Vec<(String, String)>);

fn received<'r>(request: &'r Request<'_>) -> impl Iterator<Item = (&'r str, &'r str)> {
    let Received(pairs) = request.local_cache(|| Received(pairs(request)));
    pairs.iter().map(|(key, value)| (&**key, &**value))
}

fn pairs(request: &Request<'_>) -> Vec<(String, String)> {
    let mut headers = request.headers().get("Cookie").peekable();
    if headers.peek().is_none() {
        // Rocket's local client passes cookies without a header.
        let cookies = request.cookies().iter();
        return cookies
            .map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned()))
            .collect();
    }

    let pairs = headers.flat_map(|header| header.split(';'));
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(key, value)| (key.trim(), value.trim()));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), decode(value)?))).collect()
}

/// Removes the quotes and the percent-encoding of a value, if it has them. `None` means that the
/// value is not text, so it is not one of ours.
fn decode(value: &str) -> Option<String> {
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let decoded = RawStr::new(quoted.unwrap_or(value)).percent_decode().ok()?;
    Some(decoded.into_owned())
}

/// Seals, opens and removes cookies with the configured attributes.
#[derive(Clone)]
pub struct SealedCookies {
    /// The current key is first and seals. All keys open.
    keys: Vec<Key>,
    /// What opens with each of the keys. To make it takes as long as to open a cookie.
    openers: Vec<Aes256Gcm>,
    path: String,
    domain: Option<String>,
    partitioned: bool,
    secure: bool,
    same_site: SameSite,
}

/// The content of an opened cookie.
#[derive(Debug)]
pub struct Opened {
    pub value: String,
    /// The cookie was sealed with a previous key, so it should be sent again.
    pub is_outdated: bool,
}

impl SealedCookies {
    pub fn new(config: &Config) -> Self {
        let session = &config.session;
        let keys = std::iter::once(&config.secret_key).chain(&session.previous_keys);
        let keys: Vec<Key> = keys.map(|key| key.key().clone()).collect();
        SealedCookies {
            openers: keys.iter().map(|key| Aes256Gcm::new(key.encryption().into())).collect(),
            keys,
            path: session.cookie_path.clone(),
            domain: session.cookie_domain.clone(),
            partitioned: session.partitioned,
            secure: session.is_secure(config.debug),
            same_site: match session.same_site {
                config::SameSite::Lax => SameSite::Lax,
                config::SameSite::Strict => SameSite::Strict,
                config::SameSite::None => SameSite::None,
            },
        }
    }

    /// Opens the cookie `name` with the value that a request brought.
    ///
    /// `None` means that the value is too long, was altered or was sealed by somebody else. Its
    /// sender is then treated as a visitor without this cookie.
    pub fn open(&self, name: &str, value: &str) -> Option<Opened> {
        if value.len() > MAX_SEALED_LENGTH {
            return None;
        }
        self.decrypt(name, value)
    }

    /// Returns the cookies named `name` that were sealed here, in the order of the request, and at
    /// most [`MOST_OPENED`]. Cookies that others have set under that name are skipped.
    pub fn open_all(&self, request: &Request<'_>, name: &str) -> Vec<Opened> {
        let sealed = values(request, name);
        sealed.filter_map(|value| self.open(name, value)).take(MOST_OPENED).collect()
    }

    /// Opens a text that [`seal_text()`](Self::seal_text()) sealed for `purpose`. `None` means that
    /// it was not.
    #[cfg(feature = "pages")]
    pub fn open_text(&self, purpose: &str, sealed: &str) -> Option<String> {
        Some(self.open_sealed(purpose, sealed)?.value)
    }

    /// Opens a text like [`open_text()`](Self::open_text()), and returns whether it should be sealed
    /// again.
    #[cfg(feature = "pages")]
    pub fn open_sealed(&self, purpose: &str, sealed: &str) -> Option<Opened> {
        self.decrypt(purpose, sealed)
    }

    /// Signs `message` for `purpose`. Unlike a seal it needs no random nonce, so there may be any number.
    #[cfg(feature = "passkeys")]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let current = self.keys.first().expect("the secret key comes first");
        mac(current, purpose, message).finalize().into_bytes().into()
    }

    /// Returns whether [`sign()`](Self::sign()) has made `signature`, with any of the keys.
    #[cfg(feature = "passkeys")]
    pub fn is_signed(&self, purpose: &str, message: &[u8], signature: &[u8]) -> bool {
        let is_of = |key| mac(key, purpose, message).verify_slice(signature).is_ok();
        self.keys.iter().any(is_of)
    }

    /// Returns the same for cookies of this host alone, at every path.
    #[cfg(feature = "pages")]
    pub fn at_root(self, same_site: SameSite) -> Self {
        SealedCookies { path: "/".into(), domain: None, partitioned: false, same_site, ..self }
    }

    fn decrypt(&self, name: &str, sealed: &str) -> Option<Opened> {
        let sealed = STANDARD.decode(sealed).ok()?;
        self.openers.iter().enumerate().find_map(|(position, opener)| {
            let value = opened(opener, name, &sealed)?;
            Some(Opened { value, is_outdated: position > 0 })
        })
    }

    /// Seals `value` as the cookie `name`. Without `max_age` the browser keeps it until the browser
    /// is closed.
    pub fn seal(&self, name: &str, value: &str, max_age: Option<Duration>) -> Cookie<'static> {
        let mut cookie = self.with_attributes(name, value);
        if let Some(max_age) = max_age {
            cookie.set_max_age(time::Duration::seconds(max_age.as_secs() as i64));
        }

        self.encrypt(cookie)
    }

    /// Seals a text for the database, so that nobody can read it there. It opens only for the same
    /// `purpose`.
    #[cfg(feature = "pages")]
    pub fn seal_text(&self, purpose: &str, text: String) -> String {
        self.encrypt(Cookie::new(purpose.to_owned(), text)).value().to_owned()
    }

    fn encrypt(&self, cookie: Cookie<'static>) -> Cookie<'static> {
        let (mut jar, name) = (CookieJar::new(), cookie.name().to_owned());
        let current = self.keys.first().expect("the secret key comes first");
        jar.private_mut(current).add(cookie);
        jar.get(&name).expect("it was just added").clone()
    }

    /// Returns a cookie that makes the browser delete the cookie `name`.
    ///
    /// It has the attributes with which the cookie was set: browsers ignore a removal of a
    /// `__Host-` cookie without `Secure`, and then the log-out would have no effect in the browser.
    pub fn removal(&self, name: &str) -> Cookie<'static> {
        let mut cookie = self.with_attributes(name, "");
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        cookie
    }

    fn with_attributes(&self, name: &str, value: &str) -> Cookie<'static> {
        let mut cookie = Cookie::build((name.to_owned(), value.to_owned()))
            .path(self.path.clone())
            .secure(self.secure)
            .http_only(true)
            .same_site(self.same_site)
            .partitioned(self.partitioned);
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain.clone());
        }
        cookie.build()
    }
}

/// Opens what a private cookie named `name` holds: a nonce, and then the value with its tag. The name
/// is authenticated with it, so that nobody can pass one cookie off as another.
fn opened(opener: &Aes256Gcm, name: &str, sealed: &[u8]) -> Option<String> {
    let (nonce, value) = sealed.split_at_checked(NONCE_LENGTH)?;
    let value = Payload { msg: value, aad: name.as_bytes() };
    String::from_utf8(opener.decrypt(Nonce::from_slice(nonce), value).ok()?).ok()
}

/// The length of the purpose comes first, so that no two inputs run into each other.
#[cfg(feature = "passkeys")]
fn mac(key: &Key, purpose: &str, message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.signing()).expect("a key of any length");
    mac.update(&(purpose.len() as u64).to_be_bytes());
    mac.update(purpose.as_bytes());
    mac.update(message);
    mac
}

/// A sealed cookie beside the session's. Its name is the session cookie's name with a suffix, so
/// the two names differ and have the same prefix.
#[derive(Debug)]
pub struct SealedCookie {
    name: String,
    cookies: SealedCookies,
}

impl SealedCookie {
    pub fn new(config: &Config, cookies: &SealedCookies, suffix: &str) -> Self {
        let name = format!("{}-{suffix}", config.session.cookie_name(config.debug));
        SealedCookie { name, cookies: cookies.clone() }
    }

    /// Returns the opened values of this cookie in the request.
    pub fn all_of(&self, request: &Request<'_>) -> Vec<String> {
        let opened = self.cookies.open_all(request, &self.name).into_iter();
        opened.map(|opened| opened.value).collect()
    }

    pub fn seal(&self, value: &str, max_age: Duration) -> Cookie<'static> {
        self.cookies.seal(&self.name, value, Some(max_age))
    }

    pub fn removal(&self) -> Cookie<'static> {
        self.cookies.removal(&self.name)
    }
}

impl std::fmt::Debug for SealedCookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCookies").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::token::Token;

    const NAME: &str = "session";

    fn cookies() -> SealedCookies {
        let url = match cfg!(feature = "sqlite") {
            true => "sqlite:login.db",
            false => "postgres://localhost/login",
        };
        let figment = rocket::figment::Figment::from(rocket::Config::debug_default())
            .merge(("databases.login.url", url));
        SealedCookies::new(&Config::from_figment(&figment).unwrap())
    }

    /// Reads a token from the value of a cookie, like the guard.
    fn token(cookies: &SealedCookies, name: &str, value: &str) -> Option<Token> {
        let opened = cookies.open(name, value)?;
        Token::parse(&opened.value)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_sealed_value_opens_only_under_its_own_name(
            value in "\\PC{0,200}",
            other in "[a-z-]{1,12}",
        ) {
            let cookies = cookies();
            let sealed = cookies.seal(NAME, &value, None);
            let opened = cookies.open(NAME, sealed.value()).unwrap();
            prop_assert_eq!(opened.value, value);
            prop_assert!(!opened.is_outdated);

            prop_assume!(other != NAME);
            prop_assert!(cookies.open(&other, sealed.value()).is_none());
        }

        #[test]
        fn an_altered_sealed_token_is_rejected(at: Index, byte in 0x20_u8..0x7f, cut: Index) {
            let (cookies, sent) = (cookies(), Token::generate());
            let sealed = cookies.seal(NAME, &sent.to_text(), None).value().to_owned();
            let received = token(&cookies, NAME, &sealed).unwrap();
            prop_assert!(received.id() == sent.id());

            let mut touched = sealed.clone().into_bytes();
            touched[at.index(sealed.len())] = byte;
            let touched = String::from_utf8(touched).unwrap();
            prop_assume!(touched != sealed);
            prop_assert!(token(&cookies, NAME, &touched).is_none());
            prop_assert!(token(&cookies, NAME, &sealed[..cut.index(sealed.len())]).is_none());
        }

        #[test]
        fn a_value_that_was_never_sealed_is_rejected(
            value in prop_oneof!["[A-Za-z0-9+/]{0,120}={0,2}", "\\PC{0,100}", any::<String>()],
        ) {
            prop_assert!(cookies().open(NAME, &value).is_none());
        }
    }
}
