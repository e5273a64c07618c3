//! Rules for all fields and all pages.

use std::fs;
use std::path::Path;

use crate::factors::{add_app, confirmed, half_way};
use crate::support::TestApp;

const ADA: &str = "ada@example.org";

/// The start tags of inputs in a page.
fn inputs(page: &str) -> impl Iterator<Item = &str> {
    page.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap())
}

/// The path of each form with fields, and for each field its id, type, `autocomplete` and
/// `enterkeyhint`. A readonly field is for password managers alone, and is not sent.
const FORMS: [(&str, &[&str]); 11] = [
    ("/register", &["email email username next", "password password new-password go"]),
    (
        "/login",
        &[
            "email email username webauthn next",
            "password password current-password go",
            "remember checkbox",
        ],
    ),
    ("/login/factor", &["account email username readonly", "code text one-time-code go"]),
    ("/account/app", &["code text one-time-code go"]),
    ("/reset", &["email email username send"]),
    ("/reset/", &["account email username readonly", "new_password password new-password go"]),
    ("/verify/", &["account email username readonly", "password password current-password go"]),
    (
        "/account/password",
        &[
            "account email username readonly",
            "current_password password current-password next",
            "new_password password new-password go",
        ],
    ),
    (
        "/account/email",
        &[
            "account email username readonly",
            "email email email next",
            "current_password password current-password send",
        ],
    ),
    (
        "/account/delete",
        &["account email username readonly", "current_password password current-password go"],
    ),
    (
        "/reauthenticate",
        &["account email username readonly", "password password current-password go"],
    ),
];

/// Returns the forms of a page or of a template: the path and the content of each.
fn forms(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("<form").skip(1).map(|rest| {
        let form = rest.split("</form>").next().unwrap();
        let path = form.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
        (path.strip_prefix("{{ base }}").unwrap_or(path), form)
    })
}

/// Returns what [`FORMS`] says about an input.
fn described(input: &str) -> String {
    let input = format!(" {input}");
    let value = |name: &str| {
        input.split(&format!(" {name}=\"")).nth(1).map(|rest| rest.split('"').next().unwrap())
    };
    let readonly = input.contains(" readonly");
    let id = value("id");
    // Password managers know a field again by its name, and scripts by its id.
    assert_eq!(value("name"), id.filter(|_| !readonly), "{input}");
    let kind = value("type");
    let is_typed = !readonly && kind != Some("checkbox");
    if is_typed {
        for off in ["autocapitalize=\"none\"", "autocorrect=\"off\"", "spellcheck=\"false\""] {
            assert!(input.contains(off), "{input}");
        }
    }
    let last = value("enterkeyhint").or(readonly.then_some("readonly"));
    let all = [id, kind, value("autocomplete"), last];
    all.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[rocket::async_test]
async fn every_form_suits_password_managers_and_phones() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let verify = app.link(ADA, "/verify/").await;
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let reset = app.link(ADA, "/reset/").await;

    let bob = confirmed(&app, "bob@example.org").await;
    add_app(&app, &bob).await;
    let half = half_way(&app, "bob@example.org").await;
    let carol = confirmed(&app, "carol@example.org").await;

    let visitor = app.visitor();
    for (path, expected) in FORMS {
        let page = match path {
            "/verify/" => visitor.get(&verify).await,
            "/reset/" => visitor.get(&reset).await,
            "/login/factor" => half.get(path).await,
            "/account/app" => carol.get(path).await,
            "/register" | "/login" | "/reset" => visitor.get(path).await,
            _ => ada.get(path).await,
        };
        let (_, form) = forms(&page.body).find(|(action, _)| action.starts_with(path)).unwrap();
        let fields = inputs(form).filter(|input| !input.contains("type=\"hidden\""));
        assert_eq!(fields.map(described).collect::<Vec<_>>(), expected, "{path}");
    }
}

#[test]
fn the_table_has_every_form_with_fields() {
    let mut count = 0;
    for (name, text) in templates() {
        for (path, form) in forms(&text) {
            let path = path.split("{{").next().unwrap();
            // What a person cannot fill in.
            let is_typed = inputs(form).any(|input| !input.contains("type=\"hidden\""));
            let has_fields = is_typed
                || form.contains("macros::field")
                || form.contains("macros::code")
                || form.contains("macros::new_password");
            // The boxes of the notices are checkboxes without anything to fill in, and no password
            // manager knows the name of a passkey.
            if has_fields && !["/account/notices", "/account/passkeys/"].contains(&path) {
                assert!(FORMS.iter().any(|(listed, _)| *listed == path), "{name}: {path}");
                count += 1;
            }
        }
        // No template writes such a field without the macro.
        let own = inputs(&text).find(|input| input.contains("type=\"password\""));
        assert_eq!(own, None, "{name}");
    }
    assert!(count >= FORMS.len(), "{count}");
}

/// Returns the path and the text of each page template.
fn templates() -> Vec<(String, String)> {
    let files = fs::read_dir("templates/rocket-login").unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    let read = |path: &Path| (path.display().to_string(), fs::read_to_string(path).unwrap());
    let templates: Vec<_> = files.map(|path| read(&path)).collect();
    assert!(templates.len() > 20);
    templates
}

#[test]
fn the_style_sheet_uses_only_logical_properties() {
    let style = fs::read_to_string("static/style.css").unwrap();
    let declarations: Vec<_> = style
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.trim().strip_suffix(';')?.split_once(": "))
        .collect();
    assert!(declarations.len() > 150, "{}", declarations.len());
    for (name, value) in declarations {
        let words: Vec<&str> = name.split('-').chain(value.split_whitespace()).collect();
        let sides = ["left", "right", "top", "bottom", "width", "height"];
        let is_of_a_line = name == "line-height";
        let physical = words.iter().find(|word| sides.contains(word));
        assert!(physical.is_none() || is_of_a_line, "{name}: {value}");
        // With four values, the second is the right side and the fourth is the left side.
        if ["margin", "padding", "inset", "border-width"].contains(&name) {
            let value = value.replace(", ", ",");
            let values: Vec<&str> = value.split_whitespace().collect();
            assert!(values.len() < 4 || values[1] == values[3], "{name}: {value}");
        }
    }
    for (path, text) in templates() {
        assert!(!text.contains("style=") && !text.contains(" align="), "{path}");
    }
}
