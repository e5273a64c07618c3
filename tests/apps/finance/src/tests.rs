use rocket::fs::relative;
use rocket::http::{ContentType, Header, Status};
use rocket::local::asynchronous::Client;
use rocket_login::testing::Browser;
use servers::Cluster;
use walk::submit;

use super::*;

#[path = "../../../servers/mod.rs"]
mod servers;

/// The schema of our tables, as docs/application.md says it for an application with a table `users`.
const SCHEMA: &str = "options=-c%20search_path%3Dlogin";

/// Starts the application on a database of `cluster`, in which both keep their tables.
async fn client(cluster: &Cluster, build: impl FnOnce(Rocket<Build>) -> Rocket<Build>) -> Client {
    let url = cluster.url("postgres");
    let figment = walk::configured(relative!(""), rocket::Config::figment())
        .merge(("log_level", "off"))
        .merge(("book", &url))
        .merge(("databases.login.url", format!("{url}&{SCHEMA}")));
    Client::untracked(build(rocket::custom(figment))).await.unwrap()
}

/// A server with the schema for our tables. `None`: PostgreSQL is not installed.
fn cluster() -> Option<Cluster> {
    if !servers::is_installed() {
        return None;
    }
    let cluster = Cluster::start();
    cluster.sql("postgres", "CREATE SCHEMA login");
    Some(cluster)
}

#[rocket::async_test]
async fn both_tables_of_users_live_in_one_database() {
    let Some(cluster) = cluster() else { return };
    let client = client(&cluster, attached).await;
    cluster.sql(
        "postgres",
        "CREATE TABLE entries (
            id    SERIAL PRIMARY KEY,
            owner BIGINT NOT NULL REFERENCES login.users ON DELETE CASCADE,
            cents BIGINT NOT NULL
        )",
    );

    let ada = Browser::new(&client);
    submit(&client, &ada, "/login", "name=Ada").await.assert_redirect("/");
    walk::account(&ada, "ada@example.org").await;
    submit(&client, &ada, "/book", "cents=-450").await.assert_redirect("/book");
    ada.get("/book").await.assert_text("The book of ada@example.org").assert_text("\"-450\"");
    ada.get("/").await.assert_text("Hello, Ada!");
    assert_eq!(cluster.sql("postgres", "SELECT name FROM public.users").trim(), "Ada");
    assert_eq!(cluster.sql("postgres", "SELECT email FROM login.users").trim(), "ada@example.org");

    let fields = [("current_password", walk::PASSWORD)];
    ada.post("/auth/account/delete", &fields).await.assert_redirect("/");
    assert_eq!(cluster.sql("postgres", "SELECT count(*) FROM entries").trim(), "0");
}

#[rocket::async_test]
async fn uploads_are_as_large_as_before() {
    let Some(cluster) = cluster() else { return };
    let client = client(&cluster, attached).await;
    let body = "x".repeat(1 << 20);
    let length = client.post("/length").header(ContentType::Binary).body(&body).dispatch().await;
    assert_eq!(length.into_string().await.unwrap(), body.len().to_string());

    let visitor = Browser::new(&client);
    let statement = client.post("/statement").header(ContentType::Form).body("");
    let statement = statement.header(Header::new("Sec-Fetch-Site", "cross-site"));
    assert_eq!(visitor.send(statement).await.status, Status::Forbidden);
}

#[rocket::async_test]
async fn the_pages_of_the_application_are_as_before() {
    let Some(cluster) = cluster() else { return };
    let before = client(&cluster, super::before).await;
    let after = client(&cluster, attached).await;
    for path in ["/", "/login"] {
        let before = Browser::new(&before).get(path).await;
        let after = Browser::new(&after).get(path).await;
        assert_eq!((before.status, &before.body), (after.status, &after.body), "{path}");
        // Otherwise the chart, and the style inside the page, would be blocked.
        assert_eq!(after.header("content-security-policy"), None, "{path}");
    }
}
