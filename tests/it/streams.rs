//! Responses that stay open: streams, server-sent events and `WebSocket`s. What a session does in
//! them, and how they end.

use std::time::Duration;

use rocket::fairing::AdHoc;
use rocket::futures::{SinkExt, StreamExt};
use rocket::local::asynchronous::LocalResponse;
use rocket::response::stream::{ByteStream, Event, EventStream, TextStream};
use rocket::tokio::io::{AsyncReadExt, AsyncWriteExt};
use rocket::tokio::net::TcpStream;
use rocket::tokio::sync::oneshot;
use rocket::tokio::time::{Instant, timeout};
use rocket::tokio::{self, select};
use rocket::{Build, Rocket, Shutdown, get, routes};
use rocket_login::testing::Browser;
use rocket_login::{Clock, Session, User};
use rocket_ws::{Channel, Message, WebSocket};

use crate::support::{TestApp, figment, header};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A site that listens on a port, until it is dropped.
pub struct Served {
    pub port: u16,
    shutdown: Shutdown,
}

impl Served {
    pub async fn launch(rocket: Rocket<Build>) -> Self {
        let (told, listens) = oneshot::channel();
        let told = std::sync::Mutex::new(Some(told));
        let figment = rocket.figment().clone().merge(("port", 0)).merge(("address", "127.0.0.1"));
        let figment = figment.merge(("shutdown.ctrlc", false));
        let liftoff = AdHoc::on_liftoff("Port", move |rocket| {
            let told = told.lock().unwrap().take().unwrap();
            told.send((rocket.config().port, rocket.shutdown())).ok().unwrap();
            Box::pin(async {})
        });
        tokio::spawn(rocket.configure(figment).attach(liftoff).launch());
        let (port, shutdown) = timeout(PATIENCE, listens).await.unwrap().unwrap();
        Served { port, shutdown }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.clone().notify();
    }
}

/// The client's end of a `WebSocket`, or what was answered instead.
pub struct Socket {
    stream: TcpStream,
    pub status: u16,
}

impl Socket {
    /// Asks for a `WebSocket` at `path` with the cookies of `browser`.
    pub async fn open(
        site: &Served,
        path: &str,
        browser: &Browser<'_>,
        headers: &[(&str, &str)],
    ) -> Self {
        let cookie = browser.cookie("session").unwrap_or_default();
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: session={cookie}\r\n\
             {headers}\r\n",
            site.port
        );
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
        Socket { stream, status }
    }

    /// Sends a text of at most 125 bytes.
    pub async fn send(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 126);
        // A final text frame under the mask 0.
        let head = [0x81, 0x80 | length, 0, 0, 0, 0];
        self.stream.write_all(&[&head, text.as_bytes()].concat()).await.unwrap();
    }

    /// Returns the next text, or `None` if the server has closed the connection.
    pub async fn next(&mut self) -> Option<String> {
        timeout(PATIENCE, async {
            let opcode = self.stream.read_u8().await.ok()? & 0xf;
            let length = self.stream.read_u8().await.ok()?;
            let mut text = vec![0; length.into()];
            self.stream.read_exact(&mut text).await.ok()?;
            (opcode == 1).then(|| String::from_utf8(text).unwrap())
        })
        .await
        .expect("a message or an end")
    }
}

#[get("/events")]
fn events<'r>(user: &'r User, session: &'r Session) -> EventStream![Event + 'r] {
    EventStream! {
        yield Event::data(format!("hello {}", user.email));
        session.ended().await;
        yield Event::data(format!("{} is still {:?}", user.email, session.user().map(|u| u.id)));
        let reloaded = session.reload().await.map_err(|error| error.is_ended());
        let written = session.set("a", 1).await.map_err(|error| error.is_ended());
        yield Event::data(format!("reload {reloaded:?}, set {written:?}"));
    }
}

#[get("/bytes")]
fn bytes<'r>(_user: &'r User, session: &'r Session) -> ByteStream![Vec<u8> + 'r] {
    ByteStream! {
        yield b"begin ".to_vec();
        session.ended().await;
        yield b"end".to_vec();
    }
}

/// A visitor has no session that could end.
#[get("/anybody")]
fn anybody<'r>(session: &'r Session) -> TextStream![String + 'r] {
    TextStream! {
        yield "begin ".into();
        select! {
            () = session.ended() => yield "ended".into(),
            () = tokio::time::sleep(Duration::from_millis(1200)) => yield "waited".into(),
        }
    }
}

#[get("/write")]
fn write<'r>(session: &'r Session) -> EventStream![Event + 'r] {
    EventStream! {
        yield Event::data("the head is sent");
        for _ in 0..2 {
            let written = session.update("count", |count| count.unwrap_or(0) + 1).await;
            yield Event::data(format!("{:?}", written.map_err(|error| error.to_string())));
        }
    }
}

#[get("/socket")]
fn socket<'r>(session: &'r Session, socket: WebSocket) -> Channel<'r> {
    socket.channel(move |mut messages| {
        Box::pin(async move {
            loop {
                let message = select! {
                    () = session.ended() => break,
                    message = messages.next() => message,
                };
                let Some(Ok(Message::Text(text))) = message else { break };
                let written = session.set("said", &text).await.map_err(|error| error.to_string());
                messages.send(format!("{written:?}").into()).await?;
            }
            Ok(())
        })
    })
}

fn application(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.mount("/", routes![events, bytes, anybody, write, socket])
}

async fn app() -> TestApp {
    TestApp::built(|figment| figment, application).await
}

async fn serve(app: &TestApp) -> Served {
    let rocket = rocket::custom(figment(&app.dir)).manage(Clock::clone(&app.clock));
    Served::launch(application(rocket.attach(rocket_login::stage()))).await
}

/// Reads on until the stream says `text`.
async fn read_until(response: &mut LocalResponse<'_>, text: &str) -> String {
    let mut read = String::new();
    timeout(PATIENCE, async {
        while !read.contains(text) {
            let mut chunk = [0; 256];
            let length = response.read(&mut chunk).await.unwrap();
            assert!(length > 0, "it ended after {read:?}");
            read += std::str::from_utf8(&chunk[..length]).unwrap();
        }
    })
    .await
    .unwrap_or_else(|_| panic!("no {text:?}"));
    read
}

/// Begins to read the stream at `path` as the browser does.
async fn open<'c>(
    app: &'c TestApp,
    browser: &Browser<'c>,
    path: &'static str,
) -> LocalResponse<'c> {
    let cookie = browser.cookie("session").map(|value| ("session", value));
    app.client.get(path).cookies(cookie).dispatch().await
}

#[rocket::async_test]
async fn a_stream_learns_that_its_session_has_ended() {
    for how in ["log-out", "elsewhere", "expiry", "disabled", "deleted row", "new token"] {
        let app = app().await;
        let ada = app.registered("ada@example.org").await;
        let phone = app.visitor();
        let mut events = open(&app, &ada, "/events").await;
        read_until(&mut events, "hello ada@example.org").await;
        let mut bytes = open(&app, &ada, "/bytes").await;
        read_until(&mut bytes, "begin").await;

        match how {
            "log-out" => drop(ada.log_out().await.assert_redirect("/")),
            "elsewhere" => {
                phone.log_in("ada@example.org").await.assert_redirect("/account");
                let ended = phone.post("/account/sessions/revoke-others", &[]).await;
                ended.assert_redirect("/account/sessions");
            }
            "expiry" => app.advance(2 * 60 * 60),
            "disabled" => app.execute("UPDATE users SET disabled_at = 1").await,
            "deleted row" => app.execute("DELETE FROM sessions").await,
            _ => ada.with_session(async |session| session.regenerate().await.unwrap()).await,
        }
        let end = read_until(&mut events, "set").await;
        // What the guards gave is as it was at the beginning.
        assert!(end.contains("ada@example.org is still Some(1)"), "{how}: {end}");
        assert!(end.contains("reload Err(true), set Err(true)"), "{how}: {end}");
        read_until(&mut bytes, "end").await;
    }
}

#[rocket::async_test]
async fn a_stream_goes_on_while_its_session_lives() {
    let app = app().await;
    let ada = app.registered("ada@example.org").await;
    let mut bytes = open(&app, &ada, "/bytes").await;
    read_until(&mut bytes, "begin").await;

    // A write, another log-in and a use of the session are no end.
    ada.with_session(async |session| session.set("a", 1).await.unwrap()).await;
    app.visitor().log_in("ada@example.org").await;
    app.advance(60 * 60);
    ada.use_session().await;
    app.advance(90 * 60);
    let mut chunk = [0; 64];
    let silent = timeout(Duration::from_millis(1500), bytes.read(&mut chunk)).await;
    assert!(silent.is_err(), "{:?}", std::str::from_utf8(&chunk));

    let waited = app.visitor().get("/anybody").await;
    assert_eq!(waited.body, "begin waited");
}

#[rocket::async_test]
async fn an_outage_ends_no_stream() {
    let app = app().await;
    let ada = app.registered("ada@example.org").await;
    let mut bytes = open(&app, &ada, "/bytes").await;
    read_until(&mut bytes, "begin").await;
    app.execute("ALTER TABLE sessions RENAME TO elsewhere").await;
    let mut chunk = [0; 64];
    let silent = timeout(Duration::from_millis(2500), bytes.read(&mut chunk)).await;
    assert!(silent.is_err(), "{:?}", std::str::from_utf8(&chunk));

    app.execute("ALTER TABLE elsewhere RENAME TO sessions").await;
    ada.log_out().await.assert_redirect("/");
    read_until(&mut bytes, "end").await;
}

#[rocket::async_test]
async fn a_stream_can_write_to_a_session_but_not_start_one() {
    let app = app().await;
    let visitor = app.visitor();
    let late = visitor.get("/write").await;
    late.assert_status(200).assert_text("a cookie cannot be set once the response has begun");
    late.assert_no_text("Ok");
    assert_eq!((app.sessions().await, visitor.cookie("session")), (0, None));

    let ada = app.registered("ada@example.org").await;
    ada.get("/write").await.assert_text("data:Ok(1)").assert_text("data:Ok(2)");
    let count = ada.with_session(async |session| session.get::<u32>("count").unwrap()).await;
    assert_eq!(count, Some(2));
}

#[rocket::async_test]
async fn a_web_socket_can_write_to_a_session_but_not_start_one() {
    let app = app().await;
    let site = serve(&app).await;
    let mut visitors = Socket::open(&site, "/socket", &app.visitor(), &[]).await;
    assert_eq!(visitors.status, 101);
    visitors.send("hello").await;
    let late = "Err(\"a cookie cannot be set once the response has begun\")";
    assert_eq!(visitors.next().await.as_deref(), Some(late));
    assert_eq!(app.sessions().await, 0);

    let ada = app.registered("ada@example.org").await;
    let mut adas = Socket::open(&site, "/socket", &ada, &[]).await;
    adas.send("hello").await;
    assert_eq!(adas.next().await.as_deref(), Some("Ok(())"));
    let said = ada.with_session(async |session| session.get::<String>("said").unwrap()).await;
    assert_eq!(said.as_deref(), Some("hello"));
}

#[rocket::async_test]
async fn a_web_socket_closes_when_its_session_ends() {
    let app = app().await;
    let site = serve(&app).await;
    let (ada, phone) = (app.registered("ada@example.org").await, app.visitor());
    phone.log_in("ada@example.org").await.assert_redirect("/account");
    let mut adas = Socket::open(&site, "/socket", &ada, &[]).await;
    let mut phones = Socket::open(&site, "/socket", &phone, &[]).await;
    for socket in [&mut adas, &mut phones] {
        socket.send("hello").await;
        assert_eq!(socket.next().await.as_deref(), Some("Ok(())"));
    }

    let start = Instant::now();
    ada.log_out().await.assert_redirect("/");
    assert_eq!(adas.next().await, None);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    phones.send("I stay").await;
    assert_eq!(phones.next().await.as_deref(), Some("Ok(())"));
}

#[rocket::async_test]
async fn a_handshake_from_another_site_opens_nothing() {
    let app = app().await;
    let site = serve(&app).await;
    let ada = app.registered("ada@example.org").await;
    let own = format!("http://127.0.0.1:{}", site.port);
    for (headers, status) in [
        (&[("Origin", &*own)] as &[_], 101),
        (&[("Sec-Fetch-Site", "same-origin"), ("Origin", &own)], 101),
        (&[("Origin", "https://evil.example")], 403),
        (&[("Sec-Fetch-Site", "same-site"), ("Origin", &own)], 403),
    ] {
        let socket = Socket::open(&site, "/socket", &ada, headers).await;
        assert_eq!(socket.status, status, "{headers:?}");
    }
    // Nobody is asked to log in on the way.
    let header = header("Upgrade", "websocket");
    let answer = app.visitor().send(app.client.get("/events").header(header)).await;
    answer.assert_status(401);
}
