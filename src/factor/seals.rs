//! Seals the secrets of all apps anew after `secret_key` was changed.

use crate::db::{Connection, Pool};
use crate::error::Error;

use super::{Sealer, store};

/// How many secrets are read at a time.
const BATCH: u32 = 100;

/// With which keys the secrets of all apps are sealed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seals {
    /// With one of `session.previous_keys`.
    pub outdated: u64,
    /// With a key that is not configured any more. Their codes are refused.
    pub lost: u64,
}

/// A secret that should be sealed anew.
struct Outdated {
    id: i64,
    old: String,
    new: String,
}

impl Seals {
    /// Looks at all secrets.
    #[cfg(feature = "cli")]
    pub async fn look(db: &mut Connection, sealer: &Sealer) -> Result<Self, Error> {
        let (mut seals, mut after) = (Seals::default(), 0);
        while let Some((last, _)) = seals.next(db, sealer, after).await? {
            after = last;
        }
        Ok(seals)
    }

    /// Seals all secrets with the current key that are sealed with an earlier one. They could otherwise
    /// be opened no longer than the earlier key is configured.
    pub async fn renew(db: &Pool, sealer: &Sealer) -> Result<Self, Error> {
        let (mut seals, mut after) = (Seals::default(), 0);
        loop {
            let next = seals.next(&mut db.read().await?, sealer, after).await?;
            let Some((last, outdated)) = next else { return Ok(seals) };
            after = last;
            if !outdated.is_empty() {
                let mut tx = db.write().await?;
                for Outdated { id, old, new } in outdated {
                    store::reseal(&mut tx, id, &old, &new).await?;
                }
                tx.commit().await?;
            }
        }
    }

    /// Counts the next secrets after the app `after`. Returns the last app that it has looked at, and
    /// what to seal anew. `None`: there is no further app.
    async fn next(
        &mut self,
        db: &mut Connection,
        sealer: &Sealer,
        after: i64,
    ) -> Result<Option<(i64, Vec<Outdated>)>, Error> {
        let secrets = store::secrets(db, after, BATCH).await?;
        let Some(last) = secrets.last().map(|(id, ..)| *id) else { return Ok(None) };
        let mut outdated = Vec::new();
        for (id, user_id, old) in secrets {
            match sealer.open(user_id, &old) {
                None => self.lost += 1,
                Some(opened) if opened.is_outdated => {
                    self.outdated += 1;
                    let new = sealer.seal(user_id, &opened.secret);
                    outdated.push(Outdated { id, old, new });
                }
                Some(_) => {}
            }
        }
        Ok(Some((last, outdated)))
    }
}

/// Says how many apps were lost by a change of `secret_key`.
impl std::fmt::Display for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (apps, were) = if self.lost == 1 { ("app", "was") } else { ("apps", "were") };
        write!(
            f,
            "secret_key: {} authenticator {apps} {were} sealed with another key, and their codes are \
             refused; write that key into session.previous_keys",
            self.lost
        )
    }
}
