//! The sender, which takes mails out of the outbox and hands them to the server.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rocket::Shutdown;
use rocket::fairing::AdHoc;
use rocket::tokio;
use rocket::tokio::task::{Id, JoinSet};
use rocket_db_pools::Database;

use super::failure::Failure;
use super::outbox::{self, Queued};
use super::{Mail, Post};
use crate::background;
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::db::{Connection, Db, Pool};
use crate::error::Error;
use crate::metrics::{self, MailEvent};

/// The most mails that are sent at the same time. With several places, a slow mail holds up no
/// other. Exchange Online accepts three connections of one account.
const PLACES: usize = 3;

/// The most places for further attempts. A stranger can arrange that the mails to many recipients
/// take long; a new mail still finds a place.
const PLACES_TO_RETRY: usize = 2;

/// How long the server may take for one step of a mail. The first attempt is short, because other
/// mails wait for its place. Later attempts use the time that RFC 5321 (section 4.5.3.2) asks for.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);
const RETRY_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The pause after the first failure, in seconds. It doubles with each failure: up to an hour for
/// one mail, and up to a minute if the server itself does not answer.
const FIRST_PAUSE: Timestamp = 5;
const LONGEST_PAUSE: Timestamp = 60 * 60;
const LONGEST_SILENCE: Timestamp = 60;

/// How many seconds pass before the sender looks for mails that another process has queued.
const INTERVAL: Timestamp = 5;

/// Returns the fairing that sends mails from lift-off to shutdown. Mails that are not sent by then
/// wait in the table.
pub fn fairing(mail: Mail) -> AdHoc {
    AdHoc::on_liftoff("Mail", move |rocket| {
        let Some(post) = mail.0.clone() else { return Box::pin(async {}) };
        Box::pin(async move {
            let db = Pool::clone(Db::fetch(rocket).expect("the stage attaches the database"));
            let clock = rocket.state::<Clock>().expect("the stage manages a clock").clone();
            let sender = Sender {
                office: Office { post, db, clock },
                shutdown: rocket.shutdown(),
                under_way: JoinSet::new(),
                taken: HashMap::new(),
                unnoted: Vec::new(),
                silence: 0,
                quiet_until: 0,
            };
            tokio::spawn(sender.run());
        })
    })
}

struct Sender {
    office: Office,
    shutdown: Shutdown,
    under_way: JoinSet<Ended>,
    /// The mails that are being sent, each with its id and `true` for a first attempt.
    taken: HashMap<Id, (i64, bool)>,
    /// Mails that were sent, but not marked as sent because the database failed.
    unnoted: Vec<i64>,
    /// The length of the last pause of all mails. It is 0 if the last attempt reached the server.
    silence: Timestamp,
    /// The end of that pause.
    quiet_until: Timestamp,
}

/// Everything that is needed to send one mail. Clones work for the same site.
#[derive(Clone)]
struct Office {
    post: Arc<Post>,
    db: Pool,
    clock: Clock,
}

/// The result of an attempt, as far as it concerns the server and the database.
#[derive(Default)]
struct Ended {
    /// `true` if the server answered to the mail.
    is_answered: bool,
    /// The mail, if it was sent but could not be marked as sent.
    unnoted: Option<i64>,
    /// A problem that concerns every mail.
    trouble: Option<String>,
}

impl Sender {
    async fn run(mut self) {
        loop {
            match background::round("mail sender", self.fill()).await {
                Some(Ok(())) => {}
                Some(Err(error)) => self.be_quiet(&error.to_string()),
                // The mail is claimed, so it is tried again in a minute.
                None => self.be_quiet("looking for them failed"),
            }
            if let (true, Some(smtp)) = (self.under_way.is_empty(), &self.office.post.smtp) {
                smtp.rest();
            }

            // We leave a server that does not answer alone for a while, even if new mails are
            // queued.
            let quiet = self.quiet_until - self.office.clock.now();
            let pause = if quiet > 0 { quiet } else { INTERVAL };
            tokio::select! {
                _ = &mut self.shutdown => break,
                Some(ended) = self.under_way.join_next_with_id() => self.end(ended),
                _ = self.office.clock.sleep(pause) => {}
                _ = self.office.post.queued.notified(), if quiet <= 0 => {}
            }
        }

        // If we stopped a mail in the middle, it would be sent twice.
        while self.under_way.join_next().await.is_some() {}
    }

    /// Starts to send the mails that are due, as far as there are places.
    async fn fill(&mut self) -> Result<(), Error> {
        loop {
            // The database stays open for a mail that is being sent at the shutdown.
            let (db, now) = (self.office.db.clone(), self.office.clock.now());
            let open = db.keep_open();
            if is_due(&mut self.shutdown).await || now < self.quiet_until {
                return Ok(());
            }

            // This comes first: a mail that was sent must not be sent again.
            while let Some(id) = self.unnoted.last() {
                self.office.note(*id).await?;
                self.unnoted.pop();
            }

            let retries = self.taken.values().filter(|(_, is_first)| !is_first).count();
            // After an outage, a single mail finds out whether it is over.
            let places = if self.silence > 0 { 1 } else { PLACES };
            if self.under_way.len() >= places {
                return Ok(());
            }

            // This look-up takes no lock, and mostly finds nothing.
            if outbox::next_attempt_at(&mut db.read().await?).await?.is_none_or(|next| next > now) {
                return Ok(());
            }
            let may_retry = retries < PLACES_TO_RETRY;
            let claimed = change(&db, async |tx| outbox::claim(tx, now, may_retry).await).await?;
            let Some(queued) = claimed else { return Ok(()) };
            // The clock was moved past the mail's lease, which is about to be renewed.
            if self.taken.values().any(|(id, _)| *id == queued.id) {
                continue;
            }

            let (id, is_first, office) = (queued.id, queued.attempts <= 1, self.office.clone());
            let task = self.under_way.spawn(async move {
                let _open = open;
                office.deliver(&queued).await
            });
            self.taken.insert(task.id(), (id, is_first));
        }
    }

    /// Handles the end of an attempt.
    fn end(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (id, ended) = match ended {
            Ok(ended) => ended,
            // The mail's lease ends in a minute.
            Err(error) => (error.id(), Ended::default()),
        };
        self.taken.remove(&id);
        self.unnoted.extend(ended.unnoted);
        if ended.is_answered {
            (self.silence, self.quiet_until) = (0, 0);
        }
        if let Some(trouble) = ended.trouble {
            self.be_quiet(&trouble);
        }
    }

    /// Pauses all mails for a while. It logs only the first problem of an outage.
    fn be_quiet(&mut self, trouble: &str) {
        let now = self.office.clock.now();
        if now >= self.quiet_until {
            log::warn!("mails wait: {trouble}");
            self.silence = (2 * self.silence).clamp(FIRST_PAUSE, LONGEST_SILENCE);
            self.quiet_until = now + self.silence;
        }
    }
}

impl Office {
    /// Tries to send the mail, and records the result.
    async fn deliver(&self, queued: &Queued) -> Ended {
        let outcome = self.hold(queued.id, self.attempt(queued)).await;
        metrics::mail(match &outcome {
            Ok(()) => MailEvent::Sent,
            Err(Failure::Hopeless(_)) => MailEvent::Dropped,
            Err(_) => MailEvent::Failed,
        });

        let mut ended = Ended {
            is_answered: matches!(
                outcome,
                Ok(()) | Err(Failure::Refused(_) | Failure::Unanswered(_))
            ),
            ..Ended::default()
        };
        if let Err(error) = self.settle(queued, &outcome).await {
            ended.unnoted = outcome.is_ok().then_some(queued.id);
            ended.trouble = Some(error.to_string());
        } else if let Err(Failure::Unreachable(reason)) = &outcome {
            let reason = without_address(reason, queued);
            ended.trouble = Some(format!("the mail server cannot be used: {reason}"));
        }
        ended
    }

    /// Writes the result of an attempt into the outbox.
    async fn settle(&self, queued: &Queued, outcome: &Result<(), Failure>) -> Result<(), Error> {
        let (id, now) = (queued.id, self.clock.now());
        let put_off = async |longest| {
            let until = now + pause(queued.attempts, longest);
            change(&self.db, async |tx| outbox::put_off(tx, id, until).await).await
        };
        match outcome {
            Ok(()) => self.note(id).await,
            Err(Failure::Hopeless(reason)) => {
                log::error!("mail {id} will not be sent: {}", without_address(reason, queued));
                change(&self.db, async |tx| outbox::delete(tx, id).await).await
            }
            Err(Failure::Refused(reason)) => {
                let reason = without_address(reason, queued);
                log::warn!("mail {id} was refused and is tried again later: {reason}");
                put_off(LONGEST_PAUSE).await
            }
            Err(Failure::Unanswered(reason)) => {
                let reason = without_address(reason, queued);
                log::warn!(
                    "mail {id} may have been accepted and is sent again to be safe: {reason}"
                );
                put_off(LONGEST_PAUSE).await
            }
            Err(Failure::Unreachable(_)) => put_off(LONGEST_SILENCE).await,
        }
    }

    /// Runs `attempt` and renews the mail's lease meanwhile, so that no other sender takes it over.
    async fn hold(
        &self,
        id: i64,
        attempt: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let mut attempt = pin!(background::round("mail sender", attempt));
        loop {
            // The lease uses the site's clock, which a test may have moved forward.
            tokio::select! {
                outcome = &mut attempt => return outcome.unwrap_or_else(|| {
                    // A filter of the application may have panicked. It concerns only this mail.
                    Err(Failure::Refused("the site panicked while writing it".into()))
                }),
                _ = self.clock.sleep(outbox::RENEWAL) => {}
            }
            let now = self.clock.now();
            let renewed = change(&self.db, async |tx| outbox::renew(tx, id, now).await);
            if let Err(error) = renewed.await {
                log::warn!("mail {id} is being sent, and another process may send it too: {error}");
            }
        }
    }

    /// Records that the mail was sent.
    async fn note(&self, id: i64) -> Result<(), Error> {
        let now = self.clock.now();
        change(&self.db, async |tx| match self.post.keeps_sent {
            true => outbox::keep(tx, id, now).await,
            false => outbox::delete(tx, id).await,
        })
        .await
    }

    async fn attempt(&self, queued: &Queued) -> Result<(), Failure> {
        let Some(smtp) = &self.post.smtp else { return Ok(()) };
        let post = &self.post;
        if queued.expires_at <= self.clock.now() {
            return Err(Failure::Hopeless("it is too old to be of use".into()));
        }

        let content = queued
            .open(&post.cookies)
            .ok_or_else(|| Failure::Hopeless("it was sealed with another secret_key".into()))?;
        let written = post
            .templates
            .write(&queued.template, &content, &post.site)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let patience = if queued.attempts <= 1 { FIRST_PATIENCE } else { RETRY_PATIENCE };
        understood(smtp.send(queued, written, patience)).await
    }
}

/// Returns the result of `sending`. A panic in it, or in a library, was caused by the server's
/// answer. It counts as an outage, because the next mail would get that answer too.
async fn understood(sending: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let sent = background::round("mail sender", sending).await;
    sent.unwrap_or_else(|| Err(Failure::Unreachable("its answer cannot be understood".into())))
}

/// Returns whether the shutdown has begun.
async fn is_due(shutdown: &mut Shutdown) -> bool {
    tokio::select! {
        biased;
        _ = shutdown => true,
        _ = std::future::ready(()) => false,
    }
}

/// Returns `reason` without the recipient's address. Servers repeat the address that they refuse,
/// in either of its forms, and the log must not contain it.
fn without_address(reason: &str, queued: &Queued) -> String {
    let (name, domain) = queued.recipient.rsplit_once('@').unwrap_or((&queued.recipient, ""));
    let without = without(reason, &queued.recipient);
    match config::ascii_domain(domain) {
        Some(domain) => self::without(&without, &format!("{name}@{domain}")),
        None => without,
    }
}

/// Returns `text` without `word`, in upper or lower case.
fn without(text: &str, word: &str) -> String {
    // The copy is as long as `text`, so positions in it are valid in `text`.
    let (lower, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    let (mut left, mut from) = (String::with_capacity(text.len()), 0);
    for (at, found) in lower.match_indices(&word).filter(|(_, found)| !found.is_empty()) {
        left.push_str(&text[from..at]);
        left.push('…');
        from = at + found.len();
    }
    left + &text[from..]
}

async fn change<R>(
    db: &Pool,
    act: impl AsyncFnOnce(&mut Connection) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut tx = db.write().await?;
    let result = act(&mut tx).await?;
    tx.commit().await?;
    Ok(result)
}

fn pause(attempts: i64, longest: Timestamp) -> Timestamp {
    let doublings = attempts.saturating_sub(1).clamp(0, 20) as u32;
    (FIRST_PAUSE << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_no_address_even_if_the_server_changes_its_case() {
        assert_eq!(
            without("550 <Ada@Example.org>: no Ada@EXAMPLE.ORG", "ada@example.org"),
            "550 <…>: no …"
        );
        assert_eq!(without("550 für", ""), "550 für");
    }

    #[rocket::async_test]
    async fn a_panic_while_reading_the_servers_answer_is_an_outage() {
        let sent = understood(async { panic!("a line of white space") }).await;
        assert!(matches!(sent, Err(Failure::Unreachable(_))), "{sent:?}");
        assert!(understood(async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<_> = (1..=6).map(|attempts| pause(attempts, LONGEST_SILENCE)).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        assert_eq!(pause(i64::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }
}
