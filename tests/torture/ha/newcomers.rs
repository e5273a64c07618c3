//! People who sign up while machines die. Each address gets one account, and keeps it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::servers::client::{Random, ask, status};
use crate::servers::program::session_cookie;
use crate::support::form;

/// The pause after each try.
const PAUSE: Duration = Duration::from_millis(20);

pub struct Newcomers {
    sites: Vec<u16>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The acknowledged addresses, with their cookie.
    accounts: Vec<(String, String)>,
    /// How many sign-ups got no answer, or 503.
    unanswered: usize,
}

impl Newcomers {
    pub fn new(sites: Vec<u16>) -> Self {
        Newcomers { sites, known: Mutex::default() }
    }

    /// Signs one address up after the other, at any instance, until `over` is set.
    pub fn go(&self, over: &AtomicBool) {
        let mut random = Random(11);
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            let email = format!("newcomer{number}@example.org");
            while !over.load(Ordering::Relaxed) {
                let site = self.sites[random.below(self.sites.len())];
                let answer = ask(site, "POST /register", None, &form(&email));
                let answer = answer.unwrap_or_default();
                let known = &mut *self.known.lock().unwrap();
                match status(&answer) {
                    303 => known.accounts.push((email.clone(), session_cookie(&answer))),
                    // It may have happened. The next try with the password then logs in.
                    0 | 503 => {
                        known.unanswered += 1;
                        std::thread::sleep(PAUSE);
                        continue;
                    }
                    _ => panic!("a sign-up of a new address got {answer}"),
                }
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Checks at every instance that each acknowledged account is there with its session, and that
    /// nobody else can sign its address up.
    pub fn check(&self) {
        let known = self.known.lock().unwrap();
        for (number, (email, cookie)) in known.accounts.iter().enumerate() {
            let site = self.sites[number % self.sites.len()];
            let answer = ask(site, "GET /account", Some(cookie), "").expect("an answer");
            let is_own = status(&answer) == 200 && answer.contains(email);
            assert!(is_own, "the session of {email} is lost: {answer}");
            let answer = ask(site, "POST /login", None, &form(email)).expect("an answer");
            assert_eq!(status(&answer), 303, "the account of {email} is lost: {answer}");
            let other = form(email) + "+staple";
            let answer = ask(site, "POST /register", None, &other).expect("an answer");
            assert_eq!(status(&answer), 422, "{email} got two accounts: {answer}");
        }
        assert!(known.accounts.len() > 100, "too few sign-ups");
    }

    pub fn figures(&self) -> String {
        let Known { accounts, unanswered } = &*self.known.lock().unwrap();
        format!(
            "{} sign-ups acknowledged, none lost and none twice; {unanswered} without an answer",
            accounts.len()
        )
    }
}
