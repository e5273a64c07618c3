//! Users, who can log in.

mod email;
mod roles;
#[cfg(feature = "pages")]
pub(crate) mod store;

use serde::Serialize;

use crate::clock::Timestamp;

pub use email::{Email, EmailError};
#[cfg(feature = "pages")]
pub(crate) use roles::name_of;
pub use roles::{Role, RoleName, RoleNameError, Roles};

/// The logged-in user, as the request guard `&User`.
///
/// The guard
///
///   * _succeeds_ when the session belongs to a user;
///   * _forwards_ with `401 Unauthorized` when nobody is logged in. A second
///     route of the same path and a higher rank is for guests. Without one the
///     registered catcher sends a person to the log-in page and back afterwards, and
///     answers a program, which is what `fetch()` is, with `401`;
///   * _fails_ with `401 Unauthorized` when nobody is logged in and only a
///     catch-all comes next: a route of fewer fixed segments, such as `/<path..>`
///     of a `FileServer` or of a single-page application. It would answer `404`, or
///     a page of its own. The same catcher answers instead;
///   * _fails_ with `503 Service Unavailable` when the database does not
///     answer: an outage is not "not logged in".
///
/// A catch-all of a lower rank than the route's is asked before the guard. We cannot change its
/// answer.
///
/// Where `factors.required` is on, it refuses a user without a second factor as
/// [`StrongLogin`](crate::StrongLogin) does.
///
/// `Option<&User>` is for pages that everybody may see. During an outage it is `None` as well. If
/// that matters, take [`&Session`](crate::Session) and ask its [`user()`](crate::Session::user()).
///
/// [`HasRole`](crate::HasRole) is for users who have a role. A guard of your own can build on this one:
/// [`Error::outcome()`](crate::Error::outcome()) has an example.
///
/// It is the user as the session was read with them: a change during the request does not change it,
/// and a stream keeps it after a log-out.
///
/// A [`Sentinel`](rocket::Sentinel) stops the launch when [`stage()`](crate::stage()) is not
/// attached.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::User;
///
/// # #[cfg(feature = "pages")]
/// #[get("/dashboard")]
/// fn dashboard(user: &User) -> String {
///     format!("Hello, {}!", user.email)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct User {
    /// The user's id. It is never used again for another account.
    pub id: i64,
    /// The address, with its letters as they were typed.
    pub email: Email,
    /// When the account was made, in seconds since 1970.
    pub created_at: Timestamp,
    /// When the address was confirmed, in seconds since 1970. `None`: not yet.
    pub verified_at: Option<Timestamp>,
    /// What the user may do beyond others. The guard [`HasRole`](crate::HasRole) asks for one.
    pub roles: Roles,
    /// `true` if the account has a second factor, which each log-in and each
    /// [`RecentLogin`](crate::RecentLogin) asks for.
    pub has_factor: bool,
}
