//! Log-in with a provider, against one that tells the truth and against one that lies.

mod accounts;
mod again;
mod back_channel;
mod connecting;
mod down;
mod flow;
mod github;
mod leaving;
mod lies;
mod operating;
mod undone;

use std::ops::Deref;

use rocket::figment::Figment;
use rocket::http::Accept;
use serde_json::Value;

use crate::servers::liar::{CLIENT, Liar, SECRET};
use crate::support::{Answer, TestApp, Visitor, header};

/// The address of the person in front of the provider's page.
pub const ADA: &str = "ada@example.org";

pub const BOB: &str = "bob@example.org";

/// A site with one provider, `test`.
pub struct Site {
    pub app: TestApp,
    pub liar: Liar,
}

impl Deref for Site {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

/// Returns the configuration with the provider `name`.
pub fn with_provider(figment: Figment, name: &str, liar: &Liar) -> Figment {
    let key = |key: &str| format!("providers.{name}.{key}");
    figment
        .merge((key("issuer"), liar.issuer()))
        .merge((key("client_id"), CLIENT))
        .merge((key("client_secret"), SECRET))
}

impl Site {
    pub async fn new() -> Self {
        Self::with(|figment| figment).await
    }

    /// Starts a site whose configuration `configure` changes.
    pub async fn with(configure: impl FnOnce(Figment) -> Figment) -> Self {
        let liar = Liar::start();
        let app = TestApp::with(|f| configure(with_provider(f, "test", &liar))).await;
        liar.follow(&app.clock);
        Site { app, liar }
    }

    /// Stops the site and starts it again on the same database.
    pub async fn restarted(self, configure: impl FnOnce(Figment) -> Figment) -> Self {
        let Site { app, liar } = self;
        let app = app.restarted(|f| configure(with_provider(f, "test", &liar))).await;
        Site { app, liar }
    }

    /// Follows the link `path` to the provider. Returns the path to which the provider leads back.
    pub async fn go(&self, visitor: &Visitor<'_>, path: &str) -> String {
        let answer = visitor.get(path).await;
        self.liar.answer(&leads_to(&answer))
    }

    /// Comes back from the provider, as browsers do.
    pub async fn come_back<'a>(&'a self, visitor: &Visitor<'a>, path: &str) -> Answer {
        come_back(&self.app, visitor, path).await
    }

    /// Logs in with the provider, and returns the last answer.
    pub async fn log_in<'a>(&'a self, visitor: &Visitor<'a>) -> Answer {
        let back = self.go(visitor, "/login/with/test").await;
        self.come_back(visitor, &back).await
    }

    /// Connects the provider to the account of the visitor, and returns the last answer.
    pub async fn connect<'a>(&'a self, visitor: &Visitor<'a>) -> Answer {
        let back = self.go(visitor, "/account/providers/test/link").await;
        self.come_back(visitor, &back).await
    }

    /// Returns a visitor who has just signed up with the provider.
    pub async fn came(&self) -> Visitor<'_> {
        let visitor = self.visitor();
        self.log_in(&visitor).await.assert_redirect("/account");
        visitor
    }

    pub async fn identities(&self) -> i64 {
        identities(&self.app).await
    }

    /// Returns what no refused log-in may change.
    pub async fn state(&self) -> (i64, i64, i64, usize) {
        let (users, sessions) = (self.users().await, self.sessions().await);
        (users, self.identities().await, sessions, self.mails().await.len())
    }
}

/// Comes back from a provider, as browsers do.
pub async fn come_back<'a>(app: &'a TestApp, visitor: &Visitor<'a>, path: &str) -> Answer {
    let request = app.client.get(path.to_owned());
    let request = request.header(header("Sec-Fetch-Site", "cross-site"));
    let request = request.header(header("Sec-Fetch-Mode", "navigate"));
    visitor.send(request.header(header("Sec-Fetch-Dest", "document"))).await
}

/// Counts the identities that log somebody in.
pub async fn identities(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM login_identities WHERE removed_at IS NULL").await
}

/// Returns where an answer leads, by a redirect or by a page with a button.
#[track_caller]
pub fn leads_to(answer: &Answer) -> String {
    if answer.status.code == 303 {
        return answer.header("location").unwrap().to_owned();
    }
    answer.assert_status(200);
    let link = answer.body.split_once("<a class=\"button\" href=\"");
    let (_, rest) = link.unwrap_or_else(|| panic!("{}", answer.body));
    unescaped(rest.split('"').next().unwrap())
}

/// Undoes what a template does to text.
pub fn unescaped(text: &str) -> String {
    let text = text.replace("&#x2F;", "/").replace("&#x27;", "'").replace("&quot;", "\"");
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Returns the code of a problem for a program.
#[track_caller]
pub fn code_of(answer: &Answer) -> String {
    assert!(answer.is_json(), "{}", answer.body);
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status.code);
    problem["code"].as_str().unwrap().to_owned()
}

/// Returns the names of the flow cookies that an answer sets or removes, and if it sets them.
pub fn flow_cookies(answer: &Answer) -> Vec<(String, bool)> {
    let lines = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let flows = lines.filter(|(_, line)| line.starts_with("login-flow-"));
    let named = flows.map(|(_, line)| {
        let name = line.split('=').next().unwrap().to_owned();
        (name, !line.contains("Max-Age=0"))
    });
    named.collect()
}

/// Asserts that the answer ends its flow.
#[track_caller]
pub fn assert_flow_ended(answer: &Answer) {
    let cookies = flow_cookies(answer);
    assert!(cookies.len() == 1 && !cookies[0].1, "{cookies:?} in {:?}", answer.headers);
}

/// Asserts that the page asks the visitor to log in first, and leads on to connecting.
#[track_caller]
pub fn assert_asks_to_connect(answer: &Answer) {
    answer.assert_status(422);
    let body = unescaped(&answer.body);
    let link = "/account/providers/test/link";
    let is_there = body.contains(link) || body.contains(&link.replace('/', "%2F"));
    assert!(is_there, "{}", answer.body);
}

/// Returns a page as a program gets it.
pub async fn json<'a>(app: &'a TestApp, visitor: &Visitor<'a>, path: &str) -> Answer {
    visitor.send(app.client.get(path.to_owned()).header(Accept::JSON)).await
}
