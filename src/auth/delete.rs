//! Taking everything along, and leaving.

use serde_json::{Value, json};

use super::{Auth, UserSession};
use crate::device;
use crate::done::Act;
use crate::error::Error;
use crate::history::{self, Kind};
use crate::link;
use crate::mail;
use crate::metrics;
use crate::notice;
use crate::password::Password;
use crate::session::store as sessions;
use crate::user::{self, User};

/// Why an account is still there.
#[derive(Debug)]
pub enum DeleteError {
    /// The password is wrong.
    Wrong,
    /// Our side failed; nothing has changed.
    Failed(Error),
}

impl From<Error> for DeleteError {
    fn from(error: Error) -> Self {
        DeleteError::Failed(error)
    }
}

impl Auth<'_> {
    /// Everything that is stored about the user, the state of his sessions
    /// included, without any secret. Instants are in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn export(&self, user: &User) -> Result<Value, Error> {
        let mut change = self.change_as_user().await?;
        let now = change.now;
        let listed = sessions::list(&mut change, user.id, now).await?;
        let listed: Vec<Value> = listed
            .into_iter()
            .map(|listed| {
                let state: Value = serde_json::from_str(&listed.data).unwrap_or_default();
                let (remember, authenticated_at) = (listed.remember, listed.authenticated_at);
                let user_agent = listed.user_agent.clone();
                let session = UserSession::from(listed);
                json!({
                    "device": session.device,
                    "user_agent": user_agent,
                    "ip_address": session.ip_address,
                    "remember": remember,
                    "authenticated_at": authenticated_at,
                    "created_at": session.created_at,
                    "last_seen_at": session.last_seen_at,
                    "expires_at": session.expires_at,
                    "state": state,
                })
            })
            .collect();
        let links: Vec<Value> = link::list(&mut change, user.id)
            .await?
            .iter()
            .map(|link| {
                json!({
                    "purpose": link.purpose.name(),
                    "email": link.email,
                    "created_at": link.created_at,
                    "expires_at": link.expires_at,
                })
            })
            .collect();
        let export = json!({
            "user": {
                "id": user.id,
                "email": user.email,
                "created_at": user.created_at,
                "verified_at": user.verified_at,
            },
            "notices": notice::wanted(&mut change, user.id).await?,
            "sessions": listed,
            "devices": device::list(&mut change, user.id).await?,
            "links": links,
            "mails": mail::list(&mut change, user.id, &user.email).await?,
            "history": history::list(&mut change, user.id, u32::MAX).await?,
        });
        change.record(Kind::Exported, user).await?;
        change.commit().await?;
        Ok(export)
    }

    /// Deletes the account and everything stored about it, at once and for
    /// good. An application's own rows go with it where they reference
    /// `users (id) ON DELETE CASCADE`.
    ///
    /// # Errors
    ///
    /// When `password` is wrong, the session was ended meanwhile, or the
    /// database or the hashing workers fail. Nothing has changed then.
    pub async fn delete(&self, user: &User, password: Password) -> Result<(), DeleteError> {
        let stored = self.check_password(user, password).await?.ok_or(DeleteError::Wrong)?;

        let _writing = self.session.writing().await;
        let mut change = self.change_as_user().await?;
        if !user::store::is_current(&mut change, user.id, &stored).await? {
            return Err(DeleteError::Wrong);
        }
        let ended = sessions::end_of_user(&mut change, user.id, None).await?;
        self.note_session(&mut change, Act::Deleted, None).await?;
        user::store::delete(&mut change, user).await?;
        change.note(Kind::Deleted, Some(user.id), Some(&user.email));
        change.commit().await?;
        metrics::ended(ended);
        self.session.forget();
        Ok(())
    }
}
