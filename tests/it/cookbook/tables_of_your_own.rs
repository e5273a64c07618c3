//! Tables of an application in the database of the accounts.

use rocket::figment::Figment;
use rocket::{Build, FromForm, Rocket, get, post, routes};
use rocket_login::web::{Done, Posted};
use rocket_login::{Db, Error, Migrations, User, sql};

use super::Site;
use crate::support::PASSWORD;

const NOTES: &str = "
    CREATE TABLE notes (
        user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        text    TEXT   NOT NULL
    )";

const NOTES_OF_USER: &str = "CREATE INDEX notes_user_id_idx ON notes (user_id)";

fn migrations() -> Migrations {
    Migrations::new().add(1, "notes", NOTES).add(2, "notes of user", NOTES_OF_USER)
}

#[get("/notes")]
async fn list(user: &User, db: &Db) -> Result<String, Error> {
    let notes: Vec<String> = sql::query_scalar("SELECT text FROM notes WHERE user_id = $1")
        .bind(user.id)
        .fetch_all(&mut db.read().await?)
        .await?;
    Ok(notes.join("\n"))
}

#[derive(FromForm)]
struct Note {
    text: String,
}

#[post("/notes", data = "<note>")]
async fn add(user: &User, db: &Db, note: Posted<Note>) -> Result<Done, Error> {
    let mut tx = db.write().await?;
    sql::query("INSERT INTO notes (user_id, text) VALUES ($1, $2)")
        .bind(user.id)
        .bind(&note.0.text)
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    Ok(Done::to("/notes"))
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let login = rocket_login::stage_at("/auth").migrations(migrations());
    rocket::custom(figment).attach(login).mount("/", routes![list, add])
}

#[rocket::async_test]
async fn a_note_is_its_users_and_goes_with_the_account() {
    let site = Site::start(rocket).await;
    let (ada, bob) = (site.browser(), site.browser());
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    ada.post("/auth/register", &fields).await.assert_redirect("/auth/account");
    bob.sign_in("bob@example.org").await;
    ada.post("/notes", &[("text", "buy tea")]).await.assert_redirect("/notes");
    assert_eq!(ada.get("/notes").await.body, "buy tea");
    assert_eq!(bob.get("/notes").await.body, "");

    let notes = async || {
        let db = site.client.rocket().state::<Db>().unwrap();
        let mut reader = db.read().await.unwrap();
        let count = sql::query_scalar::<i64>("SELECT count(*) FROM notes");
        count.fetch_one(&mut reader).await.unwrap()
    };
    assert_eq!(notes().await, 1);
    let password = [("current_password", PASSWORD)];
    ada.post("/auth/account/delete", &password).await.assert_redirect("/");
    assert_eq!(notes().await, 0);
}
