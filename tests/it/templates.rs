//! Templates of an application in place of ours, and beside ours.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, get, routes};
use rocket_dyn_templates::tera::{self, Value};
use rocket_dyn_templates::{Template, context};
use rocket_login::testing::{self, Browser};
use rocket_login::{Clock, Customize, Rendered};
use tempfile::TempDir;

use crate::support::{PASSWORD, START, figment};

const FIELDS: [(&str, &str); 2] = [("email", "ada@example.org"), ("password", PASSWORD)];

/// Makes a directory with these files.
fn files(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    files.iter().for_each(|(file, text)| write(directory.path(), file, text));
    directory
}

fn write(directory: &Path, file: &str, text: &str) {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// An application with the templates of `own`, before it is launched.
fn application(own: &Path, dir: &TempDir) -> Rocket<Build> {
    rocket::custom(figment(dir).merge(("template_dir", own))).manage(Clock::manual(START))
}

async fn launch(
    own: &TempDir,
    build: impl FnOnce(Rocket<Build>) -> Rocket<Build>,
) -> (Client, TempDir) {
    launch_with(own, |figment| figment, build).await
}

async fn launch_with(
    own: &TempDir,
    configure: impl FnOnce(Figment) -> Figment,
    build: impl FnOnce(Rocket<Build>) -> Rocket<Build>,
) -> (Client, TempDir) {
    let dir = TempDir::new().unwrap();
    let figment = configure(figment(&dir).merge(("template_dir", own.path())));
    let rocket = rocket::custom(figment).manage(Clock::manual(START));
    (Client::untracked(build(rocket)).await.expect("it starts"), dir)
}

fn stage(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.attach(rocket_login::stage())
}

fn shout(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    Ok(Value::from(value.as_str().unwrap_or_default().to_uppercase()))
}

#[rocket::async_test]
async fn a_template_of_our_name_outside_our_folder_is_the_applications_own() {
    #[get("/own")]
    fn page() -> Template {
        Template::render("login", context! {})
    }

    let own = files(&[
        ("base.html.tera", "<title>their base</title>{% block main %}{% endblock %}"),
        ("login.html.tera", "{% extends \"base\" %}{% block main %}their log-in{% endblock %}"),
        ("error.html.tera", "their error of {{ person }}"),
        ("macros.html.tera", "{% macro field() %}their macro{% endmacro %}"),
        ("account.html.tera", "their account of {{ person }}"),
        ("mail/reset.txt.tera", "their mail"),
    ]);
    let (client, _dir) =
        launch(&own, |rocket| stage(rocket).attach(Template::fairing()).mount("/", routes![page]))
            .await;
    let ada = Browser::new(&client);
    assert_eq!(ada.get("/own").await.body, "<title>their base</title>their log-in");
    ada.get("/login").await.assert_text("<h1>Log in</h1>").assert_no_text("their");
    ada.post("/register", &FIELDS).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("<h1>Your account</h1>").assert_no_text("their");
    ada.get("/nowhere").await.assert_status(404).assert_text("Page not found");
    ada.post("/reset", &[FIELDS[0]]).await.assert_status(200);
    assert!(testing::mails(&client).await.remove(0).subject.starts_with("Reset your password"));
}

/// Ways to write the log-in page: in blocks, as a whole page, and in a base of one's own.
const LOG_INS: [&str; 4] = [
    r#"{% block title %}Own{% endblock %}
       {% block content %}<h1>Our own log-in</h1><p>{{ email }}</p>
       {{ macros::field(name="email", label="Who", type="email", autocomplete="username", errors=errors) }}
       {% endblock %}"#,
    r#"{% extends "rocket-login/base" %}{% import "rocket-login/macros" as m %}
       {% block content %}<h1>Our own log-in</h1><p>{{ email }}</p>{{ m::alert(errors=errors) }}
       {% endblock %}"#,
    r#"<!doctype html><header><h1>Our own log-in</h1>{% block content %}<p>{{ email }}</p>{% endblock %}"#,
    r#"{% extends "layout" %}{% block inner %}<h1>Our own log-in</h1><p>{{ email }}</p>{% endblock %}"#,
];

#[rocket::async_test]
async fn a_file_in_our_folder_replaces_only_its_page() {
    for text in LOG_INS {
        let own = files(&[
            ("rocket-login/login.html.tera", text),
            ("layout.html.tera", "<header>theirs</header>{% block inner %}{% endblock %}"),
        ]);
        let (client, _dir) = launch(&own, stage).await;
        let visitor = Browser::new(&client);
        visitor.get("/login").await.assert_text("<h1>Our own log-in</h1>").assert_text("<header");
        let refused = visitor.post("/login", &[("email", "<b>"), ("password", "x")]).await;
        refused.assert_status(422).assert_text("<p>&lt;b&gt;</p>").assert_no_text("<b>");
        visitor.get("/register").await.assert_text("<h1>Sign up</h1>");
    }
}

#[rocket::async_test]
async fn a_page_of_the_application_may_extend_ours_and_gets_what_every_page_gets() {
    #[get("/page")]
    fn page() -> Rendered {
        Rendered::new("app/page", context! { text: "<b>bold</b>", message: "Saved." })
    }

    let text = r#"{% extends "rocket-login/base" %}{% block content %}{{ text }}
        {% if is_registration_open %}<a href="{{ base }}/register">join</a>{% endif %}{% endblock %}"#;
    let own = files(&[("app/page.html.tera", text)]);
    let (client, _dir) = launch(&own, |rocket| {
        rocket.attach(rocket_login::stage_at("/auth")).mount("/", routes![page])
    })
    .await;
    let page = Browser::new(&client).get("/page").await;
    page.assert_text("&lt;b&gt;bold&lt;/b&gt;").assert_text("style.css");
    page.assert_text("\"/auth/register\">join").assert_text("Saved.");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
}

/// Attaches the application's own engine before the stage, after it, or at ignition.
fn with_own_engine(rocket: Rocket<Build>, order: &str) -> Rocket<Build> {
    fn custom() -> impl rocket::fairing::Fairing {
        Template::custom(|engines| engines.tera.register_filter("shout", shout))
    }
    match order {
        "before" => stage(rocket.attach(custom())),
        "after" => stage(rocket).attach(custom()),
        "try, before" => {
            let custom = Template::try_custom(|engines| {
                engines.tera.register_filter("shout", shout);
                Ok(())
            });
            stage(rocket.attach(custom))
        }
        "at ignition, before" => stage(rocket.attach(at_ignition(custom()))),
        "at ignition, after" => stage(rocket).attach(at_ignition(custom())),
        order => panic!("{order}"),
    }
}

fn at_ignition(fairing: impl rocket::fairing::Fairing) -> AdHoc {
    AdHoc::on_ignite("Templates", |rocket| async { rocket.attach(fairing) })
}

#[rocket::async_test]
async fn an_engine_of_the_application_works_beside_ours_in_every_order() {
    #[get("/own")]
    fn page() -> Template {
        Template::render("app/page", context! { text: "<b>quiet</b>" })
    }

    // The application's engine reads all of these files.
    let own = files(&[
        (
            "app/page.html.tera",
            "{% extends \"layout\" %}{% block inner %}{{ text | shout }}{% endblock %}",
        ),
        ("layout.html.tera", "<header>theirs</header>{% block inner %}{% endblock %}"),
        ("rocket-login/login.html.tera", LOG_INS[0]),
        ("rocket-login/logout.html.tera", LOG_INS[3].replace("{{ email }}", "").as_str()),
        ("rocket-login/mail/reset.txt.tera", "Subject: Own\n\n{{ link }}"),
        ("rocket-login/parts/own.html.tera", "{{ nothing }}"),
    ]);
    let orders = ["before", "after", "try, before", "at ignition, before", "at ignition, after"];
    for order in orders {
        let build = |rocket| with_own_engine(rocket, order).mount("/", routes![page]);
        let (client, _dir) = launch(&own, build).await;
        let visitor = Browser::new(&client);
        let page = visitor.get("/own").await;
        assert_eq!(page.body, "<header>theirs</header>&lt;B&gt;QUIET&lt;&#x2F;B&gt;", "{order}");
        let log_in = visitor.get("/login").await;
        log_in.assert_text("Our own log-in").assert_text("class=\"brand\"");
        visitor.get("/logout").await.assert_text("<header>theirs</header>");
        visitor.get("/nowhere").await.assert_status(404).assert_text("Page not found");
    }
}

#[rocket::async_test]
async fn our_pages_stand_in_a_layout_of_the_application() {
    #[get("/own")]
    fn page() -> Template {
        Template::render("page", context! {})
    }

    let documentation = include_str!("../../docs/templates.md");
    let base = documentation.split("```html\n").nth(1).unwrap().split("```").next().unwrap();
    let own = files(&[
        (
            "layout.html.tera",
            "<title>{% block title %}{% endblock %}</title>{% block styles %}{% endblock %}\
             <nav>theirs</nav>{% block main %}{% endblock %}",
        ),
        ("page.html.tera", "{% extends \"layout\" %}{% block main %}their page{% endblock %}"),
        ("rocket-login/base.html.tera", base),
    ]);
    for order in ["before", "after"] {
        let build = |rocket| with_own_engine(rocket, order).mount("/", routes![page]);
        let (client, _dir) = launch(&own, build).await;
        let ada = Browser::new(&client);
        ada.get("/own").await.assert_text("<nav>theirs</nav>their page");
        let log_in = ada.get("/login").await;
        log_in.assert_text("<title>Log in</title>").assert_text("<nav>theirs</nav>");
        log_in.assert_text("<h1>Log in</h1>").assert_text("style.css").assert_no_text("<header");
        let account = ada.post("/register", &FIELDS).await;
        account.assert_redirect("/account");
        ada.get("/account").await.assert_text("<nav>theirs</nav>").assert_text("is ready");
        ada.get("/nowhere").await.assert_status(404).assert_text("<nav>theirs</nav>");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

#[rocket::async_test]
async fn a_copy_of_all_our_templates_works_beside_an_engine_of_the_application() {
    let own = TempDir::new().unwrap();
    copy(Path::new("templates"), own.path());
    let login = own.path().join("rocket-login/login.html.tera");
    let text = fs::read_to_string(&login).unwrap().replace("<h1>Log in</h1>", "<h1>Hello</h1>");
    fs::write(login, text).unwrap();
    let (client, _dir) = launch(&own, |rocket| with_own_engine(rocket, "before")).await;
    let visitor = Browser::new(&client);
    visitor.get("/login").await.assert_text("<h1>Hello</h1>").assert_text("class=\"brand\"");
    visitor.get("/register").await.assert_text("<h1>Sign up</h1>");
}

/// Returns the line with which the program refuses to start with these templates.
fn refusal(own: &[(&str, &str)]) -> String {
    let dir = TempDir::new().unwrap();
    own.iter().for_each(|(file, text)| write(&dir.path().join("templates"), file, text));
    let mut program = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    // It cannot listen there, so it ends even if it does not refuse the templates.
    let output = program.env("ROCKET_ADDRESS", "203.0.113.1").output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{own:?}: {output:?}");
    assert_eq!(said.lines().count(), 1, "{own:?}: {said}");
    said
}

#[test]
fn a_template_that_cannot_be_rendered_stops_the_start_with_its_file_and_the_reason() {
    let field = r#"{{ macros::field(name="email", label="Who", errors=errors) }}"#;
    for (file, text, reason) in [
        ("login.html.tera", "{% block content %}{{ emial }}{% endblock %}", "`emial` not found"),
        (
            "login.html.tera",
            "{% block content %}{% if user %}{{ usr }}{% endif %}{% endblock %}",
            "`usr`",
        ),
        (
            "login.html.tera",
            "{% block content %}{{ errors.form.x }}{% endblock %}",
            "`errors.form.x`",
        ),
        ("login.html.tera", "{{ email | shout }}", "Filter 'shout' not found"),
        ("login.html.tera", "{{ asset(name=\"nothing.css\") }}", "needs the name of a file"),
        ("login.html.tera", "a\n{% broken", "line 2: unexpected tag"),
        ("login.html.tera", "{% extends \"nothing\" %}", "'nothing', which doesn't exist"),
        (
            "login.html.tera",
            "{% import \"nothing\" as m %}{% block content %}{% endblock %}",
            "`nothing`",
        ),
        (
            "login.html.tera",
            &format!("{{% block content %}}{field}{{% endblock %}}"),
            "missing the argument",
        ),
        (
            "login.html.tera",
            "{% block content %}{{ macros::feld() }}{% endblock %}",
            "`macros::feld`",
        ),
        ("login.html.tera", "{% include \"nothing\" %}", "nothing"),
        ("macros.html.tera", "{% macro field() %}{% endmacro %}", "macros::"),
        ("base.html.tera", "{{ titel }}{% block content %}{% endblock %}", "`titel` not found"),
        ("base.html.tera", "{{ user.email }}{% block content %}{% endblock %}", "`user.email`"),
        ("error.html.tera", "{{ way.href }}", "`way.href`"),
        ("sessions.html.tera", "{% for s in page.sessions %}{{ s.name }}{% endfor %}", "`s.name`"),
        ("mail/reset.txt.tera", "Subject: Reset\n\n{{ lnik }}", "`lnik` not found"),
        ("mail/reset.txt.tera", "No subject", "does not begin with \"Subject: \""),
        ("mail/layout.html.tera", "{{ subjekt }}", "`subjekt` not found"),
        ("mail/layout.html.tera", "{% if", "line 1: "),
    ] {
        let said = refusal(&[(&format!("rocket-login/{file}"), text)]);
        let start = format!("Error: templates/rocket-login/{file}: ");
        assert!(said.starts_with(&start) && said.contains(reason), "{text}: {said}");
    }

    // Among good files, and a page of the application itself.
    let good = ("rocket-login/register.html.tera", "{{ email }}");
    let said = refusal(&[good, ("rocket-login/base.html.tera", "{{ oops }}")]);
    assert!(said.starts_with("Error: templates/rocket-login/base.html.tera: "), "{said}");
    for text in ["{% broken", "{% extends \"nothing\" %}"] {
        let said = refusal(&[good, ("page.html.tera", text)]);
        assert!(said.starts_with("Error: templates/page.html.tera: "), "{said}");
    }
}

#[test]
fn a_file_in_our_folder_that_replaces_nothing_stops_the_start() {
    for file in [
        "logn.html.tera",
        "login.tera",
        "login.html",
        "login.html.hbs",
        "login.txt.tera",
        "reset.txt.tera",
        "mail/rest.txt.tera",
        "mail/reset.html.tera",
        "mail/login.html.tera",
    ] {
        let said = refusal(&[(&format!("rocket-login/{file}"), "Subject: x")]);
        let start = format!("Error: templates/rocket-login/{file}: replaces no template");
        assert!(said.starts_with(&start), "{said}");
        assert!(
            said.contains("login.html.tera, ") && said.contains("mail/reset.txt.tera"),
            "{said}"
        );
    }
}

#[rocket::async_test]
async fn files_of_the_application_may_stand_beside_and_below_our_folder() {
    let own = files(&[
        ("rocket-login/parts/note.html.tera", "a note for {{ email }}"),
        ("rocket-login/parts/own.html.tera", "{% macro bold(text) %}<b>{{ text }}</b>{% endmacro %}"),
        ("rocket-login/login.html.tera", "{% import \"rocket-login/parts/own\" as own %}
            {% block content %}{{ own::bold(text=\"x\") }}{% include \"rocket-login/parts/note\" %}{% endblock %}"),
        ("rocket-login/README.md", "# Ours"),
        ("rocket-login/.login.html.tera.swp", "{% broken"),
        ("rocket-login/login.html.tera~", "{% broken"),
        ("logn.html.tera", "theirs"),
    ]);
    let (client, _dir) = launch(&own, |rocket| with_own_engine(rocket, "after")).await;
    let page = Browser::new(&client).post("/login", &[("email", "<i>"), ("password", "x")]).await;
    page.assert_text("<b>x</b>a note for &lt;i&gt;").assert_text("<header");
}

#[rocket::async_test]
async fn our_page_answers_if_another_one_in_its_place_fails_later() {
    let text = "{% block content %}own{% if email == \"ada@example.org\" %}{{ oops }}{% endif %}{% endblock %}";
    let own = files(&[("rocket-login/login.html.tera", text)]);
    for profile in ["debug", "release"] {
        let (client, _dir) = launch_with(&own, |f| f.select(profile), stage).await;
        let visitor = Browser::new(&client);
        visitor.get("/login").await.assert_status(200).assert_text("own");
        let refused = visitor.post("/login", &FIELDS).await;
        refused.assert_status(422).assert_text("<h1>Log in</h1>").assert_text("ada@example.org");
    }
}

#[rocket::async_test]
async fn an_application_can_add_its_own_filters_to_ours() {
    let own = files(&[("rocket-login/closed.html.tera", "{{ 'quiet' | shout }}")]);
    let closed = |figment: Figment| figment.merge(("accounts.registration", "closed"));
    let customize = Customize::new(|engines| engines.tera.register_filter("shout", shout));
    let builder =
        rocket_login::stage().templates(|engines| engines.tera.register_filter("shout", shout));
    for build in [
        Box::new(|rocket| stage(Rocket::manage(rocket, customize))) as Box<dyn FnOnce(_) -> _>,
        Box::new(|rocket| Rocket::attach(rocket, builder)),
    ] {
        let (client, _dir) = launch_with(&own, closed, build).await;
        Browser::new(&client).get("/register").await.assert_status(403).assert_text("QUIET");
    }
}

#[rocket::async_test]
async fn our_pages_stay_escaped_whatever_the_application_escapes() {
    let own = files(&[("rocket-login/reset.html.tera", "own {{ email }}")]);
    let customize = Customize::new(|engines| engines.tera.autoescape_on(vec![]));
    let (client, _dir) = launch(&own, |rocket| stage(rocket.manage(customize))).await;
    let visitor = Browser::new(&client);
    for path in ["/login", "/reset"] {
        let refused = visitor.post(path, &[("email", "<b>"), ("password", "x")]).await;
        refused.assert_status(422).assert_text("&lt;b&gt;").assert_no_text("<b>");
    }
}

#[rocket::async_test]
async fn a_filter_that_breaks_our_pages_stops_the_launch() {
    fn fail(_: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
        Err(tera::Error::msg("no dates here"))
    }

    let (own, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let customize = Customize::new(|engines| engines.tera.register_filter("date", fail));
    let rocket = stage(application(own.path(), &dir).manage(customize));
    let error = rocket.ignite().await.expect_err("the account page writes a date out");
    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error:?}");
}

#[rocket::async_test]
async fn an_edited_template_takes_effect_without_a_restart_in_debug_only() {
    for (profile, shows) in [("debug", true), ("release", false)] {
        let own = TempDir::new().unwrap();
        let write = |file: &str, text: &str| {
            write(own.path(), &format!("rocket-login/{file}"), text);
        };
        write("login.html.tera", "{% block content %}first{% endblock %}");
        let (client, _dir) = launch_with(&own, |f| f.select(profile), stage).await;
        let visitor = Browser::new(&client);
        visitor.get("/login").await.assert_text("first");
        write("login.html.tera", "{% block content %}second{% endblock %}");
        visitor.get("/login").await.assert_text(if shows { "second" } else { "first" });

        // A new template, a broken one, and a deleted one.
        write("logout.html.tera", "leave");
        let text = if shows { "leave" } else { "Log out" };
        visitor.get("/logout").await.assert_text(text);
        for broken in ["{% broken", "{{ unknown }}"] {
            write("login.html.tera", broken);
            visitor.get("/login").await.assert_text(if shows { "second" } else { "first" });
        }
        write("logn.html.tera", "mistyped");
        visitor.get("/logout").await.assert_text(text);
        fs::remove_file(own.path().join("rocket-login/logn.html.tera")).unwrap();
        write("login.html.tera", "repaired");
        visitor.get("/login").await.assert_text(if shows { "repaired" } else { "first" });
        fs::remove_file(own.path().join("rocket-login/login.html.tera")).unwrap();
        visitor.get("/login").await.assert_text(if shows { "<h1>Log in</h1>" } else { "first" });
    }
}

#[rocket::async_test]
async fn an_edited_mail_takes_effect_without_a_restart_in_debug() {
    let own = files(&[("rocket-login/mail/reset.txt.tera", "Subject: First\n\n{{ link }}")]);
    let file = own.path().join("rocket-login/mail/reset.txt.tera");
    let (client, _dir) = launch(&own, stage).await;
    let ada = Browser::new(&client);
    ada.post("/register", &FIELDS).await.assert_redirect("/account");
    ada.post("/reset", &[FIELDS[0]]).await.assert_status(200);
    assert_eq!(testing::mails(&client).await.remove(0).subject, "First");
    fs::write(&file, "Subject: Second one\n\n{{ link }}").unwrap();
    ada.get("/healthz").await.assert_status(200);
    assert_eq!(testing::mails(&client).await.remove(0).subject, "Second one");
}

#[rocket::async_test]
async fn a_page_that_cannot_be_rendered_becomes_an_error_page() {
    #[get("/missing")]
    fn missing() -> Rendered {
        Rendered::new("no/such/page", context! {})
    }

    #[get("/no-map")]
    fn no_map() -> Rendered {
        Rendered::new("rocket-login/login", "text")
    }

    let own = TempDir::new().unwrap();
    let (client, _dir) =
        launch(&own, |rocket| stage(rocket).mount("/", routes![missing, no_map])).await;
    for path in ["/missing", "/no-map"] {
        let answer = Browser::new(&client).get(path).await;
        answer.assert_status(500).assert_text("Something went wrong");
    }

    let dir = TempDir::new().unwrap();
    let rocket = rocket::custom(figment(&dir)).mount("/", routes![missing]);
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::SentinelAborts(_)), "{error:?}");
}

#[rocket::async_test]
async fn an_applications_own_mail_text_and_layout_replace_ours() {
    let words = "Subject: Hello from {{ site }}\n\nA & B\n\nGo on:\n{{ link }}\n";
    let look = "<h1>{{ subject }}</h1>{% for p in paragraphs %}<p>{{ p.lines | join(sep=' ') }}{% endfor %}";
    let own = files(&[
        ("rocket-login/mail/verify.txt.tera", words),
        ("rocket-login/mail/layout.html.tera", look),
    ]);
    let (client, _dir) = launch_with(
        &own,
        |figment| figment.merge(("site.url", "https://notes.example")),
        |rocket| rocket.attach(rocket_login::stage_at("/auth")),
    )
    .await;
    let ada = Browser::new(&client);
    ada.post("/auth/register", &FIELDS).await.assert_redirect("/auth/account");
    let mail = testing::mails(&client).await.remove(0);
    assert_eq!(mail.subject, "Hello from notes.example");
    assert!(
        mail.text.starts_with("A & B\n\nGo on:\nhttps://notes.example/auth/verify/"),
        "{}",
        mail.text
    );
    assert!(mail.html.contains("<p>A &amp; B"), "{}", mail.html);
    ada.post(&mail.link("/auth/verify/"), &[]).await.assert_redirect("/auth/account");

    // The other mails stay ours.
    ada.post("/auth/reset", &[("email", "ada@example.org")]).await.assert_status(200);
    let mail = testing::mails(&client).await.remove(0);
    assert_eq!(mail.subject, "Reset your password at notes.example");
}

#[rocket::async_test]
async fn the_built_in_templates_serve_with_an_empty_template_directory() {
    let own = TempDir::new().unwrap();
    let (client, _dir) = launch(&own, stage).await;
    Browser::new(&client).get("/login").await.assert_text("<h1>Log in</h1>");
}

#[rocket::async_test]
async fn a_missing_template_directory_stops_the_launch() {
    let dir = TempDir::new().unwrap();
    let rocket = stage(application(&dir.path().join("nowhere"), &dir));
    let error = rocket.ignite().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error:?}");
}
