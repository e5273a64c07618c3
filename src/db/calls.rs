//! Counts the calls to the database, for tests of what must not show in the response time.

/// Notes that the database is asked for something, and waited for.
#[cfg(not(feature = "testing"))]
pub fn note() {}

#[cfg(feature = "testing")]
pub use counted::{count, note};

#[cfg(feature = "testing")]
mod counted {
    use std::cell::Cell;

    use rocket::tokio::task_local;

    task_local! {
        static CALLS: Cell<u64>;
    }

    /// Notes that the database is asked for something, and waited for.
    pub fn note() {
        // There is no counter unless a test counts.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    }

    /// Returns the result of `act`, and how often it has asked the database.
    pub async fn count<T>(act: impl Future<Output = T>) -> (T, u64) {
        let counted = async {
            let done = act.await;
            (done, CALLS.with(Cell::get))
        };
        CALLS.scope(Cell::new(0), counted).await
    }
}
