//! Invitation only: a user invites others by a link, and each invitation is used once.

use rocket::figment::Figment;
use rocket::http::Status;
use rocket::{Build, FromForm, Rocket, get, post, routes};
use rocket_login::auth::{HookError, Hooks, RegisterError, Registered, SignUp, SignUpOptions};
use rocket_login::testing::{Browser, mails};
use rocket_login::web::{Done, Fields, Posted};
use rocket_login::{Auth, Db, Email, Error, Migrations, Transaction, User, sql};

use super::Site;

struct ByInvitation;

#[rocket::async_trait]
impl Hooks for ByInvitation {
    async fn before_sign_up(
        &self,
        tx: &mut Transaction,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        if !sign_up.is_invited {
            return Ok(()); // the operator's `user add`: the page is closed
        }
        let delete = sql::query("DELETE FROM invitations WHERE code = $1 AND email = $2");
        let code = sign_up.field("invitation");
        match delete.bind(code).bind(sign_up.email.as_str()).execute(tx).await? {
            0 => Err(HookError::refused("form", "not_invited", "This invitation was used.")),
            _ => Ok(()),
        }
    }
}

#[derive(FromForm)]
struct Invitation {
    email: String,
    code: String,
}

/// An application would make the code itself, and mail the link.
#[post("/invitations", data = "<form>")]
async fn invite(_user: &User, form: Posted<Invitation>, db: &Db) -> Result<String, Error> {
    let Posted(Invitation { email, code }) = form;
    let mut tx = db.write().await?;
    let insert = sql::query("INSERT INTO invitations (code, email) VALUES ($1, $2)");
    insert.bind(&code).bind(email).execute(&mut tx).await?;
    tx.commit().await?;
    Ok(format!("/join/{code}"))
}

async fn invited(code: &str, db: &Db) -> Result<Option<String>, Error> {
    let select = sql::query_scalar("SELECT email FROM invitations WHERE code = $1");
    Ok(select.bind(code).fetch_optional(&mut db.read().await?).await?)
}

#[get("/join/<code>")]
async fn join(code: &str, db: &Db) -> Result<Option<String>, Error> {
    let email = invited(code, db).await?;
    Ok(email.map(|email| format!("Choose a password for {email}.")))
}

#[derive(FromForm)]
struct Chosen {
    password: String,
}

#[post("/join/<code>", data = "<form>")]
async fn join_with(
    code: &str,
    form: Posted<Chosen>,
    auth: Auth<'_>,
    db: &Db,
) -> Result<Done, RegisterError> {
    let email = invited(code, db).await?.and_then(|email| Email::parse(&email).ok());
    let email = email.ok_or(RegisterError::Closed)?;
    let password = auth.new_password(&form.0.password, &email)?;
    let fields = Fields::from_iter([("invitation", code)]);
    let options = SignUpOptions::new().invited().fields(fields);
    match auth.register_with(&email, password, options).await? {
        Registered::MailSent => Ok(Done::to("/register/sent")),
        _ => Ok(Done::to("/account")),
    }
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let invitations = "CREATE TABLE invitations (
        code  TEXT NOT NULL PRIMARY KEY,
        email TEXT NOT NULL
    )";
    let tables = Migrations::new().add(1, "invitations", invitations);
    let login = rocket_login::stage().hooks(ByInvitation).migrations(tables);
    rocket::custom(figment.merge(("accounts.registration", "closed")))
        .attach(login)
        .mount("/", routes![invite, join, join_with])
}

const PASSWORD: &[(&str, &str)] = &[("password", "correct horse battery")];

/// Somebody who has an account already.
async fn host(site: &Site) -> Browser<'_> {
    let host = site.browser();
    host.sign_in("host@example.org").await;
    host
}

#[rocket::async_test]
async fn an_invitation_lets_one_person_in() {
    let site = Site::start(rocket).await;
    let (host, ada) = (host(&site).await, site.browser());
    ada.get("/register").await.assert_status(403);
    ada.post("/join/K7QX", PASSWORD).await.assert_status(403);

    let fields = [("email", "ada@example.org"), ("code", "K7QX")];
    ada.post("/invitations", &fields).await.assert_redirect("/login");
    assert_eq!(host.post("/invitations", &fields).await.body, "/join/K7QX");
    ada.get("/join/K7QX").await.assert_text("ada@example.org");
    ada.post("/join/K7QX", &[("password", "short")]).await.assert_status(422);
    ada.post("/join/K7QX", PASSWORD).await.assert_redirect("/account");
    ada.get("/account").await.assert_text("ada@example.org");

    assert_eq!(site.browser().get("/join/K7QX").await.status, Status::NotFound);
    site.browser().post("/join/K7QX", PASSWORD).await.assert_status(403);
    // The invited address needs no confirmation by another mail, unless the application wants it.
    assert_eq!(mails(&site.client).await.len(), 1);
}
