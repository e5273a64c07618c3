//! Draining: a load balancer learns that an instance is about to stop before it stops.
//!
//! Otherwise the balancer would send requests that nobody answers, between its last check of
//! `/readyz` and the end of the listener. So `/readyz` answers 503 at once, everything else is
//! served for the time `site.drain`, and Rocket's own shutdown starts after that.

#[cfg(feature = "cli")]
mod signal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "cli")]
pub use signal::prepare;

/// The flag that the instance is about to stop. It is in managed state.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    pub fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
