//! What an OpenID provider says of itself (OpenID Connect Discovery 1.0).

use serde::Deserialize;
use url::Url;

use super::Trouble;
use super::http::excerpt;
use crate::config::is_loopback;

/// Where the metadata are, behind the issuer.
const WELL_KNOWN: &str = ".well-known/openid-configuration";

/// The metadata as they come. Some providers write `null` for what they do not have.
#[derive(Deserialize)]
pub struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

/// The metadata that were checked.
#[derive(Debug)]
pub struct Metadata {
    pub authorization: Url,
    pub token: Url,
    pub keys: Url,
    pub userinfo: Option<Url>,
    pub end_session: Option<Url>,
    /// How the site may show its secret. `None` means that it cannot, in a way that we know.
    pub authentication: Option<Authentication>,
    /// Every answer names the issuer (RFC 9207).
    pub names_issuer: bool,
}

/// How the site shows its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// In the header `Authorization`.
    Basic,
    /// In the body.
    Post,
}

/// Returns where the metadata of `issuer` are. A slash at its end stays a part of the issuer, but not
/// of this address.
pub fn discovery(issuer: &str) -> Option<Url> {
    Url::parse(&format!("{}/{WELL_KNOWN}", issuer.trim_end_matches('/'))).ok()
}

impl Document {
    /// Checks the document of `issuer`. With `is_local`, its addresses may be plain http on this
    /// machine.
    ///
    /// # Errors
    ///
    /// Returns `Down` if it is of another issuer, or if an address in it cannot be used.
    pub fn check(self, issuer: &str, is_local: bool) -> Result<Metadata, Trouble> {
        // Otherwise one provider could give out tokens in the name of another.
        if self.issuer != issuer {
            let other = excerpt(&self.issuer);
            let problem = format!("its metadata name another issuer: {other}; write this one");
            return Err(Trouble::Down(problem));
        }
        let needed = |name: &str, text: &str| {
            let problem = || Trouble::Down(format!("its metadata have no address for {name}"));
            endpoint(text, is_local).ok_or_else(problem)
        };
        let useful = |text: Option<String>| text.and_then(|text| endpoint(&text, is_local));
        Ok(Metadata {
            authorization: needed("the log-in", &self.authorization_endpoint)?,
            token: needed("tokens", &self.token_endpoint)?,
            keys: needed("keys", &self.jwks_uri)?,
            userinfo: useful(self.userinfo_endpoint),
            end_session: useful(self.end_session_endpoint),
            authentication: authentication(self.token_endpoint_auth_methods_supported.as_deref()),
            names_issuer: self.authorization_response_iss_parameter_supported == Some(true),
        })
    }
}

/// Returns the address `text`, if it may be asked, or given to the browser.
fn endpoint(text: &str, is_local: bool) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_safe =
        url.scheme() == "https" || is_local && url.scheme() == "http" && is_loopback(&url);
    let is_plain = url.username().is_empty() && url.password().is_none();
    (is_safe && is_plain && url.host().is_some() && url.fragment().is_none()).then_some(url)
}

/// Returns how the site shows its secret. Without a list the standard says `client_secret_basic`.
fn authentication(supported: Option<&[String]>) -> Option<Authentication> {
    let Some(supported) = supported else { return Some(Authentication::Basic) };
    let has = |name: &str| supported.iter().any(|method| method == name);
    match (has("client_secret_basic"), has("client_secret_post")) {
        (true, _) => Some(Authentication::Basic),
        (false, true) => Some(Authentication::Post),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.example.org/realm";

    fn document(changed: &[(&str, serde_json::Value)]) -> Document {
        let mut document = serde_json::json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example.org/authorize?tenant=1",
            "token_endpoint": "https://login.example.org/token",
            "jwks_uri": "https://keys.example.org/keys",
            "userinfo_endpoint": null,
            "unknown": {"x": 1},
        });
        for (key, value) in changed {
            document[*key] = value.clone();
        }
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn metadata_are_beside_the_issuer() {
        let expected = "https://a.example/x/.well-known/openid-configuration";
        for issuer in ["https://a.example/x", "https://a.example/x/"] {
            assert_eq!(discovery(issuer).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn metadata_of_another_issuer_are_refused() {
        assert!(document(&[]).check(ISSUER, false).is_ok());
        for other in ["https://login.example.org/realm/", "https://login.example.org", "x"] {
            let refused = document(&[]).check(other, false);
            assert!(matches!(refused, Err(Trouble::Down(reason)) if reason.contains(ISSUER)));
        }
    }

    #[test]
    fn an_address_that_is_needed_is_https_and_plain() {
        for key in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for bad in [
                "http://login.example.org/x",
                "http://127.0.0.1/x",
                "https://user:pass@login.example.org/x",
                "https://login.example.org/x#y",
                "javascript:alert(1)",
                "file:///etc/passwd",
                "/x",
                "",
            ] {
                let refused = document(&[(key, bad.into())]).check(ISSUER, false);
                assert!(refused.is_err(), "{key}: {bad}");
            }
            let local = || document(&[(key, "http://127.0.0.1:9/x".into())]);
            assert!(local().check(ISSUER, true).is_ok() && local().check(ISSUER, false).is_err());
            let other = document(&[(key, "http://10.0.0.1/x".into())]);
            assert!(other.check(ISSUER, true).is_err());
        }
    }

    #[test]
    fn an_address_that_is_only_useful_is_left_out_if_it_cannot_be_used() {
        for key in ["userinfo_endpoint", "end_session_endpoint"] {
            let of = |text: &str| {
                let metadata = document(&[(key, text.into())]).check(ISSUER, false).unwrap();
                metadata.userinfo.or(metadata.end_session).is_some()
            };
            assert!(
                of("https://login.example.org/x") && !of("http://login.example.org/x"),
                "{key}"
            );
        }
    }

    #[test]
    fn the_secret_is_shown_in_a_way_that_the_provider_knows() {
        let of = |list: serde_json::Value| {
            let key = "token_endpoint_auth_methods_supported";
            document(&[(key, list)]).check(ISSUER, false).unwrap().authentication
        };
        let (basic, post) = (Some(Authentication::Basic), Some(Authentication::Post));
        assert_eq!(of(serde_json::Value::Null), basic);
        assert_eq!(of(serde_json::json!(["client_secret_post", "client_secret_basic"])), basic);
        assert_eq!(of(serde_json::json!(["private_key_jwt", "client_secret_post"])), post);
        assert_eq!(of(serde_json::json!(["private_key_jwt"])), None);
    }
}
