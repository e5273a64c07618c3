//! Reads what configures the site, before Rocket does: it panics at what it cannot read.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rocket::figment::providers::{Env, Format, Toml};
use rocket::figment::value::Dict;
use rocket::figment::{Figment, Provider, Source};

use super::{ConfigError, check_range, site};

/// The variable that names the file.
const VARIABLE: &str = "ROCKET_CONFIG";

/// More threads than any machine has cores for. The runtime panics when the system
/// gives it no more.
const MOST_WORKERS: usize = 1_024;

/// The site's configuration, in which Rocket finds nothing that it cannot read.
///
/// # Errors
///
/// When the file that `ROCKET_CONFIG` names is missing; when a file cannot be read or is
/// no TOML; when a key of Rocket's own has a value that is not for it.
pub fn read() -> Result<Figment, ConfigError> {
    check_file()?;
    let figment = site();
    figment.extract::<Dict>()?;
    // Of ours, which reads this key by itself, where it is needed.
    let zero = figment.clone().merge(("secret_key", [0; 32].as_slice()));
    let rocket = rocket::Config::try_from(zero)?;
    check_range("workers", rocket.workers, 1..=MOST_WORKERS)?;
    check_range("max_blocking", rocket.max_blocking, 1..=usize::MAX)?;
    Ok(figment)
}

/// Without its file the site would be another one, on an empty database.
fn check_file() -> Result<(), ConfigError> {
    let named = Env::var(VARIABLE);
    let name = named.as_deref().unwrap_or("Rocket.toml");
    let cannot = |path: &Path, error: io::Error| {
        Err(ConfigError::new(path.display().to_string(), format!("cannot be read: {error}")))
    };

    // A folder, a link to nothing, a file in a folder that is closed to us: all of them are
    // passed over by the library, which then looks in the folders above.
    let path = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
    if path.symlink_metadata().is_ok() {
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(ConfigError::new(path.display().to_string(), "is no file")),
            Err(error) => return cannot(&path, error),
        }
    }

    match (Toml::file(name).metadata().source, named) {
        (Some(Source::File(path)), _) => match fs::read_to_string(&path) {
            Ok(_) => Ok(()),
            Err(error) => cannot(&path, error),
        },
        (_, Some(_)) => Err(ConfigError::new(
            VARIABLE,
            format!("names {}, which is no file; name the site's Rocket.toml", path.display()),
        )),
        (_, None) => Ok(()),
    }
}
