//! A log-in page of one's own: another template, another route, or another path.

use rocket::figment::Figment;
use rocket::http::Status;
use rocket::response::Redirect;
use rocket::{Build, FromForm, Rocket, get, post, routes, uri};
use rocket_dyn_templates::context;
use rocket_login::auth::{LogIn, LogInError};
use rocket_login::web::{Done, Posted};
use rocket_login::{Auth, Email, Password, Rendered, ReturnTo, User};
use tempfile::TempDir;

use super::Site;

/// What the application puts into `template_dir/rocket-login/login.html.tera`.
const TEMPLATE: &str = r#"
{% block title %}Come in{% endblock title %}
{% block content %}
<h1>Come in</h1>
{{ macros::alert(errors=errors) }}
<form action="{{ base }}/login" method="post">
  {{ macros::next(next=next) }}
  {{ macros::field(name="email", label="Email address", type="email", autocomplete="username", value=email, errors=errors) }}
  {{ macros::field(name="password", label="Password", type="password", autocomplete="current-password", errors=errors) }}
  <button type="submit">Come in</button>
</form>
{% endblock content %}
"#;

/// What the application puts into `template_dir/welcome.html.tera`.
const WELCOME: &str = r#"
{% extends "rocket-login/base" %}
{% import "rocket-login/macros" as macros %}
{% block content %}
<h1>Welcome to the club</h1>
{% if refused %}<p role="alert">{{ refused }}</p>{% endif %}
<form action="{{ base }}/login" method="post">
  {{ macros::next(next=next) }}
  <label for="email">Email address</label>
  <input id="email" name="email" type="email" autocomplete="username" value="{{ email }}" required>
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required>
  <button type="submit">Log in</button>
</form>
{% endblock content %}
"#;

/// The fields of the form.
#[derive(FromForm)]
struct Form {
    #[field(default = String::new())]
    email: String,
    #[field(default = String::new())]
    password: String,
    next: Option<ReturnTo>,
}

#[get("/login?<next>")]
fn welcome(next: Option<ReturnTo>) -> Rendered {
    Rendered::new("welcome", context! { next, email: "" })
}

#[post("/login", data = "<form>")]
async fn log_in(
    auth: Auth<'_>,
    form: Posted<Form>,
) -> Result<Done, Result<(Status, Rendered), LogInError>> {
    let Posted(Form { email, password, next }) = form;
    let known = Email::parse(&email).ok();
    match auth.log_in(known.as_ref(), Password::typed(&password), false).await {
        Ok(LogIn::LoggedIn(_)) => {
            Ok(Done::to(next.map_or("/club".into(), |next| next.to_string())))
        }
        // The account has a second factor, and nobody is logged in yet.
        Ok(_) => Ok(Done::to("/login/factor")),
        // Too many attempts, or an outage: our error page says which.
        Err(LogInError::Failed(error)) => Err(Err(LogInError::Failed(error))),
        Err(refused) => {
            let refused = refused.to_string();
            let page = Rendered::new("welcome", context! { next, email, refused });
            Err(Ok((Status::UnprocessableEntity, page)))
        }
    }
}

#[get("/login?<next>")]
fn elsewhere(next: Option<ReturnTo>) -> Redirect {
    Redirect::to(uri!(at_the_door(next)))
}

#[get("/door?<next>")]
fn at_the_door(next: Option<ReturnTo>) -> Rendered {
    Rendered::new("welcome", context! { next, email: "" })
}

#[get("/club")]
fn club(user: &User) -> String {
    format!("The club of {}", user.email)
}

fn with_a_template(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage()).mount("/", routes![club])
}

fn with_a_route(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage()).mount("/", routes![welcome, log_in, club])
}

fn with_another_path(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment)
        .attach(rocket_login::stage())
        .mount("/", routes![elsewhere, at_the_door, log_in, club])
}

const FORM: [(&str, &str); 3] =
    [("email", "ada@example.org"), ("password", "correct horse battery"), ("next", "/club?x=1")];

/// Starts the application with this template, and signs Ada up.
async fn start(
    rocket: impl FnOnce(Figment) -> Rocket<Build>,
    file: &str,
    text: &str,
) -> (Site, TempDir) {
    let templates = TempDir::new().unwrap();
    let path = templates.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text.trim_start()).unwrap();
    let site =
        Site::start(|figment| rocket(figment.merge(("template_dir", templates.path())))).await;
    site.browser().post("/register", &FORM[..2]).await.assert_redirect("/account");
    (site, templates)
}

/// Asks for the private page, is sent to `page`, and logs in there.
async fn walk(site: &Site, page: &str, heading: &str) {
    let ada = site.browser();
    ada.get("/club?x=1").await.assert_redirect("/login?next=%2Fclub%3Fx%3D1");
    ada.get(page).await.assert_status(200).assert_text(heading).assert_text("value=\"/club");
    let wrong = ada.post("/login", &[FORM[0], ("password", "wrong"), FORM[2]]).await;
    wrong.assert_status(422).assert_text("Wrong email address or password.").assert_text(heading);
    wrong.assert_text("value=\"ada@example.org\"").assert_text("value=\"/club");
    ada.post("/login", &FORM).await.assert_redirect("/club?x=1");
    ada.get("/club?x=1").await.assert_text("The club of ada@example.org");
}

#[rocket::async_test]
async fn a_template_of_ones_own() {
    let file = "rocket-login/login.html.tera";
    let (site, _templates) = start(with_a_template, file, TEMPLATE).await;
    walk(&site, "/login?next=%2Fclub%3Fx%3D1", "<h1>Come in</h1>").await;
}

#[rocket::async_test]
async fn a_route_of_ones_own() {
    let (site, _templates) = start(with_a_route, "welcome.html.tera", WELCOME).await;
    walk(&site, "/login?next=%2Fclub%3Fx%3D1", "<h1>Welcome to the club</h1>").await;
}

#[rocket::async_test]
async fn a_path_of_ones_own() {
    let (site, _templates) = start(with_another_path, "welcome.html.tera", WELCOME).await;
    let door = "/door?next=%2Fclub%3Fx%3D1";
    let sent = site.browser().get("/login?next=%2Fclub%3Fx%3D1").await;
    assert_eq!(sent.header("location"), Some(door));
    walk(&site, door, "<h1>Welcome to the club</h1>").await;
}
