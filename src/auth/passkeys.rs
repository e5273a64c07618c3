//! Passkeys: adds them, and takes their answers.

use serde_json::Value;

use super::change::Change;
use super::factors::name_of;
use super::log_in::Entry;
use super::second_step::{Place, SecondFactor, Used, what};
use super::signals::UnknownPasskey;
use super::{Auth, PendingLogIn, ReauthenticateError, ResetLink};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::factor::passkeys::{self, NewPasskey, Passkey};
use crate::factor::{FactorKind, RecoveryCode, makers};
use crate::history::EventKind;
use crate::mail::Content;
use crate::metrics::{self, FactorEvent};
use crate::session::Given;
use crate::throttle::{AttemptOutcome, Limit};
use crate::token::{Token, TokenId};
use crate::user::store::Account;
use crate::user::{self, User};
use crate::web::FieldErrors;
use crate::webauthn::{
    AuthenticationResponse, CredentialDescriptor, RegistrationResponse, RelyingParty, StoredKey,
    UserEntity, UserVerification, creation_options, request_options,
};

/// How long a question to a passkey is good, in seconds: as long as a browser asks, five minutes, and
/// some for the way.
const ASKED: Timestamp = 6 * 60;

/// The most passkeys of an account. Each page that asks for one lists them.
const MOST: usize = 20;

refusals! {
    /// Why [`Auth::add_passkey()`] added no passkey.
    AddPasskeyError {
        PasskeysOff,
        EmailUnverified,
        PasskeyRefused,
        PasskeyTaken,
        TooManyPasskeys,
        NameInvalid,
    }
}

refusals! {
    /// Why [`Auth::log_in_with_passkey()`] logged nobody in.
    PasskeyLogInError {
        PasskeyRefused,
        /// The passkey is right.
        Disabled,
        ;
        /// No account has this passkey, nor had it within the last week.
        Unknown(UnknownPasskey),
        /// A [hook](super::Hooks::logged_in()) of the application has refused it. The passkey is right.
        Refused(FieldErrors),
    }
}

/// What a passkey is asked for. An answer to one question is no answer to another.
#[derive(Debug, Clone)]
pub(super) enum Question {
    /// To add it to the account of this user.
    Add(i64),
    LogIn,
    /// The second step of this log-in.
    SecondStep(TokenId),
    /// In this session.
    Reauthenticate(TokenId),
    /// At this link.
    Reset(TokenId),
}

impl Question {
    fn text(&self) -> String {
        match self {
            Question::Add(user_id) => format!("be added to user {user_id}"),
            Question::LogIn => "log in".into(),
            Question::SecondStep(id) => format!("complete the log-in {}", id.to_hex()),
            Question::Reauthenticate(id) => format!("confirm the session {}", id.to_hex()),
            Question::Reset(id) => format!("reset by the link {}", id.to_hex()),
        }
    }
}

/// A passkey that has answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// `true` if it has checked a PIN, a finger or a face, so it counts as two factors.
    pub is_verified: bool,
}

impl Auth<'_> {
    /// Returns whether passkeys can be used at the address of this site.
    pub fn has_passkeys(&self) -> bool {
        self.config.passkey_site().is_ok()
    }

    /// Returns the site as passkeys know it. `None`: passkeys are off.
    pub(super) fn relying_party(&self) -> Option<RelyingParty> {
        let site = self.config.passkey_site().ok()?;
        let name = self.config.site_name().to_owned();
        Some(RelyingParty { id: site.rp_id, name, origins: site.origins })
    }

    /// Returns the site as passkeys know it, if users can add one.
    fn offering(&self) -> Option<RelyingParty> {
        self.relying_party().filter(|_| self.config.factors.passkeys)
    }

    fn challenge(&self, question: &Question) -> Vec<u8> {
        self.sealer.challenge(&question.text(), self.accounts.clock.now() + ASKED)
    }

    /// Returns the options for a browser that is to make a passkey of the user
    /// (`PublicKeyCredentialCreationOptionsJSON`). `None`: passkeys are off.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session was ended
    /// meanwhile or is not the user's.
    pub async fn passkey_offer(&self, user: &User) -> Result<Option<Value>, Error> {
        let Some(rp) = self.offering() else { return Ok(None) };
        let mut change = self.change_as_user(user).await?;
        // A handle for this alone: an authenticator shows it to everybody who holds it.
        let new = <[u8; 32]>::from(Token::generate().id());
        let handle = passkeys::handle_of(&mut change, user.id, &new).await?;
        let known = passkeys::list(&mut change, &rp.id, user.id).await?;
        change.commit().await?;
        let handle = handle.ok_or_else(Error::ended)?;
        let entity = UserEntity { id: &handle, name: &user.email, display_name: &user.email };
        let (challenge, transports) = (self.challenge(&Question::Add(user.id)), transports(&known));
        Ok(Some(creation_options(&rp, entity, &challenge, &descriptors(&known, &transports))))
    }

    /// Adds the passkey that a browser has made, `credential` (`RegistrationResponseJSON`). An empty
    /// `name` becomes that of its maker. The session gets a new token and is a strong and recent one
    /// from then on. No device is trusted any more.
    ///
    /// It returns ten recovery codes if the account had none. Nobody can see them again. A route for
    /// it should take [`RecentLogin`](crate::RecentLogin).
    ///
    /// # Errors
    ///
    /// The reasons of [`AddPasskeyError`]. `Failed` if the database fails, or, with
    /// [`is_ended()`](Error::is_ended()), if the session was ended meanwhile or is not the user's.
    pub async fn add_passkey(
        &self,
        user: &User,
        credential: &str,
        name: &str,
    ) -> Result<Option<Vec<RecoveryCode>>, AddPasskeyError> {
        self.own(user)?;
        let rp = self.offering().ok_or(AddPasskeyError::PasskeysOff)?;
        let name = name_of(name).ok_or(AddPasskeyError::NameInvalid)?;
        let refused = |reason| {
            log::info!("a new passkey was refused: {reason}");
            AddPasskeyError::PasskeyRefused
        };
        let response = RegistrationResponse::parse(credential).map_err(refused)?;
        let challenge = response.challenge().to_vec();
        let new = response.verify(&rp, &challenge).map_err(refused)?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        if !change.answer(self, &Question::Add(user.id), &challenge).await? {
            return Err(AddPasskeyError::PasskeyRefused);
        }
        let account = user::store::find(&mut change, user.id).await?.ok_or_else(Error::ended)?;
        // Somebody who signed up with another person's address must not lock its owner out.
        if account.user.verified_at.is_none() {
            return Err(AddPasskeyError::EmailUnverified);
        }
        if passkeys::list(&mut change, &rp.id, user.id).await?.len() >= MOST {
            return Err(AddPasskeyError::TooManyPasskeys);
        }
        let name = if name.is_empty() { makers::name_of(new.aaguid) } else { &name };
        let passkey = NewPasskey {
            name,
            credential: &new.id,
            public_key: &new.public_key,
            sign_count: new.sign_count.into(),
            aaguid: new.aaguid,
            transports: &new.transports.join(" "),
            is_verified: new.is_user_verified,
            can_sync: new.is_backup_eligible,
            is_synced: new.is_backed_up,
            rp_id: &rp.id,
        };
        let now = change.now;
        if !passkeys::insert(&mut change, user.id, &passkey, now).await? {
            return Err(AddPasskeyError::PasskeyTaken);
        }
        self.added(change, user, (FactorKind::Passkey, name)).await
    }

    /// Returns the options for a browser whose visitor logs in with a passkey alone
    /// (`PublicKeyCredentialRequestOptionsJSON`). They name no account, and nothing is stored. `None`:
    /// passkeys are off.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_throttled()`](Error::is_throttled()), after too many failures
    /// of the client's address.
    pub async fn passkey_question(&self) -> Result<Option<Value>, Error> {
        let Some(rp) = self.relying_party() else { return Ok(None) };
        self.look_at_address().await?;
        let challenge = self.challenge(&Question::LogIn);
        Ok(Some(request_options(&rp, &challenge, &[], UserVerification::Required)))
    }

    /// Logs the visitor in with the answer of a passkey, `credential` (`AuthenticationResponseJSON`). It
    /// counts as two factors, because the passkey has checked a PIN, a finger or a face.
    ///
    /// # Errors
    ///
    /// The reasons of [`PasskeyLogInError`]. `Failed` if the database fails, or, with
    /// [`is_throttled()`](Error::is_throttled()), after too many attempts. The session then stays as it
    /// was.
    pub async fn log_in_with_passkey(
        &self,
        credential: &str,
        remember: bool,
    ) -> Result<User, PasskeyLogInError> {
        let found = self.passkey_of(credential).await?;
        let unknown = match &found {
            Some(_) => None,
            None => self.unknown(credential).await?,
        };
        let _writing = self.session.writing().await;
        let mut change = self.accounts.change().await?;
        let account = match &found {
            Some(passkey) => user::store::find(&mut change, passkey.user_id).await?,
            None => None,
        };
        let mut limits: Vec<Limit> = Vec::new();
        if let Some(Account { user, .. }) = &account {
            limits = self.limits_of_factor(&mut change, user).await?;
        }
        limits.extend(self.limit_of_address());
        change.begin(&limits).await?;

        let question = (&Question::LogIn, UserVerification::Required);
        let is_right = match (&account, found.filter(|passkey| passkey.is_verified)) {
            (Some(account), Some(passkey)) => {
                let user = &account.user;
                change.use_passkey(self, (user, passkey), credential, question).await?.is_some()
            }
            _ => false,
        };
        metrics::factor(if is_right { FactorEvent::Passkey } else { FactorEvent::Failed });
        let account = account.filter(|_| is_right);
        let Some(Account { user, disabled_at: None, .. }) = account else {
            change.settle(&limits, AttemptOutcome::Failed).await?;
            let user = account.as_ref().map(|account| &account.user);
            change
                .record_of(EventKind::LogInFailed, user.map(|user| user.id), user.map(|u| &u.email))
                .await?;
            change.commit().await?;
            return Err(match (is_right, unknown) {
                (true, _) => PasskeyLogInError::Disabled,
                (false, Some(unknown)) => PasskeyLogInError::Unknown(unknown),
                (false, None) => PasskeyLogInError::PasskeyRefused,
            });
        };
        self.forget_begun(&mut change, user.id).await?;
        change.forget_factor_failures(user.id).await?;
        let entry = Entry { given: Given::TwoFactors, ..Entry::with_one_factor(remember) };
        self.enter::<PasskeyLogInError>(change, &user, &limits, entry).await?;
        if !self.begun.is_empty() {
            self.pending_cookie.remove(&self.pending);
        }
        Ok(user)
    }

    /// Returns the options for a browser whose user shows again who they are. `None`: passkeys are off,
    /// or the user has none.
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session is not the
    /// user's.
    pub async fn passkey_question_to(&self, user: &User) -> Result<Option<Value>, Error> {
        self.own(user)?;
        let Some(question) = self.question_at(&Place::Session) else { return Ok(None) };
        self.question_to(user, &question).await
    }

    /// Returns the question to a passkey at this place.
    pub(super) fn question_at(&self, place: &Place<'_>) -> Option<Question> {
        match place {
            Place::LogIn(pending) => Some(Question::SecondStep(pending.id)),
            Place::Session => self.session.family().map(Question::Reauthenticate),
            Place::Link(id) => Some(Question::Reset(*id)),
        }
    }

    /// Takes a passkey of the user in the place of the password, and of a code. The session gets a new
    /// token, and the clock of `session.reauthenticate_after` starts again.
    ///
    /// # Errors
    ///
    /// [`WrongCode`](ReauthenticateError::WrongCode);
    /// [`WrongPassword`](ReauthenticateError::WrongPassword) if the passkey has checked neither a PIN nor
    /// a finger, because it then counts beside the password only. `Failed` as in [`reauthenticate()`](Self::reauthenticate()).
    pub async fn reauthenticate_with_passkey(
        &self,
        user: &User,
        credential: &str,
    ) -> Result<(), ReauthenticateError> {
        let _writing = self.session.writing().await;
        let mut change = self.change_as_user(user).await?;
        let given = SecondFactor::Passkey(credential);
        let used = self.check_factor(&mut change, user, given, Place::Session).await?;
        let error = match used {
            Some(Used::Passkey { is_verified: true }) => {
                return Ok(self.confirmed(change, user, Given::TwoFactors).await?);
            }
            Some(_) => ReauthenticateError::WrongPassword,
            None => ReauthenticateError::WrongCode,
        };
        change.commit().await?;
        Err(error)
    }

    async fn question_to(&self, user: &User, question: &Question) -> Result<Option<Value>, Error> {
        let Some(rp) = self.relying_party() else { return Ok(None) };
        let known = passkeys::list(&mut self.accounts.db.read().await?, &rp.id, user.id).await?;
        if known.is_empty() {
            return Ok(None);
        }
        let (challenge, transports) = (self.challenge(question), transports(&known));
        let allowed = descriptors(&known, &transports);
        Ok(Some(request_options(&rp, &challenge, &allowed, UserVerification::Preferred)))
    }

    /// Returns the passkey that has answered, without a look at the answer itself. `None`: it is nobody's.
    async fn passkey_of(&self, credential: &str) -> Result<Option<Passkey>, Error> {
        let Some(rp) = self.relying_party() else { return Ok(None) };
        let Ok(response) = AuthenticationResponse::parse(credential) else { return Ok(None) };
        let mut db = self.accounts.db.read().await?;
        passkeys::find(&mut db, &rp.id, response.credential_id()).await
    }

    /// Takes the answer of a passkey of `user`, whom the change has locked, to the `question`. `None`: it
    /// is none, or was taken before.
    pub(super) async fn answered(
        &self,
        change: &mut Change<'_>,
        user: &User,
        credential: &str,
        question: &Question,
    ) -> Result<Option<Answered>, Error> {
        let Some(rp) = self.relying_party() else { return Ok(None) };
        let Ok(response) = AuthenticationResponse::parse(credential) else { return Ok(None) };
        let found = passkeys::find(change, &rp.id, response.credential_id()).await?;
        match found.filter(|passkey| passkey.user_id == user.id) {
            Some(passkey) => {
                let question = (question, UserVerification::Preferred);
                change.use_passkey(self, (user, passkey), credential, question).await
            }
            None => Ok(None),
        }
    }
}

impl PendingLogIn<'_> {
    /// Returns the options for a browser whose visitor gives a passkey as the second step. `None`:
    /// passkeys are off, or the account has none.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn passkey_question(&self) -> Result<Option<Value>, Error> {
        let question = Question::SecondStep(self.pending().id);
        self.auth().question_to(self.user(), &question).await
    }
}

impl ResetLink<'_> {
    /// Returns the options for a browser whose visitor gives a passkey in the place of a code. `None`:
    /// passkeys are off, the account has none, or the link is spent.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn passkey_question(&self) -> Result<Option<Value>, Error> {
        match self.parts() {
            (auth, id, Some(user)) => auth.question_to(user, &Question::Reset(id)).await,
            _ => Ok(None),
        }
    }
}

impl Change<'_> {
    /// Takes the challenge, if it is a good one to this question that was never answered.
    async fn answer(
        &mut self,
        auth: &Auth<'_>,
        question: &Question,
        challenge: &[u8],
    ) -> Result<bool, Error> {
        let now = self.now;
        match auth.sealer.open_challenge(&question.text(), challenge, now) {
            Some(expires_at) => {
                let id = TokenId::of_bytes("challenge", challenge);
                passkeys::use_challenge(self, id, expires_at).await
            }
            None => Ok(false),
        }
    }

    /// Takes the answer of `passkey`, which is `user`'s. `None`: it is none.
    async fn use_passkey(
        &mut self,
        auth: &Auth<'_>,
        (user, passkey): (&User, Passkey),
        credential: &str,
        (question, verification): (&Question, UserVerification),
    ) -> Result<Option<Answered>, Error> {
        let Some(rp) = auth.relying_party() else { return Ok(None) };
        let Ok(response) = AuthenticationResponse::parse(credential) else { return Ok(None) };
        // At a log-in the passkey itself has to say whose it is.
        let handle = (response.user_handle(), passkey.handle.as_deref());
        let is_owner = match handle {
            (None, _) => !matches!(question, Question::LogIn),
            (said, stored) => said == stored,
        };
        let stored = StoredKey {
            public_key: &passkey.public_key,
            is_backup_eligible: passkey.can_sync,
            sign_count: u32::try_from(passkey.sign_count).unwrap_or(u32::MAX),
        };
        let challenge = response.challenge();
        let assertion = match response.verify(&rp, challenge, &stored, verification) {
            Ok(assertion) if is_owner => assertion,
            Ok(_) => return Ok(None),
            Err(reason) => {
                log::info!("a passkey of user {} was refused: {reason}", user.id);
                return Ok(None);
            }
        };
        if !self.answer(auth, question, challenge).await? {
            return Ok(None);
        }
        let (count, now) = (assertion.sign_count.into(), self.now);
        passkeys::note_use(self, passkey.id, count, assertion.is_backed_up, now).await?;
        if assertion.is_clone_suspected {
            self.tell_copied(user, &passkey.name).await?;
        }
        Ok(Some(Answered { is_verified: assertion.is_user_verified }))
    }

    /// Tells the owner that a passkey may have been copied. It goes on working: the number proves
    /// nothing, and a lock-out would harm the owner.
    async fn tell_copied(&mut self, user: &User, name: &str) -> Result<(), Error> {
        self.record_detail(EventKind::PasskeyCopied, name, user).await?;
        let factor = what(FactorKind::Passkey, name);
        let content = Content { factor, ..self.content(&user.email) };
        self.notify_factor("passkey_copied", user, content).await
    }
}

impl Used {
    /// Returns what the answer of a passkey counts as.
    pub(super) fn passkey(answered: Option<Answered>) -> Option<Self> {
        answered.map(|Answered { is_verified }| Used::Passkey { is_verified })
    }
}

fn transports(passkeys: &[Passkey]) -> Vec<Vec<String>> {
    let words = |passkey: &Passkey| passkey.transports.split_whitespace().map(Into::into).collect();
    passkeys.iter().map(words).collect()
}

fn descriptors<'a>(
    passkeys: &'a [Passkey],
    transports: &'a [Vec<String>],
) -> Vec<CredentialDescriptor<'a>> {
    let pairs = passkeys.iter().zip(transports);
    pairs
        .map(|(passkey, transports)| CredentialDescriptor { id: &passkey.credential, transports })
        .collect()
}
