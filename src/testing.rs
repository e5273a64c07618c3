//! Tools for an application's tests: a configuration with a database of its own, a browser on
//! Rocket's local client that can sign in without the form, access to its session and to the mails,
//! and the suite that every store of sessions must pass.
//!
//! They need the feature `testing`. An application that is a function of its configuration can be
//! tested with another one:
//!
//! ```rust
//! # #[cfg(all(feature = "pages", feature = "sqlite"))]
//! # fn main() {
//! use rocket::figment::Figment;
//! use rocket::local::blocking::Client;
//! use rocket::{Build, Rocket, get, routes};
//! use rocket_login::User;
//! use rocket_login::testing::{self, blocking::Browser};
//!
//! #[get("/notes")]
//! fn notes(user: &User) -> String {
//!     format!("Notes of {}", user.email)
//! }
//!
//! fn rocket(figment: Figment) -> Rocket<Build> {
//!     rocket::custom(figment).attach(rocket_login::stage()).mount("/", routes![notes])
//! }
//!
//! let client = Client::untracked(rocket(testing::figment())).unwrap();
//! let ada = Browser::new(&client);
//! assert_eq!(ada.get("/notes").status.code, 303);
//!
//! ada.sign_in("ada@example.org");
//! assert_eq!(ada.get("/notes").body, "Notes of ada@example.org");
//! # }
//! # #[cfg(not(all(feature = "pages", feature = "sqlite")))]
//! # fn main() {}
//! ```
//!
//! [`Browser`] does the same on the asynchronous client. A [`Clock`](crate::Clock) that the test manages moves
//! the time.

mod answer;
#[cfg(feature = "passkeys")]
mod authenticator;
pub mod blocking;
#[cfg(feature = "pages")]
mod conformance;
#[cfg(all(feature = "pages", feature = "sqlite"))]
mod example;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod figment;
mod jar;
#[cfg(feature = "pages")]
mod mail;

use rocket::http::ContentType;
use rocket::local::asynchronous::{Client, LocalRequest};

#[cfg(feature = "pages")]
use crate::auth::Auth;
#[cfg(feature = "pages")]
use crate::clock::Timestamp;
use crate::db::calls;
#[cfg(feature = "pages")]
use crate::factor::totp::{self, TotpSecret};
#[cfg(feature = "pages")]
use crate::session::Given;
use crate::session::Session;
use jar::Jar;

pub use crate::session::sweep;
pub use answer::Answer;
#[cfg(feature = "passkeys")]
pub use authenticator::Authenticator;
#[cfg(feature = "pages")]
pub use conformance::conformance;
#[cfg(all(feature = "pages", feature = "sqlite"))]
#[doc(hidden)]
pub use example::{Example, example, example_with};
#[cfg(feature = "sqlite")]
pub use figment::figment;
#[cfg(feature = "postgres")]
pub use figment::figment_on;
#[cfg(feature = "pages")]
pub use mail::Mail;

/// A browser of one person. It keeps cookies, and follows no redirect.
///
/// Use an untracked client, which several browsers can share.
#[derive(Debug)]
pub struct Browser<'c> {
    client: &'c Client,
    jar: Jar,
}

impl<'c> Browser<'c> {
    /// Creates a browser without any cookie.
    pub fn new(client: &'c Client) -> Self {
        Browser { client, jar: Jar::default() }
    }

    /// Sends a GET request for `path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(path.to_owned())).await
    }

    /// Sends a form with these fields.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_raw(path, jar::form(fields)).await
    }

    /// Sends a form that is already encoded.
    pub async fn post_raw(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = self.client.post(path.to_owned()).header(ContentType::Form);
        self.send(request.body(body)).await
    }

    /// Sends `request` with this browser's cookies, and keeps the cookies of the answer. It also
    /// waits for what [`settle()`] waits for.
    pub async fn send(&self, request: LocalRequest<'c>) -> Answer {
        let response = request.cookies(self.jar.all()).dispatch().await;
        response.cookies().iter().for_each(|cookie| self.jar.keep(cookie));
        let mut answer = Answer::new(response.status(), response.headers());
        answer.body = response.into_string().await.unwrap_or_default();
        jar::settle(self.client.rocket()).await;
        answer
    }

    /// Logs in as `email` without the form. It creates the account if there is none, and nobody can
    /// log in to that account with a password. No second factor is asked for, and the session is not a
    /// strong one.
    ///
    /// The application's [hooks](crate::auth::Hooks) run: those of `user add` if the account is created,
    /// and then that of a log-in.
    ///
    /// # Panics
    ///
    /// Panics if `email` is not an address, if a hook refuses it, or if the database fails.
    #[cfg(feature = "pages")]
    pub async fn sign_in(&self, email: &str) {
        self.jar.sign_in(self.client.rocket(), email, Given::OneFactor).await;
    }

    /// Logs in as `email` like [`sign_in()`](Self::sign_in()), as if a second factor was given as well:
    /// the guard [`StrongLogin`](crate::StrongLogin) lets the user in.
    ///
    /// # Panics
    ///
    /// Panics as [`sign_in()`](Self::sign_in()) does.
    #[cfg(feature = "pages")]
    pub async fn sign_in_strongly(&self, email: &str) {
        self.jar.sign_in(self.client.rocket(), email, Given::TwoFactors).await;
    }

    /// Runs `act` on this browser's session, as a handler would. It can read and write the state,
    /// and the browser keeps a cookie that it sets.
    ///
    /// # Panics
    ///
    /// Panics if the database fails.
    pub async fn with_session<R>(&self, act: impl AsyncFnOnce(&Session) -> R) -> R {
        self.jar.with_session(self.client.rocket(), act).await
    }

    /// Runs `act` with the guard [`Auth`] of a form that this browser sends, as a handler would. A cookie
    /// that it sets is kept.
    ///
    /// # Panics
    ///
    /// If the database fails.
    #[cfg(feature = "pages")]
    pub async fn with_auth<R>(&self, act: impl AsyncFnOnce(Auth<'_>) -> R) -> R {
        let request = self.client.post("/").cookies(self.jar.all());
        self.jar.with_auth(request.inner(), act).await
    }

    /// Returns the value of the cookie `name`, still sealed.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar.get(name)
    }

    /// Puts a cookie into the browser.
    pub fn set_cookie(&self, name: &str, value: impl Into<String>) {
        self.jar.set(name, value.into());
    }
}

/// Returns the mails of the site, the newest first. It finds sent mails only in the debug profile,
/// which keeps them.
///
/// # Panics
///
/// Panics if the database fails.
#[cfg(feature = "pages")]
pub async fn mails(client: &Client) -> Vec<Mail> {
    jar::mails(client.rocket()).await
}

/// Returns the code that an authenticator app with the key `secret` shows at `at`, in seconds since
/// 1970. The page `/account/app` shows the key: letters and digits, with blanks or without.
///
/// # Panics
///
/// Panics if `secret` is not such a key.
///
/// # Examples
///
/// ```rust
/// use rocket_login::testing;
///
/// assert_eq!(testing::app_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59), "287082");
/// ```
#[cfg(feature = "pages")]
pub fn app_code(secret: &str, at: Timestamp) -> String {
    TotpSecret::from_base32(secret).expect("a key").code(totp::step_of(at))
}

/// Waits until the last-seen times of all sessions are written, for half a second at most. A page
/// does not wait for its own, so a test that looks for it in the table calls this first. A
/// [`Browser`] calls it after each answer.
///
/// # Examples
///
/// ```rust
/// # use rocket::local::asynchronous::Client;
/// # use rocket_login::testing;
/// # async fn example(client: &Client) {
/// client.get("/").dispatch().await;
/// testing::settle(client).await;
/// # }
/// ```
pub async fn settle(client: &Client) {
    jar::settle(client.rocket()).await;
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
