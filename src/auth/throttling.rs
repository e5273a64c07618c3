//! The limits that an attempt counts against.
//!
//! Every transaction takes them in this order, or two would wait for each other: those of the
//! account (and device, session, link), those of the client's address, mails from it, mails to an
//! address.

use super::Auth;
use super::change::{Accounts, Change};
use crate::device;
use crate::error::Error;
use crate::history::EventKind;
use crate::password::{NewPassword, Password, PasswordHash, Verdict};
use crate::throttle::{self, AttemptOutcome, Beyond, Key, Limit, Rate};
use crate::token::TokenId;
use crate::user::{Email, User};

const HOUR: i64 = 60 * 60;
const TEN_MINUTES: i64 = 10 * 60;

impl Auth<'_> {
    /// Returns the limits of a log-in to the account of `email`, which is `user`'s if there is one.
    ///
    /// A device that has logged in before has failures of its own, and no others: a stranger who
    /// guesses must not keep the owner out.
    pub(super) async fn limits_of_log_in(
        &self,
        email: Option<&Email>,
        user: Option<&User>,
    ) -> Result<Vec<Limit>, Error> {
        let config = self.accounts.throttle;
        let Some(email) = email else { return Ok(self.limit_of_address().into_iter().collect()) };
        let account = account(email);
        let free = config.failures;
        if let Some(device) = &self.device {
            let (id, mut db) = (device.id(), self.accounts.db.read().await?);
            // It asks for nobody as well, so that the time tells nothing: no account has the id 0.
            let user_id = user.map_or(0, |user| user.id);
            if device::is_known(&mut db, user_id, id).await? {
                let of_device = Key::of("device", &[&email.to_lower(), &text(id)]);
                // Without it, a thief's fifty devices would allow fifty times as many guesses.
                let of_all = Key::of("devices", &[&email.to_lower()]);
                let limit = |key, free| Limit::InARow { key, account: Some(account), free };
                return Ok(vec![limit(of_device, free), limit(of_all, config.account_failures)]);
            }
        }

        let everywhere = config.account_failures;
        let mut limits =
            vec![Limit::InARow { key: account, account: Some(account), free: everywhere }];
        let network = self.network();
        if !network.is_empty() {
            let key = Key::of("account and address", &[&email.to_lower(), &network]);
            limits.push(Limit::InARow { key, account: Some(account), free });
        }
        limits.extend(self.limit_of_address());
        Ok(limits)
    }

    /// Returns the limits of the password again, within a session. A stranger has no session.
    pub(super) fn limits_inside(&self, user: &User) -> Vec<Limit> {
        let handle = self.session.handle().unwrap_or_default();
        let key = Key::of("session", &[&handle]);
        let free = self.accounts.throttle.failures;
        vec![Limit::InARow { key, account: Some(account(&user.email)), free }]
    }

    /// Returns the limits of the second factor of `user`, of all log-ins together and of the other
    /// acts that ask for it. A right password does not touch them: somebody who knows it could
    /// otherwise start anew and try codes without end.
    ///
    /// A device that has logged in before has failures of its own, as with the password: somebody who
    /// knows the password must not keep the owner out.
    pub(super) async fn limits_of_factor(
        &self,
        change: &mut Change<'_>,
        user: &User,
    ) -> Result<Vec<Limit>, Error> {
        let (config, id) = (self.accounts.throttle, user.id.to_string());
        let limit = |key, free| Limit::InARow { key, account: Some(factors(user.id)), free };
        if let Some(device) = &self.device
            && device::is_known(change, user.id, device.id()).await?
        {
            let of_device = Key::of("factor of device", &[&id, &text(device.id())]);
            let of_all = Key::of("factor of devices", &[&id]);
            return Ok(vec![
                limit(of_device, config.failures),
                limit(of_all, config.account_failures),
            ]);
        }
        Ok(vec![limit(Key::of("factor", &[&id]), config.failures)])
    }

    /// Returns the limits of the password at a link.
    pub(super) fn limits_of_link(&self, id: TokenId) -> Vec<Limit> {
        let (key, free) = (Key::of("link", &[&text(id)]), self.accounts.throttle.failures);
        vec![Limit::InARow { key, account: None, free }]
    }

    /// Returns the limits of a mail of the kind `kind` to `recipient` that anybody may have caused.
    /// Each kind has its own: somebody who asks for resets of an address must not keep its owner
    /// from signing up.
    pub(super) fn limits_of_mail(&self, kind: &str, recipient: &Email) -> Vec<Limit> {
        self.accounts.limits_of_mail(kind, recipient, Beyond::Refused)
    }

    /// Returns the limits of a sign-up.
    pub(super) fn limits_of_sign_up(&self) -> Vec<Limit> {
        let rate = Rate { count: self.accounts.throttle.sign_ups, window: HOUR };
        self.accounts.limit_from_address("sign-ups", rate, Beyond::Refused).into_iter().collect()
    }

    /// Returns the limit of wrong passwords and dead links from one client address, for all
    /// accounts together.
    pub(super) fn limit_of_address(&self) -> Option<Limit> {
        let rate = Rate { count: self.accounts.throttle.address_failures, window: TEN_MINUTES };
        self.accounts.limit_from_address("address", rate, Beyond::Refused)
    }

    /// Returns the client's address, or the /64 around it. It is empty if the address is unknown.
    fn network(&self) -> String {
        self.accounts.client.network()
    }

    /// Counts an attempt before any work is done for it, above all before a password is hashed.
    pub(super) async fn begin(&self, limits: &[Limit], user: Option<&User>) -> Result<(), Error> {
        if !self.accounts.throttle.enabled {
            return Ok(());
        }
        let mut change = self.accounts.change().await?;
        change.begin_for(limits, user).await?;
        change.commit().await
    }

    /// Looks whether the client's address has failed too often. It counts nothing and writes nothing.
    #[cfg(feature = "passkeys")]
    pub(super) async fn look_at_address(&self) -> Result<(), Error> {
        let Some(limit) = self.limit_of_address() else { return Ok(()) };
        let (mut db, now) = (self.accounts.db.read().await?, self.accounts.clock.now());
        throttle::look(&mut db, &limit, self.accounts.throttle, now).await
    }

    /// Waits for `work`. If our side fails, the attempt does not count.
    pub(super) async fn looked_at<T>(
        &self,
        limits: &[Limit],
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let done = work.await;
        if done.is_err() {
            self.abandon(limits).await?;
        }
        done
    }

    /// Lets an attempt not count.
    pub(super) async fn abandon(&self, limits: &[Limit]) -> Result<(), Error> {
        if limits.is_empty() {
            return Ok(());
        }
        let mut change = self.accounts.change().await?;
        change.settle(limits, AttemptOutcome::Abandoned).await?;
        change.commit().await
    }

    /// Records a dead link, and counts it against the client's address, because somebody may try
    /// many.
    pub(super) async fn refuse_link(&self) -> Result<(), Error> {
        let mut change = self.accounts.change().await?;
        let limits: Vec<Limit> = self.limit_of_address().into_iter().collect();
        change.begin(&limits).await?;
        change.record_of(EventKind::LinkRefused, None, None).await?;
        change.commit().await
    }

    /// Hashes a password before it is stored.
    pub(super) async fn hash(&self, password: NewPassword) -> Result<PasswordHash, Error> {
        self.hasher.hash_for(&self.network(), password.into()).await
    }

    /// Checks a password. Without a hash it does as much work.
    pub(super) async fn verify_hash(
        &self,
        password: Password,
        hash: Option<&PasswordHash>,
    ) -> Result<Verdict, Error> {
        self.hasher.verify_for(&self.network(), password, hash).await
    }
}

impl Accounts<'_> {
    /// Returns the limits of a mail like [`Auth::limits_of_mail()`]. Beyond the limit of the
    /// client's address the mail is `beyond`.
    fn limits_of_mail(&self, kind: &str, recipient: &Email, beyond: Beyond) -> Vec<Limit> {
        let to = Limit::Rate {
            key: Key::of("mail", &[kind, &recipient.to_lower()]),
            rate: Rate { count: self.throttle.mails, window: HOUR },
            beyond: Beyond::Refused,
        };
        self.limit_of_mails_from_address(beyond).into_iter().chain([to]).collect()
    }

    fn limit_of_mails_from_address(&self, beyond: Beyond) -> Option<Limit> {
        let rate = Rate { count: self.throttle.address_mails, window: HOUR };
        self.limit_from_address("mails", rate, beyond)
    }

    fn limit_from_address(&self, kind: &str, rate: Rate, beyond: Beyond) -> Option<Limit> {
        let network = self.client.network();
        let key = Key::of(kind, &[&network]);
        (!network.is_empty()).then_some(Limit::Rate { key, rate, beyond })
    }
}

impl Change<'_> {
    /// Counts an attempt: see [`throttle::begin()`].
    pub async fn begin(&mut self, limits: &[Limit]) -> Result<(), Error> {
        self.begin_for(limits, None).await
    }

    async fn begin_for(&mut self, limits: &[Limit], user: Option<&User>) -> Result<(), Error> {
        let (accounts, now) = (self.accounts, self.now);
        let begun = throttle::begin(self, limits, accounts.throttle, now).await;
        if begun.as_ref().is_err_and(Error::is_throttled) {
            let (id, email) = (user.map(|user| user.id), user.map(|user| &user.email));
            self.line(EventKind::Throttled, id, email).log();
        }
        begun
    }

    /// Counts a mail of the kind `kind` to `recipient`, for an act that goes on without it. Returns
    /// `false` if there were too many recently.
    pub async fn may_mail(&mut self, kind: &str, recipient: &Email) -> Result<bool, Error> {
        self.may_mail_beyond(kind, recipient, Beyond::Refused).await
    }

    /// Counts a notice about the account of `user`. Returns `false` if there were too many
    /// recently.
    ///
    /// A notice to a confirmed address counts against the client's address like any mail, but is
    /// sent even beyond that limit. Otherwise a thief would cause a hundred mails to strangers
    /// first, and take the account over without a word to its owner.
    pub async fn may_notify(&mut self, user: &User, recipient: &Email) -> Result<bool, Error> {
        let is_confirmed = user.verified_at.is_some() && user.email.is_same(recipient);
        let beyond = if is_confirmed { Beyond::Counted } else { Beyond::Refused };
        self.may_mail_beyond("notice", recipient, beyond).await
    }

    async fn may_mail_beyond(
        &mut self,
        kind: &str,
        recipient: &Email,
        beyond: Beyond,
    ) -> Result<bool, Error> {
        let limits = self.accounts.limits_of_mail(kind, recipient, beyond);
        match self.begin(&limits).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_throttled() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts a notice about a second step that was not done. Returns `false` if there was one within
    /// the last hour.
    pub async fn may_tell_missed_step(&mut self, user: &User) -> Result<bool, Error> {
        let key = Key::of("second step missed", &[&user.id.to_string()]);
        let rate = Rate { count: 1, window: HOUR };
        match self.begin(&[Limit::Rate { key, rate, beyond: Beyond::Refused }]).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_throttled() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts a notice, which is undone later.
    pub async fn count_pretended(&mut self, recipient: &Email) -> Result<(), Error> {
        self.may_mail_beyond("notice", recipient, Beyond::Counted).await?;
        Ok(())
    }

    /// Counts a mail that is sent even beyond the limit.
    pub async fn count_mail(&mut self) -> Result<(), Error> {
        let limit = self.accounts.limit_of_mails_from_address(Beyond::Counted);
        self.begin(limit.as_slice()).await
    }

    /// Records the outcome of an attempt: see [`throttle::settle()`].
    pub async fn settle(
        &mut self,
        limits: &[Limit],
        outcome: AttemptOutcome,
    ) -> Result<i64, Error> {
        let (config, now) = (self.accounts.throttle, self.now);
        throttle::settle(self, limits, outcome, config, now).await
    }

    /// Deletes all failures of the account of `email`.
    pub async fn forget_failures(&mut self, email: &Email) -> Result<(), Error> {
        throttle::forget_account(self, account(email)).await
    }

    /// Deletes all failures of the user's second factor.
    pub async fn forget_factor_failures(&mut self, user_id: i64) -> Result<(), Error> {
        throttle::forget_account(self, factors(user_id)).await
    }
}

/// Returns the key of the failures of an account's second factor. They are cleared apart from those of
/// the password.
fn factors(user_id: i64) -> Key {
    Key::of("factors", &[&user_id.to_string()])
}

/// Returns the key of an account, in which the case of the address does not matter.
fn account(email: &Email) -> Key {
    Key::of("account", &[&email.to_lower()])
}

fn text(id: TokenId) -> String {
    super::register::text(id)
}
