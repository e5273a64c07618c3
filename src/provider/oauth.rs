//! What OpenID Connect and GitHub have in common: the code flow of OAuth 2 with PKCE.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::Zeroizing;

use super::http::{Question, Reply, excerpt};
use super::metadata::Authentication;
use super::{Ask, Kept, Trouble};
use crate::config::ClientSecret;

/// This site, as the provider knows it.
pub struct Client {
    pub id: String,
    pub secret: Option<ClientSecret>,
    /// What the provider is asked for, with spaces between.
    pub scope: String,
}

/// The answer of the token address. Which members it has depends on the provider.
#[derive(Deserialize)]
pub struct Tokens {
    #[serde(default, deserialize_with = "wiped")]
    pub access_token: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "wiped")]
    pub id_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    error: Option<String>,
}

fn wiped<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.map(Zeroizing::new))
}

/// The answer of the token address if it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Client {
    /// Returns the address that the browser is led to, without what only one of the two kinds has.
    /// Parameters that the address has already stay.
    pub fn authorization(&self, address: &Url, ask: Ask<'_>) -> Url {
        let mut url = address.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", ask.callback)
            .append_pair("scope", &self.scope)
            .append_pair("state", ask.state)
            .append_pair("code_challenge", &challenge(ask.verifier))
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// Returns the question that exchanges `code` for tokens.
    ///
    /// # Errors
    ///
    /// Returns `Down` if there is a secret, and the provider wants to see it in no way that we know.
    pub fn exchange(
        &self,
        address: &Url,
        authentication: Option<Authentication>,
        kept: Kept<'_>,
        code: &str,
    ) -> Result<Question, Trouble> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", kept.callback)
            .append_pair("code_verifier", kept.verifier);
        let mut authorization = None;
        match (&self.secret, authentication) {
            (None, _) => {
                form.append_pair("client_id", &self.id);
            }
            (Some(secret), Some(Authentication::Post)) => {
                form.append_pair("client_id", &self.id)
                    .append_pair("client_secret", secret.expose());
            }
            (Some(secret), Some(Authentication::Basic)) => {
                authorization = Some(basic(&self.id, secret));
            }
            (Some(_), None) => {
                let problem = "it takes client secrets neither as client_secret_basic nor as \
                               client_secret_post";
                return Err(Trouble::Down(problem.into()));
            }
        }
        let question = Question::post(address, Zeroizing::new(form.finish()));
        Ok(match authorization {
            Some(authorization) => question.authorized(authorization),
            None => question,
        })
    }
}

impl Tokens {
    /// Reads the answer to [`Client::exchange()`].
    ///
    /// # Errors
    ///
    /// Returns `Refused` if the provider refuses the code or this site, and `Down` for all else.
    pub fn of(reply: &Reply) -> Result<Self, Trouble> {
        const WHAT: &str = "the answer with the tokens";
        let refused =
            |error: &str| Trouble::Refused("the provider does not take the code", excerpt(error));
        if let 400 | 401 = reply.status {
            let Refusal { error } = reply.json(WHAT)?;
            return Err(refused(&error));
        }
        let tokens: Tokens = reply.good(WHAT)?;
        // GitHub refuses with the status 200.
        if let Some(error) = &tokens.error {
            return Err(refused(error));
        }
        match &tokens.token_type {
            Some(kind) if !kind.eq_ignore_ascii_case("bearer") => {
                Err(Trouble::Refused("the access token is of another type", excerpt(kind)))
            }
            _ => Ok(tokens),
        }
    }
}

/// Returns the header that shows an access token.
pub fn bearer(token: &str) -> Option<Zeroizing<String>> {
    // Other characters would end the header.
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Zeroizing::new(format!("Bearer {token}")))
}

/// Returns the header that shows the secret. Both parts are encoded as in a form (RFC 6749, 2.3.1).
fn basic(id: &str, secret: &ClientSecret) -> Zeroizing<String> {
    let part = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let secret = Zeroizing::new(part(secret.expose()));
    let both = Zeroizing::new(format!("{}:{}", part(id), *secret));
    Zeroizing::new(format!("Basic {}", &*Zeroizing::new(BASE64_STANDARD.encode(&*both))))
}

/// Returns the challenge of PKCE. The verifier stays here, so a code that somebody has seen is worth
/// nothing.
fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let secret = serde_json::from_str("\"p:s w%+\"").unwrap();
        let header = basic("a:b", &secret);
        let decoded = BASE64_STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), "a%3Ab:p%3As+w%25%2B");
    }

    #[test]
    fn an_access_token_cannot_end_the_header() {
        assert_eq!(bearer("abc").unwrap().as_str(), "Bearer abc");
        for bad in ["", "a b", "a\r\nX: y", "ä"] {
            assert!(bearer(bad).is_none(), "{bad}");
        }
    }
}
