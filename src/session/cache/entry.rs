//! A session in the form that takes the least memory.
//!
//! Most entries own nothing beside their place in the cache. Their small pieces would stay between the
//! large ones that each request takes and gives back, and the allocator could not use those again:
//! 200,000 entries in pieces of their own kept 43 MiB of such holes (docs/performance.md).

use std::num::NonZeroI64;
use std::sync::Arc;

use super::super::store::Record;
use super::super::value::State;
use super::size::{allocated, of_state, shared};
use crate::clock::Timestamp;
use crate::token::TokenId;
use crate::user::{Email, Roles, User};

/// The longest address that is kept in the entry, in bytes. Few people have a longer one.
const SHORT: usize = 38;

/// A session as it was read from the database.
#[derive(Clone)]
pub struct Loaded {
    pub record: Record,
    pub user: Option<Arc<User>>,
    pub state: Arc<State>,
    /// The length of the state as text, in bytes.
    pub length: usize,
}

/// A session in the cache. Its id is the key.
#[derive(Clone)]
pub struct Entry {
    pub version: u64,
    pub read_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    /// `None` if it is the id.
    family: Option<Box<TokenId>>,
    user_id: Option<NonZeroI64>,
    created_at: Timestamp,
    // 1970 is never.
    authenticated_at: Option<NonZeroI64>,
    strong_at: Option<NonZeroI64>,
    owner: Owner,
    /// `None` if the state is empty.
    state: Option<Arc<State>>,
    /// The memory that the entry owns beside its place in the cache, in bytes. The cache asks for it
    /// often and under its lock, and a state takes time to measure.
    pub owned: u32,
    /// At most `cache::LARGEST_STATE`.
    length: u16,
    remember: bool,
}

/// The user of a session.
#[derive(Clone)]
enum Owner {
    Nobody,
    Short(Short),
    Other(Arc<User>),
}

/// A user without roles, whose address is short. Their id is the session's `user_id`.
#[derive(Clone)]
struct Short {
    created_at: Timestamp,
    verified_at: Option<NonZeroI64>,
    email: [u8; SHORT],
    length: u8,
    has_factor: bool,
}

impl Entry {
    pub fn new(version: u64, read_at: Timestamp, loaded: Loaded) -> Self {
        let Loaded { record, user, state, length } = loaded;
        let mut entry = Entry {
            version,
            read_at,
            last_seen_at: record.last_seen_at,
            expires_at: record.expires_at,
            family: (record.family != record.id).then(|| Box::new(record.family)),
            user_id: record.user_id.and_then(NonZeroI64::new),
            created_at: record.created_at,
            authenticated_at: record.authenticated_at.and_then(NonZeroI64::new),
            strong_at: record.strong_at.and_then(NonZeroI64::new),
            owner: user.map_or(Owner::Nobody, |user| Owner::of(user, record.user_id)),
            state: None,
            owned: 0,
            length: 0,
            remember: record.remember,
        };
        entry.set_state(state, length);
        entry
    }

    /// Replaces the state. `length` is the length of the state as text, in bytes.
    pub fn set_state(&mut self, state: Arc<State>, length: usize) {
        self.state = (!state.is_empty()).then_some(state);
        self.length = length.try_into().unwrap_or(u16::MAX);
        self.owned = self.measure().try_into().unwrap_or(u32::MAX);
    }

    fn measure(&self) -> usize {
        let family = self.family.as_ref().map_or(0, |_| allocated(size_of::<TokenId>()));
        let user = match &self.owner {
            Owner::Nobody | Owner::Short(_) => 0,
            Owner::Other(user) => {
                shared::<User>()
                    + allocated(user.email.len())
                    + allocated(user.roles.as_stored().len())
            }
        };
        let state = self.state.as_ref().map_or(0, |state| shared::<State>() + of_state(state));
        family + user + state
    }

    /// Returns the session as it was stored, under its `id`.
    pub fn loaded(self, id: TokenId) -> Loaded {
        let user_id = self.user_id.map(NonZeroI64::get);
        let record = Record {
            id,
            family: self.family.map_or(id, |family| *family),
            user_id,
            remember: self.remember,
            created_at: self.created_at,
            last_seen_at: self.last_seen_at,
            expires_at: self.expires_at,
            authenticated_at: self.authenticated_at.map(NonZeroI64::get),
            strong_at: self.strong_at.map(NonZeroI64::get),
        };
        // All requests together would wait for the counter of one shared empty state.
        let state = self.state.unwrap_or_default();
        Loaded { record, user: self.owner.user(user_id), state, length: self.length.into() }
    }
}

impl Owner {
    fn of(user: Arc<User>, user_id: Option<i64>) -> Self {
        let is_plain = user_id == Some(user.id) && user.roles.as_stored().is_empty();
        match Short::of(&user).filter(|_| is_plain) {
            Some(short) => Owner::Short(short),
            None => Owner::Other(user),
        }
    }

    fn user(self, user_id: Option<i64>) -> Option<Arc<User>> {
        match self {
            Owner::Nobody => None,
            Owner::Short(short) => Some(Arc::new(short.user(user_id?)?)),
            Owner::Other(user) => Some(user),
        }
    }
}

impl Short {
    /// `None` means that the address is too long.
    fn of(user: &User) -> Option<Self> {
        let mut email = [0; SHORT];
        email.get_mut(..user.email.len())?.copy_from_slice(user.email.as_bytes());
        Some(Short {
            created_at: user.created_at,
            verified_at: user.verified_at.and_then(NonZeroI64::new),
            email,
            length: user.email.len() as u8,
            has_factor: user.has_factor,
        })
    }

    fn user(&self, id: i64) -> Option<User> {
        let email = str::from_utf8(self.email.get(..self.length.into())?).ok()?;
        Some(User {
            id,
            email: Email::from_stored(email.to_owned()),
            created_at: self.created_at,
            verified_at: self.verified_at.map(NonZeroI64::get),
            roles: Roles::default(),
            has_factor: self.has_factor,
        })
    }
}
