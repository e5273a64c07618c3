//! Access to the parts that the stage has attached.

#[cfg(feature = "testing")]
use rocket::tokio::runtime::Handle;
use rocket::{Orbit, Rocket};

/// Returns a part of the stage. A guard may call it if its [`Sentinel`](rocket::Sentinel) checks
/// that the stage is attached.
///
/// # Panics
///
/// Panics if the part is not attached.
pub fn attached<T: Send + Sync + 'static>(rocket: &Rocket<Orbit>) -> &T {
    rocket.state().expect("a sentinel checks that the stage is attached")
}

/// The runtime on which the database does its work, in managed state. Rocket's blocking client has one
/// of its own, and does not give it away.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct Runtime(pub Handle);
