use rocket::fs::relative;
use rocket::local::asynchronous::Client;
use rocket_login::testing::{self, Browser};
use tempfile::TempDir;
use walk::submit;

use super::*;

async fn client(build: impl FnOnce(Rocket<Build>) -> Rocket<Build>) -> (Client, TempDir) {
    let dir = TempDir::new().unwrap();
    let figment = walk::configured(relative!(""), testing::figment());
    let figment = figment.merge(("pastes", dir.path().join("pastes")));
    let client = Client::untracked(build(rocket::custom(figment))).await.unwrap();
    (client, dir)
}

#[rocket::async_test]
async fn both_log_ins_work_beside_each_other() {
    let (client, _dir) = client(attached).await;
    let ada = Browser::new(&client);
    submit(&client, &ada, "/login", "name=Ada").await.assert_redirect("/");
    walk::account(&ada, "ada@example.org").await;

    ada.get("/").await.assert_text("Hello, Ada!");
    submit(&client, &ada, "/pastes", "text=one").await.assert_redirect("/1");
    ada.get("/1").await.assert_text("one");
    ada.get("/all").await.assert_text("All pastes, for ada@example.org").assert_text("<li>one");
    ada.post("/auth/logout", &[]).await;
    ada.get("/all").await.assert_redirect("/auth/login?next=%2Fall");
    ada.get("/").await.assert_text("Hello, Ada!");
}

#[rocket::async_test]
async fn the_pages_of_the_application_are_as_before() {
    let ((before, _one), (after, _two)) = (client(super::before).await, client(attached).await);
    for path in ["/", "/login", "/nowhere", "/7", "/files/look.css", "/files/none.css"] {
        let before = Browser::new(&before).get(path).await;
        let after = Browser::new(&after).get(path).await;
        assert_eq!((before.status, before.body), (after.status, after.body), "{path}");
    }
}
