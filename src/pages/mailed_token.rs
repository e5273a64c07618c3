//! The token at the end of a mailed link.

use std::convert::Infallible;

use rocket::request::FromParam;

/// The token of a mailed link, without what somebody has appended to it.
///
/// A mail program may take the full stop or the bracket after a link for a part of it, and a
/// gateway may append a parameter with `&` to a link that has no `?`. No token has these
/// characters.
pub struct MailedToken<'r>(pub &'r str);

impl<'r> FromParam<'r> for MailedToken<'r> {
    type Error = Infallible;

    fn from_param(param: &'r str) -> Result<Self, Self::Error> {
        let is_foreign = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        Ok(MailedToken(param.split(is_foreign).next().unwrap_or_default()))
    }
}
