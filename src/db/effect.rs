//! Tells what a statement may change, as far as its text shows it.

use super::versions::Written;
use crate::sql::Query;

/// Returns whether a statement may change a session, or the user it belongs to. In doubt it returns
/// `true`, which only costs look-ups.
pub fn may_change_sessions(text: &str) -> bool {
    let text = text.trim_start();
    let reads = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("select"));
    !reads && {
        let text = text.to_ascii_lowercase();
        text.contains("sessions") || text.contains("users")
    }
}

/// Returns what a statement has written if it returns or counts rows. In doubt it returns too
/// little, which costs look-ups or a page. Too much would hide another program's commit.
pub fn writes<T, R>(query: &Query<'_, T, R>) -> Written {
    let text = query.text.trim_start();
    let begins_with =
        |act: &str| text.get(..act.len()).is_some_and(|start| start.eq_ignore_ascii_case(act));
    // An application's table may be a temporary one, which is in no file.
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
