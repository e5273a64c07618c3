//! Refuses a start that would make passkeys useless.

use rocket::fairing::AdHoc;

use crate::config::{Config, PasskeysOff};
use crate::db::{Db, Pool};
use crate::factor::{NeedsPasskeys, passkeys};

/// Looks whether there are passkeys for another domain than the configured one. A browser would not find
/// them any more, and their owners would be locked out. So would they in a program without passkeys.
pub fn fairing(config: &Config) -> AdHoc {
    let (site, is_off) = (config.passkey_site(), !config.factors.passkeys);
    AdHoc::try_on_ignite("Passkeys", move |rocket| async move {
        // `Db::fetch` would print an error of its own below ours if the database is not there.
        let Some(db) = rocket.state::<Db>() else { return Ok(rocket) };
        let looked = match site {
            Ok(site) => look(db, &site.rp_id, is_off).await,
            Err(PasskeysOff::NotBuilt) => look_without(db).await,
            // No passkey is for this.
            Err(PasskeysOff::NoUrl | PasskeysOff::IpAddress) => look(db, "", is_off).await,
        };
        match looked {
            Ok(needs) => Ok(rocket.manage(NeedsPasskeys(needs))),
            Err(problem) => {
                log::error!("{problem}");
                Err(rocket)
            }
        }
    })
}

/// Why the program must not start: an error of the database, or a line of ours.
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Looks at the passkeys of a program that has them. Returns whether its log-in page needs the button, or
/// why it must not start.
async fn look(db: &Pool, rp_id: &str, is_off: bool) -> Result<bool, Problem> {
    let mut db = db.read().await?;
    let hosts = passkeys::other_hosts(&mut db, rp_id).await?;
    if hosts.is_empty() {
        return Ok(is_off && passkeys::is_only_way(&mut db).await?);
    }
    let here = if rp_id.is_empty() { "a site without a name" } else { rp_id };
    Err(format!(
        "factors.rp_id: passkeys for {} are stored, and would be lost for {here}; write that domain, or \
         remove them with `user remove-factor`",
        hosts.join(", ")
    )
    .into())
}

/// Looks at the passkeys of a program that was built without them.
async fn look_without(db: &Pool) -> Result<bool, Problem> {
    let problem = "accounts without a password log in with a passkey, and this program was built \
                   without the feature `passkeys`; build it with that";
    match passkeys::is_only_way(&mut db.read().await?).await? {
        true => Err(problem.into()),
        false => Ok(false),
    }
}
