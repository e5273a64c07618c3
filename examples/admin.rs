//! Pages for administrators, in a program that has our commands as well.
//!
//! ```console
//! $ cargo run --example admin -- migrate
//! $ cargo run --example admin -- user add ada@example.org
//! $ cargo run --example admin -- user grant ada@example.org admin
//! $ cargo run --example admin
//! ```
//!
//! Then open <http://localhost:8000/admin/users>.

use std::process::ExitCode;

use rocket::http::RawStr;
use rocket::response::{Redirect, content::RawHtml};
use rocket::{get, post, routes, uri};
use rocket_login::auth::{Account, AccountError, AccountSearch, HookError, Hooks, SignUp};
use rocket_login::{
    Auth, Email, Error, Flash, HasRole, Migrations, RecentLogin, Role, Transaction, User, sql,
    stage_at,
};

/// The role of administrators.
enum Admin {}

impl Role for Admin {
    const NAME: &'static str = "admin";
}

fn escaped(text: &str) -> String {
    RawStr::new(text).html_escape().into_owned()
}

fn row(account: &Account) -> String {
    let state = if account.disabled_at.is_some() { "disabled" } else { "" };
    let link = uri!(user(account.user.id));
    format!("<tr><td><a href='{link}'>{}</a><td>{state}", escaped(&account.user.email))
}

/// A page of the accounts whose address starts with `q`.
#[get("/admin/users?<q>&<after>")]
async fn users(
    q: Option<&str>,
    after: Option<&str>,
    admin: HasRole<'_, Admin>,
    auth: Auth<'_>,
) -> Result<RawHtml<String>, Error> {
    let q = q.unwrap_or_default();
    let mut search = AccountSearch::new().starting_with(q).limit(20);
    if let Some(after) = after.and_then(|after| Email::parse(after).ok()) {
        search = search.after(&after);
    }
    let page = auth.operator(&admin).list(&search).await?;

    let rows: String = page.accounts.iter().map(row).collect();
    let next = page.next.map_or_else(String::new, |next| {
        let link = uri!(users(Some(q), Some(next.as_str()))).to_string();
        format!("<a href='{}'>Next page</a>", escaped(&link))
    });
    Ok(RawHtml(format!(
        "<form><label>Address <input name=q value='{}'></label><button>Search</button></form>\
         <table>{rows}</table>{next}",
        escaped(q)
    )))
}

/// One account, with a button for each act.
#[get("/admin/users/<id>")]
async fn user(
    id: i64,
    admin: HasRole<'_, Admin>,
    auth: Auth<'_>,
    flash: Flash<'_>,
) -> Result<Option<RawHtml<String>>, Error> {
    let Some(account) = auth.operator(&admin).find(id).await? else { return Ok(None) };
    let (act, label) = match account.disabled_at {
        Some(_) => ("enable", "Enable"),
        None => ("disable", "Disable"),
    };
    let button = |act: &str, label: &str| {
        format!(
            "<form method=post action='{}'><button>{label}</button></form>",
            uri!(change(id, act))
        )
    };
    Ok(Some(RawHtml(format!(
        "<p>{}</p><h1>{}</h1><p>Sessions: {}. Failed log-ins: {}.</p>{}{}",
        flash.take().unwrap_or_default(),
        escaped(&account.user.email),
        account.sessions,
        account.failed_log_ins,
        button(act, label),
        button("log-out", "Log out everywhere"),
    ))))
}

// `RecentLogin` asks for the password again if the last time was more than five minutes ago. The
// error of a refused act is an answer by itself.
#[post("/admin/users/<id>/<act>")]
async fn change(
    id: i64,
    act: &str,
    admin: HasRole<'_, Admin>,
    _recent: RecentLogin<'_>,
    auth: Auth<'_>,
    flash: Flash<'_>,
) -> Result<Option<Redirect>, AccountError> {
    let operator = auth.operator(&admin);
    let Some(account) = operator.find(id).await? else { return Ok(None) };
    match act {
        "disable" => operator.disable(&account.user).await?,
        "enable" => operator.enable(&account.user).await?,
        "log-out" => {
            operator.end_sessions(&account.user).await?;
        }
        _ => return Ok(None),
    }
    flash.set("It is done.");
    Ok(Some(Redirect::to(uri!(user(id)))))
}

/// Keeps when each account was made, also for accounts of `user add`.
struct Joined;

#[rocket::async_trait]
impl Hooks for Joined {
    async fn signed_up(
        &self,
        tx: &mut Transaction,
        user: &User,
        _: &SignUp,
    ) -> Result<(), HookError> {
        let insert = "INSERT INTO members (user_id, joined) VALUES ($1, CURRENT_DATE)";
        sql::query(insert).bind(user.id).execute(tx).await?;
        Ok(())
    }
}

fn tables() -> Migrations {
    let members = "CREATE TABLE members (
        user_id BIGINT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
        joined  DATE   NOT NULL
    )";
    Migrations::new().add(1, "members", members)
}

// The commands use the hooks and the migrations as well, so `run` gets the whole stage.
fn main() -> ExitCode {
    let login = stage_at("/auth").hooks(Joined).migrations(tables());
    rocket_login::command::run(login, |stage| {
        rocket::custom(rocket_login::figment())
            .attach(stage)
            .mount("/", routes![users, user, change])
    })
}
