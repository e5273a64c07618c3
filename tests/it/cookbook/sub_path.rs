//! An application below a path of its host, behind a proxy.

use std::process::Command;
use std::time::{Duration, Instant};

use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::http::uri::Origin;
use rocket::tokio::task::spawn_blocking;
use rocket::{Build, Rocket, get, routes, tokio};
use rocket_login::{Stage, User};
use tempfile::TempDir;

use super::Site;
use crate::servers::client::{ask, body, header, status};
use crate::servers::program::session_cookie;
use crate::servers::{self, Running, clean, find, folder, free_port, unprivileged, write};
use crate::support::figment;

#[get("/")]
fn front() -> &'static str {
    "Welcome"
}

#[get("/notes")]
fn notes(user: &User) -> String {
    format!("Notes of {}", user.email)
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let login = Stage::at("/app/auth").home("/app/").after_log_in("/app/notes");
    rocket::custom(figment).attach(login).mount("/app/", routes![front, notes])
}

/// Puts back what a proxy has taken off the path, before anything else sees the request.
fn put_back() -> AdHoc {
    AdHoc::on_request("Put back /app", |request, _| {
        Box::pin(async move {
            if let Ok(uri) = Origin::parse_owned(format!("/app{}", request.uri())) {
                request.set_uri(uri);
            }
        })
    })
}

/// The part of a `server` in nginx.
const NGINX: &str = "
location /app/ {
    proxy_pass http://127.0.0.1:8000;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
}
";

/// With a path behind the address, nginx takes `/app/` off.
const NGINX_STRIPS: &str = "
location /app/ {
    proxy_pass http://127.0.0.1:8000/;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
}
";

/// The part of a site in the `Caddyfile`.
const CADDY: &str = "
handle /app* {
    reverse_proxy 127.0.0.1:8000
}
";

/// `handle_path` takes `/app` off.
const CADDY_STRIPS: &str = "
handle_path /app* {
    reverse_proxy 127.0.0.1:8000
}
";

const FIELDS: [(&str, &str); 2] =
    [("email", "ada@example.org"), ("password", "correct horse battery")];

#[rocket::async_test]
async fn every_link_stays_below_the_path() {
    let site = Site::start(rocket).await;
    let ada = site.browser();
    ada.get("/app/notes").await.assert_redirect("/app/auth/login?next=%2Fapp%2Fnotes");
    ada.post("/app/auth/register", &FIELDS).await.assert_redirect("/app/notes");
    ada.get("/app/notes").await.assert_text("Notes of ada@example.org");
    ada.post("/app/auth/logout", &[]).await.assert_redirect("/app/");
    for page in ["/app/auth/login", "/app/auth/register", "/app/auth/logout", "/app/x", "/y"] {
        let page = ada.get(page).await.body;
        assert!(page.contains("href=\"/app"), "{page}");
        for link in page.split("href=\"").chain(page.split("action=\"")).skip(1) {
            let link = link.split('"').next().unwrap();
            let is_below = link.starts_with("/app") || link.starts_with(['#', '<']);
            assert!(is_below, "{link}");
        }
    }
}

#[rocket::async_test]
async fn a_path_that_was_taken_off_can_be_put_back() {
    let site = Site::start(|figment| rocket(figment).attach(put_back())).await;
    let ada = site.browser();
    ada.get("/notes?a=%20b")
        .await
        .assert_redirect("/app/auth/login?next=%2Fapp%2Fnotes%3Fa%3D%2520b");
    ada.post("/auth/register", &FIELDS).await.assert_redirect("/app/notes");
    ada.get("/notes").await.assert_text("Notes of ada@example.org");
    // The check against other sites is the same.
    let request = site.client.post("/auth/logout");
    let refused = ada.send(request.header(crate::support::header("Sec-Fetch-Site", "cross-site")));
    refused.await.assert_status(403);
}

/// A proxy with the file that configures it.
fn proxy(name: &str, text: &str, port: u16, dir: &TempDir) -> Command {
    let (path, folder) = (dir.path().join("proxy.conf"), dir.path().display());
    let mut proxy = unprivileged(clean(find(name).unwrap()));
    match name {
        "nginx" => {
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|of| format!("{of}_temp_path \"{folder}/{of}\";"))
                .join("\n");
            let text = format!(
                "daemon off; pid \"{folder}/pid\"; error_log stderr; events {{}}
                 http {{
                     access_log off; {temporary}
                     server {{ listen 127.0.0.1:{port}; {text} }}
                 }}"
            );
            write(&path, &text);
            proxy.arg("-p").arg(dir.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        }
        _ => {
            write(
                &path,
                &format!("{{\nadmin off\n}}\nhttp://:{port} {{\nbind 127.0.0.1\n{text}}}\n"),
            );
            proxy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path);
            proxy.env("HOME", dir.path()).env("XDG_CONFIG_HOME", dir.path());
            proxy.env("XDG_DATA_HOME", dir.path());
        }
    }
    proxy
}

/// Signs up through the proxy at `port`, and looks at what the browser is told.
fn walk(port: u16) {
    let start = Instant::now();
    while ask(port, "GET /app/", None, "").is_none_or(|answer| status(&answer) != 200) {
        assert!(start.elapsed() < Duration::from_secs(20), "the proxy does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ask = |head: &str, cookie: Option<&str>, body: &str| {
        let answer = ask(port, head, cookie, body).expect("an answer");
        // Caddy writes the names of headers with capitals.
        answer
            .replace("\r\nLocation: ", "\r\nlocation: ")
            .replace("\r\nSet-Cookie", "\r\nset-cookie")
    };
    let location = |answer: &str| match header(answer, "location") {
        Some(location) => location.to_owned(),
        None => panic!("{answer}"),
    };
    let sent = ask("GET /app/notes", None, "");
    assert!(location(&sent).ends_with("/app/auth/login?next=%2Fapp%2Fnotes"), "{sent}");
    let page = ask("GET /app/auth/login", None, "");
    let style = page.split("<link rel=\"stylesheet\" href=\"").nth(1).unwrap();
    let style = style.split('"').next().unwrap();
    assert_eq!(status(&ask(&format!("GET {style}"), None, "")), 200, "{style}");

    let fields = "email=ada%40example.org&password=correct+horse+battery";
    let signed_up = ask("POST /app/auth/register", None, fields);
    assert!(location(&signed_up).ends_with("/app/notes"), "{signed_up}");
    let cookie = session_cookie(&signed_up);
    assert_eq!(body(&ask("GET /app/notes", Some(&cookie), "")), "Notes of ada@example.org");
}

#[rocket::async_test]
async fn nginx_and_caddy_can_keep_the_path_or_take_it_off() {
    for (name, text, strips) in [
        ("nginx", NGINX, false),
        ("nginx", NGINX_STRIPS, true),
        ("caddy", CADDY, false),
        ("caddy", CADDY_STRIPS, true),
    ] {
        if !servers::has(find(name).is_some(), name) {
            continue;
        }
        let (site_port, port, dir, files) =
            (free_port(), free_port(), TempDir::new().unwrap(), folder());
        let rocket = rocket(figment(&dir).merge(("port", site_port)));
        let rocket = if strips { rocket.attach(put_back()) } else { rocket };
        let rocket = rocket.ignite().await.expect("the recipe starts");
        let shutdown = rocket.shutdown();
        let site = tokio::spawn(rocket.launch());

        let text = text.replace("8000", &site_port.to_string());
        let running = Running::start(proxy(name, &text, port, &files));
        spawn_blocking(move || walk(port)).await.expect("the proxy passes everything on");
        drop(running);
        shutdown.notify();
        site.await.unwrap().expect("the site stops");
    }
}
