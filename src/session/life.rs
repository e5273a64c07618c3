//! The life of a session: how it begins, continues and ends.

use std::sync::Arc;
use std::time::Duration;

use rocket::http::Cookie;
use rocket::tokio;
use sha2::{Digest, Sha256};

use super::guard::{Current, Session, Sessions};
use super::store::{self, Record};
use super::value::{self, State};
use crate::clock::Timestamp;
use crate::db::Transaction;
use crate::error::Error;
use crate::metrics::{self, SessionEvent};
use crate::token::{Token, TokenId};
use crate::user::User;

/// How often an open response looks whether its session has ended.
const LOOK: Duration = Duration::from_secs(1);

/// What the user has just given to show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "pages"), expect(dead_code, reason = "nobody logs in with one factor"))]
pub(crate) enum Given {
    /// One factor, mostly the password.
    OneFactor,
    /// Two factors. The session is a strong one from then on.
    TwoFactors,
}

/// A session whose row is inserted or renamed, but not yet committed.
#[must_use = "the browser gets its cookie when this is committed"]
pub(crate) struct Started {
    pub(super) current: Current,
    pub(super) event: SessionEvent,
    /// The number of the account's other sessions that this one ends.
    pub(super) ended: u64,
    /// The user who is logged in from then on.
    pub(super) user: Option<Arc<User>>,
}

impl Started {
    /// Returns the id of the session's row.
    #[cfg(feature = "pages")]
    pub(crate) fn id(&self) -> TokenId {
        self.current.record.id
    }
}

impl Session {
    /// Returns whether this request has started the session.
    pub fn is_new(&self) -> bool {
        self.current().as_ref().is_some_and(|current| current.is_new)
    }

    /// Returns the time at which the session ends if it is not used again, in seconds since 1970.
    /// `None` means that there is no session.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.current().as_ref().map(|current| current.record.expires_at)
    }

    /// Returns a name for the session that is not a secret: 16 hexadecimal digits, which may be
    /// logged, shown and used in a path. The name stays if the token changes. `None` means that
    /// there is no session.
    pub fn handle(&self) -> Option<String> {
        self.current().as_ref().map(|current| handle(current.record.family))
    }

    /// Replaces the token. State, user and both clocks stay. The old token is dead at once.
    ///
    /// Call it if the rights of the session change. Log-in does so by itself. Without a session it
    /// does nothing.
    ///
    /// # Errors
    ///
    ///   * Returns an error with [`is_ended()`](Error::is_ended()) (409) if the session was ended
    ///     in the meantime.
    ///   * Returns an error (503) if the database fails.
    ///   * Returns an error (500) if the head of the response was already sent, because the new
    ///     cookie could not be sent any more.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "rotate")]
    pub async fn regenerate(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        if self.current_id().is_none() {
            return Ok(());
        }

        let mut tx = self.db.write().await?;
        let renamed = self.rename(&mut tx, None).await?;
        self.commit(tx, renamed).await
    }

    /// Gives the session a new token in `tx`. If the user has just `given` something, the clock of
    /// `session.reauthenticate_after` starts again. A strong session stays one.
    ///
    /// # Errors
    ///
    /// Returns an error with [`is_ended()`](Error::is_ended()) if the session has ended or there is
    /// none, and another error if the database fails or the head of the response was already sent.
    pub(crate) async fn rename(
        &self,
        tx: &mut Transaction,
        given: Option<Given>,
    ) -> Result<Started, Error> {
        self.check_head()?;
        let Some(mut current) = self.current().clone() else { return Err(value::ended()) };
        let (token, now) = (Token::generate(), self.clock.now());
        let (old, record) = (current.record.id, &mut current.record);
        record.id = token.id();
        if given.is_some() && record.user_id.is_some() {
            record.authenticated_at = Some(now);
        }
        if given == Some(Given::TwoFactors) && record.user_id.is_some() {
            record.strong_at = Some(now);
        }

        if !store::rename(tx, old, record, now).await? {
            return Err(value::ended());
        }
        current.token = Arc::new(token);
        let user = self.logged_in().cloned();
        Ok(Started { current, event: SessionEvent::Regenerated, ended: 0, user })
    }

    /// Ends the session. It deletes the row first and then the cookie. Without a session it only
    /// makes the browser delete an old cookie.
    ///
    /// # Errors
    ///
    /// Returns an error (503) if the database fails. The session and its cookie then stay: an end
    /// that may not have happened is never reported as done.
    #[doc(alias = "invalidate")]
    #[doc(alias = "flush")]
    pub async fn destroy(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        if let Some(family) = self.family() {
            let mut tx = self.db.write().await?;
            store::delete(&mut tx, family).await?;
            tx.commit().await?;
            metrics::count(SessionEvent::Ended);
        }

        self.forget();
        Ok(())
    }

    /// Reads the state from the database again, with the changes of other requests. Without a
    /// session it does nothing.
    ///
    /// # Errors
    ///
    ///   * Returns an error with [`is_ended()`](Error::is_ended()) (409) if the session was ended
    ///     in the meantime.
    ///   * Returns an error (503) if the database fails.
    pub async fn reload(&self) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let Some(id) = self.current_id() else { return Ok(()) };
        let mut db = self.db.read().await?;
        let data = store::find_state(&mut db, id, self.clock.now()).await?;
        let state = data.as_deref().and_then(value::parse).ok_or_else(value::ended)?;
        if let Some(current) = self.current().as_mut() {
            current.state = Arc::new(state);
        }
        Ok(())
    }

    /// Waits until the session has ended: by a log-out on any device, with its account, or because it
    /// has expired. Without a session it waits until it is dropped.
    ///
    /// A response that stays open, such as a stream of events or a `WebSocket`, would otherwise go on
    /// after the log-out, because the guards are asked only once, at its beginning. It notices the end
    /// within about a second, and a new call looks at once. It also returns if the session has a new
    /// token, from [`regenerate()`](Session::regenerate()) or a log-in: the browser comes again with its
    /// new cookie then.
    ///
    /// An open response does not count as a use of the session. For that, call
    /// [`touch()`](Session::touch()). If the database does not answer, it waits on.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use std::time::Duration;
    /// use rocket::get;
    /// use rocket::response::stream::{Event, EventStream};
    /// use rocket::tokio::{select, time::interval};
    /// use rocket_login::Session;
    ///
    /// /// Ends when the user logs out.
    /// #[get("/ticks")]
    /// fn ticks<'r>(session: &'r Session) -> EventStream![Event + 'r] {
    ///     EventStream! {
    ///         let mut ticks = interval(Duration::from_secs(10));
    ///         loop {
    ///             select! {
    ///                 () = session.ended() => break,
    ///                 _ = ticks.tick() => yield Event::data("tick"),
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    pub async fn ended(&self) {
        let mut is_outage = false;
        loop {
            let Some(id) = self.current_id() else { return std::future::pending().await };
            match self.exists(id).await {
                // This request may have given the session another token meanwhile.
                Ok(false) if self.current_id() == Some(id) => return,
                Ok(_) => is_outage = false,
                // An outage is one line for each response, and not one for each second of it.
                Err(_) if is_outage => {}
                Err(error) => {
                    log::warn!("an open response waits for the database: {error}");
                    is_outage = true;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts the idle clock again. A request does so by itself, at most once a minute. Without a
    /// session it does nothing.
    ///
    /// # Errors
    ///
    ///   * Returns an error with [`is_ended()`](Error::is_ended()) (409) if the session was ended
    ///     in the meantime.
    ///   * Returns an error (503) if the database fails.
    ///   * Returns an error (500) if the session has "remember me" and the head of the response was
    ///     already sent, because the new lifetime of the cookie could not be sent any more.
    pub async fn touch(&self) -> Result<(), Error> {
        let remember = self.current().as_ref().is_some_and(|current| current.record.remember);
        self.prolong(remember).await
    }

    /// Switches "remember me" on or off for this session, which selects its time-outs. The idle
    /// clock starts again, and the absolute clock continues. Without a session it does nothing.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`touch()`](Session::touch()), and the last one also if `remember` is
    /// true.
    pub async fn set_remember(&self, remember: bool) -> Result<(), Error> {
        self.prolong(remember).await
    }

    async fn prolong(&self, remember: bool) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let (now, clocks) = (self.clock.now(), &self.sessions.clocks);
        let Some(before) = self.current().as_ref().map(|current| current.record.clone()) else {
            return Ok(());
        };

        // If "remember me" is switched off, the browser must be told as well.
        let tell = remember || before.remember;
        if tell {
            self.check_head()?;
        }

        let record = Record {
            remember,
            last_seen_at: now,
            expires_at: clocks.expiry(before.created_at, now, remember),
            ..before
        };

        let mut tx = self.db.write().await?;
        if !store::prolong(&mut tx, &record).await? {
            return Err(value::ended());
        }
        tx.commit().await?;

        if let Some(current) = self.current().as_mut() {
            current.record = record;
            if tell {
                self.send_cookie(current);
            }
        }
        Ok(())
    }

    pub(super) async fn insert(
        &self,
        tx: &mut Transaction,
        user: Option<(&User, Given)>,
        remember: bool,
        state: State,
    ) -> Result<Started, Error> {
        self.check_head()?;
        let (token, now) = (Token::generate(), self.clock.now());
        let is_strong = user.is_some_and(|(_, given)| given == Given::TwoFactors);
        let user = user.map(|(user, _)| user);
        let record = Record {
            id: token.id(),
            family: token.id(),
            user_id: user.map(|user| user.id),
            remember,
            created_at: now,
            last_seen_at: now,
            expires_at: self.sessions.clocks.expiry(now, now, remember),
            authenticated_at: user.map(|_| now),
            strong_at: is_strong.then_some(now),
        };

        store::insert(tx, &record, &value::serialize(&state)?, &self.client).await?;
        let current =
            Current { token: Arc::new(token), record, state: Arc::new(state), is_new: true };
        let user = user.cloned().map(Arc::new);
        Ok(Started { current, event: SessionEvent::Created, ended: 0, user })
    }

    /// Commits `tx`, and then sends the cookie of the session that was started or renamed in it. So
    /// there is never a cookie without a row.
    ///
    /// # Errors
    ///
    /// Returns an error if the database fails. The session then stays as it was.
    pub(crate) async fn commit(
        &self,
        tx: Transaction,
        Started { current, event, ended, user }: Started,
    ) -> Result<(), Error> {
        tx.commit().await?;
        metrics::count(event);
        metrics::ended(ended);
        self.send_cookie(&current);
        *self.current() = Some(current);
        self.set_user(user);
        Ok(())
    }

    pub(crate) fn current_id(&self) -> Option<TokenId> {
        self.current().as_ref().map(|current| current.record.id)
    }

    pub(crate) fn family(&self) -> Option<TokenId> {
        self.current().as_ref().map(|current| current.record.family)
    }

    /// Checks that a cookie can still be sent. It is part of the response's head. If the body of a
    /// streamed response made or renamed a row later, nobody would have its token.
    fn check_head(&self) -> Result<(), Error> {
        match self.pending.are_sent() {
            true => Err(Error::too_late()),
            false => Ok(()),
        }
    }

    fn send_cookie(&self, current: &Current) {
        self.pending.set(self.cookie(current));
    }

    pub(super) fn cookie(&self, current: &Current) -> Cookie<'static> {
        // Without "remember me" the browser deletes the cookie when it is closed.
        let record = &current.record;
        let left = (record.expires_at - self.clock.now()).max(0) as u64;
        let max_age = record.remember.then_some(Duration::from_secs(left));
        let Sessions { cookies, cookie_name, .. } = &*self.sessions;
        cookies.seal(cookie_name, &current.token.to_text(), max_age)
    }

    /// Notes who is logged in from now on. References to the one before stay good.
    fn set_user(&self, user: Option<Arc<User>>) {
        if self.user() != user.as_deref() {
            self.later_users.add(user);
        }
    }

    /// Makes the browser delete the cookie of the session, which has ended.
    pub(crate) fn forget(&self) {
        *self.current() = None;
        self.set_user(None);
        self.pending.set(self.sessions.cookies.removal(&self.sessions.cookie_name));
    }
}

/// Returns the handle of a session. It is made from an id, so it reveals nothing about the token.
/// It is a hash, so it does not even reveal the key of the row.
pub(crate) fn handle(family: TokenId) -> String {
    let digest = Sha256::new_with_prefix("handle").chain_update(family.as_bytes()).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
