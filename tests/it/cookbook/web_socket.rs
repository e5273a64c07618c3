//! WebSocket: a chat of the users, which closes when a user logs out.

use rocket::figment::Figment;
use rocket::futures::{SinkExt, StreamExt};
use rocket::tokio::select;
use rocket::tokio::sync::broadcast::{Sender, channel};
use rocket::{Build, Rocket, State, get, routes};
use rocket_login::{Session, User};
use rocket_ws::{Channel, Message, WebSocket};

use super::Site;
use crate::streams::Socket;

type Room = Sender<String>;

#[get("/chat")]
fn chat<'r>(
    user: &'r User,
    session: &'r Session,
    room: &'r State<Room>,
    socket: WebSocket,
) -> Channel<'r> {
    let mut said = room.subscribe();
    socket.channel(move |mut socket| {
        Box::pin(async move {
            loop {
                select! {
                    () = session.ended() => break,
                    Ok(line) = said.recv() => socket.send(line.into()).await?,
                    message = socket.next() => {
                        let Some(Ok(Message::Text(text))) = message else { break };
                        if session.reload().await.is_err() {
                            break;
                        }
                        let _ = room.send(format!("{}: {text}", user.email));
                    }
                }
            }
            socket.close(None).await
        })
    })
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let (room, _) = channel::<String>(64);
    rocket::custom(figment)
        .attach(rocket_login::stage_at("/auth"))
        .manage(room)
        .mount("/", routes![chat])
}

#[rocket::async_test]
async fn users_talk_until_they_log_out() {
    let site = Site::start(rocket).await;
    let served = site.serve(rocket).await;
    let (ada, bob) = (site.browser(), site.browser());
    ada.sign_in("ada@example.org").await;
    bob.sign_in("bob@example.org").await;
    let mut adas = Socket::open(&served, "/chat", &ada, &[]).await;
    let mut bobs = Socket::open(&served, "/chat", &bob, &[]).await;
    assert_eq!((adas.status, bobs.status), (101, 101));

    adas.send("hello").await;
    assert_eq!(bobs.next().await.as_deref(), Some("ada@example.org: hello"));
    assert_eq!(adas.next().await.as_deref(), Some("ada@example.org: hello"));

    ada.post("/auth/logout", &[]).await.assert_redirect("/");
    adas.send("am I still here?").await;
    assert_eq!(adas.next().await, None);
    bobs.send("is anybody here?").await;
    assert_eq!(bobs.next().await.as_deref(), Some("bob@example.org: is anybody here?"));
}

#[rocket::async_test]
async fn neither_a_visitor_nor_another_site_can_open_the_chat() {
    let site = Site::start(rocket).await;
    let served = site.serve(rocket).await;
    let ada = site.browser();
    assert_eq!(Socket::open(&served, "/chat", &ada, &[]).await.status, 401);
    ada.sign_in("ada@example.org").await;
    let evil = [("Origin", "https://evil.example")];
    assert_eq!(Socket::open(&served, "/chat", &ada, &evil).await.status, 403);
}
