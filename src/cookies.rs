//! Cookies: sealed so that nobody else can make one, and sent with whatever response
//! comes of the request.

mod pending;
mod sealed;

pub use pending::PendingCookies;
pub use sealed::{MOST_OPENED, Opened, SealedCookie, SealedCookies, values};
