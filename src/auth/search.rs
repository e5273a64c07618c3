//! Finds accounts for the operator, each in one statement.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::db::Connection;
use crate::error::Error;
use crate::history::EventKind;
use crate::sql::{self, Query, Whole};
use crate::user::{Email, RoleName, Roles, User};

/// How many accounts are on a page unless the caller says it: as many as people scroll through.
const PAGE: u32 = 50;

/// The most accounts on a page.
const LARGEST_PAGE: u32 = 1_000;

/// The least character of an address. An address that comes after another one in the list is at
/// least that one with this character behind it.
const LEAST: char = '!';

/// A character that is greater than each one of an address.
const GREATER: char = '\x7f';

/// An account, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// The user, whom the acts of [`Operator`](super::Operator) take.
    #[serde(flatten)]
    pub user: User,
    /// When the account was disabled, in seconds since 1970. `None`: it is not disabled.
    pub disabled_at: Option<Timestamp>,
    /// How many sessions the user has.
    pub sessions: i64,
    /// How many log-ins have failed since the last good one, or since
    /// [`unlock()`](super::Operator::unlock()).
    pub failed_log_ins: i64,
}

/// A page of a list of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccountPage {
    /// The accounts, in the order of their addresses.
    pub accounts: Vec<Account>,
    /// The address to give to [`AccountSearch::after()`] for the next page. `None`: this is the
    /// last page.
    pub next: Option<Email>,
}

/// Says which accounts [`Operator::list()`](super::Operator::list()) returns. Without any condition
/// these are the first 50 of all.
///
/// # Examples
///
/// ```rust
/// use rocket_login::auth::AccountSearch;
///
/// # #[cfg(feature = "testing")]
/// # rocket_login::testing::example(async |auth, user, site| {
/// let operator = auth.operator(user);
/// let page = operator.list(&AccountSearch::new().starting_with("Ada")).await.unwrap();
/// assert_eq!(page.accounts[0].user.email, "ada@example.org");
/// assert_eq!(page.next, None);
///
/// let disabled = AccountSearch::new().disabled();
/// assert!(operator.list(&disabled).await.unwrap().accounts.is_empty());
/// # });
/// ```
#[derive(Debug, Clone)]
#[must_use = "a search does nothing until it is given to `Operator::list()`"]
pub struct AccountSearch {
    start: String,
    after: Option<String>,
    is_disabled: bool,
    is_unverified: bool,
    role: Option<RoleName>,
    limit: u32,
}

impl AccountSearch {
    /// Selects all accounts.
    pub fn new() -> Self {
        AccountSearch {
            start: String::new(),
            after: None,
            is_disabled: false,
            is_unverified: false,
            role: None,
            limit: PAGE,
        }
    }

    /// Selects only accounts whose address starts with `text`, in any case. Blanks around the text
    /// do not count.
    pub fn starting_with(mut self, text: &str) -> Self {
        let start = text.trim().to_ascii_lowercase();
        // PostgreSQL refuses a text with NUL, and no address has such characters.
        let is_possible = start.chars().all(|c| c.is_ascii_graphic());
        self.start = if is_possible { start } else { GREATER.into() };
        self
    }

    /// Selects only accounts that are disabled.
    pub fn disabled(mut self) -> Self {
        self.is_disabled = true;
        self
    }

    /// Selects only accounts whose address is not confirmed.
    pub fn unverified(mut self) -> Self {
        self.is_unverified = true;
        self
    }

    /// Selects only accounts that have the role.
    pub fn role(mut self, role: &RoleName) -> Self {
        self.role = Some(role.clone());
        self
    }

    /// Selects only accounts that come after the address `email`, which need not have an account:
    /// [`AccountPage::next`] of the page before.
    pub fn after(mut self, email: &Email) -> Self {
        self.after = Some(email.to_lower());
        self
    }

    /// Returns at most `count` accounts, from 1 to 1,000. A number outside counts as the nearest
    /// one.
    pub fn limit(mut self, count: u32) -> Self {
        self.limit = count.clamp(1, LARGEST_PAGE);
        self
    }

    /// Returns the least address, and the one before which the addresses end. With two bounds the
    /// databases read only that part of the index.
    fn bounds(&self) -> (String, String) {
        let next = self.after.as_ref().map(|after| format!("{after}{LEAST}"));
        let least = next.filter(|next| *next > self.start).unwrap_or(self.start.clone());
        (least, format!("{}{GREATER}", self.start))
    }
}

impl Default for AccountSearch {
    fn default() -> Self {
        AccountSearch::new()
    }
}

struct Row {
    id: i64,
    email: String,
    created_at: Timestamp,
    verified_at: Option<Timestamp>,
    roles: String,
    has_factor: bool,
    disabled_at: Option<Timestamp>,
    sessions: i64,
    failed_log_ins: i64,
}

sql::row!(Row {
    id,
    email,
    created_at,
    verified_at,
    roles,
    has_factor,
    disabled_at,
    sessions,
    failed_log_ins,
});

impl From<Row> for Account {
    fn from(row: Row) -> Self {
        let (email, roles) = (Email::from_stored(row.email), Roles::from_stored(&row.roles));
        let Row { id, created_at, verified_at, has_factor, .. } = row;
        let Row { disabled_at, sessions, failed_log_ins, .. } = row;
        let user = User { id, email, created_at, verified_at, roles, has_factor };
        Account { user, disabled_at, sessions, failed_log_ins }
    }
}

/// The statement that reads accounts, up to the condition on `u`. Its first four values are bound
/// by [`begun()`].
macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT u.id, u.email, u.created_at, u.verified_at, u.roles, u.has_factor,
                    u.disabled_at,
                    (SELECT count(*) FROM sessions s
                     WHERE s.user_id = u.id AND s.expires_at > $1
                     AND s.generation >= u.session_generation AND u.disabled_at IS NULL)
                        AS sessions,
                    (SELECT count(*) FROM login_events e
                     WHERE e.user_id = u.id AND e.kind = $2
                     AND e.id > coalesce((SELECT max(id) FROM login_events
                                          WHERE user_id = u.id AND kind IN ($3, $4)), 0))
                        AS failed_log_ins
             FROM users u ",
            $end
        )
    };
}

fn begun<'q>(query: Query<'q, Row, Whole>, now: Timestamp) -> Query<'q, Row, Whole> {
    let [failed, logged_in, unlocked] =
        [EventKind::LogInFailed, EventKind::LoggedIn, EventKind::Unlocked].map(EventKind::name);
    query.bind(now).bind(failed).bind(logged_in).bind(unlocked)
}

/// Returns the account with the id `id`.
pub(super) async fn find(
    db: &mut Connection,
    id: i64,
    now: Timestamp,
) -> Result<Option<Account>, Error> {
    let select = sql::query_as(select!("WHERE u.id = $5"));
    Ok(begun(select, now).bind(id).fetch_optional(db).await?.map(Account::from))
}

/// Returns the account of `email`, in any case.
pub(super) async fn find_by_email(
    db: &mut Connection,
    email: &Email,
    now: Timestamp,
) -> Result<Option<Account>, Error> {
    let select = sql::query_as(select!("WHERE lower(u.email) = $5"));
    let select = begun(select, now).bind(email.to_lower());
    Ok(select.fetch_optional(db).await?.map(Account::from))
}

/// Returns a page of the accounts that `search` selects.
pub(super) async fn list(
    db: &mut Connection,
    search: &AccountSearch,
    now: Timestamp,
) -> Result<AccountPage, Error> {
    let select = sql::query_as(match search.role {
        None => select!(
            "WHERE lower(u.email) >= $5 AND lower(u.email) < $6
             AND (u.disabled_at IS NOT NULL OR NOT $7) AND (u.verified_at IS NULL OR NOT $8)
             AND $9 = '' ORDER BY lower(u.email) LIMIT $10"
        ),
        // The expressions with `||` are not those of the index by address: few accounts have a
        // role, and there is an index of those.
        Some(_) => select!(
            "WHERE u.roles <> '' AND lower(u.email) || '' >= $5 AND lower(u.email) || '' < $6
             AND (u.disabled_at IS NOT NULL OR NOT $7) AND (u.verified_at IS NULL OR NOT $8)
             AND ' ' || u.roles || ' ' LIKE '% ' || $9 || ' %'
             ORDER BY lower(u.email) || '' LIMIT $10"
        ),
    });
    let ((least, end), limit) = (search.bounds(), search.limit);
    let rows: Vec<Row> = begun(select, now)
        .bind(least)
        .bind(end)
        .bind(search.is_disabled)
        .bind(search.is_unverified)
        .bind(search.role.as_deref().unwrap_or_default())
        // One more, which says whether there is a next page.
        .bind(limit + 1)
        .fetch_all(db)
        .await?;

    let mut accounts: Vec<Account> = rows.into_iter().map(Account::from).collect();
    let has_more = accounts.len() > limit as usize;
    accounts.truncate(limit as usize);
    let last = accounts.last().filter(|_| has_more);
    let next = last.map(|account| account.user.email.clone());
    Ok(AccountPage { accounts, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_search_take_the_narrower_start() {
        let after = |text| Email::parse(text).unwrap();
        let search = AccountSearch::new().starting_with(" Bo ");
        assert_eq!(search.bounds(), ("bo".into(), "bo\x7f".into()));
        let before = search.clone().after(&after("Ada@example.org"));
        assert_eq!(before.bounds().0, "bo");
        let within = search.after(&after("Bob@example.org"));
        assert_eq!(within.bounds(), ("bob@example.org!".into(), "bo\x7f".into()));
        assert_eq!(AccountSearch::new().bounds(), (String::new(), "\x7f".into()));
        for impossible in ["a\0", "é", "a b"] {
            let search = AccountSearch::new().starting_with(impossible);
            assert_eq!(search.bounds(), ("\x7f".into(), "\x7f\x7f".into()));
        }
    }

    #[test]
    fn a_page_has_at_least_one_account_and_at_most_a_thousand() {
        assert_eq!(AccountSearch::new().limit(0).limit, 1);
        assert_eq!(AccountSearch::new().limit(u32::MAX).limit, 1_000);
    }
}
