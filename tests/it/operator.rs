//! The operator's acts, as an administrator's page and a program call them.

use rocket_login::auth::{
    AccountError, AccountSearch, AddError, GrantError, NewAccount, Operator, ResetLinkError,
};
use rocket_login::password::{PasswordHash, PasswordHashError};
use rocket_login::testing::count_calls;
use rocket_login::{Email, PasswordError, RoleName, User};
use sqlx::AssertSqlSafe;

use crate::support::{PASSWORD, START, TestApp, many_sessions};

const ADA: &str = "ada@example.org";
const BOB: &str = "bob@example.org";

/// Hashes of "correct horse battery" that another program has made.
const FOREIGN: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA\
     $AV4J2nu9+f5TKCuctloDOGlhVyRYtNG4gY8ufMDEBjs";

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn operator(app: &TestApp) -> Operator<'_> {
    Operator::of(app.client.rocket()).unwrap()
}

async fn user(app: &TestApp, address: &str) -> User {
    operator(app).find_by_email(&email(address)).await.unwrap().unwrap().user
}

/// Makes `count` accounts: `user00001@example.org` and so on.
async fn many_accounts(app: &TestApp, count: u32) {
    let pad = crate::database::pick("printf('%05d', n)", "lpad(n::text, 5, '0')");
    app.execute(AssertSqlSafe(format!(
        "WITH RECURSIVE numbers (n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
         INSERT INTO users (email, password_hash, created_at, verified_at, disabled_at)
         SELECT 'User' || {pad} || '@example.org', '', {START},
                CASE WHEN n % 2 = 0 THEN {START} END, CASE WHEN n % 100 = 0 THEN {START} END
         FROM numbers"
    )))
    .await;
}

/// Returns the numbers in the addresses of the accounts that `search` selects, page by page.
async fn numbers(app: &TestApp, mut search: AccountSearch) -> Vec<Vec<u32>> {
    let mut pages = Vec::new();
    loop {
        let page = operator(app).list(&search).await.unwrap();
        let addresses = page.accounts.iter().map(|account| &account.user.email);
        pages.push(addresses.map(|email| email[4..9].parse().unwrap()).collect());
        match page.next {
            Some(next) => search = search.after(&next),
            None => return pages,
        }
    }
}

#[rocket::async_test]
async fn thousands_of_accounts_are_listed_page_by_page_in_order() {
    let app = TestApp::new().await;
    many_accounts(&app, 3_000).await;
    let all: Vec<u32> = (1..=3_000).collect();
    let pages = numbers(&app, AccountSearch::new().limit(700)).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [700, 700, 700, 700, 200]);
    assert_eq!(pages.concat(), all);
    // A full last page has none after it.
    assert_eq!(numbers(&app, AccountSearch::new().limit(1_000)).await.len(), 3);
    assert_eq!(numbers(&app, AccountSearch::new()).await[0].len(), 50);

    let start = numbers(&app, AccountSearch::new().starting_with(" USER0004")).await;
    assert_eq!(start, [(40..50).collect::<Vec<_>>()]);
    let one = numbers(&app, AccountSearch::new().starting_with("user02718@example.org")).await;
    assert_eq!(one, [[2_718]]);
    for nobody in ["user9", "ser0", "user_", "user%", "user\0", "é", "user0 "] {
        let found = numbers(&app, AccountSearch::new().starting_with(nobody)).await.concat();
        assert_eq!(found.is_empty(), nobody != "user0 ", "{nobody:?}");
    }
    let after = AccountSearch::new().starting_with("user0004").after(&email("user00047@x.example"));
    assert_eq!(numbers(&app, after).await, [[48, 49]]);

    let disabled = numbers(&app, AccountSearch::new().disabled().limit(20)).await;
    assert_eq!(disabled.concat(), (1..=30).map(|n| n * 100).collect::<Vec<_>>());
    let unverified = numbers(&app, AccountSearch::new().unverified().limit(1_000)).await.concat();
    assert_eq!(unverified, all.into_iter().filter(|n| n % 2 == 1).collect::<Vec<_>>());
    let both = AccountSearch::new().disabled().unverified();
    assert!(numbers(&app, both).await.concat().is_empty());
}

#[rocket::async_test]
async fn a_page_of_accounts_is_one_statement_with_their_sessions_and_failures() {
    let app = TestApp::new().await;
    many_accounts(&app, 2_000).await;
    let ada = app.registered(ADA).await;
    many_sessions(&app, ADA, 6).await;
    for _ in 0..3 {
        app.visitor().log_in_with(ADA, "wrong horse battery").await.assert_status(422);
    }
    let search = AccountSearch::new().limit(1_000);
    let (page, calls) = count_calls(operator(&app).list(&search)).await;
    let page = page.unwrap();
    assert_eq!((page.accounts.len(), calls), (1_000, 1));
    let first = &page.accounts[0];
    assert_eq!(first.user.email, ADA);
    assert_eq!((first.sessions, first.failed_log_ins), (7, 3));
    assert_eq!((page.accounts[1].sessions, page.accounts[1].failed_log_ins), (0, 0));
    let (found, calls) = count_calls(operator(&app).find(first.user.id)).await;
    assert_eq!((found.unwrap().as_ref(), calls), (Some(first), 1));

    app.visitor().log_in(ADA).await;
    let bob = ada.with_auth(async |auth| auth.find_user_by_email(&email(BOB)).await).await;
    assert!(bob.unwrap().is_none());
    let found = operator(&app).find_by_email(&email("ADA@example.org")).await.unwrap().unwrap();
    assert_eq!((found.sessions, found.failed_log_ins), (8, 0));
    app.advance(100_000 * 100);
    let found = operator(&app).find_by_email(&email(ADA)).await.unwrap().unwrap();
    assert_eq!(found.sessions, 0);
}

#[rocket::async_test]
async fn an_administrator_acts_on_accounts_and_each_act_is_in_the_history() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered(BOB).await);
    let (by, target) = (user(&app, ADA).await, user(&app, BOB).await);
    assert!(bob.is_logged_in().await);
    ada.with_auth(async |auth| {
        let operator = auth.operator(&by);
        assert_eq!(operator.sessions(&target).await.unwrap().len(), 1);
        assert_eq!(operator.end_sessions(&target).await.unwrap(), 1);
        operator.disable(&target).await.unwrap();
        assert!(operator.find(target.id).await.unwrap().unwrap().disabled_at.is_some());
    })
    .await;
    assert!(!bob.is_logged_in().await);
    bob.log_in(BOB).await.assert_status(422);
    ada.with_auth(async |auth| {
        let operator = auth.operator(&by);
        operator.enable(&target).await.unwrap();
        operator.unlock(&target).await.unwrap();
    })
    .await;
    bob.log_in(BOB).await.assert_redirect("/account");
    let page = bob.get("/account/activity").await;
    for text in ["Devices were logged out", "Account disabled", "Account enabled", "The operator"] {
        page.assert_text(text);
    }
    ada.with_auth(async |auth| auth.operator(&by).delete(&target).await).await.unwrap();
    assert!(!bob.is_logged_in().await);
    assert_eq!(app.users().await, 1);
}

#[rocket::async_test]
async fn the_record_of_an_act_has_the_administrators_address_and_the_users_page_has_not() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered(BOB).await);
    let (by, target) = (user(&app, ADA).await, user(&app, BOB).await);
    // The request of `with_auth()` comes from no address, so the row gets one here.
    ada.with_auth(async |auth| auth.operator(&by).unlock(&target).await).await.unwrap();
    app.execute("UPDATE login_events SET ip_address = '192.0.2.7' WHERE kind = 'unlocked'").await;
    bob.get("/account/activity").await.assert_text("The operator").assert_no_text("192.0.2.7");
    bob.get("/account/export").await.assert_text("unlocked").assert_no_text("192.0.2.7");
}

#[rocket::async_test]
async fn an_administrator_who_was_logged_out_does_nothing() {
    let app = TestApp::new().await;
    let (ada, _bob) = (app.registered(ADA).await, app.registered(BOB).await);
    let (by, target) = (user(&app, ADA).await, user(&app, BOB).await);
    ada.with_auth(async |auth| {
        let acts = auth.operator(&by);
        operator(&app).end_sessions(&by).await.unwrap();
        let refused = acts.disable(&target).await.unwrap_err();
        assert_eq!(refused.code(), "session_ended");
        assert_eq!(acts.reset_link(&target).await.unwrap_err().code(), "session_ended");
        assert!(acts.end_all_sessions().await.unwrap_err().is_ended());
        let added = acts.add(NewAccount::new(email("eve@example.org"))).await;
        assert_eq!(added.unwrap_err().code(), "session_ended");
        // Nor in the name of another user.
        let other = auth.operator(&target).delete(&by).await.unwrap_err();
        assert_eq!(other.code(), "session_ended");
    })
    .await;
    assert_eq!(app.count("SELECT count(*) FROM users WHERE disabled_at IS NULL").await, 2);
    assert_eq!(app.sessions().await, 1);
}

#[rocket::async_test]
async fn two_administrators_who_act_on_each_other_do_not_wait_for_each_other() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.registered(ADA).await, app.registered(BOB).await);
    let (a, b) = (user(&app, ADA).await, user(&app, BOB).await);
    for _ in 0..20 {
        let unlock = async |visitor: &crate::support::Visitor<'_>, by: &User, whom: &User| {
            visitor.with_auth(async |auth| auth.operator(by).unlock(whom).await).await
        };
        let (one, other) = rocket::tokio::join!(unlock(&ada, &a, &b), unlock(&bob, &b, &a));
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    }
}

#[rocket::async_test]
async fn an_act_that_was_not_done_says_why() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let by = user(&app, ADA).await;
    let program = operator(&app);
    let bob = program.add(NewAccount::new(email(BOB))).await.unwrap();
    program.disable(&bob).await.unwrap();
    for refused in [program.reset_link(&bob).await.map(drop), program.mail_reset_link(&bob).await] {
        assert!(matches!(refused, Err(ResetLinkError::Disabled)), "{refused:?}");
    }
    program.delete(&bob).await.unwrap();
    for refused in [
        program.disable(&bob).await,
        program.enable(&bob).await,
        program.delete(&bob).await,
        program.unlock(&bob).await,
        program.end_sessions(&bob).await.map(drop),
    ] {
        assert!(matches!(refused, Err(AccountError::NoSuchUser)), "{refused:?}");
    }
    for refused in [program.reset_link(&bob).await.map(drop), program.mail_reset_link(&bob).await] {
        assert!(matches!(refused, Err(ResetLinkError::NoSuchUser)), "{refused:?}");
    }
    assert!(program.sessions(&bob).await.unwrap().is_empty());
    assert!(program.find(bob.id).await.unwrap().is_none());

    let taken = program.add(NewAccount::new(email("ADA@example.org"))).await;
    assert!(matches!(taken, Err(AddError::EmailTaken)), "{taken:?}");
    ada.with_auth(async |auth| {
        let own = auth.operator(&by);
        for refused in [own.disable(&by).await, own.delete(&by).await] {
            assert!(matches!(refused, Err(AccountError::OwnAccount)), "{refused:?}");
        }
        own.unlock(&by).await.unwrap();
    })
    .await;
    // A program acts on any account.
    program.disable(&by).await.unwrap();
}

#[rocket::async_test]
async fn a_release_without_mail_mails_no_link() {
    let app = TestApp::release().await;
    let bob = operator(&app).add(NewAccount::new(email(BOB))).await.unwrap();
    let refused = operator(&app).mail_reset_link(&bob).await.unwrap_err();
    assert!(matches!(refused, ResetLinkError::NoMail));
    assert_eq!(refused.to_string(), "This site sends no mail.");
    let link = operator(&app).reset_link(&bob).await.unwrap();
    assert!(link.starts_with("/reset/"), "{link}");
}

#[rocket::async_test]
async fn an_imported_user_gets_a_link_by_mail_and_chooses_a_password() {
    let app = TestApp::with(|figment| figment.merge(("throttle.mails", 1))).await;
    let old = NewAccount::new(email(BOB)).created_at(START - 1_000).verified();
    let bob = operator(&app).add(old).await.unwrap();
    assert_eq!((bob.created_at, bob.verified_at), (START - 1_000, Some(START - 1_000)));
    assert_eq!(user(&app, BOB).await, bob);
    app.visitor().log_in_with(BOB, PASSWORD).await.assert_status(422);

    // The limit of mails is for strangers.
    for _ in 0..3 {
        operator(&app).mail_reset_link(&bob).await.unwrap();
    }
    let path = app.link(BOB, "/reset/").await;
    let visitor = app.visitor();
    visitor.post(&path, &[("new_password", PASSWORD)]).await.assert_redirect("/login");
    visitor.log_in_with(BOB, PASSWORD).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn an_imported_hash_is_renewed_at_the_next_log_in() {
    let app = TestApp::new().await;
    let hash = PasswordHash::parse(FOREIGN).unwrap();
    operator(&app).add(NewAccount::new(email(BOB)).password_hash(hash)).await.unwrap();
    let stored = "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=256,%'";
    assert_eq!(app.count(stored).await, 1);
    app.visitor().log_in_with(BOB, "wrong horse battery").await.assert_status(422);
    app.visitor().log_in_with(BOB, PASSWORD).await.assert_redirect("/account");
    assert_eq!(app.count(stored).await, 0);
    app.visitor().log_in_with(BOB, PASSWORD).await.assert_redirect("/account");
}

#[test]
fn a_hash_that_could_never_be_checked_is_refused_when_it_is_read() {
    use PasswordHashError::{NotArgon2id, TooCostly};
    let without_tag = FOREIGN.rsplit_once('$').unwrap().0;
    for (text, expected) in [
        ("", NotArgon2id),
        ("$2b$12$GhvMmNVjRW29ulnudl.LbuAnUtN/LRfe1JsBm1Xu6LE3059z5Tr8m", NotArgon2id),
        (&FOREIGN.replace("argon2id", "argon2i"), NotArgon2id),
        (&FOREIGN.replace("v=19", "v=16"), NotArgon2id),
        (without_tag, NotArgon2id),
        (&FOREIGN.replace("m=256", "m=131073"), TooCostly),
        (&FOREIGN.replace("t=2", "t=11"), TooCostly),
        (&FOREIGN.replace("p=1$", "p=5$"), TooCostly),
    ] {
        assert_eq!(PasswordHash::parse(text), Err(expected), "{text}");
    }
    assert_eq!(PasswordHash::parse(FOREIGN).unwrap().as_str(), FOREIGN);
}

#[rocket::async_test]
async fn a_new_account_of_the_operator_has_the_password_that_was_given() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let by = user(&app, ADA).await;
    ada.with_auth(async |auth| {
        let password = auth.new_password(PASSWORD, BOB).unwrap();
        let account = NewAccount::new(email(BOB)).password(password);
        let bob = auth.operator(&by).add(account).await.unwrap();
        assert_eq!(bob.verified_at, None);
    })
    .await;
    assert!(app.mails().await.iter().all(|mail| mail.recipient != BOB));
    app.visitor().log_in_with(BOB, PASSWORD).await.assert_redirect("/account");
    let known = PasswordError::Breached;
    assert_eq!(AddError::from(known).code(), known.code());
}

#[rocket::async_test]
async fn roles_are_granted_revoked_and_listed() {
    let app = TestApp::new().await;
    many_accounts(&app, 500).await;
    let ada = app.registered(ADA).await;
    let by = user(&app, ADA).await;
    let [editor, admin] = ["editor", "admin"].map(|name| RoleName::parse(name).unwrap());
    for number in [7, 3, 400] {
        let target = user(&app, &format!("user{number:05}@example.org")).await;
        operator(&app).grant(&target, &editor).await.unwrap();
    }
    operator(&app).grant(&by, &admin).await.unwrap();
    let editors = AccountSearch::new().role(&editor);
    assert_eq!(numbers(&app, editors.clone()).await, [[3, 7, 400]]);
    assert_eq!(numbers(&app, editors.clone().limit(2)).await, [vec![3, 7], vec![400]]);
    assert_eq!(numbers(&app, editors.clone().starting_with("user000")).await, [[3, 7]]);
    assert_eq!(numbers(&app, editors.clone().disabled()).await, [[400]]);
    let part = RoleName::parse("edit").unwrap();
    assert!(numbers(&app, AccountSearch::new().role(&part)).await.concat().is_empty());

    let third = user(&app, "user00003@example.org").await;
    ada.with_auth(async |auth| {
        let operator = auth.operator(&by);
        operator.revoke(&third, &editor).await.unwrap();
        let own = operator.revoke(&by, &admin).await.unwrap_err();
        assert!(matches!(own, AccountError::OwnAccount));
    })
    .await;
    assert_eq!(numbers(&app, editors).await, [[7, 400]]);
    assert!(user(&app, ADA).await.roles.contains("admin"));
    let gone = NewAccount::new(email(BOB));
    let gone = operator(&app).add(gone).await.unwrap();
    operator(&app).delete(&gone).await.unwrap();
    let refused = operator(&app).grant(&gone, &editor).await.unwrap_err();
    assert!(matches!(refused, GrantError::NoSuchUser));
    let refused = operator(&app).revoke(&gone, &editor).await.unwrap_err();
    assert!(matches!(refused, AccountError::NoSuchUser));
}
