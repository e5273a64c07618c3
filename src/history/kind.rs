//! The kinds of events in the security history.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $text:literal;)*) => {
        /// The kind of an event. Its name is stable: it is used in the log, in the table and in the
        /// export.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
        }

        impl EventKind {
            /// Returns the stable name, such as `log_in_failed`.
            pub fn name(self) -> &'static str {
                match self { $(EventKind::$kind => $name,)* }
            }

            pub(crate) fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(EventKind::$kind),)* _ => None }
            }
        }

        /// Describes the event in words, for the user.
        impl fmt::Display for EventKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(EventKind::$kind => $text,)* })
            }
        }
    };
}

kinds! {
    /// The account was created.
    SignedUp = "signed_up", "Account created";
    /// Somebody signed up, and got a mail with a link. It is in no account's history.
    SignUpAsked = "sign_up_asked", "Sign-up requested";
    /// Somebody tried to sign up with the account's address.
    SignUpRefused = "sign_up_refused", "Someone tried to sign up with your address";
    /// The address and the password were right, and the user was logged in.
    LoggedIn = "logged_in", "Logged in";
    /// The password was wrong at a log-in.
    LogInFailed = "log_in_failed", "Log-in failed";
    /// The application refused a log-in, although the user had the right password.
    LogInRefused = "log_in_refused", "Log-in refused by the site";
    /// A session was ended with "Log out".
    LoggedOut = "logged_out", "Logged out";
    /// The user typed the password again before something sensitive.
    Reauthenticated = "reauthenticated", "Password confirmed";
    /// The password that was typed again was wrong.
    ReauthenticationFailed = "reauthentication_failed", "Wrong password entered";
    /// The password that was typed behind a link that confirms an address was wrong.
    ConfirmationFailed = "confirmation_failed", "Wrong password entered behind a confirmation link";
    /// The user confirmed the address through a mailed link.
    EmailVerified = "email_verified", "Email address confirmed";
    /// The user asked for a change of the address.
    EmailChangeAsked = "email_change_asked", "Change of email address requested";
    /// Somebody tried to move another account to this address.
    EmailChangeRefused = "email_change_refused", "Someone tried to change to your address";
    /// The address was changed.
    EmailChanged = "email_changed", "Email address changed";
    /// The password was changed.
    PasswordChanged = "password_changed", "Password changed";
    /// Somebody asked for a link to a new password.
    ResetAsked = "reset_asked", "Password reset requested";
    /// A new password was chosen through a mailed link.
    PasswordReset = "password_reset", "Password reset";
    /// An attempt was refused without a check, because there were too many. It is only in the log.
    Throttled = "throttled", "Too many attempts";
    /// Another site made a request. It is only in the log.
    CrossSite = "cross_site", "Blocked cross-site request";
    /// Somebody asked for a page of the account without a log-in, or for something that does not
    /// belong to them. It is only in the log.
    Denied = "denied", "Not allowed";
    /// Somebody used a link that was already used, has expired, or was never sent.
    LinkRefused = "link_refused", "Someone tried a link that doesn't work";
    /// The user ended one session on the devices page.
    SessionEnded = "session_ended", "A device was logged out";
    /// The user ended all sessions, or all others.
    SessionsEnded = "sessions_ended", "Devices were logged out";
    /// The user changed which notices they get by mail.
    NoticesChanged = "notices_changed", "Notification settings changed";
    /// The user downloaded everything that is stored about them.
    Exported = "exported", "Data downloaded";
    /// The user said "This was not me": all sessions were ended, and the password does not work any
    /// more.
    Locked = "locked", "\"This was not me\": all devices logged out, password disabled";
    /// A second factor was added. The event's detail is its kind: `app` or `passkey`.
    FactorAdded = "factor_added", "Second step added";
    /// A second factor was removed. The event's detail is its kind.
    FactorRemoved = "factor_removed", "Second step removed";
    /// A code was wrong, or was used before. The password was right.
    FactorFailed = "factor_failed", "Wrong code entered";
    /// The counter of a passkey has not grown, so it may have been copied. The event's detail is its name.
    PasskeyCopied = "passkey_copied", "A passkey may have been copied";
    /// A recovery code was used.
    RecoveryUsed = "recovery_used", "Recovery code used";
    /// The user made new recovery codes.
    RecoveryRenewed = "recovery_renewed", "New recovery codes made";
    /// An account at a provider was connected. The event's detail is the provider's name.
    ProviderLinked = "provider_linked", "Provider connected";
    /// An account at a provider was disconnected. The event's detail is the provider's name.
    ProviderUnlinked = "provider_unlinked", "Provider disconnected";
    /// The operator disabled the account with `user disable`.
    Disabled = "disabled", "Account disabled";
    /// The operator enabled the account with `user enable`.
    Enabled = "enabled", "Account enabled";
    /// The operator deleted the failures with `user unlock`.
    Unlocked = "unlocked", "Failed log-ins cleared";
    /// The operator gave the account a role, the event's detail, with `user grant`.
    RoleGranted = "role_granted", "Role granted";
    /// The operator took a role, the event's detail, from the account with `user revoke`.
    RoleRevoked = "role_revoked", "Role revoked";
    /// The account was deleted. It is only in the log.
    Deleted = "deleted", "Account deleted";
}

impl EventKind {
    /// Returns whether strangers can cause it, as often as they like.
    pub(super) fn is_anybodys(self) -> bool {
        matches!(
            self,
            EventKind::LogInFailed
                | EventKind::ReauthenticationFailed
                | EventKind::ConfirmationFailed
                | EventKind::FactorFailed
                | EventKind::LinkRefused
                | EventKind::SignUpAsked
                | EventKind::SignUpRefused
                | EventKind::EmailChangeRefused
                | EventKind::ResetAsked
        )
    }

    /// Returns whether something was tried and refused.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(
            self,
            EventKind::SignUpRefused
                | EventKind::LogInFailed
                | EventKind::LogInRefused
                | EventKind::ReauthenticationFailed
                | EventKind::ConfirmationFailed
                | EventKind::FactorFailed
                | EventKind::EmailChangeRefused
                | EventKind::LinkRefused
                | EventKind::Throttled
                | EventKind::CrossSite
                | EventKind::Denied
        )
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
