//! Why an act was refused. A reason has one name, one code, one status and one message, whichever act
//! it is that gives it.

use std::any::Any;

use rocket::Request;
use rocket::http::Status;
use rocket::response;

use crate::error::Said;
use crate::web::FieldErrors;

/// The reasons: name, code, status, documentation, and message to the visitor. The codes are stable.
macro_rules! reason {
    ($part:ident WrongPassword) => {
        reason!(@$part "wrong_password", UnprocessableEntity,
            "The password is wrong.",
            "Wrong password.")
    };
    ($part:ident Disabled) => {
        reason!(@$part "disabled", UnprocessableEntity,
            "The operator has disabled the account.",
            "This account is disabled. Ask the operator of this site for help.")
    };
    ($part:ident Closed) => {
        reason!(@$part "closed", Forbidden,
            "`accounts.registration` is `closed`.",
            "This site isn't accepting new accounts.")
    };
    ($part:ident EmailTaken) => {
        reason!(@$part "email_taken", UnprocessableEntity,
            "The address has an account already.",
            "This address already has an account.")
    };
    ($part:ident EmailReserved) => {
        reason!(@$part "email_reserved", UnprocessableEntity,
            "The address belonged to an account until recently, and its owner may still take it back.",
            "This address was recently in use and is reserved for a week. Use another one.")
    };
    ($part:ident EmailUnchanged) => {
        reason!(@$part "email_unchanged", UnprocessableEntity,
            "It is the account's address already.",
            "This is already your address.")
    };
    ($part:ident NoMail) => {
        reason!(@$part "no_mail", Forbidden,
            "The site sends no mail.",
            "A change of address needs an emailed link. Ask the operator of this site for help.")
    };
    ($part:ident NoSuchSession) => {
        reason!(@$part "no_such_session", NotFound,
            "The user has no session of this name.",
            "This device is not logged in.")
    };
    ($part:ident NoSuchUser) => {
        reason!(@$part "no_such_user", UnprocessableEntity,
            "The account has been deleted.",
            "There is no such account.")
    };
    ($part:ident TooManyRoles) => {
        reason!(@$part "too_many_roles", UnprocessableEntity,
            "The account has 32 roles already.",
            "The account has 32 roles already, which is the most.")
    };
    ($part:ident OwnAccount) => {
        reason!(@$part "own_account", UnprocessableEntity,
            "It is the account of the administrator who acts.",
            "You can't do this to your own account. Ask another administrator.")
    };
    ($part:ident DeadLink) => {
        reason!(@$part "dead_link", NotFound,
            "The link has been used, has expired, or never was one.",
            "This link doesn't work any more. Each link works once and for a limited time.")
    };
    ($part:ident AppsOff) => {
        reason!(@$part "apps_off", UnprocessableEntity,
            "`factors.app` is `false`.",
            "This site doesn't use authenticator apps.")
    };
    ($part:ident AppOn) => {
        reason!(@$part "app_on", UnprocessableEntity,
            "The account has an app already.",
            "Your account already has an authenticator app. Remove it first.")
    };
    ($part:ident EmailUnverified) => {
        reason!(@$part "email_unverified", UnprocessableEntity,
            "The address is not confirmed.",
            "Confirm your email address first.")
    };
    ($part:ident OfferExpired) => {
        reason!(@$part "offer_expired", UnprocessableEntity,
            "The secret was made more than an hour ago, or for another user.",
            "This page was open for too long. Scan the new code.")
    };
    ($part:ident WrongCode) => {
        reason!(@$part "wrong_code", UnprocessableEntity,
            "The code is wrong.",
            "Wrong code, or one that was used already.")
    };
    ($part:ident TooManyCodes) => {
        reason!(@$part "too_many_codes", UnprocessableEntity,
            "Too many codes were wrong, so the log-in starts again.",
            "That was the fifth wrong code. Start again with your password.")
    };
    ($part:ident LogInOver) => {
        reason!(@$part "log_in_over", UnprocessableEntity,
            "The log-in is over.",
            "This log-in took too long. Start again with your password.")
    };
    ($part:ident PasskeysOff) => {
        reason!(@$part "passkeys_off", UnprocessableEntity,
            "Passkeys are off, or cannot be used at the address of the site.",
            "This site doesn't use passkeys.")
    };
    ($part:ident PasskeyRefused) => {
        reason!(@$part "passkey_refused", UnprocessableEntity,
            "The answer of the passkey is not right, was taken before, or came too late.",
            "This passkey didn't work. Try again, or use another way.")
    };
    ($part:ident PasskeyTaken) => {
        reason!(@$part "passkey_taken", UnprocessableEntity,
            "This passkey belongs to an account already.",
            "This passkey is already in use.")
    };
    ($part:ident TooManyPasskeys) => {
        reason!(@$part "too_many_passkeys", UnprocessableEntity,
            "The account has 20 passkeys already.",
            "Your account has 20 passkeys already, which is the most. Remove one first.")
    };
    ($part:ident NameInvalid) => {
        reason!(@$part "name_invalid", UnprocessableEntity,
            "The name is empty, longer than 64 characters, or has control characters.",
            "Write a name of at most 64 characters.")
    };
    ($part:ident NoSuchFactor) => {
        reason!(@$part "no_such_factor", NotFound,
            "The user has no factor of this id.",
            "There is no such second step.")
    };
    ($part:ident LastWayIn) => {
        reason!(@$part "last_way_in", UnprocessableEntity,
            "Nothing else could log in to the account afterwards.",
            "This is your only way to log in. Set a password or add a passkey first.")
    };
    ($part:ident NoOtherWayIn) => {
        reason!(@$part "no_other_way_in", UnprocessableEntity,
            "The account has too few passkeys that log in without the password: two, or one and recovery codes.",
            "To log in without a password you need two passkeys, or one passkey and recovery codes. Each passkey must ask for a PIN, a finger or a face.")
    };
    ($part:ident NoFactor) => {
        reason!(@$part "no_factor", UnprocessableEntity,
            "The account has no second factor.",
            "Recovery codes are for accounts with a second step. Set one up first.")
    };
    ($part:ident NoSuchProvider) => {
        reason!(@$part "no_such_provider", NotFound,
            "No provider of this name is configured.",
            "This site has no such way to log in.")
    };
    ($part:ident ProviderDown) => {
        reason!(@$part "provider_down", ServiceUnavailable,
            "The provider does not answer, or with something that cannot be used.",
            "The provider doesn't answer. Try again later, or use another way to log in.")
    };
    ($part:ident FlowOver) => {
        reason!(@$part "provider_flow_over", UnprocessableEntity,
            "The browser has not gone to the provider, or came back too late or twice.",
            "This took too long, or was done already. Start again.")
    };
    ($part:ident ProviderDenied) => {
        reason!(@$part "provider_denied", UnprocessableEntity,
            "The visitor or the provider said no.",
            "You didn't log in at the provider. Try again, or use another way.")
    };
    ($part:ident ProviderRefused) => {
        reason!(@$part "provider_refused", UnprocessableEntity,
            "The answer of the provider proves nothing. The log says why.",
            "The provider's answer wasn't right. Try again, or use another way.")
    };
    ($part:ident ProviderEmailUnverified) => {
        reason!(@$part "provider_email_unverified", UnprocessableEntity,
            "The provider names no address, or has not confirmed it, and the identity is unknown.",
            "The provider doesn't confirm your email address, so you can't sign up with it. Log in, then connect it.")
    };
    ($part:ident ProviderEmailTaken) => {
        reason!(@$part "provider_email_taken", UnprocessableEntity,
            "The identity is unknown, and the address that the provider names has an account.",
            "Your email address already has an account here. Log in, then connect the provider.")
    };
    ($part:ident IdentityTaken) => {
        reason!(@$part "identity_taken", UnprocessableEntity,
            "This account at the provider is connected to another account here.",
            "This account at the provider is already connected to another account here.")
    };
    ($part:ident IdentityUnknown) => {
        reason!(@$part "identity_unknown", UnprocessableEntity,
            "Another person has come back from the provider.",
            "You logged in at the provider with another account. Use the one that is connected.")
    };
    ($part:ident TooManyIdentities) => {
        reason!(@$part "too_many_identities", UnprocessableEntity,
            "20 accounts at providers are connected already.",
            "You have connected 20 accounts already, which is the most. Disconnect one first.")
    };
    ($part:ident NotConnected) => {
        reason!(@$part "not_connected", NotFound,
            "The user has no such account at this provider.",
            "This provider is not connected.")
    };
    ($part:ident LogOutTokenInvalid) => {
        reason!(@$part "logout_token_invalid", BadRequest,
            "The logout token is not right, or was used before. The log says why.",
            "This logout token can't be used.")
    };
    (message $name:ident = $message:literal) => { $message };
    (@code $code:literal, $($rest:tt)*) => { $code };
    (@status $code:literal, $status:ident, $($rest:tt)*) => { rocket::http::Status::$status };
    (@doc $code:literal, $status:ident, $doc:literal, $($rest:tt)*) => { $doc };
    (@message $code:literal, $status:ident, $doc:literal, $message:literal) => { $message };
}

/// Makes the error of an act out of its reasons.
///
/// `Reason = "…"` has a message of its own. After `;` stand the reasons that are errors themselves.
/// Each error has `Failed` beside them, for what failed on our side.
macro_rules! refusals {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$note:meta])* $reason:ident $(= $message:literal)?),* $(,)?
            $(; $($(#[$inner_note:meta])* $inner:ident($type:ty)),* $(,)?)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub enum $name {
            $(
                #[doc = reason!(doc $reason)]
                $(#[$note])*
                $reason,
            )*
            $($($(#[$inner_note])* $inner($type),)*)?
            /// Nothing was done, because our side failed, the session has ended, or there were too many attempts.
            Failed(crate::error::Error),
        }

        impl $name {
            /// Returns the reason's stable name. [The reference](crate::_documentation::reference) lists
            /// them all.
            pub fn code(&self) -> &'static str {
                match self {
                    $($name::$reason => reason!(code $reason),)*
                    $($($name::$inner(error) => error.code(),)*)?
                    $name::Failed(error) => error.code(),
                }
            }

            /// Returns the status of the answer.
            pub fn status(&self) -> rocket::http::Status {
                match self {
                    $($name::$reason => reason!(status $reason),)*
                    $($($name::$inner(_) => rocket::http::Status::UnprocessableEntity,)*)?
                    $name::Failed(error) => error.status(),
                }
            }
        }

        /// Except for `Failed`, this is a message to the visitor.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($name::$reason => f.write_str(reason!(message $reason $(= $message)?)),)*
                    $($($name::$inner(error) => error.fmt(f),)*)?
                    $name::Failed(error) => error.fmt(f),
                }
            }
        }

        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $name::Failed(error) => error.source(),
                    _ => None,
                }
            }
        }

        impl From<crate::error::Error> for $name {
            fn from(error: crate::error::Error) -> Self {
                $name::Failed(error)
            }
        }

        $($(
            impl From<$type> for $name {
                fn from(error: $type) -> Self {
                    $name::$inner(error)
                }
            }
        )*)?

        /// The registered catcher answers with the [`status()`](Self::status()). Ours shows the message, and
        /// tells a program the [`code()`](Self::code()) as well.
        impl<'r> rocket::response::Responder<'r, 'static> for $name {
            fn respond_to(
                self,
                request: &'r rocket::Request<'_>,
            ) -> rocket::response::Result<'static> {
                $($(if let $name::$inner(error) = &self {
                    crate::auth::refusal::tell_fields(request, error);
                })*)?
                match self {
                    $name::Failed(error) => error.respond_to(request),
                    refused => crate::auth::refusal::refuse(
                        request,
                        refused.status(),
                        refused.code(),
                        refused.to_string(),
                    ),
                }
            }
        }
    };
}

/// Tells the catcher which fields of the form were refused, if the reason is about fields.
pub(super) fn tell_fields(request: &Request<'_>, reason: &dyn Any) {
    if let Some(errors) = reason.downcast_ref::<FieldErrors>() {
        request.local_cache(|| errors.clone());
    }
}

/// Leaves the answer to the catcher, and tells it what to say.
pub(super) fn refuse(
    request: &Request<'_>,
    status: Status,
    code: &'static str,
    message: String,
) -> response::Result<'static> {
    request.local_cache(|| Said { code: Some(code), message: Some(message) });
    Err(status)
}
