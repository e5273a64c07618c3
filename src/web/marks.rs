//! Marks on a request while it is answered.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rocket::Request;

/// The marks on a request. They are one value, because each type in a request's cache costs an
/// allocation.
#[derive(Debug, Default)]
pub struct Marks {
    is_seen: AtomicBool,
    is_ours: AtomicBool,
    is_secret: AtomicBool,
}

impl Marks {
    /// Returns the marks of `request`.
    pub fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Marks::default)
    }

    /// Notes that the fairings see the request.
    pub fn set_seen(&self) {
        self.is_seen.store(true, Relaxed);
    }

    /// Returns whether the fairings see the request. Rocket answers one that it cannot parse without
    /// them.
    pub fn is_seen(&self) -> bool {
        self.is_seen.load(Relaxed)
    }

    /// Notes that the response is ours: that of a route or a catcher of ours.
    pub fn set_ours(&self) {
        self.is_ours.store(true, Relaxed);
    }

    /// Returns whether the response is ours. It is known once there is one.
    pub fn is_ours(&self) -> bool {
        self.is_ours.load(Relaxed)
    }

    /// Notes that the path of the request is a secret.
    pub fn set_secret(&self) {
        self.is_secret.store(true, Relaxed);
    }

    /// Returns whether the path of the request is a secret.
    pub fn is_secret(&self) -> bool {
        self.is_secret.load(Relaxed)
    }
}
