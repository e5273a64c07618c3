//! A site for the examples in the documentation.

use std::ops::Deref;
use std::path::PathBuf;
use std::{env, fs, process};

use rocket::figment::{Figment, Profile};
use rocket::local::asynchronous::Client;

use super::{Browser, mails};
use crate::auth::Auth;
use crate::db::Db;
use crate::sql;
use crate::token::Token;
use crate::user::User;

/// The password of the user in the examples.
const PASSWORD: &str = "correct horse battery";

/// A site for an example. It sends no mail, and its database is deleted at the end.
#[derive(Debug)]
pub struct Example {
    client: Client,
    dir: PathBuf,
}

/// Runs an example: `act` gets the acts in the name of Ada, who is logged in.
///
/// # Panics
///
/// Panics if the site does not start.
pub fn example(act: impl AsyncFnOnce(Auth<'_>, &User, &Example)) {
    rocket::async_test(async {
        let site = Example::start().await;
        let ada = Browser::new(&site.client);
        let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
        ada.post("/register", &fields).await.assert_redirect("/account");
        ada.with_auth(async |auth| {
            let user = auth.find_user(1).await.expect("an answer").expect("a user");
            act(auth, &user, &site).await;
        })
        .await;
    });
}

impl Example {
    async fn start() -> Self {
        let name = format!("rocket-login-{}-{}", process::id(), &**Token::generate().to_text());
        let dir = env::temp_dir().join(name);
        fs::create_dir(&dir).expect("a directory");
        let url = format!("sqlite:{}/login.db", dir.display());
        let figment = Figment::from(rocket::Config::debug_default())
            .merge(("log_level", "off"))
            .merge(("databases.login.url", url))
            .merge(("password.memory_kib", 8))
            .merge(("password.iterations", 1))
            .select(Profile::new("debug"));
        let rocket = rocket::custom(figment).attach(crate::stage());
        let client = Client::untracked(rocket).await.expect("the site starts");
        Example { client, dir }
    }

    /// Returns the token of the link that was mailed last with the path `path`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such mail.
    pub async fn token(&self, path: &str) -> String {
        let mails = mails(&self.client).await;
        let mail = mails.iter().find(|mail| mail.text.contains(path)).expect("a mail");
        mail.link(path).trim_start_matches(path).to_owned()
    }

    /// Disables every account, as the operator does.
    ///
    /// # Panics
    ///
    /// Panics if the database fails.
    pub async fn disable(&self) {
        let db: &Db = self.client.rocket().state().expect("the database");
        let mut tx = db.write().await.expect("the writer");
        let disable = sql::query("UPDATE users SET disabled_at = 1");
        disable.execute(&mut tx).await.expect("an answer");
        tx.commit().await.expect("a commit");
    }
}

impl Deref for Example {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
