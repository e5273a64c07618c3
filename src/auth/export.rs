//! Exports everything that is stored about a user.

use std::vec::IntoIter;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Auth, ConnectedIdentity, Factors, OfUser};
use crate::client::device_name;
use crate::clock::{Timestamp, in_rfc_3339};
use crate::db::{Pool, Question};
use crate::device::{self, Device};
use crate::error::Error;
use crate::factor::{Factor, RecoveryCodes};
use crate::history::{self, Event, EventKind};
use crate::link::{self, Link};
use crate::mail;
use crate::notice::{self, Notice};
use crate::session::store::{self as sessions, Exported};
use crate::token::TokenId;
use crate::user::User;

/// How many sessions are read at a time. Each may have a state of `session.state_limit`, 64 KiB, so
/// a piece takes a mebibyte at most.
const SESSIONS: usize = 16;

/// How many events are read at a time. None is much larger than a kilobyte.
const EVENTS: u32 = 100;

/// Everything that is stored about a user, as one JSON document that is read piece by piece.
/// [`Auth::export()`] makes it.
///
/// It takes memory for one piece, and a connection only while that piece is read. So a slow
/// receiver holds nobody up.
#[derive(Debug)]
pub struct Export {
    db: Pool,
    user_id: i64,
    started_at: Timestamp,
    next: Next,
    sessions: IntoIter<TokenId>,
    newest_event: i64,
}

/// The part of the document whose size is bounded. A person reads it too, so the fields stand in
/// the order in which they are here.
#[derive(Serialize)]
struct Head<'a> {
    site: &'a str,
    exported_at: Option<String>,
    user: Value,
    notices: Vec<Notice>,
    devices: Vec<Value>,
    factors: Vec<Value>,
    recovery_codes: Vec<Value>,
    identities: Vec<Value>,
    links: Vec<Value>,
    mails: Vec<Value>,
}

/// The kind of the next piece.
#[derive(Debug)]
enum Next {
    Head(String),
    Sessions(Items),
    History(Items),
    Nothing,
}

/// A list in the document while it is written.
#[derive(Debug, Default)]
struct Items {
    is_begun: bool,
}

impl Auth<'_> {
    /// Returns everything that is stored about the user, including the state of their sessions,
    /// without any secret. Times are RFC 3339 in UTC, as in `2026-01-01T00:00:00Z`. The history
    /// has the export at once, before the first piece is read.
    ///
    /// # Examples
    ///
    /// ```rust
    /// # use rocket::get;
    /// use rocket_login::{Auth, Error, RecentLogin};
    ///
    /// #[get("/size-of-my-data")]
    /// async fn size(user: RecentLogin<'_>, auth: Auth<'_>) -> Result<String, Error> {
    ///     let (mut export, mut bytes) = (auth.export(&user).await?, 0);
    ///     while let Some(piece) = export.next().await? {
    ///         bytes += piece.len();
    ///     }
    ///     Ok(format!("{bytes} bytes"))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the database fails, or, with [`is_ended()`](Error::is_ended()), if this session was ended
    /// meanwhile or is not the user's.
    pub async fn export(&self, user: &User) -> Result<Export, Error> {
        self.own(user)?;
        let export = self.begin_export(user).await?;
        let mut change = self.change_as_user(user).await?;
        change.record(EventKind::Exported, user).await?;
        change.commit().await?;
        Ok(export)
    }

    /// Reads the part whose size is bounded, and which sessions and events there are to read.
    async fn begin_export(&self, user: &User) -> Result<Export, Error> {
        let (mut db, started_at) = (self.accounts.db.read().await?, self.accounts.clock.now());
        let settings = OfUser::ask_one(&mut db, user.id, started_at).await?;
        let settings = settings.ok_or_else(Error::ended)?;
        let links = link::list(&mut db, user.id).await?;
        let devices = device::list(&mut db, user.id).await?;
        let mails = mail::list(&mut db, user.id, &user.email).await?;
        let factors = Factors::read(&mut db, user.id, started_at, self.config).await?;
        let head = Head {
            site: self.config.site_name(),
            exported_at: in_rfc_3339(started_at),
            user: json!({
                "id": user.id,
                "email": user.email,
                "created_at": in_rfc_3339(user.created_at),
                "verified_at": user.verified_at.and_then(in_rfc_3339),
                "has_password": settings.has_password,
                "password_changed_at": settings.password_changed_at.and_then(in_rfc_3339),
                "wants_no_passkey": settings.wants_no_passkey,
                "roles": user.roles,
            }),
            notices: notice::wanted(&mut db, user.id).await?,
            devices: devices.iter().map(exported_device).collect(),
            factors: factors.factors.iter().map(exported_factor).collect(),
            recovery_codes: factors.codes.into_iter().map(exported_codes).collect(),
            identities: factors.identities.iter().map(exported_identity).collect(),
            links: links.iter().map(exported_link).collect(),
            mails: mails.iter().map(exported_mail).collect(),
        };
        Ok(Export {
            user_id: user.id,
            started_at,
            next: Next::Head(serde_json::to_string_pretty(&head).map_err(Error::other)?),
            sessions: sessions::families(&mut db, user.id, started_at).await?.into_iter(),
            newest_event: history::newest(&mut db, user.id).await?,
            db: self.accounts.db.clone(),
        })
    }
}

impl Export {
    /// Returns when the export was begun, in seconds since 1970.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Returns the next piece of the document. `None`: the document is whole.
    ///
    /// Rows that end or are deleted while the document is read may be missing.
    ///
    /// # Errors
    ///
    /// If the database fails. You may call it again. If you give up, the document is not whole, and
    /// what you have is not JSON.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            let piece = match &self.next {
                Next::Head(_) => self.head(),
                Next::Sessions(_) => self.some_sessions().await?,
                Next::History(_) => self.some_events().await?,
                Next::Nothing => return Ok(None),
            };
            // All sessions of the piece have ended meanwhile.
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    fn head(&mut self) -> String {
        let Next::Head(head) = std::mem::replace(&mut self.next, Next::Sessions(Items::default()))
        else {
            return String::new();
        };
        // The object continues after the head.
        let begun = head.strip_suffix("\n}").unwrap_or(&head);
        format!("{begun},\n  \"sessions\": [")
    }

    async fn some_sessions(&mut self) -> Result<String, Error> {
        let left = self.sessions.as_slice();
        let ids = &left[..left.len().min(SESSIONS)];
        if ids.is_empty() {
            self.next = Next::History(Items::default());
            return Ok("\n  ],\n  \"history\": [".into());
        }

        let (mut db, now) = (self.db.read().await?, self.started_at);
        let found = sessions::export(&mut db, ids, now).await?;
        drop(db);
        let (count, Next::Sessions(items)) = (ids.len(), &mut self.next) else {
            return Ok(String::new());
        };
        let piece = items.write(found.into_iter().map(exported_session));
        self.sessions.nth(count - 1);
        Ok(piece)
    }

    async fn some_events(&mut self) -> Result<String, Error> {
        let mut db = self.db.read().await?;
        let part = history::list(&mut db, self.user_id, self.newest_event, EVENTS).await?;
        drop(db);
        let (Some(oldest), Next::History(items)) = (part.oldest, &mut self.next) else {
            self.next = Next::Nothing;
            return Ok("\n  ]\n}\n".into());
        };
        let piece = items.write(part.events.iter().map(exported_event));
        self.newest_event = oldest - 1;
        Ok(piece)
    }
}

impl Items {
    /// Returns more items of the list, indented as in the whole document.
    fn write(&mut self, items: impl IntoIterator<Item = Value>) -> String {
        let mut written = String::new();
        for item in items {
            written += if self.is_begun { ",\n    " } else { "\n    " };
            // Inside a JSON string a line end is `\n`, so these line ends are between values.
            written += &format!("{item:#}").replace('\n', "\n    ");
            self.is_begun = true;
        }
        written
    }
}

fn exported_device(device: &Device) -> Value {
    json!({
        "created_at": in_rfc_3339(device.created_at),
        "last_seen_at": in_rfc_3339(device.last_seen_at),
        "trusted_until": device.trusted_until.and_then(in_rfc_3339),
    })
}

fn exported_factor(factor: &Factor) -> Value {
    json!({
        "kind": factor.kind,
        "name": factor.name,
        "created_at": in_rfc_3339(factor.created_at),
        "last_used_at": factor.last_used_at.and_then(in_rfc_3339),
        "is_synced": factor.is_synced,
        "is_sufficient": factor.is_sufficient,
    })
}

fn exported_codes(codes: RecoveryCodes) -> Value {
    json!({ "left": codes.left, "created_at": in_rfc_3339(codes.created_at) })
}

fn exported_identity(identity: &ConnectedIdentity) -> Value {
    json!({
        "issuer": identity.issuer,
        "subject": identity.subject,
        "provider": identity.provider,
        "email": identity.email,
        "created_at": in_rfc_3339(identity.created_at),
        "last_used_at": identity.last_used_at.and_then(in_rfc_3339),
    })
}

fn exported_mail(mail: &mail::Listed) -> Value {
    json!({
        "recipient": mail.recipient,
        "template": mail.template,
        "created_at": in_rfc_3339(mail.created_at),
        "expires_at": in_rfc_3339(mail.expires_at),
        "sent_at": mail.sent_at.and_then(in_rfc_3339),
    })
}

fn exported_event(event: &Event) -> Value {
    json!({
        "at": in_rfc_3339(event.at),
        "kind": event.kind,
        "text": event.to_string(),
        "device": event.device,
        "ip_address": event.ip_address,
        "user_agent": event.user_agent,
        "detail": event.detail,
    })
}

fn exported_link(link: &Link) -> Value {
    json!({
        "purpose": link.purpose.name(),
        "email": link.email,
        "created_at": in_rfc_3339(link.created_at),
        "expires_at": in_rfc_3339(link.expires_at),
    })
}

fn exported_session(exported: Exported) -> Value {
    let Exported { data, remember, authenticated_at, strong_at, listed } = exported;
    let state: Value = serde_json::from_str(&data).unwrap_or_default();
    json!({
        "device": device_name(&listed.user_agent),
        "user_agent": listed.user_agent,
        "ip_address": listed.ip_address,
        "provider": listed.provider,
        "remember": remember,
        "authenticated_at": authenticated_at.and_then(in_rfc_3339),
        "strong_at": strong_at.and_then(in_rfc_3339),
        "created_at": in_rfc_3339(listed.created_at),
        "last_seen_at": in_rfc_3339(listed.last_seen_at),
        "expires_at": in_rfc_3339(listed.expires_at),
        "state": state,
    })
}
