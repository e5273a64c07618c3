//! Our login in another application: private notes for each user.
//!
//! ```console
//! $ cargo run --example embed
//! ```
//!
//! Then open <http://127.0.0.1:8000/notes>. The pages are under `/auth`. The
//! application has its own table `notes` in this database.

use rocket::fairing::{self, AdHoc};
use rocket::form::Form;
use rocket::http::RawStr;
use rocket::response::{Redirect, content::RawHtml};
use rocket::{Build, FromForm, Rocket, get, launch, post, routes, uri};
use rocket_db_pools::Database;
use rocket_login::{Db, Error, Flash, Session, User, sql};

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

/// The stage attaches its database at ignition. This fairing is also attached at
/// ignition, after it, so it finds the database.
fn tables() -> AdHoc {
    AdHoc::on_ignite("Notes", |rocket| async {
        rocket.attach(AdHoc::try_on_ignite("Tables of Notes", make_tables))
    })
}

async fn make_tables(rocket: Rocket<Build>) -> fairing::Result {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS notes (
        user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        text    TEXT   NOT NULL
    )";

    let db = Db::fetch(&rocket).expect("the stage is attached");
    let made = async {
        let mut tx = db.write().await?;
        sql::query(TABLE).execute(&mut tx).await?;
        tx.commit().await
    };
    match made.await {
        Ok::<(), Error>(()) => Ok(rocket),
        Err(_) => Err(rocket),
    }
}

#[launch]
fn rocket() -> _ {
    rocket::custom(rocket_login::figment())
        .attach(rocket_login::stage_at("/auth"))
        .attach(tables())
        .mount("/", routes![front, list, add])
}
