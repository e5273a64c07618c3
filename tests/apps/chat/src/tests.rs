use rocket::http::{Accept, ContentType, Header, Status};
use rocket::local::asynchronous::Client;
use rocket_login::testing::{self, Browser};

use super::*;

async fn client(build: impl FnOnce(Rocket<Build>) -> Rocket<Build>) -> Client {
    Client::untracked(build(rocket::custom(testing::figment()))).await.unwrap()
}

#[rocket::async_test]
async fn who_is_logged_in_speaks_and_everybody_hears_it() {
    let client = client(attached).await;
    let ada = Browser::new(&client);
    walk::account(&ada, "ada@example.org").await;

    let mut heard = client.rocket().state::<Sender<Message>>().unwrap().subscribe();
    let said = client.post("/message").header(ContentType::JSON).body(r#"{"text": "Hello"}"#);
    assert_eq!(ada.send(said).await.status, Status::Ok);
    let Message { from, text } = heard.recv().await.unwrap();
    assert_eq!((&*from, &*text), ("ada@example.org", "Hello"));

    let said = client.post("/message").header(ContentType::JSON).body(r#"{"text": "Hello"}"#);
    let said = said.header(Accept::JSON);
    assert_eq!(Browser::new(&client).send(said).await.status, Status::Unauthorized);
}

/// The handshake of a browser.
fn handshake<'c>(
    client: &'c Client,
    site: &'static str,
) -> rocket::local::asynchronous::LocalRequest<'c> {
    [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-Fetch-Site", site),
    ]
    .into_iter()
    .fold(client.get("/room"), |request, (name, value)| request.header(Header::new(name, value)))
}

#[rocket::async_test]
async fn a_websocket_is_for_who_is_logged_in_on_this_site() {
    let client = client(attached).await;
    let ada = Browser::new(&client);
    ada.sign_in("ada@example.org").await;
    let status =
        async |browser: &Browser<'_>, site| browser.send(handshake(&client, site)).await.status;
    assert_eq!(status(&ada, "same-origin").await, Status::Ok);
    assert_eq!(status(&ada, "cross-site").await, Status::Forbidden);
    assert_eq!(status(&Browser::new(&client), "same-origin").await, Status::Unauthorized);
}

#[rocket::async_test]
async fn the_front_end_is_as_before() {
    let (before, after) = (client(super::before).await, client(attached).await);
    for path in ["/", "/index.html", "/chat.js", "/none.js"] {
        let before = Browser::new(&before).get(path).await;
        let after = Browser::new(&after).get(path).await;
        assert_eq!(before.status, after.status, "{path}");
        if before.status == Status::Ok {
            assert_eq!(before.body, after.body, "{path}");
            let policy = after.header("content-security-policy").unwrap();
            assert!(policy.contains("script-src 'self'; connect-src 'self'"), "{policy}");
        }
    }
}
