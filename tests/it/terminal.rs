//! The commands on a terminal, with somebody who types.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::database::command;
use crate::servers::program::{Program, session_cookie};
use crate::servers::{Running, find, has};

const ADA: &str = "ada@example.org";
const CHEAP: (&str, &str) = ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}");
const PROGRAM: &str = env!("CARGO_BIN_EXE_rocket-login");

/// A line of the shell on a terminal of its own, which the program `script` makes.
struct Terminal {
    running: Running,
    shown: String,
}

impl Terminal {
    /// Starts `line`, in which `rocket-login` is the program. Nothing runs longer than a minute.
    fn start(dir: &TempDir, line: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = command(find("timeout").expect("it is part of the system"), dir);
        let line = line.replace("rocket-login", &format!("'{PROGRAM}'"));
        let script = find("script").expect("asked for before");
        command.args(["--foreground", "60"]).arg(script).args(["-qec", &line, "/dev/null"]);
        command.envs([CHEAP, ("TERM", "xterm")]).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Terminal { running: Running::spawn(command), shown: String::new() }
    }

    /// Waits until the terminal shows `text`, and then types `keys`.
    fn answer(&mut self, text: &str, keys: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut byte = [0];
            let read = self.running.child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
            assert_eq!(read, 1, "no {text:?} in {}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        self.shown += &String::from_utf8_lossy(&seen);
        self.running.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the terminal shows the prompt `text` and nothing of what is typed, and then types
    /// `keys`. The first line that the terminal has shown is its name.
    fn answer_hidden(&mut self, text: &str, keys: &str) {
        self.answer(text, "");
        let name = self.shown.lines().next().unwrap().to_owned();
        let stty = find("stty").expect("it is part of the system");
        let start = Instant::now();
        loop {
            let settings = Command::new(&stty).args(["-F", &name, "-a"]).output().unwrap();
            let settings = String::from_utf8(settings.stdout).unwrap();
            if settings.split_whitespace().any(|setting| setting == "-echo") {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{name}: {settings}");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.answer("", keys);
    }

    /// Waits for the end. Returns the exit code and everything that the terminal has shown.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.running.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.running.wait().code(), self.shown.clone() + &rest)
    }
}

/// Makes an account, if terminals can be made here.
fn with_account() -> Option<TempDir> {
    if !has(find("script").is_some(), "script") {
        return None;
    }
    let dir = TempDir::new().unwrap();
    for arguments in [&["migrate"][..], &["user", "add", ADA]] {
        let mut command = command(PROGRAM, &dir);
        command.args(arguments).envs([CHEAP]);
        let output = Running::output(command, "correct horse battery\n");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    Some(dir)
}

fn has_account(dir: &TempDir) -> bool {
    let mut command = command(PROGRAM, dir);
    command.args(["user", "show", ADA]).output().unwrap().status.success()
}

#[test]
fn an_account_is_deleted_on_a_terminal_only_after_a_yes() {
    let Some(dir) = with_account() else { return };
    let question = "Delete ada@example.org and all its data? This can't be undone. [y/N] ";
    for keys in ["\n", "n\n", "yesterday\n", "\u{4}"] {
        let mut terminal = Terminal::start(&dir, "rocket-login user delete ada@example.org", &[]);
        terminal.answer(question, keys);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(1), "{keys:?}: {shown}");
        assert!(shown.contains("Error: you did not confirm it; nothing was changed"), "{shown}");
        assert!(has_account(&dir), "{keys:?}");
    }

    let mut terminal = Terminal::start(&dir, "rocket-login user delete ada@example.org", &[]);
    terminal.answer(question, "Yes\n");
    let (code, shown) = terminal.end();
    assert!(code == Some(0) && shown.contains("Deleted ada@example.org"), "{shown}");
    assert!(!has_account(&dir));
}

#[test]
fn a_command_with_yes_and_one_without_a_terminal_ask_nothing() {
    let Some(dir) = with_account() else { return };
    for line in [
        "rocket-login user delete ada@example.org --yes",
        "rocket-login session revoke --all --yes",
        "rocket-login session revoke --all </dev/null",
    ] {
        let (code, shown) = Terminal::start(&dir, line, &[]).end();
        assert!(code == Some(0) && !shown.contains("[y/N]"), "{line}: {shown}");
    }
    assert!(!has_account(&dir));
}

#[test]
fn a_question_that_nobody_would_see_is_answered_by_nobody() {
    let Some(dir) = with_account() else { return };
    let line = "rocket-login user delete ada@example.org 2>log";
    let (code, _) = Terminal::start(&dir, line, &[]).end();
    assert_eq!(code, Some(1));
    assert!(std::fs::read_to_string(dir.path().join("log")).unwrap().contains("add --yes"));
    assert!(has_account(&dir));
}

#[test]
fn all_sessions_end_on_a_terminal_only_after_a_yes() {
    let Some(dir) = with_account() else { return };
    let site = Program::start(command(PROGRAM, &dir), &[CHEAP]);
    let form = "email=ada%40example.org&password=correct+horse+battery";
    let cookie = session_cookie(&site.request("POST /login", None, form));
    let is_logged_in =
        || site.request("GET /account", Some(&cookie), "").starts_with("HTTP/1.1 200");
    for (keys, code, stays) in [("n\n", 1, true), ("y\n", 0, false)] {
        let mut terminal = Terminal::start(&dir, "rocket-login session revoke --all", &[]);
        terminal.answer("End all sessions? Everybody will be logged out. [y/N] ", keys);
        assert_eq!((terminal.end().0, is_logged_in()), (Some(code), stays), "{keys:?}");
    }
    // The sessions of one account end without a question.
    let (code, shown) =
        Terminal::start(&dir, "rocket-login session revoke ada@example.org", &[]).end();
    assert!(code == Some(0) && shown.contains("sessions ended: 0"), "{shown}");
}

#[test]
fn a_password_is_typed_twice_and_never_shown() {
    let Some(dir) = with_account() else { return };
    for (email, again, code, said) in [
        ("bob@example.org", "correct horse battery\n", 0, "Created bob@example.org"),
        ("eve@example.org", "wrong horse battery\n", 1, "Error: the passwords don't match"),
    ] {
        let line = format!("tty; rocket-login user add {email}");
        let mut terminal = Terminal::start(&dir, &line, &[]);
        terminal.answer_hidden("Password: ", "correct horse battery\n");
        terminal.answer_hidden("Repeat password: ", again);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, Some(code), "{shown}");
        assert!(shown.contains(said) && !shown.contains("horse"), "{shown}");
    }
}

#[test]
fn ctrl_c_at_a_password_leaves_the_terminal_as_it_was() {
    let Some(dir) = with_account() else { return };
    for keys in ["\u{3}", "corr\u{3}"] {
        let line = "tty; rocket-login user add bob@example.org; echo \"code $?\"; stty -a";
        let mut terminal = Terminal::start(&dir, line, &[]);
        terminal.answer_hidden("Password: ", keys);
        let (_, shown) = terminal.end();
        assert!(shown.contains("interrupted; nothing was changed\r\ncode 130"), "{shown}");
        let (_, settings) = shown.split_once("code 130").unwrap();
        let settings: Vec<&str> = settings.split_whitespace().collect();
        for name in ["echo", "icanon", "isig"] {
            assert!(settings.contains(&name), "{name}: {shown}");
        }
        let mut command = command(PROGRAM, &dir);
        let listed = command.args(["user", "list"]).output().unwrap().stdout;
        assert!(!String::from_utf8(listed).unwrap().contains("bob"));
    }
}

#[test]
fn colours_are_for_terminals_and_never_if_no_color_is_set() {
    let Some(dir) = with_account() else { return };
    for line in ["rocket-login user fly", "rocket-login --help", "rocket-login user list"] {
        let (_, shown) = Terminal::start(&dir, line, &[("NO_COLOR", "1")]).end();
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let (_, shown) = Terminal::start(&dir, &format!("{line} 2>&1 | cat"), &[]).end();
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
    let (_, shown) = Terminal::start(&dir, "rocket-login user fly", &[]).end();
    assert!(shown.contains('\u{1b}'), "{shown:?}");
}
