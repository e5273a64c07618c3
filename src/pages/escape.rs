//! Escapes values for HTML.

/// The characters that have a meaning in HTML, or in an attribute's value between quotes.
const SPECIAL: [char; 5] = ['&', '<', '>', '"', '\''];

/// Escapes `text` for HTML, and for an attribute's value between quotes.
///
/// Tera's own function also writes `/` as `&#x2F;`. No browser needs that, and programs that look
/// for links in pages and mails, such as mail gateways, do not find such a link or break it.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    push_escaped(&mut escaped, text);
    escaped
}

/// Adds `text` to `html`, [escaped](escaped()).
pub fn push_escaped(html: &mut String, mut text: &str) {
    while let Some(at) = text.find(SPECIAL) {
        let (plain, rest) = text.split_at(at);
        html.push_str(plain);
        html.push_str(match rest.as_bytes()[0] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#x27;",
        });
        text = &rest[1..];
    }
    html.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_character_is_escaped_and_nothing_else() {
        for (text, expected) in [
            ("", ""),
            ("/a b", "/a b"),
            ("<", "&lt;"),
            (
                "é<b title=\"x\">'&amp;'</b>é",
                "é&lt;b title=&quot;x&quot;&gt;&#x27;&amp;amp;&#x27;&lt;/b&gt;é",
            ),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
