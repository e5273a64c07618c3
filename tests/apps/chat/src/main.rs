//! A chat. Everybody can read along, people who are logged in can speak, and the room can be joined by a WebSocket.

use rocket::fs::{FileServer, relative};
use rocket::response::stream::{Event, EventStream};
use rocket::serde::json::Json;
use rocket::serde::{Deserialize, Serialize};
use rocket::tokio::select;
use rocket::tokio::sync::broadcast::error::RecvError;
use rocket::tokio::sync::broadcast::{Sender, channel};
use rocket::{Build, Rocket, Shutdown, State, get, launch, post, routes};
use rocket_login::User;
use rocket_ws::{Message as WsMessage, Stream, WebSocket};

#[cfg(test)]
mod tests;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(crate = "rocket::serde")]
struct Message {
    #[serde(default)]
    from: String,
    text: String,
}

#[post("/message", data = "<message>")]
fn speak(user: &User, message: Json<Message>, room: &State<Sender<Message>>) {
    // Nobody may listen at the moment.
    let _ = room.send(Message { from: user.email.to_string(), ..message.into_inner() });
}

#[get("/events")]
fn listen(room: &State<Sender<Message>>, mut end: Shutdown) -> EventStream![] {
    let mut heard = room.subscribe();
    EventStream! {
        loop {
            let message = select! {
                message = heard.recv() => match message {
                    Ok(message) => message,
                    Err(RecvError::Closed) => break,
                    Err(RecvError::Lagged(_)) => continue,
                },
                _ = &mut end => break,
            };
            yield Event::json(&message);
        }
    }
}

#[get("/room")]
fn room<'r>(user: &'r User, ws: WebSocket, room: &'r State<Sender<Message>>) -> Stream!['r] {
    Stream! { ws =>
        for await message in ws {
            if let WsMessage::Text(text) = message? {
                let _ = room.send(Message { from: user.email.to_string(), text: text.clone() });
                yield WsMessage::Text(format!("{}: {text}", user.email));
            }
        }
    }
}

/// The application as it was, without the routes for people who are logged in.
fn before(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .manage(channel::<Message>(1024).0)
        .mount("/", routes![listen])
        .mount("/", FileServer::from(relative!("static")))
}

/// The application with our log-in.
fn attached(rocket: Rocket<Build>) -> Rocket<Build> {
    before(rocket).attach(rocket_login::stage_at("/auth")).mount("/", routes![speak, room])
}

#[launch]
fn rocket() -> _ {
    attached(rocket::build())
}
