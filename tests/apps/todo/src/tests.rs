use rocket::figment::Figment;
use rocket::fs::relative;
use rocket::http::Status;
use rocket::local::asynchronous::Client;
use rocket_login::testing::{self, Browser};
use tempfile::TempDir;
use walk::submit;

use super::*;

/// The application's own configuration, with its databases in a folder of the test.
fn figment(dir: &TempDir) -> Figment {
    walk::configured(relative!(""), testing::figment())
        .merge(("databases.tasks.url", dir.path().join("tasks")))
}

async fn client(build: impl FnOnce(Rocket<Build>) -> Rocket<Build>) -> (Client, TempDir) {
    let dir = TempDir::new().unwrap();
    let client = Client::untracked(build(rocket::custom(figment(&dir)))).await.unwrap();
    (client, dir)
}

#[rocket::async_test]
async fn the_log_in_works_and_tasks_are_changed_by_forms() {
    let (client, _dir) = client(attached).await;
    let ada = Browser::new(&client);
    walk::account(&ada, "ada@example.org").await;

    submit(&client, &ada, "/tasks", "description=Buy+tea").await.assert_redirect("/");
    ada.get("/").await.assert_text("The task was added.").assert_text("Buy tea: open");
    submit(&client, &ada, "/tasks/1", "_method=put").await.assert_redirect("/");
    ada.get("/").await.assert_text("Buy tea: done");
    submit(&client, &ada, "/tasks/1", "_method=delete").await.assert_redirect("/");
    ada.get("/").await.assert_no_text("Buy tea");
    ada.get("/me").await.assert_text("Hello, ada@example.org!");
}

#[rocket::async_test]
async fn a_visitor_changes_nothing() {
    let (client, _dir) = client(attached).await;
    let visitor = Browser::new(&client);
    for body in ["_method=put", "_method=delete"] {
        submit(&client, &visitor, "/tasks/1", body).await.assert_redirect("/auth/login");
    }
    submit(&client, &visitor, "/tasks", "description=x").await.assert_redirect("/auth/login");
}

#[rocket::async_test]
async fn the_pages_of_the_application_are_as_before() {
    let ((before, _one), (after, _two)) = (client(super::before).await, client(attached).await);
    for path in ["/", "/login", "/nowhere", "/style.css", "/no.css"] {
        let (before, after) =
            (Browser::new(&before).get(path).await, Browser::new(&after).get(path).await);
        assert_eq!((before.status, &before.body), (after.status, &after.body), "{path}");
        assert_eq!(after.header("content-security-policy"), None, "{path}");
    }
}

#[rocket::async_test]
async fn the_templates_may_be_attached_after_the_log_in() {
    let (client, _dir) =
        client(|rocket| super::before(rocket.attach(rocket_login::stage_at("/auth")))).await;
    let ada = Browser::new(&client);
    walk::account(&ada, "ada@example.org").await;
    assert_eq!(ada.get("/nowhere").await.status, Status::NotFound);
    ada.get("/login").await.assert_text("Why you should join");
}
