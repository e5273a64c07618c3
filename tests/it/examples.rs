//! Runs the examples.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use sqlx::{Connection, Row};
use tempfile::TempDir;

use crate::database::command;
use crate::servers::Running;
use crate::servers::program::{Program, receive, session_cookie};

/// The example `name`, which `cargo test` has built beside this test.
fn example(name: &str, dir: &TempDir) -> Command {
    let tests = std::env::current_exe().unwrap();
    let target: PathBuf = tests.ancestors().nth(2).unwrap().into();
    let program = target.join("examples").join(name);
    assert!(program.is_file(), "{} is not built: cargo build --examples", program.display());
    command(program, dir)
}

#[test]
fn views_counts_each_visitors_views() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(example("views", &dir), &[]);
    let first = site.request("GET /views", None, "");
    assert!(first.starts_with("HTTP/1.1 200") && first.ends_with("views: 1"), "{first}");
    let cookie = session_cookie(&first);
    for count in 2..5 {
        let next = site.request("GET /views", Some(&cookie), "");
        assert!(next.ends_with(&format!("views: {count}")), "{next}");
    }
    site.request("POST /name", Some(&cookie), "Ada");
    let named = site.request("GET /views", Some(&cookie), "");
    assert!(named.ends_with("Ada: 5"), "{named}");
    let other = site.request("GET /views", None, "");
    assert!(other.ends_with("views: 1"), "{other}");
}

#[test]
fn views_counts_every_one_of_many_parallel_views() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(example("views", &dir), &[]);
    let cookie = session_cookie(&site.request("GET /views", None, ""));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let answer = site.request("GET /views", Some(&cookie), "");
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                }
            });
        }
    });
    let last = site.request("GET /views", Some(&cookie), "");
    assert!(last.ends_with(&format!("views: {}", 1 + 16 * 50 + 1)), "{last}");
}

#[test]
fn views_is_at_most_forty_lines() {
    assert!(include_str!("../../examples/views.rs").lines().count() <= 40);
}

#[test]
fn embed_keeps_each_persons_notes() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(example("embed", &dir), &[]);
    assert!(site.request("GET /", None, "").contains("Hello, nobody!"));
    let sent = site.request("GET /notes", None, "");
    assert!(sent.contains("location: /auth/login?next=%2Fnotes"), "{sent}");

    let fields = "password=correct+horse+battery&next=%2Fnotes&email=";
    let log_in = |email: &str| {
        let answer = site.request("POST /auth/register", None, &format!("{fields}{email}"));
        assert!(answer.contains("location: /notes"), "{answer}");
        session_cookie(&answer)
    };
    let (ada, bob) = (log_in("ada%40example.org"), log_in("bob%40example.org"));
    let added = site.request("POST /notes", Some(&ada), "text=%3Cb%3Ebuy+tea");
    assert!(added.starts_with("HTTP/1.1 303"), "{added}");
    let notes = site.request("GET /notes", Some(&ada), "");
    assert!(notes.contains("<li>&lt;b&gt;buy tea"), "{notes}");
    assert!(!site.request("GET /notes", Some(&bob), "").contains("buy tea"));
    assert!(site.request("POST /notes", Some(&ada), "text=").starts_with("HTTP/1.1 422"));
}

#[test]
fn invite_signs_up_whom_somebody_has_invited_with_a_name_and_a_workspace() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(example("invite", &dir), &[("ROCKET_INVITATION", "K7QX")]);
    let form = site.request("GET /register?invitation=K7QX", None, "");
    assert!(form.contains("value=\"K7QX\"") && form.contains("User name"), "{form}");

    let sign_up = |email: &str, more: &str| {
        let fields = format!("email={email}%40example.org&password=correct+horse+battery{more}");
        site.request("POST /register", None, &fields)
    };
    for (more, message) in [
        ("&name=ada&terms=on", "This invitation is not valid."),
        ("&invitation=K7QX&terms=on", "Choose a name of 3 to 20 letters and digits."),
        ("&invitation=K7QX&name=ada", "Accept the terms to sign up."),
    ] {
        let refused = sign_up("ada", more);
        assert!(refused.starts_with("HTTP/1.1 422") && refused.contains(message), "{refused}");
    }
    let all = "&invitation=K7QX&name=Ada&terms=on";
    let signed_up = sign_up("ada", all);
    assert!(signed_up.contains("location: /account"), "{signed_up}");
    let workspace = site.request("GET /", Some(&session_cookie(&signed_up)), "");
    assert!(workspace.ends_with("ada's workspace"), "{workspace}");
    assert!(sign_up("bob", all).contains("This invitation is not valid."));
    // A refused sign-up leaves no line in the log.
    let output = site.output();
    assert_eq!(output.matches("event=signed_up").count(), 1, "{output}");
    assert!(!output.contains("bob"), "{output}");
}

#[test]
fn invite_runs_its_hooks_for_a_command_too() {
    let dir = TempDir::new().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = example("invite", &dir);
        command.args(arguments).env("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}");
        let output = Running::output(command, "correct horse battery\n");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    command(&["migrate"]);
    command(&["user", "add", "ada@example.org"]);
    let site = Program::start(example("invite", &dir), &[]);
    let fields = "email=ada%40example.org&password=correct+horse+battery";
    let cookie = session_cookie(&site.request("POST /login", None, fields));
    let workspace = site.request("GET /", Some(&cookie), "");
    assert!(workspace.ends_with("user-1's workspace"), "{workspace}");
}

#[test]
fn invite_lets_the_first_of_two_confirmed_addresses_in_and_makes_nothing_for_the_second() {
    let dir = TempDir::new().unwrap();
    let variables =
        [("ROCKET_INVITATION", "K7QX"), ("ROCKET_ACCOUNTS", "{registration=\"confirm\"}")];
    let site = Program::start(example("invite", &dir), &variables);
    let links = ["ada", "bob"].map(|name| {
        let fields = format!(
            "email={name}%40example.org&password=correct+horse+battery&invitation=K7QX&terms=on\
             &name={name}"
        );
        let sent = site.request("POST /register", None, &fields);
        assert!(sent.contains("location: /register/sent"), "{sent}");
        let mails = site.request("GET /dev/mailbox", None, "");
        let link = mails.split("href=\"/verify/").nth(1).unwrap().split('"').next().unwrap();
        (format!("POST /verify/{link}"), fields)
    });

    let [(ada, fields), (bob, _)] = links;
    let password = "password=correct+horse+battery";
    let confirmed = site.request(&ada, None, password);
    assert!(confirmed.contains("location: /login"), "{confirmed}");
    let refused = site.request(&bob, None, password);
    assert!(refused.starts_with("HTTP/1.1 422"), "{refused}");
    assert!(refused.contains("This invitation is not valid."), "{refused}");

    let cookie = session_cookie(&site.request("POST /login", None, &fields));
    assert!(site.request("GET /", Some(&cookie), "").ends_with("ada's workspace"));
    let fields = fields.replace("ada%40", "bob%40");
    assert!(site.request("POST /login", None, &fields).starts_with("HTTP/1.1 422"));
}

/// Sends JSON as a script of `origin` does.
fn ask(site: &Program, head: &str, origin: &str, cookie: &str, json: &str) -> String {
    let mut stream = site.connect();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nCookie: {cookie}\r\n\
         Origin: {origin}\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{json}",
        site.port(),
        json.len()
    )
    .unwrap();
    receive(&mut stream)
}

#[test]
fn spa_signs_up_and_shows_the_account_on_its_own_origin_and_on_a_trusted_one() {
    let dir = TempDir::new().unwrap();
    let trusted = "http://127.0.0.1:1";
    let variable = ("ROCKET_SITE", &*format!("{{trusted_origins=[\"{trusted}\"]}}"));
    let site = Program::start(example("spa", &dir), &[variable]);
    assert!(site.request("GET /", None, "").contains("<script type=\"module\" src=\"app.js\">"));
    assert!(site.request("GET /site.js", None, "").ends_with("export const site = \"\";\n"));

    let own = format!("http://127.0.0.1:{}", site.port());
    for (number, origin) in [own.as_str(), trusted].into_iter().enumerate() {
        let fields =
            format!(r#"{{"email":"ada{number}@example.org","password":"correct horse battery"}}"#);
        let signed_up = ask(&site, "POST /auth/register", origin, "", &fields);
        assert!(signed_up.ends_with(r#"{"location":"/auth/account"}"#), "{signed_up}");
        let account = ask(&site, "GET /auth/account", origin, &session_cookie(&signed_up), "");
        assert!(account.contains(&format!(r#""email":"ada{number}@example.org""#)), "{account}");
        let may_read = format!("access-control-allow-origin: {origin}\r\n");
        assert_eq!(account.contains(&may_read), origin == trusted, "{account}");

        let nobody = ask(&site, "GET /auth/account", origin, "", "");
        assert!(nobody.starts_with("HTTP/1.1 401"), "{nobody}");
        assert_eq!(nobody.contains(&may_read), origin == trusted, "{nobody}");
        let preflight = ask(&site, "OPTIONS /auth/login", origin, "", "");
        assert_eq!(preflight.starts_with("HTTP/1.1 204"), origin == trusted, "{preflight}");
    }

    let refused = ask(&site, "POST /auth/logout", "http://127.0.0.1:2", "", "{}");
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(!refused.contains("access-control-allow-origin"), "{refused}");

    let mut front_end = example("spa", &dir);
    front_end.arg(&own);
    let front_end = Program::start(front_end, &[]);
    let page = front_end.request("GET /", None, "");
    assert!(page.contains(&format!("connect-src {own};")), "{page}");
    let module = front_end.request("GET /site.js", None, "");
    assert!(module.ends_with(&format!("export const site = \"{own}\";\n")), "{module}");
}

/// What the example `embed` prints if it cannot start: our line, and then Rocket's.
#[test]
fn embed_says_a_mistake_in_one_line_of_ours() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let unreachable = "{login={url=\"postgres://127.0.0.1:1/x\"}}";
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[("ROCKET_SITE", "{nmae=\"x\"}")], "site.nmae: is not a key"),
        (&[("ROCKET_MAIL", "{smtp_host=\"x\"}")], "mail.smtp_host: is not a key"),
        (&[("ROCKET_PROFILE", "release")], "secret_key: is missing"),
        (&[("ROCKET_DATABASES", unreachable)], "databases.login.url: "),
        (
            &[
                ("ROCKET_PROFILE", "release"),
                ("ROCKET_SECRET_KEY", key),
                ("ROCKET_DATABASES", unreachable),
            ],
            "databases.login.url: ",
        ),
    ];
    for (variables, line) in cases {
        let dir = TempDir::new().unwrap();
        let mut program = example("embed", &dir);
        program.env_remove("RUST_BACKTRACE").envs(variables.iter().copied());
        let done = Running::output(program, "");
        let said = String::from_utf8_lossy(&done.stdout);
        // The warnings of a release without mail come before a database is opened.
        let errors: Vec<_> = said.lines().filter(|line| !line.starts_with("Warning")).collect();
        let [ours, rocket, fairing] = *errors else { panic!("{said}") };
        assert!(ours.starts_with(&format!("Error: {line}")), "{said}");
        assert_eq!(rocket, "Error: Rocket failed to launch due to failing fairings:", "{said}");
        assert!(fairing.trim_start().starts_with(">> Login"), "{said}");
        // Rocket ends its `launch` with a panic, which says nothing.
        let rest = String::from_utf8_lossy(&done.stderr);
        assert_eq!(rest.matches("panicked").count(), 1, "{rest}");
        assert!(rest.contains("aborting due to fairing failure(s)"), "{rest}");
    }
}

/// Runs a command of the example `admin`, and returns its exit code, its standard output and its
/// standard error.
fn admin(dir: &TempDir, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = example("admin", dir);
    command.args(arguments).env("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}");
    let output = Running::output(command, input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn admin_has_our_commands_under_its_own_name() {
    let dir = TempDir::new().unwrap();
    let (code, _, said) = admin(&dir, &["user", "list"], "");
    assert_eq!(code, Some(1));
    assert!(said.contains("create a database with `admin migrate`"), "{said}");
    assert!(!dir.path().join("data").exists());
    let (code, said, _) = admin(&dir, &["migrate"], "");
    assert!(code == Some(0) && said.contains("is up to date"), "{said}");
    let (code, said, _) =
        admin(&dir, &["user", "add", "ada@example.org"], "correct horse battery\n");
    assert_eq!((code, said.as_str()), (Some(0), "Created ada@example.org\n"));
    let (_, listed, _) = admin(&dir, &["user", "list"], "");
    assert!(listed.contains("ada@example.org"), "{listed}");
    let (_, link, _) = admin(&dir, &["user", "reset", "ada@example.org"], "");
    assert!(link.starts_with("http://localhost:8000/auth/reset/"), "{link}");

    let (code, _, said) = admin(&dir, &["session", "revoke"], "");
    assert_eq!(code, Some(2));
    assert!(
        said.contains(
            "admin session revoke <EMAIL> [--session <HANDLE>]\n       \
             admin session revoke --all [--yes]"
        ),
        "{said}"
    );
    assert!(!said.contains("rocket-login"), "{said}");
    let (_, version, _) = admin(&dir, &["--version"], "");
    assert!(version.starts_with("admin (rocket-login "), "{version}");
    let (code, script, _) = admin(&dir, &["completions", "bash"], "");
    assert!(code == Some(0) && script.contains("complete -F _admin "), "{script}");
    assert_eq!(admin(&dir, &["man", "."], "").0, Some(0));
    let page = std::fs::read_to_string(dir.path().join("admin-user-add.1")).unwrap();
    for script in [script, page] {
        let ours = script.matches("rocket-login").count();
        assert_eq!(ours, 0, "{script}");
    }
    let (code, key, _) = admin(&dir, &["secret-key"], "");
    assert_eq!((code, key.trim().len()), (Some(0), 44));
}

/// Runs `statements` in the database of the example `admin`. It returns the first value of a query,
/// and 0 for other statements.
fn in_database(dir: &TempDir, statements: &'static str) -> i64 {
    let url = match crate::database::socket() {
        Some(_) => crate::database::url(dir),
        None => format!("sqlite:{}", dir.path().join("data/login.db").display()),
    };
    sqlx::any::install_default_drivers();
    rocket::execute(async {
        let mut db = sqlx::AnyConnection::connect(&url).await.unwrap();
        let row = sqlx::raw_sql(statements).fetch_optional(&mut db).await.unwrap();
        db.close().await.unwrap();
        row.map_or(0, |row| row.get(0))
    })
}

#[test]
fn commands_run_the_hooks_of_the_application() {
    let dir = TempDir::new().unwrap();
    admin(&dir, &["migrate"], "");
    admin(&dir, &["user", "add", "ada@example.org"], "correct horse battery\n");
    assert_eq!(in_database(&dir, "SELECT count(*) FROM members"), 1);
}

#[test]
fn commands_refuse_a_database_that_lacks_a_migration_of_the_application() {
    let dir = TempDir::new().unwrap();
    admin(&dir, &["migrate"], "");
    // As if the program that ran last had no migration of its own.
    in_database(&dir, "DROP TABLE members; DELETE FROM _sqlx_migrations WHERE version = 1");
    let lacks = "lacks 1 of the application's migrations; run `admin migrate`";
    for arguments in [&["user", "list"][..], &["user", "add", "ada@example.org"]] {
        let (code, out, said) = admin(&dir, arguments, "");
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(said.contains(lacks) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    let (code, problems, _) = admin(&dir, &["check", "--offline"], "");
    assert!(code == Some(1) && problems.contains(lacks), "{problems}");
    assert_eq!(in_database(&dir, "SELECT count(*) FROM users"), 0);

    assert_eq!(admin(&dir, &["migrate"], "").0, Some(0));
    assert_eq!(admin(&dir, &["user", "list"], "").0, Some(0));

    in_database(&dir, "UPDATE _sqlx_migrations SET version = 7 WHERE version = 1");
    let (code, _, said) = admin(&dir, &["user", "list"], "");
    assert!(
        code == Some(1) && said.contains("7 (members), which this program does not have"),
        "{said}"
    );
}

#[test]
fn admin_refuses_a_wrong_configuration_in_one_line() {
    let dir = TempDir::new().unwrap();
    for (variable, value, problem) in [
        ("ROCKET_MAIL", "{uri=\"smtp://x\"}", "mail.uri: is not a key"),
        ("ROCKET_PORT", "many", "port: "),
        ("ROCKET_SECRET_KEY", "short", "secret_key: "),
        ("ROCKET_CONFIG", "none.toml", "ROCKET_CONFIG: names "),
    ] {
        for arguments in [&["serve"][..], &["user", "list"]] {
            let mut command = example("admin", &dir);
            command.args(arguments).env(variable, value);
            let output = Running::output(command, "");
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.starts_with(&format!("Error: {problem}")), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}

#[test]
fn admins_pages_search_and_change_accounts_for_administrators_alone() {
    let dir = TempDir::new().unwrap();
    admin(&dir, &["migrate"], "");
    admin(&dir, &["user", "add", "ada@example.org"], "correct horse battery\n");
    admin(&dir, &["user", "grant", "ada@example.org", "admin"], "");
    let site = Program::start(
        example("admin", &dir),
        &[
            ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}"),
            ("ROCKET_THROTTLE", "{enabled=false}"),
        ],
    );
    let form = "password=correct+horse+battery&email=";
    let ada = format!("{form}ada%40example.org");
    let ada = session_cookie(&site.request("POST /auth/login", None, &ada));
    let register = |name: &str| {
        let form = format!("{form}{name}%40example.org");
        session_cookie(&site.request("POST /auth/register", None, &form))
    };
    let bob = register("bob");
    for number in 0..25 {
        register(&format!("user{number:02}"));
    }

    for (path, cookie, answer) in [
        ("GET /admin/users", None, "HTTP/1.1 303"),
        ("GET /admin/users", Some(&bob), "HTTP/1.1 403"),
        ("GET /admin/users/1", Some(&bob), "HTTP/1.1 403"),
        ("POST /admin/users/1/disable", Some(&bob), "HTTP/1.1 403"),
        ("GET /admin/users/999", Some(&ada), "HTTP/1.1 404"),
        ("POST /admin/users/1/disable", Some(&ada), "HTTP/1.1 422"),
    ] {
        let answered = site.request(path, cookie.map(String::as_str), "");
        assert!(answered.starts_with(answer), "{path}: {answered}");
    }
    let get = |path: &str| site.request(&format!("GET {path}"), Some(&ada), "");
    let first = get("/admin/users");
    assert_eq!(first.matches("<tr>").count(), 20, "{first}");
    let (_, next) = first.rsplit_once("<a href='").unwrap();
    let next = next.split('\'').next().unwrap().replace("&#x2F;", "/").replace("&amp;", "&");
    assert_eq!(get(&next).matches("<tr>").count(), 7, "{next}");
    let found = get("/admin/users?q=user1");
    assert!(found.matches("<tr>").count() == 10 && !found.contains("Next page"), "{found}");

    let (_, listed, _) = admin(&dir, &["user", "show", "bob@example.org", "--json"], "");
    let id = serde_json::from_str::<serde_json::Value>(&listed).unwrap()["id"].clone();
    let post = |act: &str| site.request(&format!("POST /admin/users/{id}/{act}"), Some(&ada), "");
    let is_logged_in = |cookie: &str| {
        site.request("GET /auth/account", Some(cookie), "").starts_with("HTTP/1.1 200")
    };
    assert!(is_logged_in(&bob));
    assert!(post("log-out").starts_with("HTTP/1.1 303"));
    assert!(!is_logged_in(&bob));
    assert!(post("disable").starts_with("HTTP/1.1 303"));
    assert!(get(&format!("/admin/users/{id}")).contains("Enable"));
    let refused = site.request("POST /auth/login", None, &format!("{form}bob%40example.org"));
    assert!(refused.starts_with("HTTP/1.1 422"), "{refused}");
    assert!(post("enable").starts_with("HTTP/1.1 303"));
    assert!(post("fly").starts_with("HTTP/1.1 404"));
    let again = site.request("POST /auth/login", None, &format!("{form}bob%40example.org"));
    assert!(again.starts_with("HTTP/1.1 303"), "{again}");
}
