//! Private functions for the targets in `fuzz`. They are not part of the crate: they are built only
//! with `--cfg fuzzing`.

use std::sync::LazyLock;

use rocket::http::Status;
use rocket::{FromForm, figment::Figment};

use crate::config::Config;
use crate::cookies::SealedCookies;
use crate::password::PasswordHash;
use crate::token::Token;
use crate::web::{Encoding, parse_form};

#[derive(FromForm)]
struct Typed {
    email: String,
    password: Option<String>,
}

/// Reads the body of a form.
pub fn form(body: &[u8]) -> Result<(String, Option<String>), Status> {
    read(Encoding::UrlEncoded, body)
}

/// Reads the body of a form that is sent as JSON.
pub fn json_form(body: &[u8]) -> Result<(String, Option<String>), Status> {
    read(Encoding::Json, body)
}

fn read(encoding: Encoding, body: &[u8]) -> Result<(String, Option<String>), Status> {
    parse_form(encoding, body).map(|Typed { email, password }| (email, password))
}

/// Opens a cookie with a key of its own, and returns the token in it.
pub fn cookie(value: &str) -> Option<String> {
    static COOKIES: LazyLock<SealedCookies> = LazyLock::new(|| {
        let url = ("databases.login.url", "sqlite:login.db");
        let figment = Figment::from(rocket::Config::debug_default()).merge(url);
        SealedCookies::new(&Config::from_figment(&figment).expect("the defaults are taken"))
    });
    let opened = COOKIES.open("session", value)?;
    token(&opened.value)
}

/// Reads a token, and writes it again.
pub fn token(text: &str) -> Option<String> {
    Token::parse(text).map(|token| token.to_text().to_string())
}

/// Reads a stored hash, and returns its memory in KiB, its passes and its lanes.
pub fn stored_hash(text: &str) -> Option<(u32, u32, u32)> {
    let (_, params) = PasswordHash::from_stored(text.to_owned()).read()?;
    Some((params.m_cost(), params.t_cost(), params.p_cost()))
}

/// Reads what a browser says of a passkey, as the answer to a new one and as that to a log-in. Returns
/// whether one of them was read.
pub fn passkey(json: &str) -> bool {
    use crate::webauthn::{AuthenticationResponse, RegistrationResponse, RelyingParty};

    let origin = "https://example.org".to_owned();
    let rp = RelyingParty { id: "example.org".into(), name: String::new(), origins: vec![origin] };
    let new = RegistrationResponse::parse(json);
    if let Ok(new) = &new {
        let _ = new.verify(&rp, new.challenge());
    }
    new.is_ok() || AuthenticationResponse::parse(json).is_ok()
}

/// Reads a code as it was typed: that of an app, or a recovery code, which is written again.
pub fn code(typed: &str) -> (Option<String>, Option<String>) {
    let recovery = crate::factor::RecoveryCode::parse(typed);
    (crate::factor::totp::normalise(typed), recovery.map(|code| code.to_string()))
}

/// Returns the name of the device that sent `user_agent`.
pub fn device(user_agent: &str) -> String {
    crate::client::device_name(user_agent)
}
