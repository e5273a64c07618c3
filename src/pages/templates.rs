//! The engine that renders our templates, which are inside the binary, and those in their place.

use std::borrow::Cow;
use std::error::Error as _;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;
use std::{fmt, fs};

use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::figment::value::magic::RelativePathBuf;
use rocket::http::{ContentType, Status};
use rocket::response::{self, Responder, Response};
use rocket::{Ignite, Request, Rocket, Sentinel};
use rocket_dyn_templates::tera::{self, Context, Tera, Value};
use serde::Serialize;

use super::assets::Asset;
use super::content::{self, Shared};
use super::escape::escaped;
use super::prepared::Prepared;
use super::sources::{BUILT_IN, FOLDER, File, Files, Replacing};
use super::{Icon, Landing};
use crate::base::Base;
use crate::config::Config;
use crate::mail;
use crate::user::User;

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
/// # use std::collections::HashMap;
/// use rocket_dyn_templates::tera::{self, Value};
/// use rocket_login::Customize;
///
/// /// `{{ "hello" | shout }}` is `HELLO`.
/// fn shout(text: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
///     Ok(Value::from(text.as_str().unwrap_or_default().to_uppercase()))
/// }
///
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build()
///         .manage(Customize::new(|engines| engines.tera.register_filter("shout", shout)))
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
/// The engine of our own pages renders it, so it can use our templates, as in
/// `{% extends "rocket-login/base" %}`, and the filters of [`Customize`]. It gets the values that
/// [every page gets](crate::_documentation::templates), except those that `content` has itself.
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
///     Rendered::new("notes/list", context! { notes: ["Buy milk"] })
/// }
/// ```
pub struct Rendered {
    name: Cow<'static, str>,
    content: tera::Result<Value>,
    /// The user of a page of ours. The content has them only if the engine needs it.
    user: Option<Arc<User>>,
    /// `true` if the content is that of a page of ours.
    is_ours: bool,
}

impl Rendered {
    /// Creates a page from the template `name` with `content`, which must be a map.
    pub fn new(name: impl Into<Cow<'static, str>>, content: impl Serialize) -> Self {
        let content = tera::to_value(content).map_err(tera::Error::json);
        Rendered { name: name.into(), content, user: None, is_ours: false }
    }

    /// Creates the page of our template `name`, which stands without its folder, for `user`.
    pub(super) fn ours(name: &str, content: impl Serialize, user: Option<Arc<User>>) -> Self {
        let rendered = Rendered::new(format!("{FOLDER}/{name}"), content);
        Rendered { user, is_ours: true, ..rendered }
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
        let Rendered { name, content, user, is_ours } = self;
        let templates = request.rocket().state::<Templates>();
        let templates = templates.ok_or(Status::InternalServerError)?;
        match content.and_then(|content| templates.render(&name, content, user.as_deref(), is_ours))
        {
            Ok(html) => {
                let mut response = Response::new();
                response.set_header(ContentType::HTML);
                // The whole page is one piece, with room to see its end. Rocket would hand a page over
                // in pieces of 4 KiB, and the connection wait for each.
                response.set_max_chunk_size(html.len() + 1);
                response.set_sized_body(html.len(), Cursor::new(html));
                Ok(response)
            }
            Err(error) => {
                log::error!("the template {name:?} cannot be rendered: {}", in_one_line(&error));
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
    engine: RwLock<Engine>,
    source: Source,
    /// The shared values, for the engine.
    shared: Context,
    /// The state of the files when they were read.
    read: Mutex<Vec<Seen>>,
    /// Our templates alone, once they are needed.
    built_in: OnceLock<Tera>,
}

/// The engine, and our pages as they were prepared of its templates.
struct Engine {
    tera: Tera,
    prepared: Prepared,
}

/// The sources of the templates.
struct Source {
    base: Base,
    icon: Icon,
    /// What every template gets.
    shared: Shared,
    directory: Option<PathBuf>,
    customize: Option<Customize>,
    mails: Option<mail::Templates>,
}

/// A file, and the values that show whether it has changed.
type Seen = (PathBuf, Option<SystemTime>, u64);

/// Reads the templates from inside the binary, and those of `template_dir`.
///
/// It also passes the templates of mails to the writer of mails.
pub fn fairing(
    base: Base,
    landing: &Landing,
    icon: Icon,
    config: &Config,
    mails: Option<mail::Templates>,
) -> AdHoc {
    let (shared, debug) = (Shared::new(&base, landing, config, mails.is_some()), config.debug);
    AdHoc::try_on_ignite("Login Templates", move |rocket| async move {
        let customize = rocket.state::<Customize>().cloned();
        let source = |directory| Source { base, icon, shared, directory, customize, mails };
        let templates = directory(rocket.figment()).map(source).and_then(Templates::read);
        match templates {
            Ok(templates) if debug => Ok(rocket.manage(templates).attach(reload())),
            Ok(templates) => Ok(rocket.manage(templates)),
            Err(error) => {
                log::error!("{error}");
                Err(rocket)
            }
        }
    })
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
    fn read(source: Source) -> Result<Self, String> {
        let files = source.files()?;
        let shared = Context::from_serialize(&source.shared)
            .map_err(|error| format!("the shared values cannot be used: {error}"))?;
        let engine = RwLock::new(source.load(&files)?);
        let (read, built_in) = (Mutex::new(seen(&files)), OnceLock::new());
        Ok(Templates { engine, source, shared, read, built_in })
    }

    /// Renders the template `name`, as it was prepared if `is_ours`. If the application's template in
    /// place of one of ours fails in a branch that no sample has taken, ours is rendered, and the log
    /// says so.
    fn render(
        &self,
        name: &str,
        content: Value,
        user: Option<&User>,
        is_ours: bool,
    ) -> tera::Result<String> {
        let Engine { tera, prepared } =
            &*self.engine.read().unwrap_or_else(PoisonError::into_inner);
        if is_ours && let Some(page) = prepared.render(tera, name, &content, user) {
            return Ok(page);
        }
        let mut context = self.shared.clone();
        context.extend(Context::from_value(content)?);
        if let Some(user) = user {
            context.insert("user", user);
        }
        match tera.render(name, &context) {
            Err(error) if BUILT_IN.iter().any(|built_in| built_in.name == name) => {
                log::error!("{name} cannot be rendered, so ours is: {}", in_one_line(&error));
                let ours = self.built_in.get_or_init(|| self.source.built_in().unwrap_or_default());
                ours.render(name, &context)
            }
            rendered => rendered,
        }
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
            self.source.load(&files).map(Some)
        });
        match changed {
            Ok(None) => {}
            Ok(Some(engine)) => {
                *self.engine.write().unwrap_or_else(PoisonError::into_inner) = engine;
            }
            Err(error) => log::error!("{error}"),
        }
    }
}

impl Source {
    fn files(&self) -> Result<Files, String> {
        let Some(directory) = &self.directory else { return Ok(Files::default()) };
        Files::list(directory)
            .map_err(|error| format!("{} cannot be read: {error}", directory.display()))
    }

    /// Parses all templates. If anything is not ours, it renders each page and each mail, so that a
    /// mistake stops the start, and not a page later.
    ///
    /// # Errors
    ///
    /// Returns a line for the log that names the file and the mistake.
    fn load(&self, files: &Files) -> Result<Engine, String> {
        let replacing = files.replacing()?;
        let tera = self.parse(&files.own, &replacing).map_err(|error| {
            let all = files.own.iter().chain(replacing.iter().map(|replacing| &replacing.file));
            at_file(first_named(&error, all), &error)
        })?;
        let is_ours_alone = replacing.is_empty() && self.customize.is_none();
        if !is_ours_alone && let Err(failed) = self.try_pages(&tera) {
            return Err(self.blame(&failed, files, &replacing));
        }
        if let Some(mails) = &self.mails
            && let Err(error) = mails.replace(&tera)
        {
            let failed = Failed { name: String::new(), context: None, error };
            return Err(self.blame(&failed, files, &replacing));
        }
        let prepared = self.prepare(&tera);
        Ok(Engine { tera, prepared })
    }

    /// Prepares our pages, unless the application has added filters or functions, which may render
    /// something else each time.
    fn prepare(&self, tera: &Tera) -> Prepared {
        match (&self.customize, tera::to_value(&self.shared)) {
            (None, Ok(shared)) => Prepared::of(tera, our_pages(), &shared),
            _ => Prepared::default(),
        }
    }

    /// Parses our templates first and then the others, so that a file can replace one of ours and
    /// extend another.
    fn parse(&self, own: &[File], replacing: &[Replacing]) -> tera::Result<Tera> {
        let mut engines = Engines { tera: self.built_in()? };
        let tera = &mut engines.tera;
        tera.add_template_files(own.iter().map(|file| (&file.path, Some(&file.name))))?;
        tera.add_raw_templates(replacing.iter().map(|one| (&one.file.name, &one.text)))?;

        if let Some(Customize(customize)) = &self.customize {
            customize(&mut engines);
            // Our pages are escaped, even if the application has chosen its own suffixes.
            let mut escaped = engines.tera.autoescape_suffixes.clone();
            escaped.extend(our_names());
            engines.tera.autoescape_on(escaped);
        }
        Ok(engines.tera)
    }

    /// Parses our templates alone.
    fn built_in(&self) -> tera::Result<Tera> {
        built_in(&self.base, &self.icon)
    }

    /// Renders each page with each sample.
    fn try_pages(&self, tera: &Tera) -> Result<(), Box<Failed>> {
        for samples in content::samples() {
            let name = format!("{FOLDER}/{}", samples.template);
            let failed = |context, error| Box::new(Failed { name: name.clone(), context, error });
            for context in samples.contexts(&self.shared).map_err(|error| failed(None, error))? {
                if let Err(error) = tera.render(&name, &context) {
                    return Err(failed(Some(context), error));
                }
            }
        }
        Ok(())
    }

    /// Returns the line for the log: the file without which the page or the mails can be rendered,
    /// and the mistake.
    fn blame(&self, failed: &Failed, files: &Files, replacing: &[Replacing]) -> String {
        let is_cause = |index: &usize| {
            let mut others = replacing.to_vec();
            others.remove(*index);
            self.parse(&files.own, &others).is_ok_and(|tera| match &failed.context {
                Some(context) => tera.render(&failed.name, context).is_ok(),
                None => mail::with_samples(&tera).is_ok(),
            })
        };
        let cause = (0..replacing.len()).find(is_cause).map(|index| &replacing[index].file);
        let page = || replacing.iter().map(|one| &one.file).find(|file| file.name == failed.name);
        at_file(cause.or_else(page), &failed.error)
    }
}

/// A page, or the mails, that cannot be rendered.
struct Failed {
    name: String,
    /// `None` for mails.
    context: Option<Context>,
    error: tera::Error,
}

/// Parses our templates alone, for pages under `base`.
pub(super) fn built_in(base: &Base, icon: &Icon) -> tera::Result<Tera> {
    let mut tera = Tera::default();
    tera.register_function("asset", Asset { base: base.clone(), icon: icon.clone() });
    tera.set_escape_fn(escaped);
    // The names of built-in templates have no suffix, so we list those that are escaped.
    tera.autoescape_on(our_names().chain(ESCAPED).collect());
    let texts = BUILT_IN.iter().map(|built_in| (&built_in.name, built_in.text_for_engine()));
    tera.add_raw_templates(texts)?;
    Ok(tera)
}

fn our_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|built_in| built_in.name.as_str())
}

/// The names of our templates except those of mails.
fn our_pages() -> impl Iterator<Item = &'static str> {
    our_names().filter(|name| !name.starts_with("rocket-login/mail/"))
}

fn seen(files: &Files) -> Vec<Seen> {
    let state = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        (path.clone(), modified, metadata.map_or(0, |metadata| metadata.len()))
    };
    files.paths().map(state).collect()
}

/// Returns the file that `error` names first, by the template's name or by its path.
fn first_named<'f>(error: &tera::Error, files: impl Iterator<Item = &'f File>) -> Option<&'f File> {
    let text = error.to_string();
    let place = |file: &File| {
        let names = [format!("'{}'", file.name), format!("`{}`", file.name)];
        let names = names.into_iter().chain([format!("{:?}", file.path)]);
        names.filter_map(|name| text.find(&name)).min()
    };
    files
        .filter_map(|file| Some((place(file)?, file)))
        .min_by_key(|(at, _)| *at)
        .map(|(_, file)| file)
}

fn at_file(file: Option<&File>, error: &tera::Error) -> String {
    let mistake = in_one_line(error);
    match file {
        Some(file) => format!("{}: {mistake}", file.path.display()),
        None => format!("the templates cannot be used: {mistake}"),
    }
}

/// Returns Tera's error with its causes in one line, because only the last one names the mistake.
fn in_one_line(error: &tera::Error) -> String {
    let first = error.to_string();
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(flat(&error.to_string()));
        cause = error.source();
    }
    // That a file cannot be parsed is said by the place of the mistake.
    if texts.is_empty() || !first.starts_with("Failed to parse") {
        texts.insert(0, flat(&first));
    }
    texts.join(": ")
}

/// Returns `text` in one line. From the picture of a mistake in a template, it keeps the line's
/// number and the last words.
fn flat(text: &str) -> String {
    let is_of_picture = |line: &&str| {
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
        !line.is_empty() && !line.trim_start().starts_with('|')
    };
    let words = text.lines().map(str::trim).filter(is_of_picture);
    let words = words.map(|line| match line.strip_prefix("--> ") {
        Some(place) => format!("line {}", place.split(':').next().unwrap_or(place)),
        None => line.trim_start_matches("= ").to_owned(),
    });
    words.collect::<Vec<_>>().join(": ")
}
