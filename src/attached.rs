//! Access to the parts that the stage has attached.

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
