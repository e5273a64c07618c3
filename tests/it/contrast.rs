//! The contrast of the colours in the style sheet: 7:1 for text and 3:1 for the edges of fields, in
//! light and in dark (WCAG 2.2, 1.4.6 and 1.4.11).

use std::collections::BTreeMap;
use std::fs;

/// The colours that text has on every page.
const TEXTS: [&str; 6] = ["text", "soft", "accent", "accent-strong", "good", "bad"];

/// What text without a background of its own stands on.
const GROUNDS: [&str; 2] = ["page", "card"];

/// Colours by their names, as red, green and blue.
type Scheme = BTreeMap<String, [f64; 3]>;

/// A rule of the style sheet.
struct Rule {
    /// The selector, after the conditions around it.
    selector: String,
    declarations: Vec<(String, String)>,
}

impl Rule {
    fn value(&self, name: &str) -> Option<&str> {
        let found = self.declarations.iter().rfind(|(declared, _)| declared == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The colour in the declaration `name`, if it has one of ours.
    fn colour(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.value(name)?.split_once("var(--")?;
        rest.split(')').next()
    }
}

fn rules() -> Vec<Rule> {
    let style = fs::read_to_string("static/style.css").unwrap();
    let without_comments: String = style
        .split("/*")
        .map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest))
        .collect();
    let (mut rules, mut open, mut rest) = (Vec::new(), Vec::new(), without_comments.as_str());
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = (rest[..at].trim(), &rest[at..]);
        if after.starts_with('{') {
            open.push(before.to_owned());
        } else {
            let declarations = before.split(';').filter_map(|one| one.split_once(':'));
            let declarations =
                declarations.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
            rules.push(Rule { selector: open.join(" "), declarations: declarations.collect() });
            open.pop();
        }
        rest = &after[1..];
    }
    rules
}

/// The colours in light and in dark.
fn schemes(rules: &[Rule]) -> [(&'static str, Scheme); 2] {
    let colours = |selector: &str| -> Scheme {
        let rule = rules.iter().find(|rule| rule.selector == selector).expect(selector);
        let colours = rule.declarations.iter().filter_map(|(name, value)| {
            let (name, digits) = (name.strip_prefix("--")?, value.strip_prefix('#')?);
            let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            Some((name.to_owned(), [0, 2, 4].map(|at| f64::from(part(at)) / 255.0)))
        });
        colours.collect()
    };
    let light = colours(":root");
    let dark = colours("@media screen and (prefers-color-scheme: dark) :root");
    assert!(light.len() > 10 && light.keys().eq(dark.keys()), "{light:?} {dark:?}");
    [("light", light), ("dark", dark)]
}

/// The contrast of two colours, by the definition of WCAG.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let luminance = |colour: [f64; 3]| {
        let [red, green, blue] = colour.map(|part| match part <= 0.04045 {
            true => part / 12.92,
            false => ((part + 0.055) / 1.055).powf(2.4),
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    };
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

/// The pairs of colours with a lower contrast than `least`.
fn too_low(pairs: &[(&str, &str)], least: f64) -> Vec<String> {
    let mut complaints = Vec::new();
    for (scheme, colours) in schemes(&rules()) {
        for (colour, ground) in pairs {
            let ratio = contrast(colours[*colour], colours[*ground]);
            if ratio < least {
                complaints.push(format!("{scheme}: {colour} on {ground}: {ratio:.2}"));
            }
        }
    }
    complaints
}

#[test]
fn all_text_has_a_contrast_of_seven_in_light_and_in_dark() {
    let rules = rules();
    let mut pairs: Vec<(&str, &str)> =
        TEXTS.into_iter().flat_map(|text| GROUNDS.map(|ground| (text, ground))).collect();
    for rule in &rules {
        match (rule.colour("color"), rule.colour("background")) {
            (Some(text), Some(ground)) => pairs.push((text, ground)),
            (Some(text), None) => pairs.extend(GROUNDS.map(|ground| (text, ground))),
            (None, Some(ground)) => pairs.push(("text", ground)),
            (None, None) => {}
        }
    }
    // A link may stand in a message.
    for ground in ["good-page", "bad-page"] {
        pairs.extend([("accent", ground), ("accent-strong", ground)]);
    }
    assert!(pairs.len() > 30, "{pairs:?}");
    assert_eq!(too_low(&pairs, 7.0), [""; 0]);
}

#[test]
fn the_edges_of_fields_have_a_contrast_of_three_in_light_and_in_dark() {
    let rules = rules();
    let edges = rules
        .iter()
        .filter(|rule| rule.selector.starts_with("input") && !rule.selector.contains("readonly"))
        .filter_map(|rule| rule.colour("border"))
        .chain(["edge"]);
    let pairs: Vec<_> = edges.flat_map(|edge| GROUNDS.map(|ground| (edge, ground))).collect();
    assert!(pairs.len() > 4, "{pairs:?}");
    assert_eq!(too_low(&pairs, 3.0), [""; 0]);
}

#[test]
fn every_colour_is_one_of_those_at_the_start() {
    for rule in rules().iter().filter(|rule| !rule.selector.ends_with(":root")) {
        for (name, value) in &rule.declarations {
            let is_of_its_own =
                value.contains('#') || value.contains("rgb") || value.contains("hsl");
            assert!(!is_of_its_own, "{}: {name}: {value}", rule.selector);
            if ["color", "background", "border-color", "accent-color"].contains(&name.as_str()) {
                let is_known = value.starts_with("var(--")
                    || ["transparent", "inherit", "none", "currentColor"].contains(&value.as_str());
                assert!(is_known, "{}: {name}: {value}", rule.selector);
            }
        }
    }
}

#[test]
fn the_contrast_is_that_of_wcag() {
    let grey = |part: u8| [f64::from(part) / 255.0; 3];
    assert!((contrast(grey(0), grey(255)) - 21.0).abs() < 0.001);
    // #767676 is the lightest grey that has 4.5:1 on white.
    assert!(contrast(grey(0x76), grey(255)) > 4.5 && contrast(grey(0x77), grey(255)) < 4.5);
}
