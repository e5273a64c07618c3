//! A household book. It has users of its own, in the table `users` of the same database.

use diesel::prelude::*;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rocket::data::ToByteUnit;
use rocket::fairing::AdHoc;
use rocket::form::Form;
use rocket::fs::TempFile;
use rocket::http::{Cookie, CookieJar, Status};
use rocket::response::Redirect;
use rocket::tokio::io::AsyncReadExt;
use rocket::{Build, Data, FromForm, Rocket, State, get, launch, post, routes};
use rocket_dyn_templates::{Template, context};
use rocket_login::User;

#[cfg(test)]
mod tests;

/// The pool of the application, in managed state.
type Book = Pool<AsyncPgConnection>;

diesel::table! {
    users {
        id -> Integer,
        name -> Text,
    }
}

diesel::table! {
    entries {
        id -> Integer,
        owner -> BigInt,
        cents -> BigInt,
    }
}

#[derive(FromForm)]
struct Member {
    name: String,
}

#[derive(FromForm)]
struct Entry {
    cents: i64,
}

#[derive(FromForm)]
struct Statement<'r> {
    file: TempFile<'r>,
}

#[get("/")]
fn index(cookies: &CookieJar<'_>) -> Template {
    let name = cookies.get_private("member").map(|cookie| cookie.value().to_owned());
    Template::render("base", context! { name })
}

#[get("/login")]
fn login() -> Template {
    Template::render("login", context! {})
}

/// The log-in that the application had before.
#[post("/login", data = "<member>")]
async fn enter(
    member: Form<Member>,
    cookies: &CookieJar<'_>,
    book: &State<Book>,
) -> Result<Redirect, Status> {
    let insert = diesel::insert_into(users::table).values(users::name.eq(&member.name));
    let mut db = connection(book).await?;
    insert.execute(&mut db).await.map_err(|_| Status::InternalServerError)?;
    cookies.add_private(Cookie::new("member", member.into_inner().name));
    Ok(Redirect::to("/"))
}

#[get("/book")]
async fn book(user: &User, book: &State<Book>) -> Result<Template, Status> {
    let cents = entries::table.filter(entries::owner.eq(user.id)).select(entries::cents);
    let mut db = connection(book).await?;
    let cents = cents.load::<i64>(&mut db).await.map_err(|_| Status::InternalServerError)?;
    Ok(Template::render("chart", context! { email: &user.email, cents }))
}

#[post("/book", data = "<entry>")]
async fn add(user: &User, entry: Form<Entry>, book: &State<Book>) -> Result<Redirect, Status> {
    insert(book, user, &[entry.cents]).await?;
    Ok(Redirect::to("/book"))
}

/// Reads a bank's statement: an amount on each line.
#[post("/statement", data = "<statement>")]
async fn upload(
    user: &User,
    statement: Form<Statement<'_>>,
    book: &State<Book>,
) -> Result<Redirect, Status> {
    let mut text = String::new();
    let opened = statement.file.open().await.map_err(|_| Status::BadRequest)?;
    opened.take(1 << 20).read_to_string(&mut text).await.map_err(|_| Status::BadRequest)?;
    let cents: Result<Vec<i64>, _> = text.lines().map(|line| line.trim().parse()).collect();
    insert(book, user, &cents.map_err(|_| Status::UnprocessableEntity)?).await?;
    Ok(Redirect::to("/book"))
}

/// Takes a body of the application's own limit.
#[post("/length", data = "<data>")]
async fn length(data: Data<'_>) -> Result<String, Status> {
    let bytes = data.open(2.mebibytes()).into_bytes().await;
    bytes.map(|bytes| bytes.len().to_string()).map_err(|_| Status::BadRequest)
}

async fn connection(book: &Book) -> Result<Object<AsyncPgConnection>, Status> {
    book.get().await.map_err(|_| Status::ServiceUnavailable)
}

async fn insert(book: &Book, user: &User, cents: &[i64]) -> Result<(), Status> {
    let rows: Vec<_> =
        cents.iter().map(|cents| (entries::owner.eq(user.id), entries::cents.eq(cents))).collect();
    let insert = diesel::insert_into(entries::table).values(&rows);
    let mut db = connection(book).await?;
    insert.execute(&mut db).await.map(drop).map_err(|_| Status::InternalServerError)
}

/// Opens the pool and makes the application's own table, which our tables do not touch.
async fn open(rocket: Rocket<Build>) -> Rocket<Build> {
    const USERS: &str =
        "CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY, name TEXT NOT NULL)";
    let url: String = rocket.figment().extract_inner("book").expect("the key book");
    let manager = AsyncDieselConnectionManager::new(url);
    let book = Book::builder(manager).build().expect("a pool");
    let mut db = book.get().await.expect("a connection");
    diesel::sql_query(USERS).execute(&mut db).await.expect("a table");
    drop(db);
    rocket.manage(book)
}

/// The application as it was, without the routes for people who are logged in.
fn before(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(AdHoc::on_ignite("Book", open))
        .attach(Template::fairing())
        .mount("/", routes![index, login, enter, length])
}

/// The application with our log-in.
fn attached(rocket: Rocket<Build>) -> Rocket<Build> {
    before(rocket).attach(rocket_login::stage_at("/auth")).mount("/", routes![book, add, upload])
}

#[launch]
fn rocket() -> _ {
    attached(rocket::build())
}
