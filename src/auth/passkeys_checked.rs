//! Refuses a start that would make passkeys useless.

use rocket::fairing::AdHoc;

use crate::config::{Config, PasskeysOff};
use crate::db::{Db, Pool};
use crate::error::Error;
use crate::factor::passkeys;

/// Looks whether there are passkeys for another domain than the configured one. A browser would not find
/// them any more, and their owners would be locked out.
pub fn fairing(config: &Config) -> AdHoc {
    let rp_id = match config.passkey_site() {
        Ok(site) => Some(site.rp_id),
        Err(PasskeysOff::NotBuilt) => None,
        // No passkey is for this.
        Err(PasskeysOff::NoUrl | PasskeysOff::IpAddress) => Some(String::new()),
    };
    AdHoc::try_on_ignite("Passkeys", |rocket| async move {
        // `Db::fetch` would print an error of its own below ours if the database is not there.
        let (Some(rp_id), Some(db)) = (rp_id, rocket.state::<Db>()) else { return Ok(rocket) };
        match others(db, &rp_id).await {
            Ok(hosts) if hosts.is_empty() => Ok(rocket),
            Ok(hosts) => {
                let here = if rp_id.is_empty() { "a site without a name" } else { &rp_id };
                log::error!(
                    "factors.rp_id: passkeys for {} are stored, and would be lost for {here}; write \
                     that domain, or remove them with `user remove-factor`",
                    hosts.join(", ")
                );
                Err(rocket)
            }
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        }
    })
}

async fn others(db: &Pool, rp_id: &str) -> Result<Vec<String>, Error> {
    passkeys::other_hosts(&mut db.read().await?, rp_id).await
}
