//! The files of `static`, inside the binary.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use include_dir::{Dir, File, include_dir};
use rocket::http::{ContentType, Status};
use rocket::response::{self, Responder, Response};
use rocket::{Request, State, get};
use rocket_dyn_templates::tera::{self, Function, Value};
use sha2::{Digest, Sha256};

use super::Icon;
use crate::base::Base;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// Those of the files that are smaller with gzip, compressed by `build.rs`.
static COMPRESSED: Dir<'_> = include_dir!("$OUT_DIR/static");

/// Our files by their names. Each page asks for some, and a look into a `Dir` compares paths one
/// after the other.
static OURS: LazyLock<HashMap<&str, Ours>> = LazyLock::new(|| {
    let ours = |file: &'static File<'static>| {
        let content = file.contents();
        let compressed = COMPRESSED.get_file(file.path()).map(File::contents);
        Some((file.path().to_str()?, Ours { content, compressed, version: version(content) }))
    };
    FILES.files().filter_map(ours).collect()
});

/// A file of ours.
struct Ours {
    content: &'static [u8],
    /// The content with gzip, if that is smaller.
    compressed: Option<&'static [u8]>,
    version: String,
}

/// The header for a file with its version in the address. The address changes with the content, so
/// browsers may keep it for a year.
const FOR_A_YEAR: &str = "public, max-age=31536000, immutable";

/// The header for a file without its version, which is how a browser asks for the icon.
pub const FOR_AN_HOUR: &str = "public, max-age=3600";

/// The header for a file with another version in the address than it has. While one instance after
/// the other gets a new release, a page of the one may ask the other for its files. Browsers keep
/// the file, but ask again each time whether it is still right.
const WHILE_IT_IS_RIGHT: &str = "public, no-cache";

/// A file, as `200 OK`, or as `304 Not Modified` for a browser that has it already.
///
/// Only files are compressed, and never pages: how well a page with a secret in it can be compressed
/// tells the secret to somebody who can choose other parts of the page (BREACH).
pub struct Served<'f> {
    kind: ContentType,
    content: &'f [u8],
    /// The content with gzip.
    compressed: Option<&'f [u8]>,
    version: &'f str,
    cache: &'static str,
}

/// The rank of these routes: an application's own files come first.
#[get("/static/<name>?<v>", rank = 100)]
pub fn asset<'f>(name: &str, v: Option<&str>, icon: &'f State<Icon>) -> Option<Served<'f>> {
    let file = serve(name, icon, FOR_AN_HOUR)?;
    let cache = match v {
        None => FOR_AN_HOUR,
        Some(v) if v == file.version => FOR_A_YEAR,
        Some(_) => WHILE_IT_IS_RIGHT,
    };
    Some(Served { cache, ..file })
}

/// Browsers ask for this file, whatever the page says.
#[get("/favicon.ico", rank = 100)]
pub fn favicon(icon: &State<Icon>) -> Option<Served<'_>> {
    serve(icon.in_place_of("icon.svg"), icon, FOR_AN_HOUR)
}

/// Phones ask for this file, whatever the page says. They do not take an SVG.
#[get("/apple-touch-icon.png", rank = 100)]
pub fn touch_icon(icon: &State<Icon>) -> Option<Served<'_>> {
    let name = icon.in_place_of("touch-icon.png");
    serve(name, icon, FOR_AN_HOUR).filter(|file| file.kind == ContentType::PNG)
}

/// Returns the address of the file `name`, or of the site's own icon in its place, with its version.
pub fn url(base: &Base, icon: &Icon, name: &str) -> Option<String> {
    let name = icon.in_place_of(name);
    let (_, version) = find(name, icon)?;
    Some(base.join(format_args!("/static/{name}?v={version}")))
}

/// Returns the content of the file `name`, and its version.
fn find<'f>(name: &str, icon: &'f Icon) -> Option<(&'f [u8], &'f str)> {
    icon.find(name).or_else(|| OURS.get(name).map(|file| (file.content, &*file.version)))
}

fn serve<'f>(name: &str, icon: &'f Icon, cache: &'static str) -> Option<Served<'f>> {
    let (content, version) = find(name, icon)?;
    let compressed = OURS.get(name).and_then(|file| file.compressed);
    Some(Served { kind: content_type(name)?, content, compressed, version, cache })
}

impl<'r, 'f: 'r> Responder<'r, 'f> for Served<'f> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'f> {
        let Served { kind, content, compressed, version, cache } = self;
        let mut response = Response::new();
        response.set_raw_header("Cache-Control", cache);
        if compressed.is_some() {
            response.set_raw_header("Vary", "Accept-Encoding");
        }
        let compressed = compressed.filter(|_| accepts_gzip(request));
        let tag = match compressed {
            Some(_) => format!("\"{version}-gzip\""),
            None => format!("\"{version}\""),
        };
        let is_there = has(request, &tag);
        response.set_raw_header("ETag", tag);
        if is_there {
            response.set_status(Status::NotModified);
            return Ok(response);
        }

        response.set_header(kind);
        if compressed.is_some() {
            response.set_raw_header("Content-Encoding", "gzip");
        }
        let content = compressed.unwrap_or(content);
        response.set_sized_body(content.len(), Cursor::new(content));
        Ok(response)
    }
}

/// Returns the members of the lists in the headers `name`, without blanks.
fn members<'r>(request: &'r Request<'_>, name: &'r str) -> impl Iterator<Item = &'r str> {
    request.headers().get(name).flat_map(|list| list.split(',')).map(str::trim)
}

/// Returns whether the client takes gzip (RFC 9110, 12.5.3).
fn accepts_gzip(request: &Request<'_>) -> bool {
    members(request, "Accept-Encoding").any(|coding| {
        let (coding, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
        coding.trim().eq_ignore_ascii_case("gzip") && weight != Some(0.0)
    })
}

/// Returns whether the client has the content of the entity tag `tag` already (RFC 9110, 13.1.2).
fn has(request: &Request<'_>, tag: &str) -> bool {
    members(request, "If-None-Match")
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Returns the type of the file `name`.
pub fn content_type(name: &str) -> Option<ContentType> {
    ContentType::from_extension(Path::new(name).extension()?.to_str()?)
}

/// Returns the version of a file with this content.
pub fn version(content: &[u8]) -> String {
    Sha256::digest(content)[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `{{ asset(name="style.css") }}` returns the address of a static file.
pub struct Asset {
    pub base: Base,
    pub icon: Icon,
}

impl Function for Asset {
    fn call(&self, arguments: &HashMap<String, Value>) -> tera::Result<Value> {
        arguments
            .get("name")
            .and_then(Value::as_str)
            .and_then(|name| url(&self.base, &self.icon, name))
            .map(Value::String)
            .ok_or_else(|| tera::Error::msg("asset() needs the name of a file in static/"))
    }

    /// The address consists of a path, the name of a file and a hash, which need no escaping.
    fn is_safe(&self) -> bool {
        true
    }
}
