//! What a statement may change, as far as its text tells.

use super::versions::Written;
use crate::sql::Query;

/// Whether a statement may change a session, or whom it belongs to. Too often rather
/// than not: it costs look-ups.
pub fn may_change_sessions(text: &str) -> bool {
    let text = text.trim_start();
    let reads = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("select"));
    !reads && {
        let text = text.to_ascii_lowercase();
        text.contains("sessions") || text.contains("users")
    }
}

/// What it has written where it returns or counts rows. Rather too little: that costs
/// look-ups, or a page, where too much would hide somebody else's commit.
pub fn writes<T, R>(query: &Query<'_, T, R>) -> Written {
    let text = query.text.trim_start();
    let begins_with =
        |act: &str| text.get(..act.len()).is_some_and(|start| start.eq_ignore_ascii_case(act));
    // Of an application's tables, one may be a temporary one, which is in no file.
    let is_of_ours = |act: &str| {
        let table = text.strip_prefix(act).unwrap_or_default();
        ["users ", "sessions ", "login_"].iter().any(|ours| table.starts_with(ours))
    };
    let is_new = is_of_ours("INSERT INTO ") && !text.contains("CONFLICT");
    let is_one = !text.contains(';');
    if is_one && (query.is_sure || is_new || is_of_ours("DELETE FROM ")) {
        return Written::Surely;
    }
    match ["INSERT ", "UPDATE ", "DELETE ", "REPLACE ", "WITH "].iter().any(|a| begins_with(a)) {
        true => Written::Perhaps,
        false => Written::Nothing,
    }
}
