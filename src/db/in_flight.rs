//! Counts the requests that are being answered, so that the database closes last.

use std::sync::Arc;
use std::time::Duration;

use rocket::tokio::sync::watch;
use rocket::tokio::time::timeout;

/// A count of requests that can be waited for.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<watch::Sender<usize>>);

/// One request, which is over when this is dropped, however it ends.
pub struct Guard(InFlight);

impl Default for InFlight {
    fn default() -> Self {
        InFlight(Arc::new(watch::Sender::new(0)))
    }
}

impl InFlight {
    pub fn enter(&self) -> Guard {
        self.0.send_modify(|count| *count += 1);
        Guard(self.clone())
    }

    /// Waits until no request is in flight, for `longest` at most.
    pub async fn wait_for_none(&self, longest: Duration) {
        let mut count = self.0.subscribe();
        if timeout(longest, count.wait_for(|count| *count == 0)).await.is_err() {
            log::warn!(
                "closing the database while {} requests or mails are unfinished",
                *self.0.borrow()
            );
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
