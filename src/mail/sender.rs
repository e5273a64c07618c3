//! The sender: takes mails out of the outbox and hands them to the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rocket::Shutdown;
use rocket::fairing::AdHoc;
use rocket::tokio::{self, time::timeout};
use rocket_db_pools::Database;

use super::outbox::{self, Queued};
use super::templates::Written;
use super::{Mail, Post};
use crate::background;
use crate::clock::{Clock, Timestamp};
use crate::config::{ConfigError, MailServer, MailTls};
use crate::db::{Connection, Db, Pools};
use crate::error::Error;
use crate::metrics::{self, MailEvent};

/// How long the server may take for one step, and for one mail.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after the first failure; it doubles with each one, up to an hour
/// for one mail, and up to a minute where the server itself does not answer.
const FIRST_PAUSE: Timestamp = 5;
const LONGEST_PAUSE: Timestamp = 60 * 60;
const LONGEST_SILENCE: Timestamp = 60;

/// How often to look for mails that another process has queued.
const INTERVAL: Timestamp = 5;

/// A connection to the mail server, kept for half a minute.
pub struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

/// Why a mail was not sent.
#[derive(Debug)]
enum Failure {
    /// It never will be.
    Hopeless(String),
    /// The server answers, but does not take this mail now.
    Refused(String),
    /// The server does not answer, or does not let us in.
    Unreachable(String),
}

impl Smtp {
    pub fn new(server: &MailServer) -> Result<Self, ConfigError> {
        let parameters = || {
            TlsParameters::new(server.host.clone())
                .map_err(|error| ConfigError::new("mail.url", format!("cannot use TLS: {error}")))
        };
        let tls = match server.tls {
            MailTls::None => Tls::None,
            MailTls::Opportunistic => Tls::Opportunistic(parameters()?),
            MailTls::StartTls => Tls::Required(parameters()?),
            MailTls::Implicit => Tls::Wrapper(parameters()?),
        };

        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(STEP_TIMEOUT))
            .pool_config(PoolConfig::new().max_size(1).idle_timeout(Duration::from_secs(30)));
        if let Some((user, password)) = &server.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        Ok(Smtp(builder.build()))
    }

    /// Greets the server and logs in, and sends nothing.
    pub async fn test(&self) -> Result<(), String> {
        match self.0.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err("it does not answer".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn send(&self, message: Message) -> Result<(), Failure> {
        let sent = match timeout(MAIL_TIMEOUT, self.0.send(message)).await {
            Ok(sent) => sent,
            Err(_) => return Err(Failure::Unreachable("it took too long".into())),
        };
        let Err(error) = sent else { return Ok(()) };
        let text = error.to_string();
        let Some(code) = error.status().map(u16::from) else {
            return Err(Failure::Unreachable(text));
        };
        Err(match code {
            // Not now, or not without a log-in: the next mail would fare no better.
            421 | 454 | 530 | 534 | 535 | 538 => Failure::Unreachable(text),
            // Any other refusal may be of us rather than of the address, and pass.
            500.. if is_no_address(&text) => Failure::Hopeless(text),
            _ => Failure::Refused(text),
        })
    }
}

/// Whether the address is none, or its mailbox is not there, by the status that
/// the reply begins with (RFC 3463, section 3.2 and 3.3).
fn is_no_address(text: &str) -> bool {
    let reply = text.split_once("): ").map_or("", |(_, reply)| reply);
    let status = reply.split_whitespace().next().unwrap_or_default();
    matches!(status, "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10" | "5.2.1")
}

/// Sends from lift-off to shutdown. What is not sent by then waits in the table.
pub fn fairing(mail: Mail) -> AdHoc {
    AdHoc::on_liftoff("Mail", move |rocket| {
        let Some(post) = mail.0.clone() else { return Box::pin(async {}) };
        Box::pin(async move {
            let db = Pools::clone(Db::fetch(rocket).expect("the stage attaches the database"));
            let clock = rocket.state::<Clock>().expect("the stage manages a clock").clone();
            let sender = Sender { post, db, clock, shutdown: rocket.shutdown(), unnoted: None };
            tokio::spawn(sender.run());
        })
    })
}

struct Sender {
    post: Arc<Post>,
    db: Pools,
    clock: Clock,
    shutdown: Shutdown,
    /// A mail that was sent, while the database could not take that down.
    unnoted: Option<i64>,
}

impl Sender {
    async fn run(mut self) {
        let mut silence = 0;
        loop {
            let pause = match background::round("mail sender", self.send_due()).await {
                Some(Ok(())) => {
                    silence = 0;
                    INTERVAL
                }
                // The mail is claimed: it is tried again in a minute.
                None => INTERVAL,
                Some(Err(error)) => {
                    log::warn!("mails wait: {error}");
                    silence = (2 * silence).clamp(FIRST_PAUSE, LONGEST_SILENCE);
                    silence
                }
            };

            // A server that does not answer is left alone for a while, whatever
            // is queued meanwhile.
            tokio::select! {
                _ = &mut self.shutdown => return,
                _ = self.clock.sleep(pause) => {}
                _ = self.post.queued.notified(), if silence == 0 => {}
            }
        }
    }

    /// Sends what is due. An error is the server's or the database's, not a mail's.
    async fn send_due(&mut self) -> Result<(), String> {
        loop {
            // A mail that is being sent at the shutdown is sent to its end, and
            // the database stays open for that: cut off, it would be sent twice.
            let (db, now) = (self.db.clone(), self.clock.now());
            let _open = db.keep_open();
            if is_due(&mut self.shutdown).await {
                return Ok(());
            }

            // First of all: nothing that was sent may be sent again.
            if let Some(id) = self.unnoted {
                self.note(id).await.map_err(|error| error.to_string())?;
                self.unnoted = None;
            }

            // Looking takes no lock, and mostly there is nothing.
            let next = async { outbox::next_attempt_at(&mut db.read().await?).await }.await;
            if next.map_err(|error| error.to_string())?.is_none_or(|next| next > now) {
                return Ok(());
            }

            let claimed = change(&db, async |tx| outbox::claim(tx, now).await).await;
            let Some(queued) = claimed.map_err(|error| error.to_string())? else { return Ok(()) };
            self.deliver(&queued, now).await?;
        }
    }

    async fn deliver(&mut self, queued: &Queued, now: Timestamp) -> Result<(), String> {
        let outcome = attempt(&self.post, queued, now).await;
        metrics::mail(match &outcome {
            Ok(()) => MailEvent::Sent,
            Err(Failure::Hopeless(_)) => MailEvent::Dropped,
            Err(Failure::Refused(_) | Failure::Unreachable(_)) => MailEvent::Failed,
        });

        let (id, now) = (queued.id, self.clock.now());
        let put_off = async |longest| {
            let until = now + pause(queued.attempts, longest);
            change(&self.db, async |tx| outbox::put_off(tx, id, until).await).await
        };
        let stored = match &outcome {
            Ok(()) => {
                self.unnoted = Some(id);
                self.note(id).await.inspect(|()| self.unnoted = None)
            }
            Err(Failure::Hopeless(reason)) => {
                log::error!("mail {id} is given up: {}", without_address(reason, queued));
                change(&self.db, async |tx| outbox::delete(tx, id).await).await
            }
            Err(Failure::Refused(reason)) => {
                let reason = without_address(reason, queued);
                log::warn!("mail {id} was refused and waits: {reason}");
                put_off(LONGEST_PAUSE).await
            }
            Err(Failure::Unreachable(_)) => put_off(LONGEST_SILENCE).await,
        };

        stored.map_err(|error| error.to_string())?;
        match outcome {
            Err(Failure::Unreachable(reason)) => {
                let reason = without_address(&reason, queued);
                Err(format!("the mail server cannot be used: {reason}"))
            }
            _ => Ok(()),
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
}

/// Whether `shutdown` has come.
async fn is_due(shutdown: &mut Shutdown) -> bool {
    tokio::select! {
        biased;
        _ = shutdown => true,
        _ = std::future::ready(()) => false,
    }
}

/// Servers repeat the address that they refuse; the log does not.
fn without_address(reason: &str, queued: &Queued) -> String {
    reason.replace(&queued.recipient, "…")
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

async fn attempt(post: &Post, queued: &Queued, now: Timestamp) -> Result<(), Failure> {
    let Some(smtp) = &post.smtp else { return Ok(()) };
    if queued.expires_at <= now {
        return Err(Failure::Hopeless("it comes too late to be of use".into()));
    }

    let content = queued
        .open(&post.cookies)
        .ok_or_else(|| Failure::Hopeless("it was sealed with another secret_key".into()))?;
    let written = post
        .templates
        .write(&queued.template, &content, post.site())
        .map_err(|error| Failure::Refused(error.to_string()))?;
    let message = message(post, queued, written)
        .ok_or_else(|| Failure::Hopeless("no mail can be made of it".into()))?;
    smtp.send(message).await
}

fn message(post: &Post, queued: &Queued, written: Written) -> Option<Message> {
    let recipient = Mailbox::new(None, queued.recipient.parse().ok()?);
    let host = post.from.email.domain();
    Message::builder()
        .from(post.from.clone())
        .to(recipient)
        .subject(written.subject)
        // The same at each attempt: should a mail arrive twice because we died
        // before noting that it was sent, mail programs show it once.
        .message_id(Some(format!("<{}.{}@{host}>", queued.id, queued.created_at)))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(written.text, written.html))
        .ok()
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

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Smtp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_itself_says_that_an_address_is_none() {
        assert!(is_no_address("permanent error (550): 5.1.1 no such mailbox"));
        assert!(!is_no_address("permanent error (554): 5.7.1 [45.1.1.3] blocked"));
        assert!(!is_no_address("permanent error (550): no such mailbox 5.1.1"));
        assert!(!is_no_address("permanent error (550)"));
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<_> = (1..=6).map(|attempts| pause(attempts, LONGEST_SILENCE)).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        assert_eq!(pause(i64::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }
}
