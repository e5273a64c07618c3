//! Our login in another application: private notes for each user.
//!
//! ```console
//! $ cargo run --example embed
//! ```
//!
//! Then open <http://localhost:8000/notes>. The pages are under `/auth`. The
//! application has its own table `notes` in this database.

use rocket::form::Form;
use rocket::http::RawStr;
use rocket::response::{Redirect, content::RawHtml};
use rocket::{FromForm, get, launch, post, routes, uri};
use rocket_login::{Db, Error, Flash, Migrations, Session, User, sql};

#[get("/")]
fn front(session: &Session) -> RawHtml<String> {
    let who = session.user().map_or("nobody", |user| &user.email);
    RawHtml(format!("<p>Hello, {}!</p><a href=/notes>Notes</a>", RawStr::new(who).html_escape()))
}

// `&User` sends a visitor who is not logged in to the log-in page, and then back here.
#[get("/notes")]
async fn list(user: &User, db: &Db, flash: Flash<'_>) -> Result<RawHtml<String>, Error> {
    let notes: Vec<String> = sql::query_scalar("SELECT text FROM notes WHERE user_id = $1")
        .bind(user.id)
        .fetch_all(&mut db.read().await?)
        .await?;
    let notes: String =
        notes.iter().map(|note| format!("<li>{}", RawStr::new(note).html_escape())).collect();
    let message = flash.take().unwrap_or_default();
    Ok(RawHtml(format!(
        "<p>{message}</p><ul>{notes}</ul><form method=post><label>Note <input name=text></label>\
         <button>Add</button></form><a href=/auth/account>Account</a>"
    )))
}

#[derive(FromForm)]
struct Note {
    #[field(validate = len(1..1000))]
    text: String,
}

#[post("/notes", data = "<note>")]
async fn add(user: &User, note: Form<Note>, db: &Db, flash: Flash<'_>) -> Result<Redirect, Error> {
    let mut tx = db.write().await?;
    sql::query("INSERT INTO notes (user_id, text) VALUES ($1, $2)")
        .bind(user.id)
        .bind(&note.text)
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    flash.set("The note is saved.");
    Ok(Redirect::to(uri!(list)))
}

/// The application's table, in the database of the accounts.
fn tables() -> Migrations {
    let notes = "CREATE TABLE notes (
        user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        text    TEXT   NOT NULL
    )";
    Migrations::new().add(1, "notes", notes)
}

#[launch]
fn rocket() -> _ {
    rocket::custom(rocket_login::figment())
        .attach(rocket_login::stage_at("/auth").migrations(tables()))
        .mount("/", routes![front, list, add])
}
