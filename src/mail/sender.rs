//! The sender: takes mails out of the outbox and hands them to the server.

use std::fmt;
use std::time::Duration;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::response::Severity;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rocket::fairing::AdHoc;
use rocket::tokio::{self, time::timeout};
use rocket_db_pools::Database;

use super::outbox::{self, Queued};
use super::templates::Written;
use super::{Mail, Post};
use crate::clock::{Clock, Timestamp};
use crate::config::{ConfigError, MailServer, MailTls};
use crate::db::{Db, Pools};
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

    async fn send(&self, message: Message) -> Result<(), Failure> {
        let sent = match timeout(MAIL_TIMEOUT, self.0.send(message)).await {
            Ok(sent) => sent,
            Err(_) => return Err(Failure::Unreachable("it took too long".into())),
        };
        let Err(error) = sent else { return Ok(()) };
        let text = error.to_string();
        Err(match error.status() {
            // The mailbox is not there, not local, too full, or its name is none
            // (RFC 5321, section 4.2.3). Other refusals may be of us, and pass.
            Some(code) if matches!(u16::from(code), 550..=553) => Failure::Hopeless(text),
            // Not "log in first", and not "go away".
            Some(code)
                if matches!(code.severity, Severity::TransientNegativeCompletion)
                    && u16::from(code) != 421
                    && u16::from(code) != 454 =>
            {
                Failure::Refused(text)
            }
            _ => Failure::Unreachable(text),
        })
    }
}

/// Sends from lift-off to shutdown. What is not sent by then waits in the table.
pub fn fairing(mail: Mail) -> AdHoc {
    AdHoc::on_liftoff("Mail", move |rocket| {
        let Some(post) = mail.0.clone() else { return Box::pin(async {}) };
        Box::pin(async move {
            let db = Pools::clone(Db::fetch(rocket).expect("the stage attaches the database"));
            let clock = rocket.state::<Clock>().expect("the stage manages a clock").clone();
            let mut shutdown = rocket.shutdown();
            tokio::spawn(async move {
                tokio::select! {
                    _ = &mut shutdown => {}
                    _ = run(&post, &db, &clock) => {}
                }
            });
        })
    })
}

async fn run(post: &Post, db: &Pools, clock: &Clock) {
    let mut silence = 0;
    loop {
        let pause = match send_due(post, db, clock).await {
            Ok(()) => {
                silence = 0;
                INTERVAL
            }
            Err(error) => {
                log::warn!("mails wait: {error}");
                silence = (2 * silence).clamp(FIRST_PAUSE, LONGEST_SILENCE);
                silence
            }
        };

        // A server that does not answer is left alone for a while, whatever is
        // queued meanwhile.
        tokio::select! {
            _ = clock.sleep(pause) => {}
            _ = post.queued.notified(), if silence == 0 => {}
        }
    }
}

/// Sends what is due. An error is the server's or the database's, not a mail's.
async fn send_due(post: &Post, db: &Pools, clock: &Clock) -> Result<(), String> {
    loop {
        let now = clock.now();
        // Looking takes no lock, and mostly there is nothing.
        let next = async { outbox::next_attempt_at(&mut *db.read().await?).await }.await;
        if next.map_err(|error| error.to_string())?.is_none_or(|next| next > now) {
            return Ok(());
        }

        let claimed = change(db, async |tx| outbox::claim(tx, now).await).await;
        let Some(queued) = claimed.map_err(|error| error.to_string())? else { return Ok(()) };
        let outcome = attempt(post, &queued, now).await;
        let id = queued.id;
        let (stored, silence) = match outcome {
            Ok(()) => {
                metrics::mail(MailEvent::Sent);
                let now = clock.now();
                let stored = match post.keeps_sent {
                    true => change(db, async |tx| outbox::keep(tx, id, now).await).await,
                    false => change(db, async |tx| outbox::delete(tx, id).await).await,
                };
                (stored, None)
            }
            Err(Failure::Hopeless(reason)) => {
                metrics::mail(MailEvent::Dropped);
                log::error!("mail {id} is given up: {reason}");
                (change(db, async |tx| outbox::delete(tx, id).await).await, None)
            }
            Err(Failure::Refused(reason)) => {
                metrics::mail(MailEvent::Failed);
                log::warn!("mail {id} was refused and waits: {reason}");
                let until = clock.now() + pause(queued.attempts, LONGEST_PAUSE);
                (change(db, async |tx| outbox::put_off(tx, id, until).await).await, None)
            }
            Err(Failure::Unreachable(reason)) => {
                metrics::mail(MailEvent::Failed);
                let until = clock.now() + pause(queued.attempts, LONGEST_SILENCE);
                let stored = change(db, async |tx| outbox::put_off(tx, id, until).await).await;
                (stored, Some(reason))
            }
        };

        stored.map_err(|error| error.to_string())?;
        if let Some(reason) = silence {
            return Err(format!("the mail server cannot be used: {reason}"));
        }
    }
}

async fn change<R>(
    db: &Pools,
    act: impl AsyncFnOnce(&mut sqlx::SqliteConnection) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut tx = db.write().await?;
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
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<_> = (1..=6).map(|attempts| pause(attempts, LONGEST_SILENCE)).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        assert_eq!(pause(i64::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    }
}
