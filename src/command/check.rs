//! `check`: what is unsafe in this deployment.

use super::Done;
use crate::config::{self, Config};

/// Prints one line for each thing that is unsafe, with the mend.
pub fn check() -> Done {
    let figment = crate::figment();
    config::check_top_level(&figment)?;
    let config = Config::from_figment(&figment)?;

    let mut unsafe_things = config.warnings();
    if config.debug {
        let line = "the profile is debug, for developing; set ROCKET_PROFILE=release";
        unsafe_things.insert(0, line.into());
    }
    unsafe_things.iter().for_each(|line| println!("{line}"));
    match unsafe_things.len() {
        0 => {
            println!("nothing unsafe was found");
            Ok(())
        }
        found => Err(format!("{found} unsafe").into()),
    }
}
