//! Cookies are sealed, so that only this site can make one, and are sent with the response to the
//! request, whatever produces that response.

mod pending;
mod sealed;

pub use pending::PendingCookies;
#[cfg(feature = "providers")]
pub use sealed::beginning_with;
pub use sealed::{MOST_OPENED, Opened, SealedCookie, SealedCookies, values};
