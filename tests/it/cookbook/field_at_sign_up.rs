//! A field at sign-up: everybody chooses a user name, which nobody else has.

use rocket::figment::Figment;
use rocket::{Build, Rocket, get, routes};
use rocket_login::auth::{HookError, Hooks, SignUp};
use rocket_login::{Db, Error, Migrations, Transaction, User, sql};
use tempfile::TempDir;

use super::Site;

/// What the application puts into `template_dir/rocket-login/register.html.tera`.
const TEMPLATE: &str = r#"
{% block title %}Sign up{% endblock title %}
{% block content %}
<h1>Sign up</h1>
{{ macros::alert(errors=errors, fields="email password name") }}
<form action="{{ base }}/register" method="post">
  {{ macros::next(next=next) }}
  {% set name = fields | get(key="name", default="") %}
  {{ macros::field(name="name", label="User name", type="text", autocomplete="nickname", value=name, errors=errors) }}
  {{ macros::field(name="email", label="Email address", type="email", autocomplete="username", value=email, errors=errors) }}
  {{ macros::new_password(name="password", label="Password", min_length=min_length, errors=errors) }}
  <button type="submit">Sign up</button>
</form>
{% endblock content %}
"#;

struct UserNames;

#[rocket::async_trait]
impl Hooks for UserNames {
    async fn signed_up(
        &self,
        tx: &mut Transaction,
        user: &User,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        let name = match sign_up.field("name") {
            "" => return Err(HookError::refused("name", "name_missing", "Choose a name.")),
            name => name.to_lowercase(),
        };
        let insert = "INSERT INTO profiles (user_id, name) VALUES ($1, $2)
                      ON CONFLICT (name) DO NOTHING";
        match sql::query(insert).bind(user.id).bind(name).execute(tx).await? {
            0 => Err(HookError::refused("name", "name_taken", "This name is taken.")),
            _ => Ok(()),
        }
    }
}

#[get("/")]
async fn hello(user: &User, db: &Db) -> Result<String, Error> {
    let select = sql::query_scalar("SELECT name FROM profiles WHERE user_id = $1");
    let name: String = select.bind(user.id).fetch_one(&mut db.read().await?).await?;
    Ok(format!("Hello, {name}!"))
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let profiles = "CREATE TABLE profiles (
        user_id BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
        name    TEXT   NOT NULL UNIQUE
    )";
    let tables = Migrations::new().add(1, "profiles", profiles);
    let login = rocket_login::stage().hooks(UserNames).migrations(tables);
    rocket::custom(figment).attach(login).mount("/", routes![hello])
}

/// Starts the application with its template.
async fn start(registration: &str) -> (Site, TempDir) {
    let templates = TempDir::new().unwrap();
    let ours = templates.path().join("rocket-login");
    std::fs::create_dir(&ours).unwrap();
    std::fs::write(ours.join("register.html.tera"), TEMPLATE.trim_start()).unwrap();
    let configured = |figment: Figment| {
        let figment = figment.merge(("template_dir", templates.path()));
        rocket(figment.merge(("accounts.registration", registration)))
    };
    (Site::start(configured).await, templates)
}

fn form<'a>(email: &'a str, name: &'a str) -> [(&'a str, &'a str); 3] {
    [("email", email), ("password", "correct horse battery"), ("name", name)]
}

#[rocket::async_test]
async fn everybody_has_a_name_of_their_own() {
    let (site, _templates) = start("open").await;
    let (ada, bob) = (site.browser(), site.browser());
    ada.post("/register", &form("ada@example.org", "")).await.assert_text("Choose a name.");
    ada.post("/register", &form("ada@example.org", "Ada")).await.assert_redirect("/account");
    ada.get("/").await.assert_text("Hello, ada!");

    // The message is at the field, once, and what was typed is still there.
    let refused = bob.post("/register", &form("bob@example.org", "ADA")).await;
    refused.assert_status(422).assert_text("value=\"ADA\"").assert_text("id=\"name-error\"");
    assert_eq!(refused.body.matches("This name is taken.").count(), 1);
    bob.post("/login", &form("bob@example.org", "")[..2]).await.assert_status(422);
    bob.post("/register", &form("bob@example.org", "Bob")).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_name_waits_with_the_link_of_a_sign_up_by_mail() {
    let (site, _templates) = start("confirm").await;
    let ada = site.browser();
    ada.post("/register", &form("ada@example.org", "Ada")).await.assert_redirect("/register/sent");
    let link = rocket_login::testing::mails(&site.client).await[0].link("/verify/");
    ada.post(&link, &[]).await.assert_redirect("/login");
    ada.post("/login", &form("ada@example.org", "")[..2]).await.assert_redirect("/account");
    ada.get("/").await.assert_text("Hello, ada!");
}
