//! The sender: takes mails out of the outbox and hands them to the server.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use rocket::Shutdown;
use rocket::fairing::AdHoc;
use rocket::tokio;
use rocket::tokio::task::{Id, JoinSet};
use rocket_db_pools::Database;

use super::outbox::{self, Queued};
use super::smtp::Failure;
use super::templates::Written;
use super::{Mail, Post};
use crate::background;
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::db::{Connection, Db, Pools};
use crate::error::Error;
use crate::metrics::{self, MailEvent};

/// How many mails may be under way at a time, so that one that takes long holds up no
/// other. Exchange Online takes three connections of one account.
const PLACES: usize = 3;

/// How many of them may be further attempts. However many recipients there are whose
/// mails take long, which a stranger can arrange, a new mail finds a place.
const PLACES_TO_RETRY: usize = 2;

/// How long the server may take for a step of a mail: not long at first, since others
/// wait for the place, and then as long as RFC 5321 (section 4.5.3.2) asks for.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The pause after the first failure; it doubles with each one, up to an hour
/// for one mail, and up to a minute where the server itself does not answer.
const FIRST_PAUSE: Timestamp = 5;
const LONGEST_PAUSE: Timestamp = 60 * 60;
const LONGEST_SILENCE: Timestamp = 60;

/// How often to look for mails that another process has queued.
const INTERVAL: Timestamp = 5;

/// Sends from lift-off to shutdown. What is not sent by then waits in the table.
pub fn fairing(mail: Mail) -> AdHoc {
    AdHoc::on_liftoff("Mail", move |rocket| {
        let Some(post) = mail.0.clone() else { return Box::pin(async {}) };
        Box::pin(async move {
            let db = Pools::clone(Db::fetch(rocket).expect("the stage attaches the database"));
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
    /// The mails that are under way, and whether for the first time.
    taken: HashMap<Id, (i64, bool)>,
    /// Mails that were sent, while the database could not take that down.
    unnoted: Vec<i64>,
    /// The last pause of all mails; 0: the last mail that was tried found the server.
    silence: Timestamp,
    /// When it ends.
    quiet_until: Timestamp,
}

/// What it takes to send one mail. Clones work for the same site.
#[derive(Clone)]
struct Office {
    post: Arc<Post>,
    db: Pools,
    clock: Clock,
}

/// What an attempt says of the server and of the database.
#[derive(Default)]
struct Ended {
    /// Whether the server had anything to say about the mail.
    is_answered: bool,
    /// The mail, if it was sent and that could not be taken down.
    unnoted: Option<i64>,
    /// What concerns every mail.
    trouble: Option<String>,
}

impl Sender {
    async fn run(mut self) {
        loop {
            match background::round("mail sender", self.fill()).await {
                Some(Ok(())) => {}
                Some(Err(error)) => self.be_quiet(&error.to_string()),
                // The mail is claimed: it is tried again in a minute.
                None => self.be_quiet("looking for them failed"),
            }
            if let (true, Some(smtp)) = (self.under_way.is_empty(), &self.office.post.smtp) {
                smtp.rest();
            }

            // A server that does not answer is left alone for a while, whatever is
            // queued meanwhile.
            let quiet = self.quiet_until - self.office.clock.now();
            let pause = if quiet > 0 { quiet } else { INTERVAL };
            tokio::select! {
                _ = &mut self.shutdown => break,
                Some(ended) = self.under_way.join_next_with_id() => self.end(ended),
                _ = self.office.clock.sleep(pause) => {}
                _ = self.office.post.queued.notified(), if quiet <= 0 => {}
            }
        }

        // Cut off, a mail that is being sent would be sent twice.
        while self.under_way.join_next().await.is_some() {}
    }

    /// Sets out what is due, as far as there are places.
    async fn fill(&mut self) -> Result<(), Error> {
        loop {
            // The database stays open for a mail that is being sent at the shutdown.
            let (db, now) = (self.office.db.clone(), self.office.clock.now());
            let open = db.keep_open();
            if is_due(&mut self.shutdown).await || now < self.quiet_until {
                return Ok(());
            }

            // First of all: nothing that was sent may be sent again.
            while let Some(id) = self.unnoted.last() {
                self.office.note(*id).await?;
                self.unnoted.pop();
            }

            let retries = self.taken.values().filter(|(_, is_first)| !is_first).count();
            // After an outage one mail finds out whether it is over.
            let places = if self.silence > 0 { 1 } else { PLACES };
            if self.under_way.len() >= places {
                return Ok(());
            }

            // Looking takes no lock, and mostly there is nothing.
            if outbox::next_attempt_at(&mut db.read().await?).await?.is_none_or(|next| next > now) {
                return Ok(());
            }
            let may_retry = retries < PLACES_TO_RETRY;
            let claimed = change(&db, async |tx| outbox::claim(tx, now, may_retry).await).await?;
            let Some(queued) = claimed else { return Ok(()) };
            // The clock was moved past its lease; that is renewed now.
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

    /// Takes note of how an attempt has ended.
    fn end(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (id, ended) = match ended {
            Ok(ended) => ended,
            // Its lease ends in a minute.
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

    /// Lets all mails wait for a while. What others of the same outage say is no news.
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
    /// Tries to send the mail, and takes down what came of it.
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

    /// Writes into the outbox what has become of the mail.
    async fn settle(&self, queued: &Queued, outcome: &Result<(), Failure>) -> Result<(), Error> {
        let (id, now) = (queued.id, self.clock.now());
        let put_off = async |longest| {
            let until = now + pause(queued.attempts, longest);
            change(&self.db, async |tx| outbox::put_off(tx, id, until).await).await
        };
        match outcome {
            Ok(()) => self.note(id).await,
            Err(Failure::Hopeless(reason)) => {
                log::error!("mail {id} is given up: {}", without_address(reason, queued));
                change(&self.db, async |tx| outbox::delete(tx, id).await).await
            }
            Err(Failure::Refused(reason)) => {
                let reason = without_address(reason, queued);
                log::warn!("mail {id} was refused and waits: {reason}");
                put_off(LONGEST_PAUSE).await
            }
            Err(Failure::Unanswered(reason)) => {
                let reason = without_address(reason, queued);
                log::warn!("mail {id} may have been taken and waits, to be sure: {reason}");
                put_off(LONGEST_PAUSE).await
            }
            Err(Failure::Unreachable(_)) => put_off(LONGEST_SILENCE).await,
        }
    }

    /// Does `attempt`, and holds the mail meanwhile: no other sender takes it over.
    async fn hold(
        &self,
        id: i64,
        attempt: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let mut attempt = pin!(background::round("mail sender", attempt));
        loop {
            // By the site's clock, as the lease is: it may have been put forward.
            tokio::select! {
                outcome = &mut attempt => return outcome.unwrap_or_else(|| {
                    // As in a filter of the application's, for the sake of this mail.
                    Err(Failure::Refused("the site panicked over it".into()))
                }),
                _ = self.clock.sleep(outbox::RENEWAL) => {}
            }
            let now = self.clock.now();
            let renewed = change(&self.db, async |tx| outbox::renew(tx, id, now).await);
            if let Err(error) = renewed.await {
                log::warn!("mail {id} is being sent, perhaps not only here: {error}");
            }
        }
    }

    /// Takes down that the mail was sent.
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
            return Err(Failure::Hopeless("it comes too late to be of use".into()));
        }

        let content = queued
            .open(&post.cookies)
            .ok_or_else(|| Failure::Hopeless("it was sealed with another secret_key".into()))?;
        let written = post
            .templates
            .write(&queued.template, &content, post.site())
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let message = message(post, queued, written)?;
        let patience = if queued.attempts <= 1 { FIRST_PATIENCE } else { PATIENCE };
        understood(smtp.send(&message, patience)).await
    }
}

/// What comes of `sending`. A panic in it, or in a library, is of what the server says, and
/// so an outage: the next mail would hear the same.
async fn understood(sending: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let sent = background::round("mail sender", sending).await;
    sent.unwrap_or_else(|| Err(Failure::Unreachable("what it says cannot be understood".into())))
}

/// Whether `shutdown` has come.
async fn is_due(shutdown: &mut Shutdown) -> bool {
    tokio::select! {
        biased;
        _ = shutdown => true,
        _ = std::future::ready(()) => false,
    }
}

/// Servers repeat the address that they refuse, in their own way; the log does not.
fn without_address(reason: &str, queued: &Queued) -> String {
    let (name, domain) = queued.recipient.rsplit_once('@').unwrap_or((&queued.recipient, ""));
    let without = without(reason, &queued.recipient);
    match config::ascii_domain(domain) {
        Some(domain) => self::without(&without, &format!("{name}@{domain}")),
        None => without,
    }
}

/// `text` without `word`, in whichever case.
fn without(text: &str, word: &str) -> String {
    // As long as `text`, so what is found there is found here.
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
    db: &Pools,
    act: impl AsyncFnOnce(&mut Connection) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut tx = db.write_soon().await?;
    let result = act(&mut tx).await?;
    tx.commit().await?;
    Ok(result)
}

fn message(post: &Post, queued: &Queued, written: Written) -> Result<Message, Failure> {
    let hopeless = |reason: &str| Failure::Hopeless(reason.to_owned());
    let address: Address = queued.recipient.parse().map_err(|_| hopeless("its address is none"))?;
    let recipient = config::ascii_address(&address)
        .ok_or_else(|| hopeless("its address has letters outside ASCII before the @"))?;
    let host = post.from.email.domain();
    Message::builder()
        .from(post.from.clone())
        .to(Mailbox::new(None, recipient))
        .subject(written.subject)
        // The same at each attempt: should a mail arrive twice because we died
        // before noting that it was sent, mail programs show it once.
        .message_id(Some(format!("<{}.{}@{host}>", queued.id, queued.created_at)))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(written.text, written.html))
        .map_err(|_| hopeless("no mail can be made of it"))
}

/// Asks holiday notices not to answer (RFC 3834, section 5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

fn pause(attempts: i64, longest: Timestamp) -> Timestamp {
    let doublings = attempts.saturating_sub(1).clamp(0, 20) as u32;
    (FIRST_PAUSE << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_no_address_in_whichever_case_the_server_repeats_it() {
        assert_eq!(
            without("550 <Ada@Example.org>: no Ada@EXAMPLE.ORG", "ada@example.org"),
            "550 <…>: no …"
        );
        assert_eq!(without("550 für", ""), "550 für");
    }

    #[rocket::async_test]
    async fn a_panic_over_what_the_server_says_is_an_outage() {
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
