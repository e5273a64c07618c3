//! express-session's first example: a counter of views, and a name.
//!
//! ```console
//! $ cargo run --example views
//! $ curl -c jar -b jar -d Ada http://localhost:8000/name
//! $ curl -c jar -b jar http://localhost:8000/views
//! ```

use rocket::{get, launch, post, routes};
use rocket_login::{Error, Session};

#[get("/views")]
async fn views(session: &Session) -> Result<String, Error> {
    let views = session.update("views", |views| views.unwrap_or(0) + 1).await?;
    let name: Option<String> = session.get("name")?;
    Ok(format!("{}: {views}", name.as_deref().unwrap_or("views")))
}

#[post("/name", data = "<name>")]
async fn set_name(session: &Session, name: String) -> Result<(), Error> {
    session.set("name", name).await
}

#[launch]
fn rocket() -> _ {
    rocket::custom(rocket_login::figment())
        .attach(rocket_login::sessions())
        .mount("/", routes![views, set_name])
}
