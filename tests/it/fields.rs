//! Rules for all fields and all pages.

use std::fs;
use std::path::Path;

use crate::support::TestApp;

const ADA: &str = "ada@example.org";

/// The start tags of inputs in a page.
fn inputs(page: &str) -> impl Iterator<Item = &str> {
    page.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap())
}

#[rocket::async_test]
async fn password_and_address_fields_switch_off_autocorrection() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let verify = app.link(ADA, "/verify/").await;
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let reset = app.link(ADA, "/reset/").await;

    let mut passwords = 0;
    let mut look = |page: &str, body: &str| {
        for input in inputs(body).filter(|input| !input.contains(" readonly")) {
            let is = |kind: &str| input.contains(&format!("type=\"{kind}\""));
            if is("password") || is("email") {
                for off in
                    ["autocapitalize=\"none\"", "autocorrect=\"off\"", "spellcheck=\"false\""]
                {
                    assert!(input.contains(off), "{page}: {input}");
                }
                passwords += usize::from(is("password"));
            }
        }
    };
    for page in ["/register", "/login", "/reset", &verify, &reset] {
        look(page, &app.visitor().get(page).await.body);
    }
    for page in ["/account/password", "/account/email", "/account/delete"] {
        look(page, &ada.get(page).await.body);
    }
    app.advance(11 * 60);
    look("/reauthenticate", &ada.get("/reauthenticate").await.body);
    // One each on register, log-in, verify and reset, two for a change of the password, and
    // one each on the three other pages.
    assert_eq!(passwords, 9);

    // No template writes such a field without the macro.
    for (path, text) in templates() {
        let own = inputs(&text).find(|input| input.contains("type=\"password\""));
        assert_eq!(own, None, "{path}");
    }
}

/// Returns the path and the text of each page template.
fn templates() -> Vec<(String, String)> {
    let files = fs::read_dir("templates").unwrap().map(|entry| entry.unwrap().path());
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
