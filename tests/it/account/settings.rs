//! The account page as the way to all settings, and the way between them.

use rocket::futures::future::{join, join_all};
use rocket::http::Accept;
use rocket_login::testing::count_calls;

use crate::support::{PASSWORD, START, TestApp, Visitor, many_sessions};

const ADA: &str = "ada@example.org";
const NEW: &str = "another horse battery";

/// The pages of the settings. The last two are for sites with mail.
const PAGES: [&str; 6] = [
    "/account",
    "/account/password",
    "/account/sessions",
    "/account/activity",
    "/account/email",
    "/account/notices",
];

#[rocket::async_test]
async fn each_row_of_the_account_page_says_what_is_so() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let page = ada.get("/account").await;
    page.assert_text("Logged in on 1 device<")
        .assert_text("7 of 7 on")
        .assert_text("Not confirmed");
    // Nothing is said about a password that was never changed.
    page.assert_no_text("Changed");

    ada.post(&app.link(ADA, "/verify/").await, &[]).await;
    ada.post("/account/notices", &[("failures", "on"), ("new_device", "on")]).await;
    app.advance(60);
    ada.post("/account/password", &[("current_password", PASSWORD), ("new_password", NEW)]).await;
    app.visitor().log_in_with(ADA, NEW).await.assert_redirect("/account");
    ada.get("/account")
        .await
        .assert_text("Logged in on 2 devices<")
        .assert_text("2 of 7 on")
        .assert_text(">Confirmed<")
        .assert_text(
            "Changed <time datetime=\"2026-01-01T00:01:00Z\">1 January 2026, 00:01 UTC</time>",
        );
}

#[rocket::async_test]
async fn a_new_password_has_its_time_and_a_new_hash_of_the_same_one_has_not() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let app = app.restarted(|figment| figment.merge(("password.iterations", 2))).await;
    let hash = "SELECT count(*) FROM users WHERE password_hash LIKE '%t=2%'";
    app.visitor().log_in(ADA).await.assert_redirect("/account");
    assert_eq!(app.count(hash).await, 1);
    let changed = "SELECT coalesce(max(password_changed_at), 0) FROM users";
    assert_eq!(app.count(changed).await, 0);

    app.advance(60);
    app.visitor().post("/reset", &[("email", ADA)]).await;
    app.visitor().post(&app.link(ADA, "/reset/").await, &[("new_password", NEW)]).await;
    assert_eq!(app.count(changed).await, START + 60);
}

#[rocket::async_test]
async fn account_pages_that_are_asked_together_are_few_statements_and_each_is_its_users() {
    let app = TestApp::new().await;
    let mut people = Vec::new();
    for number in 1..=20 {
        let email = format!("user{number}@example.org");
        let visitor = app.registered(&email).await;
        if number % 2 == 0 {
            many_sessions(&app, &email, number).await;
        }
        people.push((visitor, email, if number % 2 == 0 { number + 1 } else { 1 }));
    }
    // Now every session is in memory.
    for (visitor, ..) in &people {
        visitor.get("/account").await.assert_status(200);
    }

    // On a busy machine, some may not wait so long.
    let mut fewest = u64::MAX;
    for _ in 0..10 {
        let pages = join_all(people.iter().map(|(visitor, ..)| visitor.get("/account")));
        let (pages, calls) = count_calls(pages).await;
        for (page, (_, email, devices)) in pages.iter().zip(&people) {
            let plural = if *devices == 1 { "" } else { "s" };
            page.assert_text(email);
            page.assert_text(&format!("Logged in on {devices} device{plural}<"));
        }
        fewest = fewest.min(calls);
    }
    assert!(fewest < people.len() as u64 / 2, "{fewest} have asked alone");
}

#[rocket::async_test]
async fn an_account_page_that_begins_after_a_change_shows_the_change() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let others: Vec<_> = (0..10).map(|_| app.visitor()).collect();
    for (before, other) in (1..).zip(&others) {
        let pages = join_all((0..8).map(|_| ada.get("/account")));
        let change = async {
            other.log_in(ADA).await.assert_redirect("/account");
            ada.get("/account").await
        };
        let (_, page) = join(pages, change).await;
        page.assert_text(&format!("Logged in on {} devices<", before + 1));
    }
}

/// Returns how many look-ups the page costs. A commit beside it, such as that of a sent mail, may
/// make one of several requests read the session again.
async fn calls(app: &TestApp, visitor: &Visitor<'_>, path: &'static str, accept: Accept) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..5 {
        let request = app.client.get(path).header(accept.clone());
        let (answer, calls) = count_calls(visitor.send(request)).await;
        answer.assert_status(200);
        fewest = fewest.min(calls);
    }
    fewest
}

#[rocket::async_test]
async fn the_account_page_costs_one_statement_however_many_sessions_there_are() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.use_session().await;
    let of_home = calls(&app, &ada, "/", Accept::HTML).await;
    let of_few = calls(&app, &ada, "/account", Accept::HTML).await;
    many_sessions(&app, ADA, 2000).await;
    ada.get("/account").await.assert_text("Logged in on 2001 devices<");
    let of_many = calls(&app, &ada, "/account", Accept::HTML).await;
    assert_eq!((of_few, of_many), (of_home + 1, of_home + 1));
    // A program is told what the session knows.
    assert_eq!(calls(&app, &ada, "/account", Accept::JSON).await, of_home);
}

#[rocket::async_test]
async fn every_page_of_the_settings_leads_to_the_others_and_marks_itself() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for path in PAGES {
        let page = ada.get(path).await;
        page.assert_status(200);
        let (_, nav) = page.body.split_once("aria-label=\"Settings\"").expect(path);
        let nav = nav.split("</nav>").next().unwrap();
        for other in PAGES {
            let mark = if other == path { " aria-current=\"page\"" } else { "" };
            let link = format!("href=\"{other}\"{mark}>");
            assert!(nav.contains(&link), "{path} has no {link}: {nav}");
        }
        assert_eq!(nav.matches("aria-current").count(), 1, "{path}");
    }
    // No row stands for the page of a deletion.
    let page = ada.get("/account/delete").await;
    page.assert_status(200).assert_no_text("aria-current");
}

#[rocket::async_test]
async fn a_site_without_mail_does_not_offer_what_needs_mail() {
    let app = TestApp::release().await;
    let ada = app.visitor();
    ada.register(ADA).await;
    for path in &PAGES[..4] {
        let page = ada.get(path).await;
        page.assert_status(200);
        let page = page.body;
        for path in &PAGES[4..] {
            assert!(!page.contains(&format!("href=\"{path}\"")), "{path} is offered");
        }
    }
}

#[rocket::async_test]
async fn a_choice_of_notices_is_confirmed_on_its_own_page() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.get("/account").await;
    ada.post("/account/notices", &[("failures", "on")]).await.assert_redirect("/account/notices");
    let page = ada.get("/account/notices").await;
    page.assert_text("<p class=\"message\" role=\"status\">Saved.</p>");
}

#[rocket::async_test]
async fn every_time_on_a_page_is_marked_for_the_script() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.post("/account/password", &[("current_password", PASSWORD), ("new_password", NEW)]).await;
    app.visitor().log_in_with(ADA, NEW).await;
    let time = "<time datetime=\"2026-01-01T00:00:00Z\">1 January 2026, 00:00 UTC</time>";
    for path in ["/account", "/account/sessions", "/account/activity", "/dev/mailbox"] {
        let page = ada.get(path).await;
        page.assert_status(200).assert_text("times.js").assert_text(time);
        // A mail is a text, and a label is for a screen reader.
        let shown = page.body.replace(time, "").matches(" UTC").count();
        let texts = page.body.matches("Time: 1 January 2026, 00:00 UTC").count();
        let labels = page.body.matches("logged in 1 January 2026, 00:00 UTC\"").count();
        assert_eq!(shown, texts + labels, "{path}: {}", page.body);
    }
}
