//! Users that you have already: their addresses and Argon2id hashes are taken along, and the others
//! get a link by mail.

use rocket::figment::Figment;
use rocket::{Build, Rocket, get, routes};
use rocket_login::auth::{AddError, NewAccount, Operator};
use rocket_login::password::PasswordHash;
use rocket_login::testing::mails;
use rocket_login::{Clock, Email, Error, Timestamp, User};

use super::Site;
use crate::support::{PASSWORD, START};

#[get("/notes")]
fn notes(user: &User) -> String {
    format!("Notes of {}", user.email)
}

fn rocket(figment: Figment) -> Rocket<Build> {
    rocket::custom(figment).attach(rocket_login::stage_at("/auth")).mount("/", routes![notes])
}

/// A user, as the former program has stored them.
struct Former {
    id: i64,
    address: &'static str,
    hash: &'static str,
    is_confirmed: bool,
    joined: Timestamp,
}

/// What became of the former users.
#[derive(Default)]
struct Imported {
    /// The former and the new id of each user, for your own tables.
    ids: Vec<(i64, i64)>,
    /// The users who need a new password.
    without_password: Vec<User>,
    /// A line for each user who was not taken.
    refused: Vec<String>,
}

async fn import(operator: &Operator<'_>, users: &[Former]) -> Result<Imported, Error> {
    let mut imported = Imported::default();
    for former in users {
        let email = match Email::parse(former.address) {
            Ok(email) => email,
            Err(error) => {
                imported.refused.push(format!("{}: {error}", former.address));
                continue;
            }
        };
        let mut account = NewAccount::new(email).created_at(former.joined);
        if former.is_confirmed {
            account = account.verified();
        }
        // Only Argon2id is read. With another hash, or none, nobody can log in before a reset.
        let hash = PasswordHash::parse(former.hash).ok();
        let has_password = hash.is_some();
        if let Some(hash) = hash {
            account = account.password_hash(hash);
        }
        match operator.add(account).await {
            Ok(user) => {
                imported.ids.push((former.id, user.id));
                if !has_password {
                    imported.without_password.push(user);
                }
            }
            Err(AddError::Failed(error)) => return Err(error),
            Err(refusal) => imported.refused.push(format!("{}: {refusal}", former.address)),
        }
    }
    Ok(imported)
}

async fn run(site: &Rocket<rocket::Ignite>, users: &[Former]) -> Result<Imported, Error> {
    let operator = Operator::of(site).expect("the stage is attached");
    let imported = import(&operator, users).await?;
    for user in &imported.without_password {
        if let Err(refusal) = operator.mail_reset_link(user).await {
            log::warn!("{}: {refusal}", user.email);
        }
    }
    Ok(imported)
}

const FORMER: [Former; 4] = [
    Former {
        id: 10,
        address: "ada@example.org",
        hash: "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA\
               $AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs",
        is_confirmed: true,
        joined: START - 1_000,
    },
    Former {
        id: 11,
        address: "bob@example.org",
        hash: "$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m",
        is_confirmed: false,
        joined: START - 500,
    },
    Former { id: 12, address: "ADA@example.org", hash: "", is_confirmed: false, joined: START },
    Former { id: 13, address: "eve", hash: "", is_confirmed: false, joined: START },
];

#[rocket::async_test]
async fn each_former_user_logs_in_or_gets_a_link_or_a_line() {
    let dir = tempfile::TempDir::new().unwrap();
    let figment = || crate::support::figment(&dir);
    let ignited = rocket(figment()).manage(Clock::manual(START)).ignite().await.unwrap();
    let imported = run(&ignited, &FORMER).await.unwrap();
    let former: Vec<i64> = imported.ids.iter().map(|(former, _)| *former).collect();
    assert_eq!(former, [10, 11]);
    assert_eq!(imported.refused.len(), 2, "{:?}", imported.refused);
    assert_eq!(imported.refused[0], "ADA@example.org: This address already has an account.");
    drop(ignited);

    // The site sends what waits.
    let site = Site::start(|figment| rocket(figment.merge(crate::support::figment(&dir)))).await;
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    site.browser().post("/auth/login", &fields).await.assert_redirect("/auth/account");
    let fields = [("email", "bob@example.org"), ("password", PASSWORD)];
    site.browser().post("/auth/login", &fields).await.assert_status(422);
    let mails = mails(&site.client).await;
    let to_bob: Vec<_> = mails.iter().filter(|mail| mail.recipient == "bob@example.org").collect();
    let [mail] = to_bob[..] else { panic!("{to_bob:?}") };
    let link = mail.link("/auth/reset/");
    let new = [("new_password", PASSWORD)];
    site.browser().post(&link, &new).await.assert_redirect("/auth/login");
    site.browser().post("/auth/login", &fields).await.assert_redirect("/auth/account");
}
