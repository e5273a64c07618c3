//! Seals the secrets of apps anew after the start, if `secret_key` was changed.

use rocket::fairing::AdHoc;
use rocket::tokio;
use rocket_db_pools::Database;

use crate::background;
use crate::db::{Db, Pool};
use crate::factor::Sealer;
use crate::factor::seals::Seals;

/// Seals once, in the background. If it fails, each secret is still sealed anew when it is used, and
/// the next start tries again.
pub fn fairing() -> AdHoc {
    AdHoc::on_liftoff("Seals of Apps", |rocket| {
        Box::pin(async move {
            let db = Pool::clone(Db::fetch(rocket).expect("the stage attaches the database"));
            let sealer = rocket.state::<Sealer>().expect("the stage manages it").clone();
            tokio::spawn(background::round("sealing of apps", async move {
                match Seals::renew(&db, &sealer).await {
                    Ok(Seals { outdated, lost }) => {
                        if outdated > 0 {
                            log::info!("sealed {outdated} authenticator apps with the new key");
                        }
                        if lost > 0 {
                            log::error!("{}", Seals { outdated, lost });
                        }
                    }
                    Err(error) => log::warn!("the sealing of apps failed: {error}"),
                }
            }));
        })
    })
}
