//! A list of tasks that everybody sees, and that people who are logged in change.

use diesel::prelude::*;
use rocket::fairing::AdHoc;
use rocket::form::Form;
use rocket::fs::{FileServer, relative};
use rocket::request::FlashMessage;
use rocket::response::{Flash, Redirect};
use rocket::serde::Serialize;
use rocket::{Build, FromForm, Rocket, catch, catchers, delete, get, launch, post, put, routes};
use rocket_dyn_templates::{Template, context};
use rocket_login::User;
use rocket_sync_db_pools::database;

#[cfg(test)]
mod tests;

#[database("tasks")]
struct Tasks(diesel::SqliteConnection);

diesel::table! {
    tasks {
        id -> Integer,
        description -> Text,
        is_done -> Bool,
    }
}

#[derive(Queryable, Serialize)]
#[serde(crate = "rocket::serde")]
struct Task {
    id: i32,
    description: String,
    is_done: bool,
}

#[derive(FromForm)]
struct New {
    #[field(validate = len(1..200))]
    description: String,
}

#[get("/")]
async fn index(db: Tasks, flash: Option<FlashMessage<'_>>) -> Template {
    let all = db.run(|db| tasks::table.order(tasks::id).load::<Task>(db)).await;
    let said = flash.map(|flash| (flash.kind().to_owned(), flash.message().to_owned()));
    Template::render("index", context! { tasks: all.unwrap_or_default(), said })
}

#[get("/me")]
fn me(user: &User) -> Template {
    Template::render("me", context! { user })
}

#[get("/login")]
fn join() -> Template {
    Template::render("login", context! {})
}

#[post("/tasks", data = "<new>")]
async fn add(_user: &User, db: Tasks, new: Form<New>) -> Flash<Redirect> {
    let New { description } = new.into_inner();
    let insert = move |db: &mut SqliteConnection| {
        let row = (tasks::description.eq(description), tasks::is_done.eq(false));
        diesel::insert_into(tasks::table).values(row).execute(db)
    };
    told(db.run(insert).await, "The task was added.")
}

#[put("/tasks/<id>")]
async fn toggle(_user: &User, db: Tasks, id: i32) -> Flash<Redirect> {
    let task = move |db: &mut SqliteConnection| {
        let is_done = tasks::table.find(id).select(tasks::is_done).first::<bool>(db)?;
        diesel::update(tasks::table.find(id)).set(tasks::is_done.eq(!is_done)).execute(db)
    };
    told(db.run(task).await, "The task was changed.")
}

#[delete("/tasks/<id>")]
async fn remove(_user: &User, db: Tasks, id: i32) -> Flash<Redirect> {
    let task = move |db: &mut SqliteConnection| diesel::delete(tasks::table.find(id)).execute(db);
    told(db.run(task).await, "The task was deleted.")
}

fn told(done: QueryResult<usize>, success: &str) -> Flash<Redirect> {
    match done {
        Ok(1) => Flash::success(Redirect::to("/"), success),
        _ => Flash::error(Redirect::to("/"), "There is no such task."),
    }
}

#[catch(404)]
fn not_found() -> Template {
    Template::render("error", context! { text: "This list has no such page." })
}

async fn make_table(rocket: Rocket<Build>) -> Rocket<Build> {
    const TABLE: &str = "CREATE TABLE IF NOT EXISTS tasks (
        id          INTEGER NOT NULL PRIMARY KEY,
        description TEXT    NOT NULL,
        is_done     BOOLEAN NOT NULL
    )";
    let db = Tasks::get_one(&rocket).await.expect("the pool is attached");
    db.run(|db| diesel::sql_query(TABLE).execute(db)).await.expect("a table");
    rocket
}

/// The application as it was, without the routes that ask who is there.
fn before(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(Tasks::fairing())
        .attach(AdHoc::on_ignite("Table of Tasks", make_table))
        .attach(Template::fairing())
        .mount("/", FileServer::from(relative!("static")))
        .mount("/", routes![index, join])
        .register("/", catchers![not_found])
}

/// The application with our log-in.
fn attached(rocket: Rocket<Build>) -> Rocket<Build> {
    before(rocket)
        .attach(rocket_login::stage_at("/auth"))
        .mount("/", routes![me, add, toggle, remove])
}

#[launch]
fn rocket() -> _ {
    attached(rocket::build())
}
