//! A site for the examples in the documentation.

use std::ops::Deref;

use rocket::local::asynchronous::Client;

use super::{Browser, figment, mails};
use crate::auth::Auth;
use crate::db::Db;
use crate::sql;
use crate::user::User;

/// The password of the user in the examples.
const PASSWORD: &str = "correct horse battery";

/// A site for an example. It sends no mail, and its database is deleted at the end.
#[derive(Debug)]
pub struct Example(Client);

/// Runs an example: `act` gets the acts in the name of Ada, who is logged in.
///
/// # Panics
///
/// Panics if the site does not start.
pub fn example(act: impl AsyncFnOnce(Auth<'_>, &User, &Example)) {
    rocket::async_test(async {
        let site = Example::start(("log_level", "off")).await;
        let ada = Browser::new(&site.0);
        let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
        ada.post("/register", &fields).await.assert_redirect("/account");
        ada.with_auth(async |auth| {
            let user = auth.find_user(1).await.expect("an answer").expect("a user");
            act(auth, &user, &site).await;
        })
        .await;
    });
}

/// Runs an example on a site with the configuration `value`: `act` gets the acts of a visitor.
///
/// # Panics
///
/// Panics if the site does not start.
pub fn example_with(value: (&str, &str), act: impl AsyncFnOnce(Auth<'_>, &Example)) {
    rocket::async_test(async {
        let site = Example::start(value).await;
        Browser::new(&site.0).with_auth(async |auth| act(auth, &site).await).await;
    });
}

impl Example {
    async fn start(value: (&str, &str)) -> Self {
        let figment =
            figment().merge(("log_level", "off")).merge(("throttle.enabled", true)).merge(value);
        let rocket = rocket::custom(figment).attach(crate::stage());
        Example(Client::untracked(rocket).await.expect("the site starts"))
    }

    /// Returns the token of the link that was mailed last with the path `path`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such mail.
    pub async fn token(&self, path: &str) -> String {
        let mails = mails(&self.0).await;
        let mail = mails.iter().find(|mail| mail.text.contains(path)).expect("a mail");
        mail.link(path).trim_start_matches(path).to_owned()
    }

    /// Disables every account, as the operator does.
    ///
    /// # Panics
    ///
    /// Panics if the database fails.
    pub async fn disable(&self) {
        let db: &Db = self.0.rocket().state().expect("the database");
        let mut tx = db.write().await.expect("the writer");
        let disable = sql::query("UPDATE users SET disabled_at = 1");
        disable.execute(&mut tx).await.expect("an answer");
        tx.commit().await.expect("a commit");
    }
}

impl Deref for Example {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}
