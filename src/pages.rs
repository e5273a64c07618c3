//! The pages. Each module has the routes of one page, and calls the act of its form.

mod account;
mod activity;
mod app;
mod assets;
mod codes;
mod content;
mod delete;
mod email;
mod errors;
mod escape;
mod export;
mod factor;
mod health;
mod home;
mod icon;
mod landing;
pub(crate) mod login;
mod logout;
mod mailbox;
mod mailed_token;
mod manifest;
mod not_me;
mod notices;
mod onward;
mod page;
#[cfg(feature = "passkeys")]
mod passkeys;
mod password;
mod prepared;
mod provider_links;
#[cfg(feature = "providers")]
mod providers;
mod qr;
pub(crate) mod reauthenticate;
mod register;
mod reset;
mod security;
mod sessions;
mod sources;
mod strength;
mod templates;
mod typed;
mod verify;
mod well_known;

use rocket::{Route, routes as routes_of};

use crate::base::Base;
use crate::config::Config;
use crate::web::{self, FieldErrors};
use page::{Html, Page, Rejection, View, wrong_password};

pub use errors::{catchers, log_in_catcher};
pub use icon::Icon;
pub use landing::{Landing, Pages};
pub use provider_links::ProviderLinks;
pub use templates::{Customize, Engines, Rendered, fairing as templates};
pub use typed::TypedEmailCookie;

/// The rank of our routes for paths at which an application has its own front page or files.
pub const LAST: isize = 100;

/// Returns the routes of all pages under `base` that the configuration has.
pub fn routes(base: &Base, config: &Config) -> Vec<Route> {
    let mut routes = routes_of![
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
        assets::touch_icon,
        manifest::manifest,
    ];
    routes.extend(routes_of_factors(config));
    #[cfg(feature = "providers")]
    routes.extend(routes_of![
        providers::log_in,
        providers::callback,
        providers::log_out,
        providers::connect,
        providers::disconnect,
        providers::ask_again,
    ]);
    if base.as_str().is_empty() {
        routes.extend(routes_of![well_known::robots]);
    }
    web::ours(routes)
}

/// Returns the routes of the second factors that the configuration has.
fn routes_of_factors(config: &Config) -> Vec<Route> {
    let mut routes = routes_of![
        factor::form,
        factor::submit,
        security::form,
        security::remove_password,
        security::remove_app,
        security::rename,
        security::remove,
        codes::renew,
        codes::download,
    ];
    if config.factors.app {
        routes.extend(routes_of![app::form, app::submit]);
    }
    #[cfg(feature = "passkeys")]
    if config.passkey_site().is_ok() {
        routes.extend(routes_of![
            passkeys::log_in_options,
            passkeys::log_in,
            passkeys::second_step_options,
            passkeys::second_step,
            passkeys::reauthentication_options,
            passkeys::reset_options,
            passkeys::signals,
        ]);
        if config.factors.passkeys {
            routes.extend(routes_of![passkeys::offer, passkeys::add, passkeys::decline]);
        }
    }
    routes
}

/// Returns the routes that only the debug profile has.
pub fn dev_routes() -> Vec<Route> {
    web::ours(routes_of![mailbox::list, mailbox::show])
}

#[cfg(feature = "passkeys")]
fn well_known_of_passkeys(config: &Config) -> Vec<Route> {
    match config.passkey_site() {
        Ok(_) => routes_of![passkeys::endpoints, passkeys::related],
        Err(_) => Vec::new(),
    }
}

#[cfg(not(feature = "passkeys"))]
fn well_known_of_passkeys(_: &Config) -> Vec<Route> {
    Vec::new()
}

/// Returns the routes below `/.well-known`, which stay there wherever the pages are mounted.
pub fn well_known_routes(config: &Config) -> Vec<Route> {
    let mut routes = routes_of![well_known::change_password];
    routes.extend(well_known_of_passkeys(config));
    web::ours(routes)
}
