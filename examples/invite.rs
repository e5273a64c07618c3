//! Sign-up by invitation only, with a user name and the terms of use. Each account gets a workspace.
//!
//! ```console
//! $ ROCKET_INVITATION=K7QX cargo run --example invite
//! ```
//!
//! Then open <http://localhost:8000/register?invitation=K7QX>. The variable makes an invitation. All of
//! it happens in one transaction with the sign-up, or nothing does. That also holds if an address has
//! to be confirmed first: `ROCKET_ACCOUNTS='{registration="confirm"}'`.

use std::process::ExitCode;

use rocket::fs::relative;
use rocket::{get, routes};
use rocket_login::auth::{Actor, HookError, Hooks, SignUp};
use rocket_login::web::FieldErrors;
use rocket_login::{Clock, Db, Error, Migrations, Transaction, User, sql};

struct ByInvitation {
    clock: Clock,
}

#[rocket::async_trait]
impl Hooks for ByInvitation {
    async fn before_sign_up(
        &self,
        tx: &mut Transaction,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        // `user add` needs no invitation.
        if sign_up.actor == Actor::Operator {
            return Ok(());
        }

        let mut errors = FieldErrors::new();
        if !is_name(&name_of(sign_up)) {
            let message = "Choose a name of 3 to 20 letters and digits.";
            errors.add("name", "name_malformed", message);
        }
        if sign_up.field("terms") != "on" {
            errors.add("terms", "terms_not_accepted", "Accept the terms to sign up.");
        }
        let used = sql::query("DELETE FROM invitations WHERE code = $1")
            .bind(sign_up.field("invitation"))
            .execute(tx)
            .await?;
        if used == 0 {
            errors.add("invitation", "invitation_unknown", "This invitation is not valid.");
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors.into()),
        }
    }

    async fn signed_up(
        &self,
        tx: &mut Transaction,
        user: &User,
        sign_up: &SignUp,
    ) -> Result<(), HookError> {
        let (name, accepted_at) = match sign_up.actor {
            Actor::Operator => (format!("user-{}", user.id), None),
            _ => (name_of(sign_up), Some(self.clock.now())),
        };
        // Two people may choose the same name at the same time.
        let insert = "INSERT INTO profiles (user_id, name, accepted_terms_at) VALUES ($1, $2, $3)
                      ON CONFLICT (name) DO NOTHING";
        let is_free =
            sql::query(insert).bind(user.id).bind(&name).bind(accepted_at).execute(tx).await?;
        if is_free == 0 {
            return Err(HookError::refused("name", "name_taken", "This name is taken."));
        }
        sql::query("INSERT INTO workspaces (owner_id, title) VALUES ($1, $2)")
            .bind(user.id)
            .bind(format!("{name}'s workspace"))
            .execute(tx)
            .await?;
        Ok(())
    }
}

fn name_of(sign_up: &SignUp) -> String {
    sign_up.field("name").to_lowercase()
}

fn is_name(name: &str) -> bool {
    (3..=20).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

#[get("/")]
async fn workspace(user: &User, db: &Db) -> Result<String, Error> {
    let title: String = sql::query_scalar("SELECT title FROM workspaces WHERE owner_id = $1")
        .bind(user.id)
        .fetch_one(&mut db.read().await?)
        .await?;
    Ok(title)
}

fn tables() -> Migrations {
    let invitations = "CREATE TABLE invitations (code TEXT PRIMARY KEY NOT NULL)";
    let profiles = "CREATE TABLE profiles (
        user_id           BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
        name              TEXT   NOT NULL UNIQUE,
        accepted_terms_at BIGINT
    )";
    let workspaces = "CREATE TABLE workspaces (
        owner_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        title    TEXT   NOT NULL
    )";
    Migrations::new().add(1, "invitations", invitations).add(2, "profiles", profiles).add(
        3,
        "workspaces",
        workspaces,
    )
}

/// Makes the invitation `code`.
async fn invite(db: Db, code: Option<String>) -> Result<(), Error> {
    let Some(code) = code else { return Ok(()) };
    let mut tx = db.write().await?;
    let insert = "INSERT INTO invitations (code) VALUES ($1) ON CONFLICT (code) DO NOTHING";
    sql::query(insert).bind(code).execute(&mut tx).await?;
    tx.commit().await
}

fn main() -> ExitCode {
    let figment = rocket_login::figment().merge(("template_dir", relative!("examples/invite")));
    let code: Option<String> = figment.extract_inner("invitation").ok();
    let login = rocket_login::stage()
        .hooks(ByInvitation { clock: Clock::system() })
        .migrations(tables())
        .with_database(move |db| invite(db, code.clone()));
    // `user add` and `user delete` of this program run the hooks as well.
    rocket_login::command::run(login, |login| {
        rocket::custom(figment).attach(login).mount("/", routes![workspace])
    })
}
