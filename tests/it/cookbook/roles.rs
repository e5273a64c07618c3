//! Roles: editors, administrators who make them, and guards of the application's own.

use rocket::figment::Figment;
use rocket::outcome::{Outcome, try_outcome};
use rocket::request::{self, FromRequest, Request};
use rocket::{Build, FromForm, Rocket, get, post, routes};
use rocket_login::auth::{GrantError, Operator};
use rocket_login::web::{Done, Posted};
use rocket_login::{
    Auth, Db, Email, Error, HasRole, Migrations, RecentLogin, Role, RoleName, User, sql,
};

use super::Site;

enum Editor {}

impl Role for Editor {
    const NAME: &'static str = "editor";
}

#[get("/drafts")]
fn drafts(editor: HasRole<'_, Editor>) -> String {
    format!("The drafts, for {}", editor.email)
}

enum Admin {}

impl Role for Admin {
    const NAME: &'static str = "admin";
}

/// An editor or an administrator.
struct Staff<'r>(&'r User);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Staff<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, &'r Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        match user.roles.contains(Editor::NAME) || user.roles.contains(Admin::NAME) {
            true => Outcome::Success(Staff(user)),
            false => Error::forbidden().outcome(request),
        }
    }
}

#[get("/numbers")]
fn numbers(staff: Staff<'_>) -> String {
    format!("The numbers, for {}", staff.0.email)
}

/// A member of the team in the path, `/teams/<team>/…`, with their name there.
struct Member<'r> {
    user: &'r User,
    team: &'r str,
    name: String,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Member<'r> {
    type Error = &'r Error;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, &'r Error> {
        let user = try_outcome!(request.guard::<&User>().await);
        let db = try_outcome!(request.guard::<&Db>().await);
        let team = request.param(1).and_then(Result::ok).unwrap_or("");
        match name_in(db, team, user).await {
            Ok(Some(name)) => Outcome::Success(Member { user, team, name }),
            Ok(None) => Error::forbidden().outcome(request),
            Err(error) => error.outcome(request),
        }
    }
}

async fn name_in(db: &Db, team: &str, user: &User) -> Result<Option<String>, Error> {
    let select = sql::query_scalar("SELECT name FROM members WHERE team = $1 AND user_id = $2");
    Ok(select.bind(team).bind(user.id).fetch_optional(&mut db.read().await?).await?)
}

#[get("/teams/<_>/plan")]
fn plan(member: Member<'_>) -> String {
    format!("The plan of {}, for {} ({})", member.team, member.name, member.user.email)
}

#[derive(FromForm)]
struct Grant {
    user: i64,
    role: String,
}

#[post("/admin/grant", data = "<form>")]
async fn grant(
    admin: HasRole<'_, Admin>,
    _recent: RecentLogin<'_>,
    auth: Auth<'_>,
    form: Posted<Grant>,
) -> Result<Option<Done>, GrantError> {
    let (operator, Posted(Grant { user, role })) = (auth.operator(&admin), form);
    let (Some(account), Ok(role)) = (operator.find(user).await?, RoleName::parse(&role)) else {
        return Ok(None); // 404
    };
    operator.grant(&account.user, &role).await?;
    Ok(Some(Done::to("/admin")))
}

fn rocket(figment: Figment) -> Rocket<Build> {
    let members = "CREATE TABLE members (
        team    TEXT   NOT NULL,
        user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name    TEXT   NOT NULL,
        PRIMARY KEY (team, user_id)
    )";
    let login = rocket_login::stage().migrations(Migrations::new().add(1, "members", members));
    rocket::custom(figment).attach(login).mount("/", routes![drafts, numbers, plan, grant])
}

#[rocket::async_test]
async fn editors_are_made_by_an_administrator_who_was_made_by_the_operator() {
    let site = Site::start(rocket).await;
    let (ada, bob) = (site.browser(), site.browser());
    ada.sign_in("ada@example.org").await;
    bob.sign_in("bob@example.org").await;
    bob.get("/drafts").await.assert_status(403);
    let operator = Operator::of(site.client.rocket()).unwrap();
    let user = async |email| {
        let email = Email::parse(email).unwrap();
        operator.find_by_email(&email).await.unwrap().unwrap().user
    };
    let id = user("bob@example.org").await.id.to_string();
    let fields = [("user", id.as_str()), ("role", "editor")];
    ada.post("/admin/grant", &fields).await.assert_status(403);

    // As `user grant ada@example.org admin` does.
    let admin = user("ada@example.org").await;
    operator.grant(&admin, &RoleName::of::<Admin>()).await.unwrap();
    ada.post("/admin/grant", &[("user", "0"), ("role", "editor")]).await.assert_status(404);
    ada.post("/admin/grant", &fields).await.assert_redirect("/admin");
    bob.get("/drafts").await.assert_text("The drafts, for bob@example.org");
    ada.get("/drafts").await.assert_status(403);
    for staff in [&ada, &bob] {
        staff.get("/numbers").await.assert_status(200);
    }
    let eve = site.browser();
    eve.sign_in("eve@example.org").await;
    eve.get("/numbers").await.assert_status(403);
    site.browser().get("/numbers").await.assert_redirect("/login?next=%2Fnumbers");
}

#[rocket::async_test]
async fn only_members_of_a_team_see_its_plan() {
    let site = Site::start(rocket).await;
    let ada = site.browser();
    site.browser()
        .get("/teams/red/plan")
        .await
        .assert_redirect("/login?next=%2Fteams%2Fred%2Fplan");
    ada.sign_in("ada@example.org").await;
    ada.get("/teams/red/plan").await.assert_status(403);
    let db: &Db = site.client.rocket().state().unwrap();
    let mut tx = db.write().await.unwrap();
    let insert = "INSERT INTO members (team, user_id, name) SELECT 'red', id, 'Ada' FROM users";
    sql::query(insert).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let page = ada.get("/teams/red/plan").await;
    page.assert_text("The plan of red, for Ada (ada@example.org)");
    ada.get("/teams/blue/plan").await.assert_status(403);
}
