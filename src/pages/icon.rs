//! The site's icon: ours, or the file that `site.icon` names.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::assets;
use crate::config::Config;

/// The largest file, in bytes. Every visitor loads it.
const LARGEST: u64 = 256 * 1024;

/// Our files that the site's own icon takes the place of.
const REPLACED: [&str; 2] = ["icon.svg", "touch-icon.png"];

/// What a PNG begins with, as far as its width (PNG specification, sections 5.2 and 11.2.1).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// The site's icon, as managed state. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Icon(Option<Arc<Own>>);

/// An icon of the site's own.
#[derive(Debug)]
struct Own {
    /// The name of its file below `/static`.
    name: &'static str,
    content: Vec<u8>,
    version: String,
    size: Size,
}

/// The size of a picture, as a manifest states it: `any`, or as in `180x180`.
type Size = String;

impl Icon {
    /// Reads the file that `site.icon` names. Without that key the icon is ours.
    ///
    /// # Errors
    ///
    /// Returns a line for the log if the file cannot be read, is too large, or is neither an SVG nor
    /// a PNG.
    pub fn read(config: &Config) -> Result<Self, String> {
        let Some(path) = &config.site.icon else { return Ok(Icon::default()) };
        let refuse = |problem: String| format!("site.icon: {} {problem}", path.display());
        let content = content(path).map_err(|error| {
            refuse(format!("cannot be read: {error}; write the path of a file"))
        })?;
        if content.len() as u64 > LARGEST {
            return Err(refuse("is too large; write the path of a file of at most 256 KiB".into()));
        }

        let Some((name, size)) = kind(&content) else {
            let problem = "is neither an SVG nor a PNG; write the path of such a file";
            return Err(refuse(problem.into()));
        };
        let version = assets::version(&content);
        Ok(Icon(Some(Arc::new(Own { name, content, version, size }))))
    }

    /// Returns the name of the file to use in the place of our file `name`.
    pub fn in_place_of<'n>(&self, name: &'n str) -> &'n str {
        match &self.0 {
            Some(own) if REPLACED.contains(&name) => own.name,
            _ => name,
        }
    }

    /// Returns the content and the version of the site's own icon, if that is the file `name`.
    pub fn find(&self, name: &str) -> Option<(&[u8], &str)> {
        let own = self.0.as_ref().filter(|own| own.name == name)?;
        Some((&own.content, &own.version))
    }

    /// Returns the name and the size of each picture of the icon.
    pub fn pictures(&self) -> Vec<(&str, &str)> {
        match &self.0 {
            Some(own) => vec![(own.name, &own.size)],
            None => vec![("icon.svg", "any"), ("touch-icon.png", "180x180")],
        }
    }
}

/// Reads the file at `path`, but not much more of it than an icon may have.
fn content(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    Ok(content)
}

/// Returns the name under which an icon is served, and its size. `None` means that it is neither an
/// SVG nor a PNG.
fn kind(content: &[u8]) -> Option<(&'static str, Size)> {
    if let Some(rest) = content.strip_prefix(PNG) {
        let (width, rest) = rest.split_first_chunk()?;
        let (height, _) = rest.split_first_chunk()?;
        let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
        return Some(("own-icon.png", format!("{width}x{height}")));
    }

    let is_svg = std::str::from_utf8(content).is_ok_and(|text| text.contains("<svg"));
    is_svg.then(|| ("own-icon.svg", "any".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_content() {
        let png = include_bytes!("../../static/touch-icon.png");
        assert_eq!(kind(png), Some(("own-icon.png", "180x180".into())));
        assert_eq!(kind(&png[..20]), None);
        let svg = b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        assert_eq!(kind(svg), Some(("own-icon.svg", "any".into())));
        for other in [&b""[..], b"GIF89a", b"\xff\xd8\xff", b"<html>", b"\xff<svg"] {
            assert_eq!(kind(other), None, "{other:?}");
        }
    }
}
