//! Users and passwords in URLs, and how they are to be written there.

/// What ends the part of a URL that holds user, password, host and port.
const ENDS: [char; 3] = ['/', '?', '#'];

/// How to write the characters that mean something else in a URL.
pub const ENCODED: &str =
    "%2F for /, %3F for ?, %23 for #, %40 for @, %3A for : and %25 for % in user and password";

/// Says what is wrong with the user or the password in `url` where a character in them ends
/// them, so that parsers take the rest for a path and complain of something else.
///
/// Nothing but that character is repeated.
pub fn problem(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (before, after) = rest.split_at(rest.find(ENDS)?);
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    // An @ is yet to come, and is none of a parameter's value, as in `?user=ada@example.org`.
    let is_cut_off = path.contains('@')
        || query.split_once('@').is_some_and(|(key, _)| !key.contains('=') || is_password(before));
    is_cut_off.then(|| {
        let end = after.chars().next().unwrap_or_default();
        format!(
            "has a {end} in its user or password, which must be percent-encoded: write {ENCODED}"
        )
    })
}

/// Whether `before`, in which no @ stands, ends in something else than a port.
fn is_password(before: &str) -> bool {
    let port = before.rsplit_once(':').map_or("", |(_, port)| port);
    !before.contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit())
}
