//! Reads the site's configuration before Rocket does, because Rocket panics if it cannot read a
//! value.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rocket::figment::providers::{Env, Format, Toml};
use rocket::figment::value::Dict;
use rocket::figment::{Figment, Provider, Source};

use super::{ConfigError, SecretKey, check_range, site};

/// The environment variable that names the file.
pub const FILE_VARIABLE: &str = "ROCKET_CONFIG";

/// The most workers: more threads than any machine has cores. The runtime panics if the system
/// refuses it a thread.
const MOST_WORKERS: usize = 1_024;

/// Returns the site's configuration, in which Rocket can read every value.
///
/// # Errors
///
/// Returns an error if the file that `ROCKET_CONFIG` names is missing, if a file cannot be read or
/// is not TOML, or if one of Rocket's own keys has an unsuitable value.
pub fn read() -> Result<Figment, ConfigError> {
    check_file()?;
    let figment = site();
    check(&figment)?;
    Ok(figment)
}

/// Checks what Rocket reads of an application: the same file and variables.
///
/// # Errors
///
/// Returns an error in the cases of [`read()`], and if `secret_key` is not a key.
pub fn check_rocket() -> Result<(), ConfigError> {
    check_file()?;
    let figment = rocket::Config::figment();
    check(&figment)?;
    if figment.contains("secret_key") {
        figment.extract_inner::<SecretKey>("secret_key")?;
    }
    Ok(())
}

/// Checks that Rocket can read every value of `figment`.
pub(super) fn check(figment: &Figment) -> Result<(), ConfigError> {
    figment.extract::<Dict>()?;
    // Rocket need not read this key: we read it ourselves, when it is needed.
    let zero = figment.clone().merge(("secret_key", [0; 32].as_slice()));
    let rocket = rocket::Config::try_from(zero)?;
    check_range("workers", rocket.workers, 1..=MOST_WORKERS)?;
    check_range("max_blocking", rocket.max_blocking, 1..=usize::MAX)
}

/// Checks that the configuration file can be read. Without its file the site would start as a
/// different one, with an empty database.
fn check_file() -> Result<(), ConfigError> {
    let named = Env::var(FILE_VARIABLE);
    let name = named.as_deref().unwrap_or("Rocket.toml");
    let cannot = |path: &Path, error: io::Error| {
        Err(ConfigError::new(path.display().to_string(), format!("cannot be read: {error}")))
    };

    // Figment skips a folder, a link to nothing, and a file in a folder that we may not read, and
    // then searches the parent folders.
    let path = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
    if path.symlink_metadata().is_ok() {
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(ConfigError::new(path.display().to_string(), "is not a file")),
            Err(error) => return cannot(&path, error),
        }
    }

    match (Toml::file(name).metadata().source, named) {
        (Some(Source::File(path)), _) => match fs::read_to_string(&path) {
            Ok(_) => Ok(()),
            Err(error) => cannot(&path, error),
        },
        (_, Some(_)) => Err(ConfigError::new(
            FILE_VARIABLE,
            format!("names {}, which is not a file; name the site's Rocket.toml", path.display()),
        )),
        (_, None) => Ok(()),
    }
}
