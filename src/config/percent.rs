//! Finds characters in the user and the password of a URL that must be percent-encoded.

/// The characters that end the part of a URL with user, password, host and port.
const ENDS: [char; 3] = ['/', '?', '#'];

/// The percent-encoded forms of characters that have another meaning in a URL.
pub const ENCODED: &str =
    "%2F for /, %3F for ?, %23 for #, %40 for @, %3A for : and %25 for % in user and password";

/// Returns the problem if a character in the user or the password of `url` ends them. Parsers take
/// the rest for a path, and their message is about something else.
///
/// The message repeats only that character, no other part of the secret. `None` means that there is
/// no such character.
pub fn problem(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (before, after) = rest.split_at(rest.find(ENDS)?);
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    // An @ comes later and is not part of a parameter's value, as it is in `?user=ada@example.org`.
    let is_cut_off = path.contains('@')
        || query.split_once('@').is_some_and(|(key, _)| !key.contains('=') || is_password(before));
    is_cut_off.then(|| {
        let end = after.chars().next().unwrap_or_default();
        format!(
            "has a {end} in its user or password, which must be percent-encoded: write {ENCODED}"
        )
    })
}

/// Returns whether `before`, if it has no @, ends in something other than a port.
fn is_password(before: &str) -> bool {
    let port = before.rsplit_once(':').map_or("", |(_, port)| port);
    !before.contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit())
}
