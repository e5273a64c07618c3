//! Looks passwords up in a service that knows them from breaches elsewhere and answers by range
//! (k-anonymity): it gets five digits of a hash, and returns all hashes that begin with them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rocket::tokio::sync::{OwnedSemaphorePermit, Semaphore};
use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::timeout;
use sha1::{Digest, Sha1};

use super::Password;
use crate::error::Error;

/// How long the service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a form waits for its turn. Proxies give a page about half a minute. While the service
/// is silent, forty forms get their turn in this time.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The most look-ups at the same time. More could fill the blocking threads, and the service could
/// turn us away.
const PLACES: usize = 4;

/// The most places that one client address gets. Otherwise it could keep all others waiting.
const PLACES_OF_ONE: usize = 1;

static LOOK_UPS: LazyLock<LookUps> = LazyLock::new(LookUps::default);

/// The agent follows no redirects, because they could lead to plain http.
static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0);
    config.build().into()
});

/// The longest answer, in bytes. A range is about 800 lines of 40 bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Returns whether the service at `url` knows `password`. `network` is the client's address, or
/// empty if it is not known.
///
/// A service that does not answer must not stop anybody from signing up, so the password is
/// accepted then, and the log gets a warning. The time limit is for the request itself, not for the
/// wait: otherwise anybody could make the check late with many forms, and get a breached password
/// accepted.
///
/// # Errors
///
/// Returns [`Error::overloaded()`] if the form did not get its turn within [`LONGEST_WAIT`]. The
/// service was not asked then.
pub async fn is_known(password: &Password, url: &str, network: &str) -> Result<bool, Error> {
    let digest = Sha1::digest(password.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let (range, rest) = hash.split_at(5);
    let (url, rest) = (format!("{}/{range}", url.trim_end_matches('/')), rest.to_owned());

    let turn = timeout(LONGEST_WAIT, LOOK_UPS.turn(network)).await;
    let turn = turn.map_err(|_| Error::overloaded())?;
    let asked = spawn_blocking(move || {
        // The turn lasts until the thread is free again, even if nobody waits for the answer any
        // more.
        let _turn = turn;
        ask(&url, &rest)
    });
    match timeout(TIMEOUT, asked).await {
        Ok(Ok(Ok(is_known))) => return Ok(is_known),
        Ok(Ok(Err(error))) => {
            log::warn!("password.breached_url: the password was not looked up: {error}");
        }
        Ok(Err(_)) | Err(_) => {
            log::warn!("password.breached_url: the password was not looked up in time");
        }
    }
    Ok(false)
}

fn ask(url: &str, rest: &str) -> Result<bool, ureq::Error> {
    // The answer is padded, so that its length does not reveal the range.
    let mut answer = AGENT.get(url).header("Add-Padding", "true").call()?;
    let ranges = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string()?;
    Ok(ranges.lines().any(|line| is_hit(line, rest)))
}

/// Returns whether `line` is `REST:COUNT` with this `rest`. A count of 0 is padding.
fn is_hit(line: &str, rest: &str) -> bool {
    let (found, count) = line.trim().split_once(':').unwrap_or_default();
    found.eq_ignore_ascii_case(rest) && count.trim() != "0"
}

/// The look-ups that run or wait: client addresses take turns, and so do the forms from one
/// address.
#[derive(Debug)]
struct LookUps {
    places: Arc<Semaphore>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The turn of one form. It ends when it is dropped.
struct Turn<'l> {
    look_ups: &'l LookUps,
    network: String,
    /// It is released before the gate is checked.
    place: Option<OwnedSemaphorePermit>,
    of_network: Option<OwnedSemaphorePermit>,
}

impl Default for LookUps {
    fn default() -> Self {
        LookUps { places: Arc::new(Semaphore::new(PLACES)), gates: Mutex::default() }
    }
}

impl LookUps {
    /// Waits for a place. Forms from one address wait for each other first, so that only one of
    /// them waits for the places.
    async fn turn(&self, network: &str) -> Turn<'_> {
        // From here on, the turn cleans up when it is dropped, even if the caller stops waiting.
        let mut turn =
            Turn { look_ups: self, network: network.to_owned(), place: None, of_network: None };
        if !network.is_empty() {
            let gate = {
                let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
                let new = || Arc::new(Semaphore::new(PLACES_OF_ONE));
                gates.entry(network.to_owned()).or_insert_with(new).clone()
            };
            // Neither semaphore is ever closed, so this never fails.
            turn.of_network = gate.acquire_owned().await.ok();
        }
        turn.place = self.places.clone().acquire_owned().await.ok();
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.place.take();
        self.of_network.take();
        let mut gates = self.look_ups.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // A form that waits at a gate holds a reference to it.
        if gates.get(&self.network).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use rocket::futures::FutureExt;

    use super::*;

    #[test]
    fn padding_is_not_a_hit() {
        assert!(is_hit("00ab:3\r", "00AB"));
        assert!(!is_hit("00AB:0", "00AB"));
        assert!(!is_hit("00AC:3", "00AB"));
        assert!(!is_hit("", "00AB"));
    }

    fn gates(look_ups: &LookUps) -> usize {
        look_ups.gates.lock().unwrap().len()
    }

    #[rocket::async_test]
    async fn one_address_gets_one_place_and_leaves_nothing_behind() {
        let look_ups = LookUps::default();
        let first = look_ups.turn("192.0.2.1").await;
        let mut second = Box::pin(look_ups.turn("192.0.2.1"));
        assert!(second.as_mut().now_or_never().is_none());
        let others: Vec<Turn<'_>> = [
            look_ups.turn("192.0.2.2").await,
            look_ups.turn("192.0.2.3").await,
            look_ups.turn("192.0.2.4").await,
        ]
        .into();
        assert!(look_ups.turn("192.0.2.5").now_or_never().is_none());
        assert_eq!(gates(&look_ups), 4);

        drop(first);
        let second = second.await;
        drop((second, others));
        assert_eq!(gates(&look_ups), 0);
        assert_eq!(look_ups.places.available_permits(), PLACES);
    }

    #[rocket::async_test]
    async fn a_form_that_stops_waiting_leaves_nothing_behind() {
        let look_ups = LookUps::default();
        let turn = look_ups.turn("192.0.2.1").await;
        for _ in 0..3 {
            assert!(look_ups.turn("192.0.2.1").now_or_never().is_none());
        }
        drop(turn);
        assert_eq!((gates(&look_ups), look_ups.places.available_permits()), (0, PLACES));
    }

    #[rocket::async_test]
    async fn forms_without_an_address_may_use_all_places() {
        let look_ups = LookUps::default();
        let turns = [look_ups.turn("").await, look_ups.turn("").await, look_ups.turn("").await];
        assert_eq!((gates(&look_ups), turns.len()), (0, 3));
    }
}
