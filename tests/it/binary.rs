//! The program itself, in an empty folder.

use std::io::Write;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::servers::program::{Program, receive, send, session_cookie};
use crate::servers::{find, has};

/// The program as a newcomer starts it: only the port is configured.
fn program(dir: &TempDir) -> Command {
    crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), dir)
}

fn run(dir: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = program(dir);
    command.args(arguments).envs(variables.iter().copied()).output().expect("it runs")
}

#[track_caller]
fn assert_refused(output: &Output, start: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with(&format!("Error: {start}")), "{error}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

const REGISTER: &str = "email=ada%40example.org&password=correct+horse+battery";

/// The key that the checkout's `Rocket.toml` gives the debug profile.
const KEY: (&str, &str) = ("ROCKET_SECRET_KEY", "bm90IGEgc2VjcmV0OiB0aGUgZGVidWcga2V5IQAAAAA=");

#[cfg(unix)]
#[test]
fn it_starts_in_an_empty_folder_and_users_stay_logged_in_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut site = Program::start(program(&dir), &[KEY]);
    let registered = site.request("POST /register", None, REGISTER);
    assert!(registered.starts_with("HTTP/1.1 303"), "{registered}");
    assert!(dir.path().join("data/login.db").is_file());

    let cookie = session_cookie(&registered);
    let (code, _) = site.terminate();
    assert_eq!(code, Some(0));
    // The database is closed cleanly, so nothing is left outside the file.
    assert!(!dir.path().join("data/login.db-wal").exists());

    let site = Program::start(program(&dir), &[KEY]);
    let account = site.request("GET /account", Some(&cookie), "");
    assert!(account.contains("ada@example.org"), "{account}");
    assert!(!account.to_lowercase().contains("server:"), "{account}");
}

#[rocket::async_test]
async fn sqlite_counts_no_memory_and_its_connections_share_no_page_cache() {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let options: Vec<String> =
        sqlx::query_scalar("PRAGMA compile_options").fetch_all(&mut db).await.unwrap();
    let has = |option: &str| options.iter().any(|one| one == option);
    let fix =
        "run cargo in the checkout, and do not set LIBSQLITE3_FLAGS (.cargo/config.toml does)";
    assert!(has("DEFAULT_MEMSTATUS=0"), "{fix}: {options:?}");
    assert!(!has("ENABLE_MEMORY_MANAGEMENT"), "{fix}: {options:?}");
}

#[cfg(unix)]
#[test]
fn it_needs_no_temporary_folder() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("templates/rocket-login");
    std::fs::create_dir_all(&folder).unwrap();
    let own = "{% block content %}our own log-in{% endblock %}";
    std::fs::write(folder.join("login.html.tera"), own).unwrap();
    // Not even root can write there.
    let site = Program::start(program(&dir), &[KEY, ("TMPDIR", "/proc/nowhere")]);
    let login = site.request("GET /login", None, "");
    assert!(login.contains("our own log-in") && login.contains("<header"), "{login}");
    assert!(site.request("POST /register", None, REGISTER).starts_with("HTTP/1.1 303"));
}

#[cfg(unix)]
#[test]
fn a_program_that_closes_the_file_loses_no_data_of_a_running_site() {
    if crate::database::socket().is_some() || !has(find("sqlite3").is_some(), "sqlite3") {
        return;
    }

    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY]);
    // The readiness check opens the file by itself and must not release SQLite's locks
    // with that. Otherwise the next program that closes the file believes that it is the
    // last one, and deletes the log.
    assert!(site.request("GET /readyz", None, "").starts_with("HTTP/1.1 200"));
    let mut other = Command::new("sqlite3");
    let path = dir.path().join("data/login.db");
    assert!(other.arg(path).arg("SELECT * FROM users").status().unwrap().success());
    let registered = site.request("POST /register", None, REGISTER);
    assert!(registered.starts_with("HTTP/1.1 303"), "{registered}");
    let cookie = session_cookie(&registered);
    drop(site); // killed

    let site = Program::start(program(&dir), &[KEY]);
    let account = site.request("GET /account", Some(&cookie), "");
    assert!(account.contains("ada@example.org"), "{account}");
}

#[cfg(unix)]
#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    // Slow enough to be in flight when the signal comes.
    let slow = ("ROCKET_PASSWORD", "{memory_kib=131072,iterations=4,concurrent_hashes=1}");
    // On a busy machine, the hash takes longer than the two seconds that Rocket gives by default.
    let patient = ("ROCKET_SHUTDOWN", "{grace=8}");
    let dir = TempDir::new().unwrap();
    let mut site = Program::start(program(&dir), &[KEY, slow, patient]);
    let mut stream = site.connect();
    send(&mut stream, "POST /register", None, REGISTER);
    // The site answers other requests in the meantime, so the form has reached the hashing.
    for _ in 0..20 {
        assert!(site.request("GET /healthz", None, "").contains("ok"));
    }

    let answer = std::thread::spawn(move || receive(&mut stream));
    let (code, took) = site.terminate();
    let answer = answer.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_wrong_configuration_stops_the_start_with_one_line() {
    let dir = TempDir::new().unwrap();
    for (variables, start) in [
        (("ROCKET_SESSION", "{idle_timout=5}"), "session.idle_timout: is not a key"),
        (("ROCKET_SESION", "{idle_timeout=5}"), "sesion: is not a key; did you mean session?"),
        (("ROCKET_PROT", "9000"), "prot: is not a key; did you mean port?"),
        (("ROCKET_NONSENSE", "1"), "nonsense: is not a key; the keys here are profile, "),
        (
            ("ROCKET_SITE_URL", "https://example.org"),
            "site_url: is not a key; write ROCKET_SITE='{url=\"https://example.org\"}'",
        ),
        (
            ("ROCKET_ACCOUNTS_REGISTRATION", "closed"),
            "accounts_registration: is not a key; write \
             ROCKET_ACCOUNTS='{registration=\"closed\"}'",
        ),
        (
            ("ROCKET_LOGIN_MAIL_URL", "smtps://u:hunter2@h"),
            "login_mail_url: is not a key; write ROCKET_LOGIN='{mail={url=…}}'",
        ),
        (
            ("ROCKET_ACCOUNTS", "closed"),
            "accounts: is a text; write a table, as in ROCKET_ACCOUNTS='{registration=\"closed\"}'",
        ),
        (("ROCKET_PASSWORD", "{min_length=4}"), "password.min_length: is 4"),
        (
            ("ROCKET_DATABASES", "{login={url=\"mysql://x\"}}"),
            "databases.login.url: has the unknown scheme",
        ),
        (("ROCKET_PROFILE", "release"), "secret_key: is missing; set ROCKET_SECRET_KEY"),
        (("ROCKET_PORT", "many"), "port: "),
        (
            ("ROCKET_TLS", "{certs=\"c\",key=\"k\"}"),
            "tls: is not supported; serve https at the proxy",
        ),
        (("ROCKET_DATABASES", "{lgoin={url=\"sqlite:x\"}}"), "databases.lgoin: is not a key"),
        (("ROCKET_SECRET_KEY", "12345"), "secret_key: expected a key"),
    ] {
        assert_refused(&run(&dir, &[], &[variables]), start);
        assert_refused(&run(&dir, &["serve"], &[variables]), start);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_taken_port_is_named() {
    let dir = TempDir::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let output = run(&dir, &[], &[("ROCKET_PORT", &taken.port().to_string())]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("Error: cannot listen on {taken}: ")), "{error}");
    assert!(
        error.contains("another program uses this port: stop it, or set ROCKET_PORT"),
        "{error}"
    );
}

/// Every command except `secret-key`, which reads no configuration.
const COMMANDS: [&[&str]; 8] = [
    &[],
    &["serve"],
    &["migrate"],
    &["check", "--offline"],
    &["copy", "--from", "sqlite:a.db", "--to", "sqlite:b.db"],
    &["user", "list"],
    &["user", "disable", "ada@example.org"],
    &["session", "revoke", "--all"],
];

#[test]
fn a_missing_file_in_rocket_config_stops_every_command() {
    let dir = TempDir::new().unwrap();
    let whole = dir.path().canonicalize().unwrap().join("nowhere.toml");
    for arguments in COMMANDS {
        for name in ["nowhere.toml", whole.to_str().unwrap()] {
            let output = run(&dir, arguments, &[("ROCKET_CONFIG", name)]);
            assert_refused(&output, &format!("ROCKET_CONFIG: names {}, which", whole.display()));
        }
        assert_refused(&run(&dir, arguments, &[("ROCKET_CONFIG", "")]), "ROCKET_CONFIG: names ");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // A key is needed before the file is written.
    let key = run(&dir, &["secret-key"], &[("ROCKET_CONFIG", "nowhere.toml")]);
    assert_eq!(key.status.code(), Some(0), "{key:?}");

    // Like Rocket, the program also looks in the folders above.
    std::fs::write(dir.path().join("site.toml"), "").unwrap();
    let below = dir.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let mut migrate = program(&dir);
    let migrate = migrate.current_dir(&below).arg("migrate").env("ROCKET_CONFIG", "site.toml");
    assert!(migrate.status().unwrap().success());
}

#[test]
fn a_configuration_that_cannot_be_read_is_reported_with_file_and_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().canonicalize().unwrap().join("Rocket.toml");
    let path = path.display();
    for (text, problem) in [
        ("[default]\nport = 80 00\n", "line 2, column 11: expected newline"),
        ("[default]\n\nident = rocket\n", "line 3, column 9: "),
        ("[default\nport = 8000\n", "line 1, column 9: "),
        ("[default]\nport = 1\nport = 2\n", "line 3, column 1: duplicate key `port`"),
        ("port = 8000\n", "line 1, column 8: stands outside a profile"),
    ] {
        std::fs::write(dir.path().join("Rocket.toml"), text).unwrap();
        for arguments in COMMANDS {
            assert_refused(&run(&dir, arguments, &[]), &format!("{path}: {problem}"));
        }
    }

    std::fs::write(dir.path().join("Rocket.toml"), b"[default]\nident = \"\xff\"\n").unwrap();
    assert_refused(&run(&dir, &["migrate"], &[]), &format!("{path}: cannot be read: "));
    std::fs::remove_file(dir.path().join("Rocket.toml")).unwrap();
    std::fs::create_dir(dir.path().join("Rocket.toml")).unwrap();
    assert_refused(&run(&dir, &["migrate"], &[]), &format!("{path}: is not a file"));
    std::fs::remove_dir(dir.path().join("Rocket.toml")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", dir.path().join("Rocket.toml")).unwrap();
        assert_refused(&run(&dir, &["migrate"], &[]), &format!("{path}: cannot be read: "));
    }
}

#[cfg(unix)]
#[test]
fn a_configuration_without_read_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;

    use crate::servers::{folder, unprivileged};

    let dir = folder();
    let path = dir.path().canonicalize().unwrap().join("Rocket.toml");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // The program must be in a folder from which everybody may run it.
    let copied = dir.path().join("rocket-login");
    crate::servers::program::copy(env!("CARGO_BIN_EXE_rocket-login"), &copied);
    let command = crate::servers::program::command(&copied, &dir);
    let output = unprivileged(command).arg("migrate").output().unwrap();
    assert_refused(&output, &format!("{}: cannot be read: Permission denied", path.display()));
}

#[test]
fn rockets_own_keys_are_checked_before_rocket_reads_them() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().canonicalize().unwrap().join("Rocket.toml");
    for (variable, value, start) in [
        ("ROCKET_ADDRESS", "everywhere", "address: "),
        (
            "ROCKET_PORT",
            "many",
            "port: is \"many\"; write a number from 0 to 65535 (from ROCKET_PORT)",
        ),
        ("ROCKET_PORT", "65536", "port: is 65536; write a number from 0 to 65535"),
        ("ROCKET_WORKERS", "abc", "workers: is \"abc\"; write a number"),
        ("ROCKET_WORKERS", "0", "workers: is 0; write a number from 1 to"),
        ("ROCKET_WORKERS", "100000", "workers: is 100000; write a number from 1 to"),
        ("ROCKET_WORKERS", "-1", "workers: "),
        ("ROCKET_MAX_BLOCKING", "0", "max_blocking: is 0; write a number from 1 to"),
        ("ROCKET_MAX_BLOCKING", "[]", "max_blocking: is a list; write a number"),
        ("ROCKET_KEEP_ALIVE", "long", "keep_alive: "),
        ("ROCKET_IDENT", "[1]", "ident: "),
        ("ROCKET_IP_HEADER", "[1]", "ip_header: "),
        ("ROCKET_LIMITS", "many", "limits: "),
        ("ROCKET_LIMITS", "{form=\"x\"}", "limits"),
        ("ROCKET_TEMP_DIR", "[1]", "temp_dir: "),
        ("ROCKET_LOG_LEVEL", "loud", "log_level: "),
        ("ROCKET_CLI_COLORS", "[1]", "cli_colors: "),
        ("ROCKET_SHUTDOWN", "{force=\"x\"}", "shutdown.force: is \"x\"; write true or false"),
        ("ROCKET_SHUTDOWN", "{grace=\"x\"}", "shutdown.grace: "),
        ("ROCKET_SHUTDOWN", "{signals=[\"fire\"]}", "shutdown.signals"),
        ("ROCKET_SHUTDOWN", "now", "shutdown: "),
    ] {
        for arguments in COMMANDS {
            assert_refused(&run(&dir, arguments, &[(variable, value)]), start);
        }
    }
    std::fs::write(&path, "[default]\nworkers = \"abc\"\n").unwrap();
    let problem = "workers: is \"abc\"; write a number from 1 to 1024";
    for arguments in COMMANDS {
        let problem = format!("{problem} (in {})", path.display());
        assert_refused(&run(&dir, arguments, &[]), &problem);
    }
}

#[test]
fn no_error_message_of_the_program_shows_a_secret() {
    const SECRET: &str = "hunter2hunter2";

    let dir = TempDir::new().unwrap();
    let said = |variables: &[(&str, &str)]| {
        let mut all = String::new();
        for arguments in COMMANDS {
            // `copy` reads no configuration, only the URLs that it is given.
            if arguments.first() == Some(&"copy") {
                continue;
            }
            let output = run(&dir, arguments, variables);
            // A command succeeds if it does not read the wrong key.
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 1)), "{arguments:?}: {variables:?}: {output:?}");
            all += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
        }
        all
    };
    for text in [
        "[default]\nsecret_key = X\n",
        "[default]\nsecret_key = \"X\n",
        "[default]\nsecret_key = \"X\" \"X\"\n",
        "[default]\nsecret_key \"X\"\n",
        "[default]\nsecret_key = \"\\X\"\n",
        "[default]\nsecret_key = 'X'\nsecret_key = 'X'\n",
        "secret_key = \"X\"\n",
        "[default.mail]\nurl = smtps://u:X@h\n",
        "[default.mail]\nurl = [\"smtps://u:X@h\"\n",
        "[default.mail]\nurl.X\n",
        "[default]\nmail = { url = \"smtps://u:X@h\"\n",
        "[default.password]\npeppers = [\"X\", X]\n",
        "default = \"X\"\n",
        "[[default]]\nsecret_key = \"X\"\n",
    ] {
        std::fs::write(dir.path().join("Rocket.toml"), text.replace('X', SECRET)).unwrap();
        let said = said(&[]);
        assert!(!said.contains("hunter2"), "{text}: {said}");
    }
    std::fs::remove_file(dir.path().join("Rocket.toml")).unwrap();

    for (variable, value) in [
        ("ROCKET_MAIL", "{url=\"smtps://u:X@h\""),
        ("ROCKET_MAIL", "smtps://u:X@h"),
        ("ROCKET_MAIL", "{url=smtps://u:X@h}"),
        ("ROCKET_MAIL", "{ulr=\"smtps://u:X@h\",from=\"a@example.org\"}"),
        ("ROCKET_SESSION", "{previous_keys=\"X\"}"),
        ("ROCKET_SESSION", "X"),
        ("ROCKET_PASSWORD", "{peppers=[X]}"),
        ("ROCKET_PASSWORD", "[X]"),
        ("ROCKET_DATABASES", "postgres://u:X@h/x"),
        ("ROCKET_DATABASES", "{login=\"postgres://u:X@h/x\"}"),
        ("ROCKET_DATABASES", "{login={url=\"postgres://u:p?X@127.0.0.1:1/x\"}}"),
        ("ROCKET_DATABASES", "{login={url=\"postgres://u:X@127.0.0.1:1/x\"}}"),
        ("ROCKET_DATABASES", "[X]"),
    ] {
        let said = said(&[(variable, value.replace('X', SECRET).as_str())]);
        assert!(!said.contains("hunter2"), "{variable}={value}: {said}");
    }
}

#[test]
fn a_profile_of_any_name_causes_no_panic() {
    let dir = TempDir::new().unwrap();
    for profile in ["", " ", "default", "global", "rel\u{e4}se", "a.b", "[release]"] {
        let output = run(&dir, &["check", "--offline"], &[("ROCKET_PROFILE", profile)]);
        assert_refused(&output, "secret_key: is missing");
    }
}

#[test]
fn a_database_that_cannot_be_created_is_named() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let url = ("ROCKET_DATABASES", "{login={url=\"sqlite:file/login.db\"}}");
    for command in ["migrate", "serve"] {
        let output = run(&dir, &[command], &[url]);
        let path = dir.path().join("file/login.db");
        assert_refused(&output, &format!("databases.login.url: cannot open {}: ", path.display()));
        assert_says(&output, "a file has the name of its folder: move that file away");
    }
}

#[track_caller]
fn assert_says(output: &Output, part: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(part), "{error}");
}

#[test]
fn a_file_that_is_no_database_of_ours_is_named_with_the_fix_and_not_changed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("login.db");
    let url = ("ROCKET_DATABASES", "{login={url=\"sqlite:login.db\"}}");
    std::fs::write(&path, "notes, and no database at all").unwrap();
    let output = run(&dir, &[], &[url]);
    assert_refused(&output, &format!("databases.login.url: cannot open {}: ", path.display()));
    assert_says(
        &output,
        "file is not a database; name an SQLite database, or a file that does not",
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"notes, and no database at all");

    // Another program's database, with a table of a name of ours.
    std::fs::remove_file(&path).unwrap();
    let users = "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ada')";
    rocket::tokio::runtime::Runtime::new().unwrap().block_on(async {
        use sqlx::Connection;
        let url = format!("sqlite:{}?mode=rwc", path.display());
        sqlx::any::install_default_drivers();
        let mut db = sqlx::AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(users).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    });
    let output = run(&dir, &[], &[url]);
    assert_refused(&output, &format!("databases.login.url: cannot migrate {}: ", path.display()));
    assert_says(&output, "table users already exists, which rocket-login did not create; set ");

    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let url = ("ROCKET_DATABASES", "{login={url=\"sqlite:folder\"}}");
    let output = run(&dir, &[], &[url]);
    assert_refused(&output, "databases.login.url: cannot open ");
    assert_says(&output, "name a file in that folder");
}

#[cfg(unix)]
#[test]
fn a_folder_without_write_permission_is_named_with_the_fix() {
    use std::os::unix::fs::PermissionsExt;

    use crate::servers::{folder, unprivileged};

    let dir = folder();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let closed = std::fs::Permissions::from_mode(0o555);
    std::fs::set_permissions(dir.path().join("data"), closed).unwrap();
    let copied = dir.path().join("rocket-login");
    crate::servers::program::copy(env!("CARGO_BIN_EXE_rocket-login"), &copied);
    let command = crate::servers::program::command(&copied, &dir);
    let output = unprivileged(command).output().unwrap();
    let path = dir.path().join("data/login.db");
    assert_refused(&output, &format!("databases.login.url: cannot open {}: ", path.display()));
    assert_says(&output, "the user that runs this program must be allowed to write");
}

#[test]
fn a_server_that_cannot_be_reached_is_named_with_the_fix() {
    let dir = TempDir::new().unwrap();
    for (url, name, fix) in [
        (
            "postgres://ada:hunter2@127.0.0.1:1/site",
            "postgres://127.0.0.1:1/site",
            "no server listens there: start PostgreSQL, or correct host and port",
        ),
        (
            "postgres://ada:hunter2@nowhere.invalid/site",
            "postgres://nowhere.invalid:5432/site",
            "the host is unknown: correct it in the URL",
        ),
        (
            "postgres:///site?host=/nowhere&user=ada&password=hunter2",
            "postgres:///nowhere:5432/site",
            "there is no such socket: start PostgreSQL",
        ),
    ] {
        let databases = format!("{{login={{url=\"{url}\"}}}}");
        let output = run(&dir, &[], &[("ROCKET_DATABASES", databases.as_str())]);
        assert_refused(&output, &format!("databases.login.url: cannot open {name}: "));
        assert_says(&output, fix);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
}

#[test]
fn a_profile_without_a_table_is_named_if_a_key_is_missing() {
    let dir = TempDir::new().unwrap();
    let text = format!("[release]\nsecret_key = \"{}\"\n", KEY.1);
    std::fs::write(dir.path().join("Rocket.toml"), text).unwrap();
    let output = run(&dir, &[], &[("ROCKET_PROFILE", "prod")]);
    assert_refused(&output, "secret_key: is missing; set ROCKET_SECRET_KEY");
    assert_says(&output, "; the profile is prod, and Rocket.toml has a table only for release");
}

#[test]
fn a_start_on_the_schema_of_a_newer_version_warns_and_works() {
    if crate::database::socket().is_some() {
        return;
    }
    let dir = TempDir::new().unwrap();
    assert!(run(&dir, &["migrate"], &[]).status.success());
    let url = format!("sqlite:{}", dir.path().join("data/login.db").display());
    let newer = "INSERT INTO _sqlx_migrations VALUES
                 (20991231000001, 'rocket login roles', CURRENT_TIMESTAMP, TRUE, x'00', 1)";
    rocket::tokio::runtime::Runtime::new().unwrap().block_on(async {
        use sqlx::Connection;
        sqlx::any::install_default_drivers();
        let mut db = sqlx::AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(newer).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    });

    let site = Program::start(program(&dir), &[KEY]);
    assert!(site.request("POST /register", None, REGISTER).starts_with("HTTP/1.1 303"));
    let warning = "Warning: a newer version of rocket-login than ";
    assert_eq!(site.output().matches(warning).count(), 1, "{}", site.output());
}

#[test]
fn migrating_a_second_time_changes_nothing() {
    let dir = TempDir::new().unwrap();
    for _ in 0..2 {
        let output = run(&dir, &["migrate"], &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let path = dir.path().canonicalize().unwrap().join("data/login.db");
        let line = format!("{} is up to date\n", path.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), line);
    }
}

#[test]
fn migrating_needs_no_secret_key() {
    let dir = TempDir::new().unwrap();
    let output = run(&dir, &["migrate"], &[("ROCKET_PROFILE", "release")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn each_secret_key_is_new_and_accepted_in_release() {
    let dir = TempDir::new().unwrap();
    let key = || {
        let output = run(&dir, &["secret-key"], &[]);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let (one, other) = (key(), key());
    assert_eq!(one.len(), 44);
    assert_ne!(one, other);

    let release = [("ROCKET_PROFILE", "release"), ("ROCKET_SECRET_KEY", one.as_str())];
    let site = Program::start(program(&dir), &release);
    let front = site.request("GET /", None, "");
    assert!(front.contains("strict-transport-security: max-age=63072000"), "{front}");
}

#[test]
fn wrong_usage_exits_with_code_2() {
    let dir = TempDir::new().unwrap();
    for arguments in [&["nonsense"] as &[_], &["serve", "nonsense"], &["--nonsense"]] {
        assert_eq!(run(&dir, arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_request_that_cannot_be_parsed_gets_the_headers_too() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[]);
    let answer = site.request("FOO /", None, "").to_lowercase();
    assert!(answer.starts_with("http/1.1 400"), "{answer}");
    for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff"]
    {
        assert!(answer.contains(header), "{answer}");
    }
}

#[test]
fn slow_forms_delay_no_other_request_and_time_out() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[]);
    // Send more slow forms than there are database connections.
    let mut slow: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = site.connect();
            write!(
                stream,
                "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\nemail=ada%40example.org&"
            )
            .unwrap();
            stream
        })
        .collect();

    let start = Instant::now();
    assert!(site.request("POST /register", None, REGISTER).starts_with("HTTP/1.1 303"));
    assert!(site.request("GET /readyz", None, "").ends_with("ok"));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    for stream in &mut slow {
        let answer = receive(stream);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

#[test]
fn the_log_holds_no_secret() {
    let dir = TempDir::new().unwrap();
    let site = Program::start(program(&dir), &[KEY, ("ROCKET_LOG_LEVEL", "normal")]);
    let registered = site.request("POST /register", None, REGISTER);
    let cookie = session_cookie(&registered);
    let wrong = REGISTER.replace("battery", "staple");
    site.request("POST /login", None, &wrong);
    site.request("GET /account", Some(&cookie), "");
    site.request("GET /account", Some("session=tampered"), "");
    site.request("POST /logout", Some(&cookie), "");

    site.request("GET /nowhere", None, "");
    let log = site.wait_for("GET /nowhere");
    let warnings = log.lines().filter(|line| line.contains("Warning"));
    assert_eq!(warnings.filter(|line| !line.contains("security: time=")).count(), 0, "{log}");
    assert!(log.contains("POST /register"), "{log}");
    let value = cookie.split_once('=').unwrap().1;
    for secret in [value, "correct", "staple", "ada@example.org", "ada%40", "$argon2id", "tampered"]
    {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
