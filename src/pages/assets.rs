//! The files of `static`, inside the binary.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use include_dir::{Dir, File, include_dir};
use rocket::http::{ContentType, Header};
use rocket::{Responder, get};
use sha2::{Digest, Sha256};

use crate::base::Base;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// The header for a file with its version in the address. The address changes with the content, so
/// browsers may keep it for a year.
const FOR_A_YEAR: &str = "public, max-age=31536000, immutable";

/// The header for a file without its version, which is how a browser asks for the icon.
const FOR_AN_HOUR: &str = "public, max-age=3600";

#[derive(Responder)]
pub struct Asset {
    content: (ContentType, &'static [u8]),
    cache: Header<'static>,
}

/// The rank of these routes: an application's own files come first.
#[get("/static/<name>?<v>", rank = 100)]
pub fn asset(name: &str, v: Option<&str>) -> Option<Asset> {
    find(name, if v.is_some() && v == version(name) { FOR_A_YEAR } else { FOR_AN_HOUR })
}

/// Browsers ask for this file, whatever the page says.
#[get("/favicon.ico", rank = 100)]
pub fn favicon() -> Option<Asset> {
    find("icon.svg", FOR_AN_HOUR)
}

/// Returns the address of the file `name`, with its version.
pub fn url(base: &Base, name: &str) -> Option<String> {
    version(name).map(|version| base.join(format_args!("/static/{name}?v={version}")))
}

fn find(name: &str, cache: &'static str) -> Option<Asset> {
    let file = FILES.get_file(name)?;
    let extension = Path::new(name).extension()?.to_str()?;
    Some(Asset {
        content: (ContentType::from_extension(extension)?, file.contents()),
        cache: Header::new("Cache-Control", cache),
    })
}

fn version(name: &str) -> Option<&'static str> {
    static VERSIONS: LazyLock<HashMap<&Path, String>> = LazyLock::new(|| {
        let version = |file: &File<'_>| {
            let digest = Sha256::digest(file.contents());
            digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
        };
        FILES.files().map(|file| (file.path(), version(file))).collect()
    });

    VERSIONS.get(Path::new(name)).map(String::as_str)
}
