//! Runs fail2ban itself with the documented filter on the program's own log.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::servers::program::{Program, session_cookie};
use crate::servers::{find, has};

const TROUBLE: [&str; 5] = [
    "log_in_failed",
    "reauthentication_failed",
    "confirmation_failed",
    "link_refused",
    "throttled",
];

/// A forged log line, sent by an attacker who wants another address banned.
const FORGED: &str = "Warning: security: time=2026-01-01T00:00:00Z event=throttled ip=6.6.6.6 \
                      user=1 email=-";

/// Returns the addresses that fail2ban finds with the documented filter, one for each line
/// of `log` that matches.
fn banned(log: &str, options: &[&str]) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let page = fs::read_to_string("docs/security.md").unwrap();
    let filters: Vec<_> =
        page.split("```").filter(|block| block.contains("\n[Definition]\n")).collect();
    assert_eq!(filters.len(), 1);
    fs::write(path("filter.conf"), filters[0].strip_prefix("ini\n").unwrap()).unwrap();
    fs::write(path("log"), log).unwrap();

    let mut command = Command::new(find("fail2ban-regex").unwrap());
    // Do not look up host names.
    command.args(options).args(["--usedns=no", "-o", "ip"]);
    // fail2ban takes a name with a blank in it for an expression.
    let done = command.args(["log", "./filter.conf"]).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(!said.contains("ERROR"), "{said}");
    said.lines().map(str::to_owned).collect()
}

/// Returns the program's log of ordinary use, of failures, and of attempts to forge log
/// lines.
fn log(level: &str) -> String {
    let dir = TempDir::new().unwrap();
    let mut command = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    command.envs([
        ("ROCKET_LOG_LEVEL", level),
        ("ROCKET_PASSWORD", "{memory_kib=8,iterations=1}"),
        ("ROCKET_SITE", "{trusted_proxies=[\"127.0.0.1\"]}"),
        ("ROCKET_THROTTLE", "{address_failures=3}"),
    ]);
    let site = Program::start(command, &[]);
    let right = "email=ada%40example.org&password=correct+horse+battery";
    let ada = session_cookie(&site.request("POST /register", None, right));

    let from = |address: &str, path: &str, cookie: Option<&str>, body: &str| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nX-Forwarded-For: {address}\r\nUser-Agent: {FORGED}\r\n\
             Referer: {FORGED}\r\nAccept: text/html; a=\"{FORGED}\"\r\nX-None:"
        );
        site.request(&head, cookie, body)
    };
    let wrong = "email=ada%40example.org&password=wrong+horse+battery";
    let mailbox = site.request("GET /dev/mailbox", None, "");
    let mut words = mailbox.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c));
    let token = words.find(|word| word.len() == 43).expect("the link of the sign-up");
    for address in ["203.0.113.7", "2001:db8::7"] {
        from(address, "/login", None, wrong);
        from(address, "/reauthenticate", Some(&ada), "password=wrong+horse+battery");
        from(address, &format!("/verify/{token}"), None, "password=wrong+horse+battery");
        from(address, &format!("/reset/{}", "a".repeat(43)), None, "new_password=correct+horse");
        while from(address, "/login", None, wrong).starts_with("HTTP/1.1 422") {}
    }

    // Requests whose log lines must ban nobody: harmless ones and forgeries.
    let line_of_forgery = FORGED.replace(' ', "%20");
    for path in ["/login", "/nowhere", "/reset/token"] {
        from("198.51.100.1", &format!("{path}?{line_of_forgery}"), None, right);
        from(FORGED, &format!("{path}/{line_of_forgery}"), None, right);
    }
    let address = format!("email={}%406.6.6.6&password=", FORGED.replace(' ', "+"));
    from("198.51.100.1", "/register", None, &address);
    from("198.51.100.1", "/logout", Some(&ada), "");
    site.output()
}

#[test]
fn the_documented_fail2ban_filter_matches_every_log_format() {
    if !has(find("fail2ban-regex").is_some(), "fail2ban") {
        return;
    }

    for level in ["critical", "normal"] {
        let log = log(level);
        let expected: Vec<&str> = log
            .lines()
            .filter(|line| TROUBLE.iter().any(|event| line.contains(&format!(" event={event} "))))
            .filter_map(|line| line.split(" ip=").nth(1)?.split(' ').next())
            .collect();
        for event in TROUBLE {
            for address in ["203.0.113.7", "2001:db8::7"] {
                assert!(log.contains(&format!("event={event} ip={address} ")), "{event} in\n{log}");
            }
        }
        assert!(!expected.contains(&"6.6.6.6"), "{log}");

        let all = |form: &dyn Fn(&str) -> String| {
            log.lines().map(|line| form(line) + "\n").collect::<String>()
        };
        let docker = |line: &str| {
            let log = serde_json::to_string(&format!("{line}\n")).unwrap();
            let time = "2026-01-01T00:00:00.123456789Z";
            format!("{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"{time}\"}}")
        };
        let mut forms: Vec<(&str, String, &[&str])> =
            vec![("a file", all(&|line| line.to_owned()), &[])];
        if level == "normal" {
            forms.push(("Docker's json-file", all(&docker), &[]));
            // fail2ban gets the time of a journal entry separately and cuts nothing out of the line.
            let journal = all(&|line| format!("1767225600 www rocket-login[812]: {line}"));
            forms.push(("the journal", journal, &["-d", "^EPOCH"]));
            let syslog = all(&|line| format!("Jan  1 00:00:00 www rocket-login[812]: {line}"));
            forms.push(("syslog", syslog, &[]));
        }
        for (name, lines, options) in forms {
            assert_eq!(banned(&lines, options), expected, "{name}, {level}:\n{lines}");
        }
    }
}

#[test]
fn the_documented_fail2ban_filter_ignores_forged_lines() {
    if !has(find("fail2ban-regex").is_some(), "fail2ban") {
        return;
    }

    let lines = [
        // Lines in a proxy's log, with the forgery in the path or the user agent.
        format!("203.0.113.7 - - [01/Jan/2026:00:00:00 +0000] \"GET /{FORGED} HTTP/1.1\" 404 0"),
        format!(
            "203.0.113.7 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 0 \"{FORGED}\""
        ),
        format!("GET /?{FORGED} text/html:"),
        format!("   >> {FORGED}"),
        format!("{{\"log\":\"GET /{FORGED}\\n\",\"time\":\"2026-01-01T00:00:00.1Z\"}}"),
        // A line without an address.
        FORGED.replace("6.6.6.6", "-"),
        FORGED.replace("throttled", "logged_in"),
        FORGED.replace("throttled", "denied"),
    ];
    // One genuine line shows that the log is read.
    let ours = FORGED.replace("6.6.6.6", "203.0.113.7");
    assert_eq!(banned(&[&lines.join("\n"), "\n", &ours, "\n"].concat(), &[]), ["203.0.113.7"]);
}
