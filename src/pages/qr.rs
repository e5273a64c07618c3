//! QR codes as inline SVG.
//!
//! The picture of a secret is part of its page. With a route of its own, it would be one more place
//! that is cached and logged. It has attributes alone, because the Content Security Policy refuses
//! `style`.

use qrcodegen::{QrCode, QrCodeEcc};

use super::escape::push_escaped;

/// The white border that scanners need, in modules (ISO/IEC 18004).
const QUIET_ZONE: i32 = 4;

/// The width of a module in CSS pixels. It is a whole number, so that all modules are equally wide.
const MODULE_PIXELS: i32 = 4;

/// Draws `text` as a QR code of level M or better. `label` is what a screen reader says. `None`
/// means that `text` is too long for a QR code.
///
/// It is black on white in dark mode as well: many scanners do not read an inverted code.
pub fn svg(text: &str, label: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * QUIET_ZONE;
    let pixels = size * MODULE_PIXELS;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {size} {size}\" width=\"{pixels}\" height=\"{pixels}\" role=\"img\" \
         shape-rendering=\"crispEdges\" aria-label=\""
    );
    push_escaped(&mut svg, label);
    svg.push_str(&format!(
        "\"><rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path fill=\"#000\" d=\""
    ));
    for y in 0..code.size() {
        push_row(&mut svg, &code, y);
    }
    svg.push_str("\"/></svg>");
    Some(svg)
}

/// Adds a row to a path: one outline that goes along the upper edge of the row, and around each run
/// of black modules on its way. What is between two runs has no area, so it is not filled. Of the
/// ways to write a code this is a short one: three tenths shorter than a rectangle for each run.
fn push_row(path: &mut String, code: &QrCode, y: i32) {
    path.push_str(&format!("M{QUIET_ZONE} {}", y + QUIET_ZONE));
    let mut x = 0;
    while x < code.size() {
        let is_black = code.get_module(x, y);
        let is_other = |at: &i32| code.get_module(*at, y) != is_black;
        let end = (x..code.size()).find(is_other).unwrap_or(code.size());
        let length = end - x;
        path.push_str(&match is_black {
            true => format!("v1h{length}v-1"),
            false => format!("h{length}"),
        });
        x = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URI: &str = "otpauth://totp/My%20Notes:ann.example%40example.org\
                       ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=My%20Notes";

    /// Returns the value of an attribute, which has to be there once.
    fn attribute<'a>(svg: &'a str, name: &str) -> &'a str {
        let parts: Vec<_> = svg.split(&format!(" {name}=\"")).collect();
        assert_eq!(parts.len(), 2, "{name} in {svg}");
        parts[1].split('"').next().unwrap()
    }

    /// Splits a path into its commands, each with its numbers.
    fn commands(path: &str) -> Vec<(&str, Vec<i32>)> {
        let starts = path.match_indices(char::is_alphabetic).map(|(start, _)| start);
        let bounds: Vec<_> = starts.chain([path.len()]).collect();
        let split = bounds.windows(2).map(|bounds| {
            let (command, numbers) = path[bounds[0]..bounds[1]].split_at(1);
            (command, numbers.split(' ').map(|number| number.parse().unwrap()).collect())
        });
        split.collect()
    }

    /// Draws the path: the rows of a picture, in which `true` is black.
    fn modules(svg: &str) -> Vec<Vec<bool>> {
        let view: Vec<usize> =
            attribute(svg, "viewBox").split(' ').map(|number| number.parse().unwrap()).collect();
        let [0, 0, width, height] = view[..] else { panic!("{view:?}") };
        let mut rows = vec![vec![false; width]; height];
        let (mut x, mut y, mut is_below) = (0, 0, false);
        for (command, numbers) in commands(attribute(svg, "d")) {
            match (command, &numbers[..]) {
                ("M", [left, top]) if !is_below => (x, y) = (*left as usize, *top as usize),
                ("v", [1]) if !is_below => is_below = true,
                ("v", [-1]) if is_below => is_below = false,
                ("h", [length]) => {
                    let end = x + *length as usize;
                    // Only what is above the lower edge of the row is enclosed.
                    rows[y][x..end].iter_mut().for_each(|module| *module |= is_below);
                    x = end;
                }
                _ => panic!("{command} {numbers:?}"),
            }
        }
        rows
    }

    /// Reads a QR code as a camera would, from a picture with `scale` pixels for each module.
    fn scanned(svg: &str, scale: usize) -> String {
        let rows = modules(svg);
        let side = rows.len() * scale;
        let mut picture =
            rqrr::PreparedImage::prepare_from_bitmap(side, side, |x, y| rows[y / scale][x / scale]);
        let grids = picture.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn the_picture_is_the_code_with_a_quiet_zone() {
        for text in ["", "1", URI, &URI.repeat(9)] {
            let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
            let rows = modules(&svg(text, "").unwrap());
            assert_eq!(rows.len() as i32, code.size() + 8);
            for (y, row) in (-4..).zip(&rows) {
                assert_eq!(row.len(), rows.len());
                for (x, module) in (-4..).zip(row) {
                    assert_eq!(*module, code.get_module(x, y), "{x}, {y}");
                }
            }
        }
    }

    #[test]
    fn a_scanner_reads_the_picture() {
        for text in ["1", "Grüße", URI, &URI.repeat(6)] {
            assert_eq!(scanned(&svg(text, "").unwrap(), 4), text);
        }
    }

    #[test]
    fn the_longest_uri_of_an_app_fits() {
        assert_eq!(scanned(&svg(&"%F0".repeat(280), "").unwrap(), 4), "%F0".repeat(280));
    }

    #[test]
    fn a_text_that_is_too_long_has_no_picture() {
        // Level M of the largest version holds this many bytes.
        assert!(svg(&"a".repeat(2_331), "").is_some());
        assert!(svg(&"a".repeat(2_332), "").is_none());
        assert!(svg(&"a".repeat(1_000_000), "").is_none());
    }

    #[test]
    fn the_correction_is_of_level_m_at_least() {
        let level = |text: &str| {
            let rows = modules(&svg(text, "").unwrap());
            let side = rows.len() * 4;
            let mut picture =
                rqrr::PreparedImage::prepare_from_bitmap(side, side, |x, y| rows[y / 4][x / 4]);
            picture.detect_grids()[0].decode().unwrap().0.ecc_level
        };
        // In the format's bits, M is 0, L is 1, H is 2 and Q is 3.
        for length in (1..200).step_by(7) {
            assert_ne!(level(&"a".repeat(length)), 1, "{length}");
        }
    }

    #[test]
    fn the_picture_passes_a_strict_policy() {
        let svg = svg(URI, "A code").unwrap();
        for refused in ["style", "<script", "href", "data:", " on", "url("] {
            assert!(!svg.contains(refused), "{refused}");
        }
        assert_eq!(svg.matches('<').count(), 4, "svg, rect and path");
    }

    #[test]
    fn the_picture_is_small() {
        let svg = svg(URI, "A code").unwrap();
        assert!(svg.len() < 5_500, "{}", svg.len());
    }

    #[test]
    fn the_picture_is_black_on_white_and_has_a_size() {
        let svg = svg(URI, "A code").unwrap();
        let side = modules(&svg).len();
        let rect =
            format!("<rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path fill=\"#000\"");
        assert!(svg.contains(&rect), "{svg}");
        let start = format!(
            "<svg viewBox=\"0 0 {side} {side}\" width=\"{0}\" height=\"{0}\" role=\"img\" \
             shape-rendering=\"crispEdges\" aria-label=\"A code\">",
            side * 4
        );
        assert!(svg.starts_with(&start), "{svg}");
    }

    #[test]
    fn a_label_stays_a_label() {
        let svg = svg("1", "\"><script>'&").unwrap();
        assert_eq!(attribute(&svg, "aria-label"), "&quot;&gt;&lt;script&gt;&#x27;&amp;");
        assert_eq!(svg.matches('<').count(), 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_text_can_be_scanned(text in "[!-~]{1,300}") {
            prop_assert_eq!(scanned(&svg(&text, "").unwrap(), 4), text);
        }
    }
}
