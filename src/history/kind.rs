//! What can happen to an account.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $text:literal;)*) => {
        /// What happened. Its name is stable: it stands in the log, in the table
        /// and in the export.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Its stable name, as in `log_in_failed`.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            pub(crate) fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Kind::$kind),)* _ => None }
            }
        }

        /// In words.
        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Kind::$kind => $text,)* })
            }
        }
    };
}

kinds! {
    /// The account was made.
    SignedUp = "signed_up", "Account made";
    /// Somebody signed up, and was mailed a link. In no account's history.
    SignUpAsked = "sign_up_asked", "Sign-up asked for";
    /// Somebody tried to make another account of its address.
    SignUpRefused = "sign_up_refused", "Somebody tried to sign up with your address";
    /// Address and password were right.
    LoggedIn = "logged_in", "Logged in";
    /// The password was wrong.
    LogInFailed = "log_in_failed", "Log-in failed";
    /// A session was ended with "Log out".
    LoggedOut = "logged_out", "Logged out";
    /// The password was given again for something sensitive.
    Reauthenticated = "reauthenticated", "Password confirmed";
    /// The password given again was wrong.
    ReauthenticationFailed = "reauthentication_failed", "Wrong password for a change";
    /// The address was confirmed.
    EmailVerified = "email_verified", "E-mail address confirmed";
    /// A change of the address was asked for.
    EmailChangeAsked = "email_change_asked", "Change of e-mail address asked for";
    /// Somebody tried to give another account this address.
    EmailChangeRefused = "email_change_refused", "Somebody tried to move to your address";
    /// The address was changed.
    EmailChanged = "email_changed", "E-mail address changed";
    /// The password was changed.
    PasswordChanged = "password_changed", "Password changed";
    /// A link to a new password was asked for.
    ResetAsked = "reset_asked", "Link to a new password asked for";
    /// A new password was chosen through a mailed link.
    PasswordReset = "password_reset", "New password chosen";
    /// It was tried too often, so it was not looked at. In the log only.
    Throttled = "throttled", "Tried too often";
    /// A request that another site made. In the log only.
    CrossSite = "cross_site", "A request from another site";
    /// Somebody asked for a page of the account without a log-in, or for what is
    /// not his. In the log only.
    Denied = "denied", "Not allowed";
    /// A link was tried that was spent, expired or never sent.
    LinkRefused = "link_refused", "A link that does not work was tried";
    /// One session was ended from the devices page.
    SessionEnded = "session_ended", "A device was logged out";
    /// All sessions, or all others, were ended.
    SessionsEnded = "sessions_ended", "Devices were logged out";
    /// Which notices are mailed was changed.
    NoticesChanged = "notices_changed", "Notices changed";
    /// Everything stored was downloaded.
    Exported = "exported", "Data downloaded";
    /// "This was not me": sessions ended, password void.
    Locked = "locked", "\"This was not me\": all devices logged out, password void";
    /// The operator's `user disable`.
    Disabled = "disabled", "Account disabled";
    /// The operator's `user enable`.
    Enabled = "enabled", "Account enabled";
    /// The operator's `user unlock`.
    Unlocked = "unlocked", "Failed log-ins forgotten";
    /// The account was deleted. In the log only.
    Deleted = "deleted", "Account deleted";
}

impl Kind {
    /// Whether a stranger can make it happen, as often as he likes.
    pub(super) fn is_anybodys(self) -> bool {
        matches!(
            self,
            Kind::LogInFailed
                | Kind::ReauthenticationFailed
                | Kind::LinkRefused
                | Kind::SignUpAsked
                | Kind::SignUpRefused
                | Kind::EmailChangeRefused
                | Kind::ResetAsked
        )
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
