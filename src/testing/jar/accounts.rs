//! What a browser does with accounts.

use rocket::{Orbit, Request, Rocket};

use super::Jar;
use crate::attached::attached;
use crate::auth::{AttachedHooks, Auth, SignUp};
use crate::clock::{Clock, Timestamp};
use crate::cookies::PendingCookies;
use crate::db::{Db, Transaction};
use crate::mail;
use crate::password::{Params, PasswordHash};
use crate::session::Given;
use crate::testing::Mail;
use crate::user::{self, Email, User};

impl Jar {
    /// Starts a session of the user `email`, and makes the account if there is none. `given` says how
    /// they have shown who they are.
    pub async fn sign_in(&self, rocket: &Rocket<Orbit>, email: &str, given: Given) {
        let email = Email::parse(email).expect("an email address");
        let (db, clock): (&Db, &Clock) = (attached(rocket), attached(rocket));
        // Sessions alone have none.
        let hooks = rocket.state::<AttachedHooks>().cloned().unwrap_or_default();
        self.with_session(rocket, async |session| {
            let mut tx = db.write().await.expect("the writer");
            let found = user::store::find_by_email(&mut tx, &email).await.expect("an answer");
            let user = match found {
                Some(account) => account.user,
                None => create(&mut tx, &hooks, &email, clock.now()).await,
            };
            let started = session.start(&mut tx, &user, given, false).await.expect("a session");
            hooks.logged_in(&mut tx, &user).await.expect("hooks that let the user in");
            session.commit(tx, started).await.expect("a commit");
        })
        .await;
    }

    /// Runs `act` with the guard [`Auth`] of `request`, which has these cookies.
    pub async fn with_auth<R>(
        &self,
        request: &Request<'_>,
        act: impl AsyncFnOnce(Auth<'_>) -> R,
    ) -> R {
        let auth = request.guard::<Auth<'_>>().await;
        let result = act(auth.succeeded().expect("the acts")).await;
        PendingCookies::of(request).take().iter().for_each(|cookie| self.keep(cookie));
        result
    }
}

/// Creates the account of `email`, with the hooks of `user add`.
async fn create(
    tx: &mut Transaction,
    hooks: &AttachedHooks,
    email: &Email,
    now: Timestamp,
) -> User {
    let sign_up = SignUp::by_operator(email.clone());
    let hash = PasswordHash::dummy(&Params::default()).expect("a hash");
    hooks.before_sign_up(tx, &sign_up).await.expect("hooks that allow the account");
    let user = user::store::insert(tx, email, &hash, None, now).await.expect("a user");
    hooks.signed_up(tx, &user, &sign_up).await.expect("hooks that allow the account");
    user
}

/// Returns the mails of the site, the newest first.
pub async fn mails(rocket: &Rocket<Orbit>) -> Vec<Mail> {
    let (mail, db): (&mail::Mail, &Db) = (attached(rocket), attached(rocket));
    let received = mail::received(mail, db).await.expect("the mails");
    let mails = received.into_iter().map(|received| Mail {
        recipient: received.recipient,
        subject: received.subject,
        text: received.text,
        html: received.html,
    });
    mails.collect()
}
