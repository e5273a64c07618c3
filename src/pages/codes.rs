//! `/account/codes`: makes recovery codes, and shows them this once.

use rocket::http::ContentType;
use rocket::response::{self, Responder, Response};
use rocket::{FromForm, Request, State, post};
use serde::Serialize;

use super::content::{Audience, Content, sample_email};
use super::export::{attachment, file_name};
use super::{Page, View};
use crate::auth::{Auth, RecentLogin, RecoveryCodesError};
use crate::clock::{Clock, in_rfc_3339};
use crate::factor::RecoveryCode;
use crate::factor::recovery::{self, COUNT};
use crate::user::{Email, User};
use crate::web::{Json, Posted};

/// The content of the page.
#[derive(Serialize)]
pub struct CodesPage {
    recovery_codes: Vec<String>,
    /// All codes in one field, for the download.
    all: String,
    /// The account's address.
    address: Email,
    /// `true` if the second step was set up just now.
    is_first: bool,
}

impl CodesPage {
    pub fn new(user: &User, codes: &[RecoveryCode], is_first: bool) -> Self {
        let codes: Vec<String> = codes.iter().map(RecoveryCode::to_string).collect();
        CodesPage {
            all: codes.join(" "),
            recovery_codes: codes,
            address: user.email.clone(),
            is_first,
        }
    }

    /// Renders the page, or the codes for a program.
    pub fn render(self, page: &Page<'_>) -> View<Json<Shown>> {
        let shown = Shown { codes: self.recovery_codes.clone() };
        page.render(self).or(Json(shown))
    }
}

impl Content for CodesPage {
    const TEMPLATE: &'static str = "codes";
    const AUDIENCE: Audience = Audience::Users;

    fn samples() -> Vec<Self> {
        let sample = |is_first| CodesPage {
            recovery_codes: vec!["0123-4567-89AB-CDEF-GHJK-MNPQ".into()],
            all: "0123-4567-89AB-CDEF-GHJK-MNPQ".into(),
            address: sample_email(),
            is_first,
        };
        vec![sample(true), sample(false)]
    }
}

/// The codes, for a program.
#[derive(Serialize)]
pub struct Shown {
    codes: Vec<String>,
}

/// Makes new codes. The earlier ones are void.
#[post("/account/codes")]
pub async fn renew(
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<View<Json<Shown>>, RecoveryCodesError> {
    let codes = auth.new_recovery_codes(&user).await?;
    Ok(CodesPage::new(&user, &codes, false).render(&page))
}

/// The fields of the form that downloads the codes. It posts them back, because they are stored nowhere.
#[derive(FromForm)]
pub struct Posts {
    #[field(default = String::new())]
    codes: String,
}

/// A file of codes, which the browser saves and no cache keeps.
pub struct File {
    name: String,
    text: String,
}

impl<'r> Responder<'r, 'static> for File {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        Response::build_from(self.text.respond_to(request)?)
            .header(ContentType::Plain)
            .raw_header("Content-Disposition", attachment(&self.name))
            .raw_header("Cache-Control", "no-store")
            .ok()
    }
}

/// Returns the codes that the page has shown as a file. Whatever else was sent is left out.
#[post("/account/codes/download", data = "<form>")]
pub fn download(
    user: RecentLogin<'_>,
    page: Page<'_>,
    clock: &State<Clock>,
    form: Posted<Posts>,
) -> File {
    let Posted(Posts { codes }) = form;
    let codes: Vec<_> =
        codes.split_whitespace().filter_map(RecoveryCode::parse).take(COUNT).collect();
    let (site, now) = (page.config.site_name(), clock.now());
    let day = in_rfc_3339(now).unwrap_or_default();
    let day = day.split('T').next().unwrap_or_default();
    File {
        name: file_name(site, "recovery-codes", now, "txt"),
        text: recovery::as_text(site, &user.email, day, &codes),
    }
}
