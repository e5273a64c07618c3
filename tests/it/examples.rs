//! Runs the examples.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::database::command;
use crate::servers::program::{Program, session_cookie};

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
