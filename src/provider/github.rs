//! GitHub, which has OAuth 2 and an API in place of id tokens.

use serde::Deserialize;
use url::Url;

use super::http::{Budget, Http, Question};
use super::metadata::Authentication;
use super::oauth::{Client, Tokens, bearer};
use super::{Answer, Ask, Brought, Kept, Trouble, email};

/// GitHub, or an installation of one's own.
pub struct GitHub {
    pub client: Client,
    /// Its address, without a slash at the end. It stands for the issuer.
    pub url: String,
    /// The address of its API, without a slash at the end.
    pub api: String,
    pub http: Http,
}

/// The user whom an access token belongs to. The name is not looked at: it can be given up, and then
/// somebody else can take it.
#[derive(Deserialize)]
struct User {
    id: u64,
}

#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

impl GitHub {
    /// Returns the address to lead the browser to.
    pub fn lead(&self, ask: Ask<'_>) -> Result<Url, Trouble> {
        if ask.is_again {
            return Err(Trouble::refused("GitHub cannot be asked to log the user in again"));
        }
        let address = address(&format!("{}/login/oauth/authorize", self.url))?;
        Ok(self.client.authorization(&address, ask))
    }

    /// Returns who has come back.
    pub async fn brought(
        &self,
        kept: Kept<'_>,
        answer: Answer<'_>,
        budget: Budget,
    ) -> Result<Brought, Trouble> {
        // The answer of another provider: its code must not be sent to this one (mix-up, RFC 9207).
        let is_ours = |iss: &str| iss.strip_prefix(&self.url).is_some_and(is_end_of_issuer);
        if answer.iss.is_some_and(|iss| !is_ours(iss)) {
            return Err(Trouble::refused("the answer is of another issuer (iss)"));
        }
        if kept.is_again {
            return Err(Trouble::refused("GitHub cannot be asked to log the user in again"));
        }
        let code = answer.code()?;
        let token = address(&format!("{}/login/oauth/access_token", self.url))?;
        let exchange = self.client.exchange(&token, Some(Authentication::Post), kept, code)?;
        let tokens = Tokens::of(&self.http.ask(exchange, budget).await?)?;
        let header = tokens.access_token.as_deref().and_then(|token| bearer(token));
        let Some(header) = header else {
            return Err(Trouble::refused("there is no access token in the answer"));
        };

        let user = Question::get(&address(&format!("{}/user", self.api))?);
        let reply = self.http.ask(user.authorized(header.clone()), budget).await?;
        let user: User = reply.good("the answer about the user")?;
        let emails = Question::get(&address(&format!("{}/user/emails", self.api))?);
        let reply = self.http.ask(emails.authorized(header), budget).await?;
        let addresses: Vec<Address> = match reply.status {
            // The user, or the organisation, does not show them to this site.
            400..500 => Vec::new(),
            _ => reply.good("the list of the user's addresses")?,
        };
        let primary = addresses.into_iter().find(|address| address.primary && address.verified);
        let email = primary.and_then(|address| email(&address.email));
        Ok(Brought {
            issuer: self.url.clone(),
            subject: user.id.to_string(),
            is_verified: email.is_some(),
            email,
            sid: None,
            is_again: false,
        })
    }

    /// Asks whether the API answers.
    #[cfg(any(feature = "cli", test))]
    pub async fn check(&self, budget: Budget) -> Result<(), Trouble> {
        let reply = self.http.ask(Question::get(&address(&self.api)?), budget).await?;
        match reply.status {
            // Without a token it may refuse.
            200..300 | 400..500 => Ok(()),
            status => Err(Trouble::Down(format!("its API answers with the status {status}"))),
        }
    }
}

fn is_end_of_issuer(end: &str) -> bool {
    ["", "/login/oauth"].contains(&end)
}

fn address(text: &str) -> Result<Url, Trouble> {
    Url::parse(text).map_err(|_| Trouble::Down("its address cannot be used".into()))
}
