//! `/account/activity`: the security history.

use rocket::get;
use serde::Serialize;

use super::content::{Audience, Content};
use super::{Page, View};
use crate::auth::Auth;
use crate::clock::{Timestamp, in_rfc_3339};
use crate::error::Error;
use crate::history::{Event, EventKind, NEW_DEVICE};
use crate::user::User;
use crate::web::Json;

/// How many seconds equal events may be apart to stand in one row. With more, the log-ins of many
/// days would be one line.
const TOGETHER: Timestamp = 24 * 60 * 60;

/// The content of the page.
#[derive(Serialize)]
pub struct ActivityPage {
    entries: Vec<Entry>,
}

/// Equal events, one after the other.
#[derive(Serialize)]
struct Entry {
    text: String,
    mark: Mark,
    /// How many events they are.
    count: usize,
    /// The latest of them.
    #[serde(flatten)]
    event: Event,
}

/// How the page marks an event.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    Done,
    Refused,
    NewDevice,
}

impl Mark {
    fn of(event: &Event) -> Self {
        match event.kind.is_refusal() {
            true => Mark::Refused,
            false if event.is_from_new_device() => Mark::NewDevice,
            false => Mark::Done,
        }
    }
}

impl Entry {
    fn of(event: Event) -> Self {
        Entry { text: event.to_string(), mark: Mark::of(&event), count: 1, event }
    }

    /// Returns whether `older`, the next event, may stand in this row as well.
    fn takes(&self, older: &Event) -> bool {
        fn what(event: &Event) -> (EventKind, [&str; 3]) {
            (event.kind, [&event.detail, &event.device, &event.ip_address])
        }
        what(&self.event) == what(older) && self.event.at - older.at < TOGETHER
    }

    /// Returns the rows for `history`, which begins with the latest event.
    fn all(history: Vec<Event>) -> Vec<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for event in history {
            match entries.last_mut().filter(|entry| entry.takes(&event)) {
                Some(entry) => entry.count += 1,
                None => entries.push(Entry::of(event)),
            }
        }
        entries
    }
}

/// The history, for a program.
#[derive(Serialize)]
pub struct Activity {
    events: Vec<Happened>,
}

#[derive(Serialize)]
struct Happened {
    kind: EventKind,
    at: Option<String>,
    device: String,
    ip_address: String,
    detail: String,
}

#[get("/account/activity")]
pub async fn list(
    page: Page<'_>,
    user: &User,
    auth: Auth<'_>,
) -> Result<View<Json<Activity>>, Error> {
    let history = auth.history(user).await?;
    let events = history.iter().map(Happened::from).collect();
    let entries = Entry::all(history);
    Ok(page.render(ActivityPage { entries }).or(Json(Activity { events })))
}

impl From<&Event> for Happened {
    fn from(event: &Event) -> Self {
        Happened {
            kind: event.kind,
            at: in_rfc_3339(event.at),
            device: event.device.clone(),
            ip_address: event.ip_address.clone(),
            detail: event.detail.clone(),
        }
    }
}

impl Content for ActivityPage {
    const TEMPLATE: &'static str = "activity";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        let event = |kind: EventKind, at: Timestamp, ip_address: &str, detail: &str| Event {
            kind,
            at,
            device: "Firefox on Linux".into(),
            ip_address: ip_address.into(),
            user_agent: "Firefox".into(),
            detail: detail.into(),
        };
        let history = vec![
            event(EventKind::LogInFailed, 1, "192.0.2.1", ""),
            event(EventKind::LogInFailed, 0, "192.0.2.1", ""),
            event(EventKind::LoggedIn, 0, "", ""),
            event(EventKind::LoggedIn, 0, "192.0.2.1", NEW_DEVICE),
        ];
        vec![ActivityPage { entries: vec![] }, ActivityPage { entries: Entry::all(history) }]
    }
}
