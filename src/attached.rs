//! The parts that the stage has attached.

use rocket::{Orbit, Rocket};

/// A part of the stage, for a guard whose [`Sentinel`](rocket::Sentinel) has
/// seen to it that the stage is attached.
pub fn attached<T: Send + Sync + 'static>(rocket: &Rocket<Orbit>) -> &T {
    rocket.state().expect("a sentinel checks that the stage is attached")
}
