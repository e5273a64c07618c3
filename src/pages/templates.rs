//! The templates: built in, and replaced by files of the same name.

use std::collections::HashMap;
use std::path::Path;

use include_dir::{Dir, include_dir};
use rocket::fairing::AdHoc;
use rocket::figment::providers::Serialized;
use rocket_dyn_templates::Template;
use rocket_dyn_templates::tera::{self, Function, Tera, Value};

use super::assets;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// How our templates' files end.
const SUFFIX: &str = ".html.tera";

/// What `rocket_dyn_templates` escapes, kept for the application's templates.
const ESCAPED: [&str; 6] = [".html.tera", ".htm.tera", ".xml.tera", ".html", ".htm", ".xml"];

/// Renders pages from `template_dir`, and from inside the binary what is not
/// there.
pub fn fairing() -> AdHoc {
    AdHoc::on_ignite("Templates", |rocket| async {
        // `Template` stops the launch when its directory is missing. Where none
        // is configured or present, it gets a path that exists and holds no
        // templates: the program's own file.
        let figment = rocket.figment();
        let is_given = figment.contains("template_dir") || Path::new("templates").is_dir();
        let rocket = match std::env::current_exe() {
            Ok(program) if !is_given => {
                let figment = figment.clone().merge(Serialized::global("template_dir", program));
                rocket.configure(figment)
            }
            _ => rocket,
        };

        rocket.attach(Template::try_custom(|engines| Ok(add_built_in(&mut engines.tera)?)))
    })
}

fn add_built_in(tera: &mut Tera) -> tera::Result<()> {
    let present: Vec<String> = tera.get_template_names().map(str::to_owned).collect();
    let missing: Vec<(&str, &str)> =
        built_in().filter(|(name, _)| present.iter().all(|present| present != name)).collect();

    // Built-in names carry no suffix, so they are listed to be escaped.
    let escaped = missing.iter().map(|(name, _)| *name).chain(ESCAPED).collect();
    tera.autoescape_on(escaped);
    tera.add_raw_templates(missing)?;
    tera.register_function("asset", Asset);
    Ok(())
}

fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    BUILT_IN.files().filter_map(|file| {
        let name = file.path().to_str()?.strip_suffix(SUFFIX)?;
        Some((name, file.contents_utf8()?))
    })
}

/// `{{ asset(name="style.css") }}`: the address of a static file.
struct Asset;

impl Function for Asset {
    fn call(&self, arguments: &HashMap<String, Value>) -> tera::Result<Value> {
        arguments
            .get("name")
            .and_then(Value::as_str)
            .and_then(assets::url)
            .map(Value::String)
            .ok_or_else(|| tera::Error::msg("asset() needs the name of a file in static/"))
    }

    /// It is made of a file's name and a hash.
    fn is_safe(&self) -> bool {
        true
    }
}
