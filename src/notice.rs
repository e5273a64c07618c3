//! Notices: the mails that tell users what happened to their account.

use serde::Serialize;

use crate::db::Connection;
use crate::error::Error;
use crate::sql;

/// An event that users get a mail about, with a link "This was not me". Users can switch each of
/// them off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// A device has logged in that has not logged in before.
    NewDevice,
    /// The password was changed.
    PasswordChanged,
    /// A new password was chosen through a mailed link.
    PasswordReset,
    /// The address was changed. This mail goes to the former address.
    EmailChanged,
    /// Ten log-ins in a row have failed.
    Failures,
    /// A second factor was added or removed, a recovery code was used, or new ones were made.
    Factors,
    /// Somebody gave the right password, and then no second factor.
    FactorMissed,
}

impl Notice {
    /// All notices, in the order in which they are shown.
    pub const ALL: [Notice; 7] = [
        Notice::NewDevice,
        Notice::PasswordChanged,
        Notice::PasswordReset,
        Notice::EmailChanged,
        Notice::Failures,
        Notice::Factors,
        Notice::FactorMissed,
    ];

    /// Returns the stable name, which is used in the form's field, in the table and, except for
    /// `Factors`, for the template.
    pub fn name(self) -> &'static str {
        match self {
            Notice::NewDevice => "new_device",
            Notice::PasswordChanged => "password_changed",
            Notice::PasswordReset => "password_reset",
            Notice::EmailChanged => "email_changed",
            Notice::Failures => "failures",
            Notice::Factors => "factors",
            Notice::FactorMissed => "factor_missed",
        }
    }
}

/// Returns whether the user wants the notice.
pub(crate) async fn is_wanted(
    db: &mut Connection,
    user_id: i64,
    notice: Notice,
) -> Result<bool, Error> {
    let muted: Option<i64> = sql::query_scalar(
        "SELECT user_id FROM login_muted_notices WHERE user_id = $1 AND notice = $2",
    )
    .bind(user_id)
    .bind(notice.name())
    .fetch_optional(db)
    .await?;
    Ok(muted.is_none())
}

/// Returns the notices that the user wants.
pub(crate) async fn wanted(db: &mut Connection, user_id: i64) -> Result<Vec<Notice>, Error> {
    let muted: Vec<String> =
        sql::query_scalar("SELECT notice FROM login_muted_notices WHERE user_id = $1")
            .bind(user_id)
            .fetch_all(db)
            .await?;
    let is_wanted = |notice: &Notice| muted.iter().all(|muted| muted != notice.name());
    Ok(Notice::ALL.into_iter().filter(is_wanted).collect())
}

/// Switches the notices in `wanted` on, and all others off.
pub(crate) async fn set(db: &mut Connection, user_id: i64, wanted: &[Notice]) -> Result<(), Error> {
    sql::query("DELETE FROM login_muted_notices WHERE user_id = $1")
        .bind(user_id)
        .execute(&mut *db)
        .await?;
    for notice in Notice::ALL.into_iter().filter(|notice| !wanted.contains(notice)) {
        sql::query("INSERT INTO login_muted_notices (user_id, notice) VALUES ($1, $2)")
            .bind(user_id)
            .bind(notice.name())
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}
