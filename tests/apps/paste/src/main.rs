//! A paste bin. It has users of its own, who are known by a private cookie, as in Rocket's guide. People with an
//! account of ours can see all pastes.

use std::sync::{Mutex, PoisonError};

use rocket::fairing::AdHoc;
use rocket::form::Form;
use rocket::fs::{FileServer, relative};
use rocket::http::{Cookie, CookieJar, Status};
use rocket::response::Redirect;
use rocket::tokio::task::spawn_blocking;
use rocket::{Build, FromForm, Request, Rocket, State, catch, catchers, get, launch, post, routes};
use rocket_dyn_templates::{Template, context};
use rocket_login::User;
use rusqlite::Connection;

#[cfg(test)]
mod tests;

/// Connections that nobody uses at the moment.
struct Pool {
    path: String,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    fn with<T>(&self, act: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.path)?,
        };
        let result = act(&connection);
        idle().push(connection);
        result
    }
}

#[derive(FromForm)]
struct Paste {
    text: String,
}

#[derive(FromForm)]
struct Member {
    name: String,
}

#[get("/")]
fn index(cookies: &CookieJar<'_>) -> Template {
    let name = cookies.get_private("member").map(|cookie| cookie.value().to_owned());
    Template::render("index", context! { name })
}

#[get("/login")]
fn login() -> Template {
    Template::render("login", context! {})
}

#[post("/login", data = "<member>")]
fn join(
    member: Form<Member>,
    cookies: &CookieJar<'_>,
    pool: &State<Pool>,
) -> Result<Redirect, Status> {
    const INSERT: &str = "INSERT INTO users (username) VALUES (?1) ON CONFLICT DO NOTHING";
    pool.with(|db| db.execute(INSERT, [&member.name])).map_err(|_| Status::InternalServerError)?;
    cookies.add_private(Cookie::new("member", member.into_inner().name));
    Ok(Redirect::to("/"))
}

#[post("/pastes", data = "<paste>")]
fn add(
    paste: Form<Paste>,
    cookies: &CookieJar<'_>,
    pool: &State<Pool>,
) -> Result<Redirect, Status> {
    const INSERT: &str = "INSERT INTO pastes (username, text) VALUES (?1, ?2) RETURNING id";
    let member = cookies.get_private("member").ok_or(Status::Unauthorized)?;
    let id: rusqlite::Result<i64> =
        pool.with(|db| db.query_row(INSERT, [member.value(), &paste.text], |row| row.get(0)));
    id.map(|id| Redirect::to(format!("/{id}"))).map_err(|_| Status::InternalServerError)
}

#[get("/<id>")]
fn show(id: i64, pool: &State<Pool>) -> Option<String> {
    const SELECT: &str = "SELECT text FROM pastes WHERE id = ?1";
    pool.with(|db| db.query_row(SELECT, [id], |row| row.get(0))).ok()
}

#[get("/all")]
fn all(user: &User, pool: &State<Pool>) -> Result<Template, Status> {
    let texts = pool.with(|db| {
        let mut statement = db.prepare("SELECT text FROM pastes ORDER BY id")?;
        let texts = statement.query_map([], |row| row.get(0))?;
        texts.collect::<rusqlite::Result<Vec<String>>>()
    });
    let texts = texts.map_err(|_| Status::InternalServerError)?;
    Ok(Template::render("sessions", context! { email: &user.email, texts }))
}

#[catch(default)]
fn failed(status: Status, _: &Request<'_>) -> Template {
    Template::render("error", context! { code: status.code })
}

async fn open(rocket: Rocket<Build>) -> Rocket<Build> {
    const TABLES: &str = "
        PRAGMA journal_mode = WAL;
        CREATE TABLE IF NOT EXISTS users (username TEXT NOT NULL PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS pastes (
            id       INTEGER NOT NULL PRIMARY KEY,
            username TEXT    NOT NULL REFERENCES users,
            text     TEXT    NOT NULL
        );";
    let path: String = rocket.figment().extract_inner("pastes").expect("the key pastes");
    let pool = Pool { path, idle: Mutex::default() };
    let pool = spawn_blocking(move || {
        pool.with(|db| db.execute_batch(TABLES)).expect("tables");
        pool
    });
    rocket.manage(pool.await.expect("a pool"))
}

/// The application as it was, without the route for people who are logged in.
fn before(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(AdHoc::on_ignite("Pool", open))
        .attach(Template::fairing())
        .mount("/", routes![index, login, join, add, show])
        .mount("/files", FileServer::from(relative!("static")))
        .register("/", catchers![failed])
}

/// The application with our log-in.
fn attached(rocket: Rocket<Build>) -> Rocket<Build> {
    before(rocket).attach(rocket_login::stage_at("/auth")).mount("/", routes![all])
}

#[launch]
fn rocket() -> _ {
    attached(rocket::build())
}
