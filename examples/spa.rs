//! A front end of one page that speaks JSON with our login: see `examples/spa/app.js`.
//!
//! ```console
//! $ cargo run --example spa
//! ```
//!
//! Then open <http://localhost:8000>. The same front end can have an origin of its own, which the
//! site has to trust:
//!
//! ```console
//! $ ROCKET_SITE='{trusted_origins=["http://127.0.0.1:8001"]}' cargo run --example spa
//! $ ROCKET_PORT=8001 cargo run --example spa http://localhost:8000
//! ```
//!
//! Then open <http://127.0.0.1:8001>. Both origins are of one host, so the browser sends the session
//! cookie from one to the other.

use rocket::fairing::{AdHoc, Fairing, Info, Kind};
use rocket::fs::{FileServer, relative};
use rocket::http::{ContentType, Method, Status};
use rocket::{Build, Request, Response, Rocket, State, get, launch, routes};

/// The origin of the site that the front end talks to. It is empty if that is the front end's own.
struct Site(String);

/// The only thing that the script cannot know by itself.
#[get("/site.js")]
fn site(site: &State<Site>) -> (ContentType, String) {
    (ContentType::JavaScript, format!("export const site = {:?};\n", site.0))
}

fn front_end(rocket: Rocket<Build>, site_origin: String) -> Rocket<Build> {
    rocket
        .manage(Site(site_origin))
        .mount("/", FileServer::from(relative!("examples/spa")))
        .mount("/", routes![site])
}

/// Allows the origins of `site.trusted_origins` to read the answers.
struct Cors(Vec<String>);

#[rocket::async_trait]
impl Fairing for Cors {
    fn info(&self) -> Info {
        Info { name: "CORS", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        response.adjoin_raw_header("Vary", "Origin");
        let origin = request.headers().get_one("Origin");
        let Some(origin) = self.0.iter().find(|trusted| Some(trusted.as_str()) == origin) else {
            return;
        };

        response.set_raw_header("Access-Control-Allow-Origin", origin.clone());
        response.set_raw_header("Access-Control-Allow-Credentials", "true");
        response.set_raw_header("Access-Control-Allow-Headers", "Content-Type");
        response.set_raw_header("Access-Control-Expose-Headers", "Retry-After");
        // The browser asks before it sends JSON. No route answers OPTIONS.
        if request.method() == Method::Options {
            response.set_status(Status::NoContent);
            response.body_mut().take();
        }
    }
}

/// The front end alone, which talks to `site`.
fn apart(site: String) -> Rocket<Build> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src {site}; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    );
    let header = AdHoc::on_response("Policy", move |_, response| {
        response.set_raw_header("Content-Security-Policy", policy.clone());
        Box::pin(async {})
    });
    front_end(rocket::build().attach(header), site)
}

/// The site, and the front end on its own origin.
fn together() -> Rocket<Build> {
    let rocket = rocket::custom(rocket_login::figment());
    let trusted = rocket.figment().extract_inner("site.trusted_origins").unwrap_or_default();
    let rocket = rocket.attach(rocket_login::stage_at("/auth")).attach(Cors(trusted));
    front_end(rocket, String::new())
}

#[launch]
fn rocket() -> _ {
    match std::env::args().nth(1) {
        Some(site) => apart(site),
        None => together(),
    }
}
