//! Private functions for the targets in `fuzz`. Not part of the crate: it is
//! built with `--cfg fuzzing` only.

use std::sync::LazyLock;

use rocket::http::Status;
use rocket::{FromForm, figment::Figment};

use crate::config::Config;
use crate::cookies::SealedCookies;
use crate::password::PasswordHash;
use crate::token::Token;

#[derive(FromForm)]
struct Typed {
    email: String,
    password: Option<String>,
}

/// From the body of a form to what was typed.
pub fn form(body: &[u8]) -> Result<(String, Option<String>), Status> {
    crate::web::parse_form(body).map(|Typed { email, password }| (email, password))
}

/// From a cookie to the token in it, for a site with a key of its own.
pub fn cookie(value: &str) -> Option<String> {
    static COOKIES: LazyLock<SealedCookies> = LazyLock::new(|| {
        let url = ("databases.login.url", "sqlite:login.db");
        let figment = Figment::from(rocket::Config::debug_default()).merge(url);
        SealedCookies::new(&Config::from_figment(&figment).expect("the defaults are taken"))
    });
    let opened = COOKIES.open("session", value.to_owned())?;
    token(&opened.value)
}

/// From a text to the token, and back.
pub fn token(text: &str) -> Option<String> {
    Token::parse(text).map(|token| token.to_text().to_string())
}

/// From a stored hash to its memory, passes and lanes.
pub fn stored_hash(text: &str) -> Option<(u32, u32, u32)> {
    let (_, params) = PasswordHash::from_stored(text.to_owned()).read()?;
    Some((params.m_cost(), params.t_cost(), params.p_cost()))
}

/// From a user agent to the name of a device.
pub fn device(user_agent: &str) -> String {
    crate::session::device(user_agent)
}
