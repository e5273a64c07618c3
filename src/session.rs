//! Sessions: an opaque token in a sealed cookie, and its row in the database.

mod cache;
mod clocks;
mod flash;
mod group;
mod guard;
pub(crate) mod life;
mod response;
mod state;
pub(crate) mod store;
mod sweep;
pub(crate) mod value;

pub use flash::{Flash, FlashCookie};
pub use guard::{Session, Sessions};
pub(crate) use life::Started;
pub use response::fairing as cookie_sender;
pub use sweep::{fairing as sweeper, sweep};
