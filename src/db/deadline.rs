//! Time limits for PostgreSQL.

use std::time::Duration;

use rocket::tokio::time::{Instant, timeout_at};

/// The longest wait for a connection and for everything that is done with it. It is far below what
/// a proxy waits, and far above what a healthy server takes.
pub const SERVER_PATIENCE: Duration = Duration::from_secs(3);

/// Returns the deadline, or a second from now if that is later.
pub fn at_least(deadline: Instant) -> Instant {
    deadline.max(Instant::now() + Duration::from_secs(1))
}

pub async fn within<R>(
    deadline: Option<Instant>,
    done: impl Future<Output = Result<R, sqlx::Error>>,
) -> Result<R, sqlx::Error> {
    let Some(deadline) = deadline else { return done.await };
    match timeout_at(deadline, done).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}
