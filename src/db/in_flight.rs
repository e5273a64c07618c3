//! Counts the requests that are being answered, so that the database closes last.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rocket::tokio::sync::Notify;
use rocket::tokio::time::timeout;

/// A count of requests that can be waited for. Each request changes it twice, so it is one number, and
/// nobody is woken before the count is zero.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    requests: AtomicUsize,
    are_done: Notify,
}

/// One request, which is over when this is dropped, however it ends.
pub struct Guard(InFlight);

impl InFlight {
    pub fn enter(&self) -> Guard {
        self.0.requests.fetch_add(1, SeqCst);
        Guard(self.clone())
    }

    /// Waits until no request is in flight, for `longest` at most.
    pub async fn wait_for_none(&self, longest: Duration) {
        if timeout(longest, self.none()).await.is_err() {
            let count = self.0.requests.load(SeqCst);
            log::warn!("closing the database while {count} requests or mails are unfinished");
        }
    }

    async fn none(&self) {
        loop {
            let mut done = pin!(self.0.are_done.notified());
            // From here on no end is missed: neither before the count is read nor after it.
            done.as_mut().enable();
            if self.0.requests.load(SeqCst) == 0 {
                return;
            }
            done.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Guard(InFlight(count)) = self;
        if count.requests.fetch_sub(1, SeqCst) == 1 {
            count.are_done.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use rocket::tokio::{spawn, task::yield_now};

    use super::*;

    #[rocket::async_test]
    async fn waiting_ends_with_the_last_request() {
        let requests = InFlight::default();
        requests.none().await;
        let (one, other) = (requests.enter(), requests.enter());
        drop(one);
        assert!(timeout(Duration::ZERO, requests.none()).await.is_err());
        let waiting = spawn({
            let requests = requests.clone();
            async move { requests.none().await }
        });
        yield_now().await;
        drop(other);
        waiting.await.unwrap();
    }
}
