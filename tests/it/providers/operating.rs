//! What an operator sees of providers.

use serde_json::Value;
use tempfile::TempDir;

use crate::database::command;
use crate::servers::Running;
use crate::servers::liar::{CLIENT, DISCOVERY, Fault, KEYS, Liar, Part, SECRET};
use crate::servers::program::Program;

const ADA: &str = "ada@example.org";
const KEY: (&str, &str) = ("ROCKET_SECRET_KEY", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=");

fn providers(liar: &Liar) -> String {
    let issuer = liar.issuer();
    format!("{{test={{issuer=\"{issuer}\",client_id=\"{CLIENT}\",client_secret=\"{SECRET}\"}}}}")
}

/// Runs a command, and returns its exit code and all that it has said.
fn run(dir: &TempDir, liar: &Liar, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(env!("CARGO_BIN_EXE_rocket-login"), dir);
    command.args(arguments).envs([KEY]).env("ROCKET_PROVIDERS", providers(liar));
    let done = Running::output(command, "");
    let said = [done.stdout, done.stderr].concat();
    (done.status.code(), String::from_utf8(said).unwrap())
}

/// Logs in with the provider, and returns the answer.
fn log_in(program: &Program, liar: &Liar) -> String {
    let begun = program.request("GET /login/with/test", None, "");
    let header = |name: &str| {
        let mut lines = begun.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("{begun}")).1.to_owned()
    };
    let cookie = header("set-cookie");
    let cookie = cookie.split(';').next().unwrap();
    let back = liar.answer(&header("location"));
    program.request(&format!("GET {back}"), Some(cookie), "")
}

#[test]
fn an_operator_lists_the_identities_of_an_account() {
    let (liar, dir) = (Liar::start(), TempDir::new().unwrap());
    let command = command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let program = Program::start(command, &[KEY, ("ROCKET_PROVIDERS", &providers(&liar))]);
    let answer = log_in(&program, &liar);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");

    let (code, said) = run(&dir, &liar, &["user", "providers", ADA]);
    assert!(code == Some(0) && said.contains("test"), "{code:?} {said}");
    let (code, said) = run(&dir, &liar, &["user", "providers", ADA, "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let listed = said.lines().find(|line| line.starts_with(['[', '{'])).unwrap_or(&said);
    let listed: Value = serde_json::from_str(listed).unwrap_or_else(|_| {
        let start = said.find('[').unwrap();
        let end = said.rfind(']').unwrap();
        serde_json::from_str(&said[start..=end]).unwrap()
    });
    assert!(listed.to_string().contains("1001"), "{listed}");
    let (code, _) = run(&dir, &liar, &["user", "providers", "bob@example.org"]);
    assert_eq!(code, Some(1));
    let (code, _) = run(&dir, &liar, &["user", "providers"]);
    assert_eq!(code, Some(2));
}

#[test]
fn the_check_asks_each_provider_once_and_names_what_is_wrong() {
    let (liar, dir) = (Liar::start(), TempDir::new().unwrap());
    run(&dir, &liar, &["migrate"]);
    let (_, said) = run(&dir, &liar, &["check"]);
    assert_eq!((liar.count(DISCOVERY), liar.count(KEYS)), (1, 1), "{said}");
    assert!(said.contains("/login/with/test/callback"), "{said}");
    assert!(!said.contains(SECRET));
    let good = said;

    liar.says(Part::Metadata, "issuer", "https://elsewhere.example");
    let (code, said) = run(&dir, &liar, &["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("providers.test") && said != good, "{said}");
    for fault in [Fault::Status(500), Fault::Html, Fault::Closed, Fault::Huge] {
        liar.is_honest();
        liar.fails(DISCOVERY, fault.clone());
        let (code, said) = run(&dir, &liar, &["check"]);
        assert!(code == Some(1) && said.contains("providers.test"), "{fault:?}: {said}");
    }
    // Without the network it asks nobody.
    let before = liar.count_all();
    run(&dir, &liar, &["check", "--offline"]);
    assert_eq!(liar.count_all(), before);
}
