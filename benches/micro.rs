//! The parts of a page, measured separately: `cargo bench --bench micro`.
//!
//! Private parts are compiled in from their files, so that they need not be public.

#[allow(dead_code, unused_imports)]
#[path = "../src/cookies/sealed.rs"]
mod cookies;
#[allow(dead_code, unused_imports)]
#[path = "../src/token.rs"]
mod token;

use std::hint::black_box;

use divan::Bencher;
use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::tokio::runtime::Runtime;
use rocket_login::testing::Browser;
use rocket_login::{config, sql}; // which those files name
use tempfile::TempDir;

use cookies::SealedCookies;
use token::Token;

fn main() {
    // `cargo test --benches` runs this as well.
    if std::env::args().any(|argument| argument == "--bench") {
        divan::main();
    }
}

mod tokens {
    use super::*;

    #[divan::bench]
    fn generate() -> Token {
        Token::generate()
    }

    #[divan::bench]
    fn write(bencher: Bencher<'_, '_>) {
        let token = Token::generate();
        bencher.bench_local(|| black_box(&token).to_text());
    }

    #[divan::bench]
    fn parse(bencher: Bencher<'_, '_>) {
        let text = Token::generate().to_text();
        bencher.bench_local(|| Token::parse(black_box(&text)));
    }

    #[divan::bench]
    fn hash(bencher: Bencher<'_, '_>) {
        let token = Token::generate();
        bencher.bench_local(|| black_box(&token).id());
    }
}

mod sealing {
    use super::*;

    fn cookies() -> SealedCookies {
        let config = config::Config::from_figment(&figment("sqlite:login.db")).unwrap();
        SealedCookies::new(&config)
    }

    #[divan::bench]
    fn seal(bencher: Bencher<'_, '_>) {
        let (cookies, text) = (cookies(), Token::generate().to_text());
        bencher.bench_local(|| cookies.seal("session", black_box(&text), None));
    }

    #[divan::bench]
    fn open(bencher: Bencher<'_, '_>) {
        let cookies = cookies();
        let sealed = cookies.seal("session", &Token::generate().to_text(), None);
        let sealed = sealed.value();
        bencher.bench_local(|| cookies.open("session", black_box(sealed)).unwrap());
    }
}

/// Requests through Rocket's local client on SQLite, which include everything except a socket.
mod site {
    use super::*;

    /// A running site.
    struct Site {
        runtime: Runtime,
        client: Client,
        _dir: TempDir,
    }

    impl Site {
        fn new() -> Self {
            let (dir, runtime) = (TempDir::new().unwrap(), Runtime::new().unwrap());
            let url = format!("sqlite:{}", dir.path().join("login.db").display());
            let rocket = rocket::custom(figment(&url)).attach(rocket_login::stage());
            let client = runtime.block_on(Client::untracked(rocket)).expect("the site starts");
            Site { runtime, client, _dir: dir }
        }

        fn page(&self, browser: &Browser<'_>) {
            let answer = self.runtime.block_on(browser.get("/"));
            assert_eq!(answer.status.code, 200);
        }

        fn signed_in(&self) -> Browser<'_> {
            let browser = Browser::new(&self.client);
            self.runtime.block_on(browser.sign_in("ada@example.org"));
            browser
        }
    }

    #[divan::bench]
    fn page_without_a_session(bencher: Bencher<'_, '_>) {
        let site = Site::new();
        let browser = Browser::new(&site.client);
        bencher.bench_local(|| site.page(&browser));
    }

    #[divan::bench]
    fn page_logged_in(bencher: Bencher<'_, '_>) {
        let site = Site::new();
        let browser = site.signed_in();
        bencher.bench_local(|| site.page(&browser));
    }

    /// Finds the user by the cookie.
    #[divan::bench]
    fn look_up(bencher: Bencher<'_, '_>) {
        let site = Site::new();
        let browser = site.signed_in();
        bencher.bench_local(|| {
            let found = browser.with_session(async |session| session.user().is_some());
            assert!(site.runtime.block_on(found));
        });
    }

    /// Looks the session up, reads and changes it, and commits, which waits for the disk.
    #[divan::bench]
    fn write(bencher: Bencher<'_, '_>) {
        let site = Site::new();
        let browser = site.signed_in();
        bencher.bench_local(|| {
            let written = browser.with_session(async |session| {
                session.update("views", |views| views.unwrap_or(0_u64) + 1).await
            });
            site.runtime.block_on(written).unwrap()
        });
    }
}

fn figment(url: &str) -> Figment {
    Figment::from(rocket::Config::debug_default())
        .select("debug")
        .merge(("databases.login.url", url))
        .merge(("log_level", "off"))
        .merge(("password.memory_kib", 8))
        .merge(("password.iterations", 1))
}
