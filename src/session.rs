//! Sessions: an opaque token in a sealed cookie, and its row in the database.

mod cache;
mod clocks;
mod flash;
mod group;
mod guard;
mod key;
pub(crate) mod life;
#[cfg(feature = "pages")]
mod of_user;
mod response;
mod seen;
mod state;
pub(crate) mod store;
mod sweep;
pub(crate) mod value;

pub use flash::{Flash, FlashCookie};
pub use guard::{Session, Sessions};
pub use key::{AnyKey, Key, KeyOf};
#[cfg(feature = "pages")]
pub(crate) use life::{Given, Started};
pub use response::fairing as cookie_sender;
pub use sweep::fairing as sweeper;
#[cfg(feature = "testing")]
pub use sweep::sweep;
