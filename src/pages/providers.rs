//! `/login/with/…` and `/account/providers/…`: the ways to providers, and back.

use rocket::http::uri::Origin;
use rocket::http::{Header, Status};
use rocket::request::{self, FromRequest, Request};
use rocket::{Either, FromForm, Responder, get, post};

use super::content::Content;
use super::login::LogInPage;
use super::onward::OnwardPage;
use super::reauthenticate::{self, ReauthenticatePage};
use super::register::ClosedPage;
use super::{FieldErrors, Html, Page, Rejection, factor, security};
use crate::attached::attached;
use crate::auth::{
    Auth, DisconnectError, FlowPurpose, LeadError, ProviderAnswer, ProviderAnswerError,
    ProviderFlow, ProviderLogOutError, RecentLogin, Returned,
};
use crate::clock::in_words;
use crate::config::{Config, SameSite};
use crate::user::User;
use crate::web::{Done, Posted, PostedOrNothing, ReturnTo};

/// Where accounts at providers are connected.
const CONNECT: &str = "/account/providers/";

/// A page, or a redirect.
type Led = Result<Either<Done, Html>, Rejection>;

/// The request comes from no page of another site.
///
/// It _fails_ with `403 Forbidden` otherwise. It stands before the guard of the user, which leads to
/// the log-in and from there back to the page.
pub struct FromHere;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for FromHere {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let mut sites = request.headers().get("Sec-Fetch-Site");
        match sites.any(|site| site == "cross-site") {
            true => request::Outcome::Error((Status::Forbidden, ())),
            false => request::Outcome::Success(FromHere),
        }
    }
}

/// The provider in the path is configured.
///
/// It _fails_ with `404 Not Found` if it is not. It stands before the guard of the user: a page that does
/// not exist asks nobody to log in.
pub struct Configured;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Configured {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let config: &Config = attached(request.rocket());
        // The name is the third part of each of our paths.
        match request.param::<&str>(2) {
            Some(Ok(name)) if config.providers.contains_key(name) => {
                request::Outcome::Success(Configured)
            }
            _ => request::Outcome::Error((Status::NotFound, ())),
        }
    }
}

/// Leads to a provider. It is a link and no form, because browsers hold the redirects after a form to
/// `form-action`. It writes nothing but a cookie, so any page may lead here.
#[get("/login/with/<name>?<next>&<remember>")]
pub async fn log_in(
    name: &str,
    next: Option<ReturnTo>,
    remember: Option<bool>,
    _configured: Configured,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, Either<Rejection, LeadError>> {
    let remember = remember.unwrap_or(false);
    match auth.lead_to_provider(name, next.as_ref(), remember).await {
        Ok(address) => Ok(Done::to(address)),
        Err(error @ LeadError::ProviderDown) => {
            let content = LogInPage::new(&page, page.typed_email(), remember, next);
            Err(Either::Left(down(&page, name, &error, content)))
        }
        Err(error) => Err(Either::Right(error)),
    }
}

/// Asks a provider for the user again.
#[get("/reauthenticate/with/<name>?<next>")]
pub async fn ask_again(
    name: &str,
    next: Option<ReturnTo>,
    _configured: Configured,
    user: &User,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Done, Either<Rejection, LeadError>> {
    match auth.lead_to_reauthenticate(user, name, next.as_ref()).await {
        Ok(address) => Ok(Done::to(address)),
        Err(error @ LeadError::ProviderDown) => {
            let content = ReauthenticatePage::of(&page, &auth, user, next).await;
            let content = content.map_err(|error| Either::Left(error.into()))?;
            Err(Either::Left(down(&page, name, &error, content)))
        }
        Err(error) => Err(Either::Right(error)),
    }
}

/// Leads to a provider to connect an account there. Another site's page must not begin that: its
/// visitor would only have to be logged in at the provider as somebody else.
#[get("/account/providers/<name>/link")]
pub async fn connect(
    name: &str,
    _configured: Configured,
    _from_here: FromHere,
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Result<Either<Done, Html>, Either<Rejection, LeadError>> {
    match auth.lead_to_connect(&user, name).await {
        // A message waits because a form has led here. The browser would stop a redirect to another
        // site then. And nobody may have clicked to connect anything.
        Ok(address) if page.has_message() => {
            let onward = OnwardPage::there(address, label(&page, name));
            Ok(Either::Right(Html::without_session(OnwardPage { waits: true, ..onward })))
        }
        Ok(address) => Ok(Either::Left(Done::to(address))),
        Err(error @ LeadError::ProviderDown) => {
            let content = security::content(&page, &user, &auth).await;
            let content = content.map_err(|error| Either::Left(error.into()))?;
            Err(Either::Left(down(&page, name, &error, content)))
        }
        Err(error) => Err(Either::Right(error)),
    }
}

/// The form that disconnects.
#[derive(FromForm)]
pub struct Disconnect {
    #[field(default = String::new())]
    id: String,
}

#[post("/account/providers/<name>/unlink", data = "<form>")]
pub async fn disconnect(
    name: &str,
    user: RecentLogin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
    form: PostedOrNothing<Disconnect>,
) -> Result<Done, Either<Rejection, DisconnectError>> {
    let PostedOrNothing(form) = form;
    let id = form.map(|form| form.id).filter(|id| !id.is_empty());
    // No identity has the number 0.
    let id = id.map(|id| id.parse().unwrap_or(0));
    match auth.disconnect_provider(&user, name, id).await {
        Ok(()) => {
            let message = format!("{} was disconnected.", label(&page, name));
            Ok(page.redirect_to(security::PATH, &message))
        }
        Err(error @ DisconnectError::LastWayIn) => {
            let errors = FieldErrors::of("form", error.code(), error);
            Err(Either::Left(security::refuse(&page, &user, &auth, errors).await))
        }
        Err(DisconnectError::Failed(error)) => {
            let content = security::content(&page, &user, &auth).await;
            let content = content.map_err(|error| Either::Left(error.into()))?;
            let path = page.base.join(security::PATH);
            page.overtaken(error, &auth, path, content).await.map_err(Either::Left)
        }
        Err(error) => Err(Either::Right(error)),
    }
}

/// The form of a provider.
#[derive(FromForm)]
pub struct LogOut {
    #[field(default = String::new())]
    logout_token: String,
}

/// What a provider gets.
#[derive(Responder)]
#[response(status = 200)]
pub struct LoggedOut {
    body: (),
    cache: Header<'static>,
}

/// Ends the sessions that a provider's logout token is about. The provider's server calls it, so there
/// is neither a cookie nor an origin.
#[post("/login/with/<name>/logout", data = "<form>")]
pub async fn log_out(
    name: &str,
    _configured: Configured,
    auth: Auth<'_>,
    form: Posted<LogOut>,
) -> Result<LoggedOut, ProviderLogOutError> {
    let Posted(LogOut { logout_token }) = form;
    auth.log_out_by_provider(name, &logout_token).await?;
    Ok(LoggedOut { body: (), cache: Header::new("Cache-Control", "no-store") })
}

/// What a provider adds to the address of the callback.
#[derive(FromForm)]
pub struct Query<'r> {
    state: Option<&'r str>,
    code: Option<&'r str>,
    iss: Option<&'r str>,
    error: Option<&'r str>,
    onward: Option<bool>,
}

/// The visitor comes back from a provider.
#[get("/login/with/<name>/callback?<query..>")]
pub async fn callback(
    name: &str,
    query: Query<'_>,
    _configured: Configured,
    origin: &Origin<'_>,
    page: Page<'_>,
    auth: Auth<'_>,
) -> Led {
    // The browser keeps `Strict` cookies back from this request, because another site has led here. The
    // next request comes from a page of ours, and has them.
    let is_strict = page.config.session.same_site == SameSite::Strict;
    if is_strict && query.onward.is_none() && query.state.is_some() {
        let to = format!("{origin}&onward=true");
        return Ok(Either::Right(Html::without_session(OnwardPage::back(to))));
    }
    let answer = ProviderAnswer::new().code(query.code).iss(query.iss).error(query.error);
    match auth.provider_flow(name, query.state.unwrap_or_default()) {
        Ok(flow) => {
            let done = flow.complete(answer).await;
            finish(&page, &auth, name, (&flow, done)).await
        }
        Err(error) => {
            let content = LogInPage::new(&page, page.typed_email(), false, None);
            Err(refuse(&page, name, &error, content))
        }
    }
}

/// Leads on, or says why nothing was done.
async fn finish(
    page: &Page<'_>,
    auth: &Auth<'_>,
    name: &str,
    (flow, done): (&ProviderFlow<'_>, Result<Returned, ProviderAnswerError>),
) -> Led {
    let next = flow.next();
    let done = match done {
        Ok(done) => done,
        Err(error) => return Err(rejected(page, auth, name, (flow, error)).await),
    };
    let message = match done {
        Returned::SignedUp(_) => "Welcome! Your account is ready.".into(),
        Returned::LoggedIn(_) => "You are logged in.".into(),
        Returned::FactorNeeded => return Ok(Either::Left(Done::to(factor::path(page, next)))),
        Returned::Connected => {
            let message = format!("{} is connected. You can log in with it.", label(page, name));
            return Ok(Either::Left(page.redirect_to(security::PATH, &message)));
        }
        Returned::CodeNeeded => {
            return Ok(Either::Left(Done::to(reauthenticate::path(page, next))));
        }
        Returned::Reauthenticated => {
            let window = in_words(page.config.session.reauthenticate_after);
            format!("Thanks. You won't be asked again for {window}.")
        }
    };
    page.forget_email();
    // There another site's visitors are refused, and the browser counts this redirect as one.
    let connect = page.base.join(CONNECT);
    let next = next.map(|next| next.to_string());
    match next.as_ref().and_then(|next| Some((next, next.strip_prefix(&connect)?))) {
        Some((to, rest)) => {
            let name = rest.split('/').next().unwrap_or_default();
            let onward = OnwardPage::there(to.clone(), label(page, name));
            Ok(Either::Right(Html::without_session(OnwardPage { waits: true, ..onward })))
        }
        None => Ok(Either::Left(page.redirect(flow.next(), &message))),
    }
}

/// Shows the page from which the visitor went to the provider again, with the reason.
async fn rejected(
    page: &Page<'_>,
    auth: &Auth<'_>,
    name: &str,
    (flow, error): (&ProviderFlow<'_>, ProviderAnswerError),
) -> Rejection {
    let user = page.user.filter(|_| flow.purpose() != FlowPurpose::LogIn);
    match (flow.purpose(), user) {
        (FlowPurpose::Connect, Some(user)) => match security::content(page, user, auth).await {
            Ok(content) => refuse(page, name, &error, content),
            Err(error) => error.into(),
        },
        (FlowPurpose::Reauthenticate, Some(user)) => {
            match ReauthenticatePage::of(page, auth, user, flow.next()).await {
                Ok(content) => refuse(page, name, &error, content),
                Err(error) => error.into(),
            }
        }
        _ if matches!(error, ProviderAnswerError::Closed) => {
            page.forbid(ClosedPage {}, error).into()
        }
        _ => {
            let email = page.typed_email();
            let content = LogInPage::new(page, email, flow.remember(), flow.next());
            let content = match error {
                ProviderAnswerError::ProviderEmailTaken
                | ProviderAnswerError::ProviderEmailUnverified => {
                    match page.provider(name).cloned() {
                        Some(link) => content.connecting(page, link),
                        None => content,
                    }
                }
                _ => content,
            };
            refuse(page, name, &error, content)
        }
    }
}

/// Shows `content` with the reason.
fn refuse(
    page: &Page<'_>,
    name: &str,
    error: &ProviderAnswerError,
    content: impl Content,
) -> Rejection {
    match error {
        ProviderAnswerError::Failed(error) => page.failed(error.clone(), content),
        ProviderAnswerError::Refused(errors) => page.refuse(errors.clone(), content).into(),
        error => say(page, name, (error.status(), error.code(), error.to_string()), content),
    }
}

/// Says on a page with the other ways that the provider does not answer.
fn down(page: &Page<'_>, name: &str, error: &LeadError, content: impl Content) -> Rejection {
    say(page, name, (error.status(), error.code(), error.to_string()), content)
}

/// Shows `content` with a message, in which the provider has its own name.
fn say(
    page: &Page<'_>,
    name: &str,
    (status, code, message): (Status, &'static str, String),
    content: impl Content,
) -> Rejection {
    let label = label(page, name);
    let message = message.replace("The provider", &label).replace("the provider", &label);
    page.refuse_as(status, FieldErrors::of("form", code, message), content).into()
}

fn label(page: &Page<'_>, name: &str) -> String {
    page.provider(name).map_or_else(|| name.to_owned(), |link| link.label.clone())
}
