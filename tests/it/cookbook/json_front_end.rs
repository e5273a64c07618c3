//! A front end that speaks JSON: routes of an application for a script of its page.

use rocket::figment::Figment;
use rocket::http::{Accept, ContentType, Status};
use rocket::response::content::RawJson;
use rocket::{Build, FromForm, Responder, Rocket, get, post, routes};
use rocket_login::web::{Done, FieldErrors, Posted, Problem};
use rocket_login::{Error, Session, User};
use serde_json::{Value, json};

use super::Site;

#[get("/notes")]
fn notes(_user: &User, session: &Session) -> Result<RawJson<String>, Error> {
    let notes: Vec<String> = session.get("notes")?.unwrap_or_default();
    Ok(RawJson(json!({ "notes": notes }).to_string()))
}

#[derive(FromForm)]
struct Note {
    text: String,
    #[field(default = false)]
    pinned: bool,
}

#[derive(Responder)]
enum Refused {
    Fields(Problem),
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Failed(error)
    }
}

#[post("/notes", data = "<note>")]
async fn add(_user: &User, session: &Session, note: Posted<Note>) -> Result<Done, Refused> {
    let Posted(Note { text, pinned }) = note;
    if text.is_empty() {
        let errors = FieldErrors::of("text", "text_missing", "Write something.");
        let problem = Problem::new(Status::UnprocessableEntity).with_errors(errors);
        return Err(Refused::Fields(problem));
    }

    let add = |notes: Option<Vec<String>>| {
        let mut notes = notes.unwrap_or_default();
        let place = if pinned { 0 } else { notes.len() };
        notes.insert(place, text);
        notes
    };
    session.update("notes", add).await?;
    Ok(Done::to("/notes"))
}

fn rocket(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage_at("/auth")).mount("/", routes![notes, add])
}

#[rocket::async_test]
async fn a_script_sends_and_gets_json() {
    let site = Site::start(rocket).await;
    let ada = site.browser();
    let ask = async |path: &'static str, fields: Option<Value>| {
        let request = match fields {
            Some(fields) => {
                let request = site.client.post(path).header(ContentType::JSON);
                request.body(fields.to_string())
            }
            None => site.client.get(path),
        };
        let answer = ada.send(request.header(Accept::JSON)).await;
        (answer.status.code, serde_json::from_str::<Value>(&answer.body).unwrap())
    };

    let (status, problem) = ask("/notes", None).await;
    assert_eq!((status, &problem["code"]), (401, &json!("log_in_required")));
    let fields = json!({"email": "ada@example.org", "password": "correct horse battery"});
    let signed_up = ask("/auth/register", Some(fields)).await;
    assert_eq!(signed_up, (200, json!({"location": "/auth/account"})));

    for note in [json!({"text": "buy tea"}), json!({"text": "drink it", "pinned": true})] {
        assert_eq!(ask("/notes", Some(note)).await, (200, json!({"location": "/notes"})));
    }
    assert_eq!(ask("/notes", None).await, (200, json!({"notes": ["drink it", "buy tea"]})));

    let (status, problem) = ask("/notes", Some(json!({"text": ""}))).await;
    let error = json!({"field": "text", "code": "text_missing", "message": "Write something."});
    assert_eq!((status, &problem["errors"]), (422, &json!([error])));
    assert_eq!(ask("/auth/logout", Some(json!({}))).await, (200, json!({"location": "/"})));
    assert_eq!(ask("/notes", None).await.0, 401);
}
