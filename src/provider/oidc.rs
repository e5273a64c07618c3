//! A provider of OpenID Connect (Core 1.0).

use std::future::Future;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::cache::Cache;
use super::http::{Budget, Http, Question, Reply};
use super::keys::{Keys, Set};
use super::metadata::{Document, Metadata};
use super::oauth::{Client, Tokens, bearer};
use super::token::{self, Bad, Expected, Flow, Identity};
use super::{Answer, Ask, Brought, Kept, LoggedOut, Trouble, email, warn};
use crate::clock::Timestamp;

/// One provider, with what is kept of its metadata and keys.
pub struct Oidc {
    pub client: Client,
    pub source: Arc<Source>,
    /// Its page for `prompt=login` is an error, so it is asked for an account instead.
    pub has_no_prompt_login: bool,
    pub metadata: Cache<Metadata>,
    keys: Cache<Keys>,
}

/// Where metadata and keys come from.
pub struct Source {
    pub name: String,
    pub issuer: String,
    pub discovery: Url,
    /// The issuer is plain http on this machine.
    pub is_local: bool,
    pub http: Http,
}

/// What the userinfo address says.
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    email: Option<Value>,
    email_verified: Option<Value>,
}

impl Source {
    /// Fetches the metadata.
    pub async fn metadata(&self, budget: Budget) -> Result<Metadata, Trouble> {
        let reply = self.http.ask(Question::get(&self.discovery), budget).await?;
        let document: Document = reply.good("the document of its metadata")?;
        let metadata = document.check(&self.issuer, self.is_local)?;
        self.http.believe();
        Ok(metadata)
    }

    /// Fetches the keys.
    pub async fn keys(&self, metadata: &Metadata, budget: Budget) -> Result<Keys, Trouble> {
        let reply = self.http.ask(Question::get(&metadata.keys), budget).await?;
        let set: Set = reply.good("the set of its keys")?;
        Keys::of(set).ok_or_else(|| Trouble::Down("it has no key of a kind that we know".into()))
    }

    /// Returns what writes a failure to the log for which nobody waits.
    fn warn(&self) -> impl FnOnce(&Trouble) + Send + 'static {
        let name = self.name.clone();
        move |trouble| warn(&name, trouble)
    }
}

impl Oidc {
    pub fn new(client: Client, source: Source, has_no_prompt_login: bool) -> Self {
        Oidc {
            client,
            source: Arc::new(source),
            has_no_prompt_login,
            metadata: Cache::default(),
            keys: Cache::default(),
        }
    }

    /// Returns the metadata, which are kept.
    pub async fn metadata(&self, now: Timestamp, budget: Budget) -> Result<Arc<Metadata>, Trouble> {
        let source = self.source.clone();
        let fetch = |budget| async move { source.metadata(budget).await };
        self.metadata.get(now, budget, fetch, self.source.warn()).await
    }

    /// Fetches the keys. It borrows nothing, because it may go on in the background.
    fn fetch_keys(
        &self,
        metadata: &Arc<Metadata>,
        budget: Budget,
    ) -> impl Future<Output = Result<Keys, Trouble>> + Send + use<> {
        let (source, metadata) = (self.source.clone(), metadata.clone());
        async move { source.keys(&metadata, budget).await }
    }

    /// Returns the address to lead the browser to.
    pub async fn lead(&self, ask: Ask<'_>, now: Timestamp, budget: Budget) -> Result<Url, Trouble> {
        let metadata = self.metadata(now, budget).await?;
        let mut url = self.client.authorization(&metadata.authorization, ask);
        url.query_pairs_mut().append_pair("nonce", ask.nonce);
        if ask.is_again {
            let prompt = if self.has_no_prompt_login { "select_account" } else { "login" };
            url.query_pairs_mut().append_pair("prompt", prompt).append_pair("max_age", "0");
        }
        Ok(url)
    }

    /// Returns who has come back.
    pub async fn brought(
        &self,
        kept: Kept<'_>,
        answer: Answer<'_>,
        now: Timestamp,
        budget: Budget,
    ) -> Result<Brought, Trouble> {
        // The answer of another provider: its code must not be sent to this one (mix-up, RFC 9207).
        if answer.iss.is_some_and(|iss| iss != self.source.issuer) {
            return Err(Trouble::refused("the answer is of another issuer (iss)"));
        }
        let code = answer.code()?;
        let metadata = self.metadata(now, budget).await?;
        if metadata.names_issuer && answer.iss.is_none() {
            return Err(Trouble::refused("the answer does not name its issuer (iss)"));
        }

        let exchange =
            self.client.exchange(&metadata.token, metadata.authentication, kept, code)?;
        let tokens = Tokens::of(&self.source.http.ask(exchange, budget).await?)?;
        let Some(id_token) = &tokens.id_token else {
            return Err(Trouble::refused("there is no id token in the answer"));
        };
        let access_token = tokens.access_token.as_ref().map(|token| token.as_str());
        let flow = Flow { nonce: kept.nonce, access_token, is_again: kept.is_again };
        let verify = |keys: &Keys| token::identity(id_token, keys, self.expected(now), flow);
        let mut identity = self.verified(&metadata, now, budget, verify).await?;
        if identity.email.is_none() && !kept.is_again {
            self.ask_for_email(&metadata, access_token, &mut identity, budget).await?;
        }

        let email = identity.email.as_deref().and_then(email);
        Ok(Brought {
            issuer: self.source.issuer.clone(),
            subject: identity.subject,
            is_verified: email.is_some() && identity.is_verified,
            email,
            sid: identity.sid,
            is_again: kept.is_again,
        })
    }

    /// Verifies a logout token.
    pub async fn log_out_token(
        &self,
        token: &str,
        now: Timestamp,
        budget: Budget,
    ) -> Result<LoggedOut, Trouble> {
        let metadata = self.metadata(now, budget).await?;
        let verify = |keys: &Keys| token::logout(token, keys, self.expected(now));
        let logout = self.verified(&metadata, now, budget, verify).await?;
        Ok(LoggedOut {
            issuer: self.source.issuer.clone(),
            subject: logout.subject,
            sid: logout.sid,
            jti: logout.jti,
            expires_at: logout.expires_at,
        })
    }

    fn expected(&self, now: Timestamp) -> Expected<'_> {
        Expected { issuer: &self.source.issuer, client_id: &self.client.id, now }
    }

    /// Verifies a token with the keys that are kept, and once more with newer ones if none of them has
    /// signed it.
    async fn verified<T>(
        &self,
        metadata: &Arc<Metadata>,
        now: Timestamp,
        budget: Budget,
        verify: impl Fn(&Keys) -> Result<T, Bad>,
    ) -> Result<T, Trouble> {
        let fetch = |budget| self.fetch_keys(metadata, budget);
        let keys = self.keys.get(now, budget, fetch, self.source.warn()).await?;
        let mut verified = verify(&keys);
        if let Err(Bad::Signature) = verified {
            let newer = self.keys.doubt(&keys, now, budget, fetch).await?;
            if let Some(newer) = newer {
                verified = verify(&newer);
            }
        }
        verified.map_err(|bad| match bad {
            Bad::Signature => Trouble::refused("no key of the provider has signed the token"),
            Bad::Claim(reason) => Trouble::refused(reason),
        })
    }

    /// Asks for the email address of a user whose id token has none.
    async fn ask_for_email(
        &self,
        metadata: &Metadata,
        access_token: Option<&str>,
        identity: &mut Identity,
        budget: Budget,
    ) -> Result<(), Trouble> {
        let Some(url) = &metadata.userinfo else { return Ok(()) };
        let Some(header) = access_token.and_then(bearer) else { return Ok(()) };
        let reply: Reply =
            self.source.http.ask(Question::get(url).authorized(header), budget).await?;
        // It does not say it to this site.
        if (400..500).contains(&reply.status) {
            return Ok(());
        }
        let said: UserInfo = reply.good("the answer about the user")?;
        // Otherwise one user's address could come with another user's token.
        if said.sub != identity.subject {
            return Err(Trouble::refused("the answer about the user is about another one (sub)"));
        }
        identity.email = said.email.as_ref().and_then(Value::as_str).map(str::to_owned);
        identity.is_verified = token::is_true(said.email_verified.as_ref());
        Ok(())
    }
}
