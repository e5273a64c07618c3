//! The guards of the logged-in user.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rocket::http::Status;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Ignite, Rocket, Sentinel};

use crate::attached::attached;
use crate::base::Base;
use crate::config::Config;
use crate::error::{self, Error};
use crate::password::Hasher;
use crate::routing;
use crate::session::Session;
use crate::user::{Role, User, name_of};

/// The logged-in user who has given their password within `session.reauthenticate_after`, and their
/// second factor if the account has one, as a request guard ("sudo"). A passkey stands for both.
///
/// A session that is hours old may be in other hands: on a machine that was left open, or through a
/// stolen cookie. Its holder should not be able to take the account over.
///
/// The guard
///
///   * _succeeds_ when both were given recently;
///   * _forwards_ or _fails_ with `401 Unauthorized` when it was not, as
///     [`&User`](User) does. The registered catcher sends a browser to
///     `/reauthenticate`, and back to this page afterwards; from a form, to the
///     page it stands on. It answers a program with `403`;
///   * forwards and _fails_ as [`&User`](User) does otherwise.
///
/// # Examples
///
/// ```rust
/// # use rocket::post;
/// use rocket_login::RecentLogin;
///
/// #[post("/payout")]
/// fn pay_out(user: RecentLogin<'_>) -> String {
///     format!("Paid out to {}", user.email)
/// }
/// ```
#[derive(Debug)]
pub struct RecentLogin<'r>(&'r User);

/// What a logged-in user lacks for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The password once more, and the second factor if the account has one.
    Reauthentication,
    /// A second factor, which the account does not have.
    Factor,
}

/// What the request was refused for. It is in the request's local cache.
#[derive(Debug, Default)]
struct Refused {
    reauthentication: AtomicBool,
    factor: AtomicBool,
}

impl Refused {
    /// Notes what is wanted, and refuses. It is not the first value of the cache that counts: a fairing
    /// may have asked before.
    fn for_want<'r, T>(request: &'r Request<'_>, wanted: Wanted) -> request::Outcome<T, &'r Error> {
        let refused = request.local_cache(Refused::default);
        match wanted {
            Wanted::Reauthentication => refused.reauthentication.store(true, Relaxed),
            Wanted::Factor => refused.factor.store(true, Relaxed),
        }
        refuse(request)
    }
}

/// Returns what the logged-in user lacks, if a guard has refused the request for that alone.
fn wanted(request: &Request<'_>) -> Option<Wanted> {
    let refused = request.local_cache(Refused::default);
    if refused.factor.load(Relaxed) {
        return Some(Wanted::Factor);
    }
    refused.reauthentication.load(Relaxed).then_some(Wanted::Reauthentication)
}

impl RecentLogin<'_> {
    /// Returns whether this guard, or [`StrongLogin`], has refused the request only because the user
    /// must show again who they are. A catcher for `401` asks it, and leads to a page that asks for the
    /// password again.
    pub fn is_wanted(request: &Request<'_>) -> bool {
        wanted(request) == Some(Wanted::Reauthentication)
    }
}

impl Deref for RecentLogin<'_> {
    type Target = User;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for RecentLogin<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        let session = try_outcome!(request.guard::<&Session>().await);
        let config: &Config = attached(request.rocket());
        if session.is_recent(config.session.reauthenticate_after) {
            return Outcome::Success(RecentLogin(user));
        }

        Refused::for_want(request, Wanted::Reauthentication)
    }
}

impl Sentinel for RecentLogin<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}

/// The logged-in user who has given two factors in this session, as a request guard.
///
/// It is for what a stolen password alone must not open. How long ago the factors were given does not
/// matter; for that take [`RecentLogin`] as well.
///
/// The guard
///
///   * _succeeds_ when the session was begun, or confirmed again, with two factors;
///   * _forwards_ or _fails_ with `401 Unauthorized` when it was not, as [`&User`](User) does. If the
///     account has a second factor, the registered catcher does what it does for [`RecentLogin`].
///     Otherwise it sends a browser to `/account/security`, where the user can add one, and answers a
///     program with `403` and the code `factor_required`;
///   * forwards and _fails_ as [`&User`](User) does otherwise.
///
/// A session goes on to be strong when the user removes the factor.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::StrongLogin;
///
/// #[get("/payroll")]
/// fn payroll(user: StrongLogin<'_>) -> String {
///     format!("The payroll, for {}", user.email)
/// }
/// ```
#[derive(Debug)]
pub struct StrongLogin<'r>(&'r User);

impl StrongLogin<'_> {
    /// Returns whether a guard has refused the request only because the account has no second factor. A
    /// catcher for `401` asks it, and leads to a page on which the user can add one.
    pub fn is_factor_wanted(request: &Request<'_>) -> bool {
        wanted(request) == Some(Wanted::Factor)
    }
}

impl Deref for StrongLogin<'_> {
    type Target = User;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for StrongLogin<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        let session = try_outcome!(request.guard::<&Session>().await);
        match (session.is_strong(), user.has_factor) {
            (true, _) => Outcome::Success(StrongLogin(user)),
            (false, true) => Refused::for_want(request, Wanted::Reauthentication),
            (false, false) => Refused::for_want(request, Wanted::Factor),
        }
    }
}

impl Sentinel for StrongLogin<'_> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}

/// A logged-in user who has the role `R`, as a request guard.
///
/// The roles are read with the session. The operator gives them with `rocket-login user grant` and
/// takes them away with `user revoke`; each request asks anew, so a change holds from the next one on.
///
/// The guard
///
///   * _succeeds_ when the user has the role;
///   * _fails_ with `403 Forbidden` when somebody else is logged in. No route that follows is asked,
///     and the log has the event `denied`;
///   * forwards and _fails_ as [`&User`](User) does otherwise: with `401` when nobody is logged in,
///     and with `503` when the database does not answer.
///
/// It derefs to [`User`]. For an administrator's act take [`RecentLogin`] as well.
///
/// A [`Sentinel`] stops the launch when [`stage()`](crate::stage()) is not attached. A [`Role`] whose
/// `NAME` is not the name of a role does not compile.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::{HasRole, Role};
///
/// enum Editor {}
///
/// impl Role for Editor {
///     const NAME: &'static str = "editor";
/// }
///
/// #[get("/drafts")]
/// fn drafts(editor: HasRole<'_, Editor>) -> String {
///     format!("The drafts, for {}", editor.email)
/// }
/// ```
///
/// One of two roles is a guard of your own:
///
/// ```rust
/// use rocket::outcome::{Outcome, try_outcome};
/// use rocket::request::{self, FromRequest, Request};
/// use rocket_login::{Error, User};
///
/// struct Staff<'r>(&'r User);
///
/// #[rocket::async_trait]
/// impl<'r> FromRequest<'r> for Staff<'r> {
///     type Error = &'r Error;
///
///     async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, &'r Error> {
///         let user = try_outcome!(request.guard::<&User>().await);
///         match user.roles.contains("editor") || user.roles.contains("admin") {
///             true => Outcome::Success(Staff(user)),
///             false => Error::forbidden().outcome(request),
///         }
///     }
/// }
/// ```
///
/// The name of a role is checked when the program is compiled:
///
/// ```rust,compile_fail
/// # use rocket::get;
/// # use rocket_login::{HasRole, Role};
/// enum Chief {}
///
/// impl Role for Chief {
///     const NAME: &'static str = "Chief Editor"; // a role is in lower case, and has no blank
/// }
///
/// #[get("/")]
/// fn index(_chief: HasRole<'_, Chief>) {}
/// # rocket::build().mount("/", rocket::routes![index]);
/// ```
pub struct HasRole<'r, R> {
    user: &'r User,
    role: PhantomData<fn() -> R>,
}

impl<R> Deref for HasRole<'_, R> {
    type Target = User;

    fn deref(&self) -> &Self::Target {
        self.user
    }
}

/// A role is a type without values, which need not be `Debug`.
impl<R> fmt::Debug for HasRole<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HasRole").field(self.user).finish()
    }
}

#[rocket::async_trait]
impl<'r, R: Role> FromRequest<'r> for HasRole<'r, R> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        match user.roles.contains(name_of::<R>()) {
            true => Outcome::Success(HasRole { user, role: PhantomData }),
            false => Outcome::Error((Status::Forbidden, &error::FORBIDDEN)),
        }
    }
}

impl<R> Sentinel for HasRole<'_, R> {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for &'r User {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let session = try_outcome!(request.guard::<&Session>().await);
        match session.user() {
            Some(user) if lacks_factor(request, user) => Refused::for_want(request, Wanted::Factor),
            Some(user) => Outcome::Success(user),
            None => refuse(request),
        }
    }
}

/// The pages that a user without a second factor reaches where `factors.required` is on: those on
/// which they get one, and what they need for it.
const WITHOUT_FACTOR: [&str; 7] = [
    "/account/security",
    "/account/app",
    "/account/codes",
    "/account/passkeys",
    "/account/verify",
    "/reauthenticate",
    "/logout",
];

/// Returns whether the user must add a second factor before this request.
fn lacks_factor(request: &Request<'_>, user: &User) -> bool {
    let config: &Config = attached(request.rocket());
    if user.has_factor || !config.factors.required {
        return false;
    }
    let (base, path) = (attached::<Base>(request.rocket()), request.uri().path());
    let is_open = |page: &str| {
        let open = base.join(page);
        path.as_str()
            .strip_prefix(&open)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !WITHOUT_FACTOR.into_iter().any(is_open)
}

/// Returns the outcome of a guard without a logged-in user: it forwards to a route for guests or to
/// the catcher, and never to a catch-all.
///
/// A catch-all would answer `404`, as if there were nothing here, and the catcher that leads to the
/// log-in page would never be asked.
fn refuse<'r, T>(request: &'r Request<'_>) -> request::Outcome<T, &'r Error> {
    match routing::is_swallowed(request) {
        true => Outcome::Error((Status::Unauthorized, &error::UNAUTHORIZED)),
        false => Outcome::Forward(Status::Unauthorized),
    }
}

impl Sentinel for User {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Hasher>().is_none()
    }
}
