//! The tools for tests on Rocket's blocking client.
//!
//! # Examples
//!
//! ```rust
//! # #[cfg(all(feature = "pages", feature = "sqlite"))]
//! # fn main() {
//! use rocket::local::blocking::Client;
//! use rocket_login::testing::{self, blocking};
//!
//! let rocket = rocket::custom(testing::figment()).attach(rocket_login::stage());
//! let client = Client::untracked(rocket).unwrap();
//! let ada = blocking::Browser::new(&client);
//! let form = [("email", "ada@example.org"), ("password", "correct horse battery")];
//! ada.post("/register", &form).assert_redirect("/account");
//!
//! // The mail with the link to confirm the address.
//! let mails = blocking::mails(&client);
//! let link = mails[0].link("/verify/");
//! ada.post(&link, &[]).assert_redirect("/account");
//! # }
//! # #[cfg(not(all(feature = "pages", feature = "sqlite")))]
//! # fn main() {}
//! ```

use rocket::http::ContentType;
use rocket::local::blocking::{Client, LocalRequest};

use super::Answer;
#[cfg(feature = "pages")]
use super::Mail;
use super::jar::{self, Jar};
use crate::attached::{Runtime, attached};
#[cfg(feature = "pages")]
use crate::auth::Auth;
#[cfg(feature = "pages")]
use crate::session::Given;
use crate::session::Session;

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
    pub fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(path.to_owned()))
    }

    /// Sends a form with these fields.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_raw(path, jar::form(fields))
    }

    /// Sends a form that is already encoded.
    pub fn post_raw(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = self.client.post(path.to_owned()).header(ContentType::Form);
        self.send(request.body(body))
    }

    /// Sends `request` with this browser's cookies, and keeps the cookies of the answer. It also
    /// waits for what [`settle()`] waits for.
    pub fn send(&self, request: LocalRequest<'c>) -> Answer {
        let response = request.cookies(self.jar.all()).dispatch();
        response.cookies().iter().for_each(|cookie| self.jar.keep(cookie));
        let mut answer = Answer::new(response.status(), response.headers());
        answer.body = response.into_string().unwrap_or_default();
        settle(self.client);
        answer
    }

    /// Logs in as `email` without the form. It creates the account if there is none, and nobody can
    /// log in to that account with a password.
    ///
    /// The application's [hooks](crate::auth::Hooks) run: those of `user add` if the account is created,
    /// and then that of a log-in.
    ///
    /// # Panics
    ///
    /// Panics if `email` is not an address, if a hook refuses it, or if the database fails.
    #[cfg(feature = "pages")]
    pub fn sign_in(&self, email: &str) {
        let rocket = self.client.rocket();
        block_on(self.client, self.jar.sign_in(rocket, email, Given::OneFactor));
    }

    /// Logs in as `email`, as if a second factor was given as well, like
    /// [`Browser::sign_in_strongly()`](super::Browser::sign_in_strongly()).
    ///
    /// # Panics
    ///
    /// Panics as [`sign_in()`](Self::sign_in()) does.
    #[cfg(feature = "pages")]
    pub fn sign_in_strongly(&self, email: &str) {
        let rocket = self.client.rocket();
        block_on(self.client, self.jar.sign_in(rocket, email, Given::TwoFactors));
    }

    /// Runs `act` on this browser's session, as a handler would. It can read and write the state,
    /// and the browser keeps a cookie that it sets.
    ///
    /// # Panics
    ///
    /// Panics if the database fails.
    pub fn with_session<R>(&self, act: impl AsyncFnOnce(&Session) -> R) -> R {
        block_on(self.client, self.jar.with_session(self.client.rocket(), act))
    }

    /// Runs `act` with the guard [`Auth`] of a form that this browser sends, as a handler would. A cookie
    /// that it sets is kept.
    ///
    /// # Panics
    ///
    /// If the database fails.
    #[cfg(feature = "pages")]
    pub fn with_auth<R>(&self, act: impl AsyncFnOnce(Auth<'_>) -> R) -> R {
        let request = self.client.post("/").cookies(self.jar.all());
        block_on(self.client, self.jar.with_auth(request.inner(), act))
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
pub fn mails(client: &Client) -> Vec<Mail> {
    block_on(client, jar::mails(client.rocket()))
}

/// Waits until the last-seen times of all sessions are written, for half a second at most, as
/// [`settle()`](super::settle()) does.
pub fn settle(client: &Client) {
    // An application that has no sessions may use a browser too.
    if client.rocket().state::<Runtime>().is_some() {
        block_on(client, jar::settle(client.rocket()));
    }
}

/// Runs `act` on the runtime of `client`.
fn block_on<R>(client: &Client, act: impl Future<Output = R>) -> R {
    let Runtime(runtime) = attached(client.rocket());
    runtime.block_on(act)
}
