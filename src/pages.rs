//! The pages. Each module has the routes of one page, and calls the act of its form.

mod account;
mod activity;
mod assets;
mod delete;
mod email;
mod errors;
mod export;
mod health;
mod home;
pub(crate) mod login;
mod logout;
mod mailbox;
mod not_me;
mod notices;
mod page;
mod password;
pub(crate) mod reauthenticate;
mod register;
mod reset;
mod sessions;
mod strength;
mod templates;
mod verify;
mod well_known;

use rocket::{Route, routes as routes_of};

use crate::web::FieldErrors;
use page::{Html, Page, Rejection, wrong_password};

pub use errors::{catchers, log_in_catcher};
pub use templates::{Customize, Engines, Rendered, fairing as templates};

/// Returns the routes of all pages.
pub fn routes() -> Vec<Route> {
    routes_of![
        home::home,
        register::form,
        register::submit,
        register::sent,
        login::form,
        login::submit,
        logout::form,
        logout::submit,
        reauthenticate::form,
        reauthenticate::submit,
        reset::form,
        reset::submit,
        reset::choose,
        reset::set,
        verify::form,
        verify::submit,
        verify::submit_nothing,
        not_me::form,
        not_me::submit,
        account::account,
        account::verify,
        password::form,
        password::submit,
        email::form,
        email::submit,
        sessions::list,
        sessions::revoke,
        sessions::revoke_others,
        activity::list,
        notices::form,
        notices::submit,
        export::export,
        delete::form,
        delete::submit,
        strength::judge,
        health::healthz,
        health::readyz,
        assets::asset,
        assets::favicon,
    ]
}

/// Returns the routes that only the debug profile has.
pub fn dev_routes() -> Vec<Route> {
    routes_of![mailbox::list, mailbox::show]
}

/// Returns the routes below `/.well-known`, which stay there wherever the pages are mounted.
pub fn well_known_routes() -> Vec<Route> {
    routes_of![well_known::change_password]
}
