//! Flows: what this site keeps while a browser is at a provider.
//!
//! All of it is in a sealed cookie of that browser, one for each flow. So nothing is stored for
//! strangers, any instance can go on, and an answer that was made for another browser opens nothing
//! (log-in CSRF).

use std::time::Duration;

use rocket::Request;
use rocket::http::SameSite;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::cookies::{self, PendingCookies, SealedCookies};
use crate::token::Token;
use crate::web::ReturnTo;

/// How long the browser may be at the provider.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The most flows of one browser: as many tabs as people open. Each is a cookie of every request.
const MOST: usize = 5;

/// How long the way that was used last is remembered. Browsers keep no cookie longer (RFC 6265bis,
/// section 5.5).
const REMEMBERED: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What a flow is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlowPurpose {
    /// The visitor logs in, or signs up.
    LogIn,
    /// The user connects an account at the provider.
    Connect,
    /// The user shows again who they are.
    Reauthenticate,
}

/// A flow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    /// The name of the provider. Its answer must not come back as another one's (mix-up).
    pub provider: String,
    pub purpose: FlowPurpose,
    /// Comes back with the answer. The cookie is named by its hash.
    pub state: String,
    /// Comes back in the id token.
    pub nonce: String,
    /// The secret of PKCE.
    pub verifier: String,
    /// The page to go to afterwards.
    next: Option<String>,
    pub remember: bool,
    /// The family of the session that began it, in hexadecimal digits, unless it is a log-in.
    pub session: Option<String>,
    expires_at: Timestamp,
}

impl Flow {
    /// Begins a flow with new secrets.
    pub fn new(provider: &str, purpose: FlowPurpose, now: Timestamp) -> Self {
        let secret = || Token::generate().to_text().to_string();
        Flow {
            provider: provider.to_owned(),
            purpose,
            state: secret(),
            nonce: secret(),
            verifier: secret(),
            next: None,
            remember: false,
            session: None,
            expires_at: now + LIFETIME.as_secs() as Timestamp,
        }
    }

    /// Keeps the visitor logged in afterwards.
    pub fn remembering(self, remember: bool) -> Self {
        Flow { remember, ..self }
    }

    /// Binds the flow to the session of this family.
    pub fn of_session(self, session: Option<String>) -> Self {
        Flow { session, ..self }
    }

    /// Sets the page to go to afterwards.
    pub fn leading_to(self, next: Option<&ReturnTo>) -> Self {
        Flow { next: next.map(ToString::to_string), ..self }
    }

    /// Returns the page to go to afterwards.
    pub fn next(&self) -> Option<ReturnTo> {
        self.next.as_deref().and_then(ReturnTo::parse)
    }
}

/// The cookies of flows, and of the way that was used last. They are in managed state.
#[derive(Debug)]
pub struct FlowCookies {
    /// The names of all flows begin with it.
    prefix: &'static str,
    last: &'static str,
    /// A provider's answer comes from another site, and `Strict` cookies stay away then.
    cookies: SealedCookies,
}

/// The flow cookies that a request has brought: names, and sealed values.
pub type Brought = Vec<(String, String)>;

impl FlowCookies {
    pub fn new(config: &Config, cookies: &SealedCookies) -> Self {
        let (prefix, last) = match config.session.is_secure(config.debug) {
            true => ("__Host-login-flow-", "__Host-login-provider"),
            false => ("login-flow-", "login-provider"),
        };
        FlowCookies { prefix, last, cookies: cookies.clone().at_root(SameSite::Lax) }
    }

    /// Returns the flow cookies of the request, which are opened when they are needed.
    pub fn of(&self, request: &Request<'_>) -> Brought {
        cookies::beginning_with(request, self.prefix)
    }

    /// Sends the cookie of a flow. Of more than [`MOST`], the oldest end.
    pub fn begin(&self, flow: &Flow, brought: &Brought, pending: &PendingCookies, now: Timestamp) {
        let opened = brought.iter().map(|(name, value)| {
            let flow = self.open(name, value).filter(|flow| now < flow.expires_at);
            (flow.map_or(0, |flow| flow.expires_at), name)
        });
        let mut others: Vec<_> = opened.collect();
        others.sort_by_key(|(expires_at, _)| std::cmp::Reverse(*expires_at));
        let is_over = |(at, (expires_at, _)): &(usize, _)| *at >= MOST - 1 || *expires_at == 0;
        for (_, (_, name)) in others.into_iter().enumerate().filter(is_over) {
            pending.set(self.cookies.removal(name));
        }
        let Ok(text) = serde_json::to_string(flow) else { return };
        pending.set(self.cookies.seal(&self.name(&flow.state), &text, Some(LIFETIME)));
    }

    /// Ends the flow of `state` in this browser, and returns it. `None`: this browser has none, or it
    /// took too long.
    pub fn end(
        &self,
        state: &str,
        brought: &Brought,
        pending: &PendingCookies,
        now: Timestamp,
    ) -> Option<Flow> {
        let name = self.name(state);
        let mut same = brought.iter().filter(|(brought, _)| *brought == name).peekable();
        same.peek()?;
        pending.set(self.cookies.removal(&name));
        let flow = same.find_map(|(name, value)| self.open(name, value))?;
        // The name has only a part of the state's hash.
        (flow.state == state && now < flow.expires_at).then_some(flow)
    }

    /// Remembers that somebody has logged in with `provider` in this browser.
    pub fn remember(&self, provider: &str, pending: &PendingCookies) {
        pending.set(self.cookies.seal(self.last, provider, Some(REMEMBERED)));
    }

    /// Returns the cookies of the way that was used last, for [`open_last()`](Self::open_last()).
    pub fn last_of(&self, request: &Request<'_>) -> Vec<String> {
        cookies::values(request, self.last).map(str::to_owned).collect()
    }

    /// Returns the name of the provider with which somebody has logged in last in this browser.
    pub fn open_last(&self, brought: &[String]) -> Option<String> {
        let opened = brought.iter().find_map(|value| self.cookies.open(self.last, value));
        opened.map(|opened| opened.value)
    }

    fn open(&self, name: &str, value: &str) -> Option<Flow> {
        let opened = self.cookies.open(name, value)?;
        serde_json::from_str(&opened.value).ok()
    }

    fn name(&self, state: &str) -> String {
        let digest = Sha256::digest(state);
        let hash: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{hash}", self.prefix)
    }
}
