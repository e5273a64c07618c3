//! Passwords that are known from breaches elsewhere, by a service that answers
//! ranges (k-anonymity): it is told five digits of a hash, and gives back all that
//! begin with them.

use std::sync::LazyLock;
use std::time::Duration;

use rocket::tokio::sync::Semaphore;
use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::timeout;
use sha1::{Digest, Sha1};

use super::Password;

/// How long a sign-up waits for it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Look-ups at a time: sign-ups must not fill the threads, nor make the service
/// turn us away.
static PLACES: Semaphore = Semaphore::const_new(4);

/// No redirects: they could lead to plain http.
static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0);
    config.build().into()
});

/// A range is some 800 lines of 40 bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Whether the service at `url` knows `password`.
///
/// A service that does not answer must not keep anybody from signing up: it is
/// logged, and the password is taken.
pub async fn is_known(password: &Password, url: &str) -> bool {
    let digest = Sha1::digest(password.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let (range, rest) = hash.split_at(5);
    let (url, rest) = (format!("{}/{range}", url.trim_end_matches('/')), rest.to_owned());
    let asked = async {
        let _place = PLACES.acquire().await;
        spawn_blocking(move || ask(&url, &rest)).await
    };
    match timeout(TIMEOUT, asked).await {
        Ok(Ok(Ok(is_known))) => return is_known,
        Ok(Ok(Err(error))) => {
            log::warn!("password.breached_url: the password was not looked up: {error}");
        }
        Ok(Err(_)) | Err(_) => {
            log::warn!("password.breached_url: the password was not looked up in time");
        }
    }
    false
}

fn ask(url: &str, rest: &str) -> Result<bool, ureq::Error> {
    // Padded, so that the length of the answer does not tell the range.
    let mut answer = AGENT.get(url).header("Add-Padding", "true").call()?;
    let ranges = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string()?;
    Ok(ranges.lines().any(|line| is_hit(line, rest)))
}

/// `REST:COUNT`; a count of 0 is padding.
fn is_hit(line: &str, rest: &str) -> bool {
    let (found, count) = line.trim().split_once(':').unwrap_or_default();
    found.eq_ignore_ascii_case(rest) && count.trim() != "0"
}

#[cfg(test)]
mod tests {
    use super::is_hit;

    #[test]
    fn padding_is_no_hit() {
        assert!(is_hit("00ab:3\r", "00AB"));
        assert!(!is_hit("00AB:0", "00AB"));
        assert!(!is_hit("00AC:3", "00AB"));
        assert!(!is_hit("", "00AB"));
    }
}
