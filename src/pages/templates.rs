//! The templates: built in, and replaced by files of the same name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use include_dir::{Dir, include_dir};
use rocket::fairing::{self, AdHoc};
use rocket::figment::providers::Serialized;
use rocket::figment::value::magic::RelativePathBuf;
use rocket::{Build, Rocket};
use rocket_dyn_templates::tera::{self, Function, Tera, Value};
use rocket_dyn_templates::{Engines, Template};
use tempfile::TempDir;

use super::{Base, assets};
use crate::mail;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// How our templates' files end: pages, and the words of mails.
const SUFFIXES: [&str; 2] = [".html.tera", ".txt.tera"];

/// What `rocket_dyn_templates` escapes, kept for the application's templates.
const ESCAPED: [&str; 6] = [".html.tera", ".htm.tera", ".xml.tera", ".html", ".htm", ".xml"];

/// An application's own filters and functions for templates, to be managed
/// before the stage is attached.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// use rocket_login::Customize;
///
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build()
///         .manage(Customize::new(|engines| engines.tera.autoescape_on(vec![".html.tera"])))
///         .attach(rocket_login::stage())
/// }
/// ```
#[derive(Clone)]
pub struct Customize(Arc<dyn Fn(&mut Engines) + Send + Sync>);

impl Customize {
    /// Runs `customize` after our templates are added, and again whenever the
    /// templates are reloaded.
    pub fn new(customize: impl Fn(&mut Engines) + Send + Sync + 'static) -> Self {
        Customize(Arc::new(customize))
    }
}

impl fmt::Debug for Customize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customize")
    }
}

/// Renders pages from `template_dir`, and from inside the binary what is not
/// there.
///
/// The mails' are handed on to whoever writes mails.
pub fn fairing(base: Base, mails: Option<mail::Templates>) -> AdHoc {
    AdHoc::try_on_ignite("Templates", |rocket| ignite(rocket, base, mails))
}

async fn ignite(
    rocket: Rocket<Build>,
    base: Base,
    mails: Option<mail::Templates>,
) -> fairing::Result {
    let configured = rocket.figment().extract_inner::<RelativePathBuf>("template_dir");
    let directory = match &configured {
        Ok(path) => path.relative(),
        Err(_) => PathBuf::from("templates"),
    };

    let (rocket, path) = match directory.is_dir() {
        // `Template` itself refuses a directory that is configured and missing.
        false if configured.is_ok() => (rocket, None),
        // It wants a path that exists: here the program's own file, which has no
        // templates in it. All of them come from inside.
        false => (rocket, std::env::current_exe().ok()),
        true if built_in().all(|(file, _)| directory.join(file).is_file()) => (rocket, None),
        // A template there may extend one of ours, and then both must be files.
        true => match merge(&directory) {
            Ok(merged) => {
                let path = merged.path().to_owned();
                log::info!(
                    "{} is joined with the built-in templates at start",
                    directory.display()
                );
                (rocket.manage(merged), Some(path))
            }
            Err(error) => {
                log::error!("template_dir: cannot be joined with the built-in templates: {error}");
                return Err(rocket);
            }
        },
    };

    let rocket = match path {
        None => rocket,
        Some(path) => {
            let given = Serialized::global("template_dir", path);
            let figment = rocket.figment().clone().merge(given);
            rocket.configure(figment)
        }
    };

    let customize = rocket.state::<Customize>().cloned();
    Ok(rocket.attach(Template::try_custom(move |engines| {
        engines.tera.register_function("asset", Asset(base.clone()));
        add_built_in(&mut engines.tera)?;
        if let Some(Customize(customize)) = &customize {
            customize(engines);
        }
        if let Some(mails) = &mails {
            mails.replace(&engines.tera)?;
        }
        Ok(())
    })))
}

/// A directory with the application's templates, and ours where it has none of
/// that name. It goes when the site ends.
fn merge(directory: &Path) -> io::Result<TempDir> {
    let merged = tempfile::Builder::new().prefix("rocket-login-templates").tempdir()?;
    for (file, content) in built_in() {
        let target = merged.path().join(file);
        fs::create_dir_all(target.parent().unwrap_or(merged.path()))?;
        fs::write(target, content)?;
    }

    copy(directory, merged.path())?;
    Ok(merged)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        match path.is_dir() {
            true => copy(&path, &target)?,
            false => fs::copy(&path, &target).map(drop)?,
        }
    }
    Ok(())
}

fn add_built_in(tera: &mut Tera) -> tera::Result<()> {
    let present: Vec<String> = tera.get_template_names().map(str::to_owned).collect();
    let missing: Vec<(&str, &str)> = built_in()
        .filter_map(|(file, content)| Some((name_of(file)?, content)))
        .filter(|(name, _)| present.iter().all(|present| present != name))
        .collect();

    // Built-in names carry no suffix, so they are listed to be escaped.
    let escaped = missing.iter().map(|(name, _)| *name).chain(ESCAPED).collect();
    tera.autoescape_on(escaped);
    tera.add_raw_templates(missing)
}

fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    let files = BUILT_IN.files().chain(BUILT_IN.dirs().flat_map(Dir::files));
    files.filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
}

fn name_of(file: &str) -> Option<&str> {
    SUFFIXES.into_iter().find_map(|suffix| file.strip_suffix(suffix))
}

/// `{{ asset(name="style.css") }}`: the address of a static file.
struct Asset(Base);

impl Function for Asset {
    fn call(&self, arguments: &HashMap<String, Value>) -> tera::Result<Value> {
        arguments
            .get("name")
            .and_then(Value::as_str)
            .and_then(|name| assets::url(&self.0, name))
            .map(Value::String)
            .ok_or_else(|| tera::Error::msg("asset() needs the name of a file in static/"))
    }

    /// It is made of a path, a file's name and a hash.
    fn is_safe(&self) -> bool {
        true
    }
}
