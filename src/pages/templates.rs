//! The templates, which are inside the binary. A file with the name of a template replaces it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use std::{fmt, fs, io};

use include_dir::{Dir, include_dir};
use rocket::fairing::{self, AdHoc};
use rocket::figment::Figment;
use rocket::figment::value::magic::RelativePathBuf;
use rocket::http::{ContentType, Status};
use rocket::response::{self, Responder};
use rocket::{Build, Ignite, Request, Rocket, Sentinel};
use rocket_dyn_templates::tera::{self, Context, Function, Tera, Value};
use serde::Serialize;

use super::assets;
use crate::base::Base;
use crate::mail;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The suffixes of our templates' files: pages, and the words of mails.
const SUFFIXES: [&str; 2] = [".html.tera", ".txt.tera"];

/// The suffixes of the templates that `rocket_dyn_templates` escapes, so the application's
/// templates are escaped here too.
const ESCAPED: [&str; 6] = [".html.tera", ".htm.tera", ".xml.tera", ".html", ".htm", ".xml"];

/// Filters and functions that an application adds to our templates. Manage it before the stage is
/// attached.
///
/// For the application's own `Template::fairing()`, pass them to `Template::custom()`.
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

/// The engines that render our templates, for [`Customize`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Engines {
    /// The engine of the version in `rocket_dyn_templates::tera`.
    pub tera: Tera,
}

impl Customize {
    /// Creates the customization. `customize` runs after the templates are read, and again each
    /// time they are read anew.
    pub fn new(customize: impl Fn(&mut Engines) + Send + Sync + 'static) -> Self {
        Customize(Arc::new(customize))
    }
}

impl fmt::Debug for Customize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Customize")
    }
}

/// A page from a template in `template_dir` that may extend one of ours.
///
/// The engine of our own pages renders it, so it can use our templates, as in `{% extends "base"
/// %}`, and the filters of [`Customize`]. The application's `Template::fairing()` knows only the
/// files.
///
/// As a [`Responder`] it answers
///
/// * `200 OK` and HTML. Every value in `{{ … }}` is escaped if the file ends in `.html.tera`;
/// * `500 Internal Server Error`, with a line in the log, if there is no such template, if it uses
///   a value that it does not get, or if `content` cannot be serialized.
///
/// A [`Sentinel`] stops the launch if [`stage()`](crate::stage()) is not attached.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_dyn_templates::context;
/// use rocket_login::Rendered;
///
/// /// `template_dir` holds `notes/list.html.tera`.
/// #[get("/notes")]
/// fn notes() -> Rendered {
///     Rendered::new("notes/list", context! { base: "", notes: ["Buy milk"] })
/// }
/// ```
pub struct Rendered {
    name: Cow<'static, str>,
    content: tera::Result<Value>,
}

impl Rendered {
    /// Creates a page from the template `name` with `content`, which must be a map.
    pub fn new(name: impl Into<Cow<'static, str>>, content: impl Serialize) -> Self {
        Rendered { name: name.into(), content: tera::to_value(content).map_err(tera::Error::json) }
    }
}

/// The `Debug` output leaves out the content, which may be private.
impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'r> Responder<'r, 'static> for Rendered {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Rendered { name, content } = self;
        let templates = request.rocket().state::<Templates>();
        let templates = templates.ok_or(Status::InternalServerError)?;
        match content.and_then(|content| templates.render(&name, content)) {
            Ok(html) => (ContentType::HTML, html).respond_to(request),
            Err(error) => {
                log::error!("the template {name:?} cannot be rendered: {}", with_causes(&error));
                Err(Status::InternalServerError)
            }
        }
    }
}

impl Sentinel for Rendered {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<Templates>().is_none()
    }
}

/// The current templates, in managed state. They are parsed once. The debug profile parses them
/// again if a file has changed.
struct Templates {
    tera: RwLock<Tera>,
    source: Source,
    /// The state of the files when they were read.
    read: Mutex<Vec<Seen>>,
}

/// The sources of the templates.
struct Source {
    base: Base,
    directory: Option<PathBuf>,
    customize: Option<Customize>,
    mails: Option<mail::Templates>,
}

/// A file, and the values that show whether it has changed.
type Seen = (PathBuf, Option<SystemTime>, u64);

/// Reads the templates from inside the binary, and then those of `template_dir`, which replace
/// them.
///
/// It also passes the templates of mails to the writer of mails.
pub fn fairing(base: Base, mails: Option<mail::Templates>, debug: bool) -> AdHoc {
    AdHoc::try_on_ignite("Login Templates", move |rocket| ignite(rocket, base, mails, debug))
}

async fn ignite(
    rocket: Rocket<Build>,
    base: Base,
    mails: Option<mail::Templates>,
    debug: bool,
) -> fairing::Result {
    let customize = rocket.state::<Customize>().cloned();
    let templates = directory(rocket.figment()).and_then(|directory| {
        Templates::read(Source { base, directory, customize, mails })
            .map_err(|error| format!("the templates cannot be used: {}", with_causes(&error)))
    });
    match templates {
        Ok(templates) if debug => Ok(rocket.manage(templates).attach(reload())),
        Ok(templates) => Ok(rocket.manage(templates)),
        Err(error) => {
            log::error!("{error}");
            Err(rocket)
        }
    }
}

/// Reads changed files again before a request is answered, so that the developer sees the change.
fn reload() -> AdHoc {
    AdHoc::on_request("Changed Templates", |request, _| {
        Box::pin(async move {
            if let Some(templates) = request.rocket().state::<Templates>() {
                templates.reload_changed();
            }
        })
    })
}

/// Returns the directory of the application's own templates, if it has one.
fn directory(figment: &Figment) -> Result<Option<PathBuf>, String> {
    match figment.extract_inner::<RelativePathBuf>("template_dir") {
        Ok(path) => match path.relative() {
            path if path.is_dir() => Ok(Some(path)),
            path => Err(format!("template_dir: there is no directory {}", path.display())),
        },
        Err(error) if error.missing() => {
            Ok(Some(PathBuf::from("templates")).filter(|path| path.is_dir()))
        }
        Err(error) => Err(format!("template_dir: {error}")),
    }
}

impl Templates {
    fn read(source: Source) -> tera::Result<Self> {
        let files = source.files()?;
        let tera = source.parse(&files)?;
        Ok(Templates { tera: RwLock::new(tera), source, read: Mutex::new(seen(&files)) })
    }

    fn render(&self, name: &str, content: Value) -> tera::Result<String> {
        let context = Context::from_value(content)?;
        self.tera.read().unwrap_or_else(PoisonError::into_inner).render(name, &context)
    }

    /// Reads the templates again if a file has changed. If they cannot be used, the former ones
    /// stay, and the log says so once.
    fn reload_changed(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = self.source.files().and_then(|files| {
            let seen = seen(&files);
            if seen == *read {
                return Ok(None);
            }
            *read = seen;
            self.source.parse(&files).map(Some)
        });
        match changed {
            Ok(None) => {}
            Ok(Some(tera)) => {
                *self.tera.write().unwrap_or_else(PoisonError::into_inner) = tera;
            }
            Err(error) => {
                log::error!("a changed template cannot be used: {}", with_causes(&error));
            }
        }
    }
}

impl Source {
    /// Returns the names and files of the application's own templates. Only this function decides
    /// which files are read.
    fn files(&self) -> tera::Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        if let Some(directory) = &self.directory {
            list(directory, directory, &mut files).map_err(|error| {
                tera::Error::msg(format!("{} cannot be read: {error}", directory.display()))
            })?;
        }
        files.sort();
        files.dedup_by(|second, first| second.0 == first.0);
        Ok(files)
    }

    /// Parses our templates first and then the files, so that a file can replace one of ours and
    /// extend another.
    fn parse(&self, files: &[(String, PathBuf)]) -> tera::Result<Tera> {
        let mut engines = Engines { tera: Tera::default() };
        engines.tera.register_function("asset", Asset(self.base.clone()));

        // The names of built-in templates have no suffix, so we list those that are escaped.
        let ours: Vec<(&str, &str)> =
            built_in().filter_map(|(file, content)| Some((name_of(file)?, content))).collect();
        engines.tera.autoescape_on(ours.iter().map(|(name, _)| *name).chain(ESCAPED).collect());
        engines.tera.add_raw_templates(ours)?;
        engines.tera.add_template_files(files.iter().map(|(name, file)| (file, Some(name))))?;

        if let Some(Customize(customize)) = &self.customize {
            customize(&mut engines);
        }
        if let Some(mails) = &self.mails {
            mails.replace(&engines.tera)?;
        }
        Ok(engines.tera)
    }
}

/// Adds the templates below `directory`. They are named as in `rocket_dyn_templates`: the path from
/// `root`, without `.tera` and the suffix before it.
fn list(root: &Path, directory: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "tera") {
            let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
            let name = name.with_extension("").to_string_lossy().replace('\\', "/");
            files.push((name, path));
        }
    }
    Ok(())
}

fn seen(files: &[(String, PathBuf)]) -> Vec<Seen> {
    let state = |(_, path): &(String, PathBuf)| {
        let metadata = fs::metadata(path).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        (path.clone(), modified, metadata.map_or(0, |metadata| metadata.len()))
    };
    files.iter().map(state).collect()
}

/// Returns Tera's error with its causes, because only the last one names the mistake.
fn with_causes(error: &tera::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    let files = BUILT_IN.files().chain(BUILT_IN.dirs().flat_map(Dir::files));
    files.filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
}

fn name_of(file: &str) -> Option<&str> {
    SUFFIXES.into_iter().find_map(|suffix| file.strip_suffix(suffix))
}

/// `{{ asset(name="style.css") }}` returns the address of a static file.
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

    /// The address consists of a path, the name of a file and a hash, which need no escaping.
    fn is_safe(&self) -> bool {
        true
    }
}
