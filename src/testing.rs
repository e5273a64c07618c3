//! Tools for an application's tests: a browser on Rocket's local client that can sign in without
//! the form, access to its session and to the mails, and the suite that every store of sessions
//! must pass.
//!
//! They need the feature `testing`. A [`Clock`] that the test manages moves the time:
//!
//! ```rust
//! # use std::time::Duration;
//! use rocket::local::asynchronous::Client;
//! use rocket::{get, routes};
//! use rocket_login::testing::Browser;
//! use rocket_login::{Clock, User};
//!
//! #[get("/notes")]
//! fn notes(user: &User) -> String {
//!     format!("Notes of {}", user.email)
//! }
//!
//! # async fn test() {
//! let clock = Clock::manual(1_767_225_600);
//! let rocket = rocket::build()
//!     .manage(clock.clone())
//!     .attach(rocket_login::stage())
//!     .mount("/", routes![notes]);
//! let client = Client::untracked(rocket).await.unwrap();
//!
//! let ada = Browser::new(&client);
//! ada.sign_in("ada@example.org").await;
//! assert_eq!(ada.get("/notes").await.body, "Notes of ada@example.org");
//!
//! clock.advance(Duration::from_secs(2 * 60 * 60));
//! assert_eq!(ada.get("/notes").await.status.code, 303);
//! # }
//! ```

mod conformance;
#[cfg(feature = "sqlite")]
mod example;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::Params;
use rocket::http::{ContentType, Cookie, Status};
use rocket::local::asynchronous::{Client, LocalRequest};

use crate::attached::attached;
use crate::auth::Auth;
use crate::clock::Clock;
use crate::cookies::PendingCookies;
use crate::db::{Db, calls};
use crate::mail;
use crate::password::PasswordHash;
use crate::session::{Session, Sessions};
use crate::user::{self, Email};

pub use crate::session::sweep;
pub use conformance::conformance;
#[cfg(feature = "sqlite")]
#[doc(hidden)]
pub use example::{Example, example};

/// A browser of one person. It keeps cookies, and follows no redirect.
///
/// Use an untracked client, which several browsers can share.
#[derive(Debug)]
pub struct Browser<'c> {
    client: &'c Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl<'c> Browser<'c> {
    /// Creates a browser without any cookie.
    pub fn new(client: &'c Client) -> Self {
        Browser { client, cookies: Mutex::default() }
    }

    /// Sends a GET request for `path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(path.to_owned())).await
    }

    /// Sends a form with these fields.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encode =
            |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        self.post_raw(path, fields.join("&")).await
    }

    /// Sends a form that is already encoded.
    pub async fn post_raw(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = self.client.post(path.to_owned()).header(ContentType::Form);
        self.send(request.body(body)).await
    }

    /// Sends `request` with this browser's cookies, and keeps the cookies of the answer.
    pub async fn send(&self, request: LocalRequest<'c>) -> Answer {
        let cookies = self.cookies().clone();
        let response = request.cookies(cookies.into_iter().map(Cookie::from)).dispatch().await;
        response.cookies().iter().for_each(|cookie| self.keep(cookie));

        let headers = response.headers().iter();
        Answer {
            status: response.status(),
            headers: headers.map(|h| (h.name().to_string(), h.value().to_owned())).collect(),
            body: response.into_string().await.unwrap_or_default(),
        }
    }

    /// Logs in as `email` without the form. It creates the account if there is none, and nobody can
    /// log in to that account with a password.
    ///
    /// # Panics
    ///
    /// Panics if `email` is not an address, or if the database fails.
    pub async fn sign_in(&self, email: &str) {
        let email = Email::parse(email).expect("an email address");
        let rocket = self.client.rocket();
        let (db, clock): (&Db, &Clock) = (attached(rocket), attached(rocket));
        self.with_session(async |session| {
            let mut tx = db.write_soon().await.expect("the writer");
            let id = match user::store::find_by_email(&mut tx, &email).await.expect("an answer") {
                Some(account) => account.user.id,
                None => {
                    let hash = PasswordHash::dummy(&Params::DEFAULT).expect("a hash");
                    let now = clock.now();
                    user::store::insert(&mut tx, &email, &hash, None, now).await.expect("a user")
                }
            };
            let started = session.start(&mut tx, id, false).await.expect("a session");
            session.commit(tx, started).await.expect("a commit");
        })
        .await;
    }

    /// Runs `act` on this browser's session, as a handler would. It can read and write the state,
    /// and the browser keeps a cookie that it sets.
    ///
    /// # Panics
    ///
    /// Panics if the database fails.
    pub async fn with_session<R>(&self, act: impl AsyncFnOnce(&Session) -> R) -> R {
        let rocket = self.client.rocket();
        let sessions: &Arc<Sessions> = attached(rocket);
        let cookie = self.cookie(sessions.cookie_name());
        let opened = sessions.open(cookie);

        let pending = PendingCookies::default();
        let client = crate::client::Client::default();
        let session = Session::of(rocket, pending.clone(), client, opened).await;
        let result = act(&session.expect("the session")).await;
        pending.take().iter().for_each(|cookie| self.keep(cookie));
        result
    }

    /// Runs `act` with the guard [`Auth`] of a form that this browser sends, as a handler would. A cookie
    /// that it sets is kept.
    ///
    /// # Panics
    ///
    /// If the database fails.
    pub async fn with_auth<R>(&self, act: impl AsyncFnOnce(Auth<'_>) -> R) -> R {
        let cookies = self.cookies().clone();
        let request = self.client.post("/").cookies(cookies.into_iter().map(Cookie::from));
        let auth = request.inner().guard::<Auth<'_>>().await;
        let result = act(auth.succeeded().expect("the acts")).await;
        PendingCookies::of(request.inner()).take().iter().for_each(|cookie| self.keep(cookie));
        result
    }

    /// Returns the value of the cookie `name`, still sealed.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies().get(name).cloned()
    }

    /// Puts a cookie into the browser.
    pub fn set_cookie(&self, name: &str, value: impl Into<String>) {
        self.cookies().insert(name.into(), value.into());
    }

    fn keep(&self, cookie: &Cookie<'_>) {
        match cookie.max_age() {
            Some(age) if age.is_zero() => self.cookies().remove(cookie.name()),
            _ => self.cookies().insert(cookie.name().into(), cookie.value().into()),
        };
    }

    fn cookies(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mail that was sent, or waits to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mail {
    /// The address that it goes to.
    pub recipient: String,
    /// The subject.
    pub subject: String,
    /// The part in plain text.
    pub text: String,
    /// The part in HTML.
    pub html: String,
}

impl Mail {
    /// Returns the first link whose path begins with `start`. The result begins at its path.
    ///
    /// # Panics
    ///
    /// Panics if there is no such link.
    #[track_caller]
    pub fn link(&self, start: &str) -> String {
        let paths = self.text.lines().filter_map(|line| {
            let (_, rest) = line.split_once("://")?;
            rest.find('/').map(|start| &rest[start..])
        });
        let found = paths.into_iter().find(|path| path.starts_with(start));
        found.unwrap_or_else(|| panic!("no link to {start} in\n{}", self.text)).to_owned()
    }
}

/// Returns the mails of the site, the newest first. It finds sent mails only in the debug profile,
/// which keeps them.
///
/// # Panics
///
/// Panics if the database fails.
pub async fn mails(client: &Client) -> Vec<Mail> {
    let (mail, db): (&crate::mail::Mail, &Db) =
        (attached(client.rocket()), attached(client.rocket()));
    let received = mail::received(mail, db).await.expect("the mails");
    let mails = received.into_iter().map(|received| Mail {
        recipient: received.recipient,
        subject: received.subject,
        text: received.text,
        html: received.html,
    });
    mails.collect()
}

/// An answer of the site.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// All headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body. It is empty if it is not text.
    pub body: String,
}

impl Answer {
    /// Returns the value of the header `name`, or the first one if there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the `Set-Cookie` line of the cookie `name`.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"))
            .find_map(|(_, line)| line.starts_with(&format!("{name}=")).then_some(line.as_str()))
    }

    /// Returns the attributes of the cookie `name`, sorted, without its name and value.
    ///
    /// # Panics
    ///
    /// Panics if the answer does not set it.
    #[track_caller]
    pub fn cookie_attributes(&self, name: &str) -> Vec<&str> {
        let line = self.set_cookie(name).unwrap_or_else(|| panic!("{name} is not set"));
        let mut attributes: Vec<_> = line.split("; ").skip(1).collect();
        attributes.sort_unstable();
        attributes
    }

    /// Returns whether the body is a problem for a program (RFC 9457).
    pub fn is_json(&self) -> bool {
        self.header("content-type") == Some("application/problem+json")
    }

    /// Asserts the status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.code, status, "{}", self.body);
        self
    }

    /// Asserts a `303 See Other` to `to`.
    #[track_caller]
    pub fn assert_redirect(&self, to: &str) -> &Self {
        assert_eq!(self.status, Status::SeeOther, "{}", self.body);
        assert_eq!(self.header("location"), Some(to));
        self
    }

    /// Asserts that the body contains `text`.
    #[track_caller]
    pub fn assert_text(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no {text:?} in\n{}", self.body);
        self
    }

    /// Asserts that the body does not contain `text`.
    #[track_caller]
    pub fn assert_no_text(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} is in\n{}", self.body);
        self
    }
}

/// Runs `act`, and returns how often it asked the database and waited for the answer. A request
/// that anybody may make about any address must ask equally often for all addresses: otherwise its
/// time would reveal which of them have accounts (user enumeration).
///
/// On PostgreSQL each call is a round trip. Calls of other tasks are not counted.
///
/// # Examples
///
/// ```rust
/// # rocket::async_test(async {
/// use rocket_login::testing::count_calls;
///
/// let (answer, calls) = count_calls(async { "nothing was asked" }).await;
/// assert_eq!((answer, calls), ("nothing was asked", 0));
/// # });
/// ```
pub async fn count_calls<T>(act: impl Future<Output = T>) -> (T, u64) {
    calls::count(act).await
}
