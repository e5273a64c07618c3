//! The throttle: how often a client may try. The documentation states these numbers.

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use rocket_login::password::Hasher;
use sqlx::AssertSqlSafe;

use crate::database;
use crate::support::{Answer, PASSWORD, TestApp, Visitor};

const ADA: &str = "ada@example.org";
const HERE: &str = "192.0.2.1";
const WRONG: &str = "email=ada%40example.org&password=wrong+horse+battery";
const RIGHT: &str = "email=ada%40example.org&password=correct+horse+battery";

async fn log_in(app: &TestApp, from: &str, body: &str) -> Answer {
    app.visitor().post_from(app, from, "/login", body).await
}

async fn fail(app: &TestApp, from: &str, times: usize) {
    for _ in 0..times {
        log_in(app, from, WRONG).await.assert_status(422);
    }
}

#[track_caller]
fn assert_wait(answer: &Answer, seconds: &str) {
    answer.assert_status(429);
    assert_eq!(answer.header("retry-after"), Some(seconds));
}

fn hashes(app: &TestApp) -> u64 {
    app.client.rocket().state::<Hasher>().unwrap().count()
}

#[rocket::async_test]
async fn after_ten_failures_the_delay_begins_at_thirty_seconds_and_doubles() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 10).await;
    for delay in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
        let before = hashes(&app);
        // The right password is refused as well, and nothing is hashed for it.
        assert_wait(&log_in(&app, HERE, RIGHT).await, &delay.to_string());
        app.advance(delay - 1);
        assert_wait(&log_in(&app, HERE, RIGHT).await, "1");
        assert_eq!(hashes(&app), before);
        app.advance(1);
        log_in(&app, HERE, WRONG).await.assert_status(422);
    }
}

#[rocket::async_test]
async fn the_429_page_says_when_to_try_again() {
    let app = TestApp::new().await;
    fail(&app, HERE, 10).await;
    let answer = log_in(&app, HERE, WRONG).await;
    assert_wait(&answer, "30");
    answer.assert_text("Too many attempts. Try again in").assert_text(">30 seconds</span>.");
    answer.assert_text(">Forgot your password?</a>");
    assert!(answer.header("content-security-policy").is_some());
    let request = app.client.post("/login").header(rocket::http::ContentType::Form);
    let request = request.remote("192.0.2.1:99".parse().unwrap());
    let json = app.visitor().send(request.header(rocket::http::Accept::JSON).body(WRONG)).await;
    assert_wait(&json, "30");
    assert!(json.is_json());
}

#[rocket::async_test]
async fn the_429_page_offers_the_next_step_that_fits_the_form() {
    // Each form that leads to the page, on a site with mail and on one without.
    let fail_at = async |app: &TestApp, visitor: &Visitor<'_>, path: &str, body: &str| {
        for _ in 0..40 {
            let request = app.client.post(path.to_owned());
            let request = request.header(rocket::http::ContentType::Form);
            let answer =
                visitor.send(request.remote("192.0.2.1:99".parse().unwrap()).body(body)).await;
            if answer.status.code == 429 {
                return answer;
            }
        }
        panic!("{path} is not throttled");
    };
    let wrong = "password=wrong+horse+battery&current_password=wrong+horse+battery\
                 &email=b%40example.org&new_password=another+horse+battery";
    for has_mail in [true, false] {
        // In the release profile there is no mail without `mail.url`.
        let app = TestApp::with(|f| {
            let profile = if has_mail { "debug" } else { "release" };
            f.select(profile)
                .merge(("throttle.sign_ups", 1))
                .merge(("throttle.address_failures", 20))
        })
        .await;
        let ada = app.registered(ADA).await;
        let mailed = if has_mail { vec!["/reset", "/account/verify"] } else { vec![] };
        for path in mailed {
            let page = fail_at(&app, &ada, path, "email=ada%40example.org").await;
            page.assert_text("A link we emailed before");
            let way = if path == "/reset" { "Log in" } else { "Your account" };
            page.assert_text(&format!(">{way}</a>"));
        }
        let page = fail_at(&app, &app.visitor(), "/register", RIGHT).await;
        page.assert_no_text("Forgot").assert_text(">Log in</a>");
        let page = fail_at(&app, &ada, "/login", wrong).await;
        page.assert_text(">Forgot your password?</a>");
        for path in ["/reauthenticate", "/account/password"] {
            let page = fail_at(&app, &ada, path, wrong).await;
            page.assert_text(r#"href="/account""#);
        }
        // There is no form for a dead link.
        let page = fail_at(&app, &ada, "/verify/x", wrong).await;
        if has_mail {
            page.assert_text("reset a forgotten password by email")
                .assert_text(">Forgot your password?</a>");
        } else {
            page.assert_no_text("mail").assert_text("ask the operator of this site");
            page.assert_text(">Log in</a>");
        }
    }
}

#[rocket::async_test]
async fn the_right_password_resets_the_count_of_failures() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    for _ in 0..3 {
        fail(&app, HERE, 9).await;
        log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
    }
    fail(&app, HERE, 10).await;
    app.advance(30);
    log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
    fail(&app, HERE, 10).await;
}

#[rocket::async_test]
async fn an_unknown_address_is_throttled_like_a_known_one() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let unknown = WRONG.replace("ada", "bob");
    for _ in 0..10 {
        log_in(&app, HERE, WRONG).await.assert_status(422);
        log_in(&app, HERE, &unknown).await.assert_status(422);
    }
    let (known, unknown) = (log_in(&app, HERE, WRONG).await, log_in(&app, HERE, &unknown).await);
    assert_wait(&unknown, "30");
    assert_eq!(known.body, unknown.body.replace("bob@", "ada@"));
}

#[rocket::async_test]
async fn all_spellings_of_an_address_count_as_one_account() {
    let app = TestApp::new().await;
    for email in ["ada%40example.org", "ADA%40example.org", "+ada%40EXAMPLE.org+"].repeat(4) {
        let answer = log_in(&app, HERE, &format!("email={email}&password=wrong+horse")).await;
        if answer.status.code == 429 {
            return;
        }
    }
    panic!("twelve spellings were not throttled");
}

#[rocket::async_test]
async fn another_ip_address_is_blocked_only_after_fifty_failures_at_the_account() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 10).await;
    assert_wait(&log_in(&app, HERE, RIGHT).await, "30");
    log_in(&app, "192.0.2.2", RIGHT).await.assert_redirect("/account");

    // Fifty failures, five from each IP address.
    for host in 10..20 {
        fail(&app, &format!("198.51.100.{host}"), 5).await;
    }
    assert_wait(&log_in(&app, "203.0.113.9", RIGHT).await, "30");
}

#[rocket::async_test]
async fn a_stranger_cannot_lock_the_owner_out_on_a_known_device() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.log_out().await;
    for host in 10..20 {
        fail(&app, &format!("198.51.100.{host}"), 5).await;
    }
    assert_wait(&log_in(&app, HERE, RIGHT).await, "30");
    // The owner gets in even from the stranger's IP address.
    ada.post_from(&app, "198.51.100.10", "/login", RIGHT).await.assert_redirect("/account");

    // The device's own failures are counted separately.
    ada.log_out().await;
    for _ in 0..10 {
        ada.post_from(&app, HERE, "/login", WRONG).await.assert_status(422);
    }
    assert_wait(&ada.post_from(&app, HERE, "/login", RIGHT).await, "30");
}

#[rocket::async_test]
async fn a_device_of_one_account_gives_no_extra_guesses_at_another() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let bob = app.registered("bob@example.org").await;
    for _ in 0..10 {
        bob.post_from(&app, HERE, "/login", WRONG).await.assert_status(422);
    }
    assert_wait(&bob.post_from(&app, HERE, "/login", RIGHT).await, "30");
}

#[rocket::async_test]
async fn after_a_hundred_failures_only_a_reset_helps() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let mut tried = 0;
    while tried < 100 {
        let from = format!("198.51.{}.{}", tried / 200, tried % 200);
        match log_in(&app, &from, WRONG).await.status.code {
            422 => tried += 1,
            429 => app.advance(3600),
            status => panic!("{status}"),
        }
    }
    let before = hashes(&app);
    app.advance(20 * 24 * 60 * 60);
    assert_wait(&log_in(&app, HERE, RIGHT).await, "3600");
    assert_eq!(hashes(&app), before);

    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let fields = [("new_password", "another horse battery")];
    app.visitor().post(&app.link(ADA, "/reset/").await, &fields).await.assert_redirect("/login");
    log_in(&app, HERE, &RIGHT.replace("correct", "another")).await.assert_redirect("/account");
}

/// Returns the number of checked guesses. The others must have one of `seconds` as their
/// Retry-After.
#[track_caller]
fn looked_at(answers: &[Answer], seconds: &[&str]) -> usize {
    for answer in answers.iter().filter(|answer| answer.status.code == 429) {
        let wait = answer.header("retry-after").unwrap();
        assert!(seconds.contains(&wait), "{wait}");
    }
    answers.iter().filter(|answer| answer.status.code != 429).count()
}

#[rocket::async_test]
async fn ten_of_sixty_simultaneous_guesses_are_checked() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    for email in ["ada", "unknown"] {
        let (before, body) = (hashes(&app), WRONG.replace("ada", email));
        let answers = join_all((0..60).map(|_| log_in(&app, HERE, &body))).await;
        assert_eq!(looked_at(&answers, &["1", "30"]), 10, "{email}");
        assert_eq!(hashes(&app) - before, 10, "{email}");
    }
    assert_wait(&log_in(&app, HERE, RIGHT).await, "30");
    app.advance(30);
    log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn only_one_of_many_simultaneous_guesses_is_checked_after_a_delay() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 10).await;
    for delay in [30, 60] {
        app.advance(delay);
        let answers = join_all((0..20).map(|_| log_in(&app, HERE, WRONG))).await;
        assert_eq!(looked_at(&answers, &["1", "60", "120"]), 1);
    }
}

#[rocket::async_test]
async fn fifty_simultaneous_guesses_from_many_ip_addresses_are_checked() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let from: Vec<String> = (0..80).map(|host| format!("198.51.100.{host}")).collect();
    let answers = join_all(from.iter().map(|from| log_in(&app, from, WRONG))).await;
    assert_eq!(looked_at(&answers, &["1", "30"]), 50);
}

#[rocket::async_test]
async fn two_instances_together_check_no_more_guesses_than_one() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let twin = app.twin(|figment| figment).await;
    let here = join_all((0..30).map(|_| log_in(&app, HERE, WRONG)));
    let there = join_all((0..30).map(|_| twin.post_from(HERE, "/login", WRONG)));
    let (mut answers, others) = rocket::tokio::join!(here, there);
    answers.extend(others);
    assert_eq!(looked_at(&answers, &["1", "30"]), 10);
}

#[rocket::async_test]
async fn ten_simultaneous_guesses_in_a_session_on_a_device_or_at_a_link_are_checked() {
    let app = TestApp::with(|f| f.merge(("throttle.address_failures", 600))).await;
    let ada = app.registered(ADA).await;
    let wrong = "password=wrong+horse+battery";
    let again = (0..30).map(|_| ada.post_from(&app, HERE, "/reauthenticate", wrong));
    assert_eq!(looked_at(&join_all(again).await, &["1", "30"]), 10);

    let on_device = (0..30).map(|_| ada.post_from(&app, HERE, "/login", WRONG));
    assert_eq!(looked_at(&join_all(on_device).await, &["1", "30"]), 10);

    let (link, stranger) = (app.link(ADA, "/verify/").await, app.visitor());
    let at_link = (0..30).map(|_| stranger.post_from(&app, HERE, &link, wrong));
    assert_eq!(looked_at(&join_all(at_link).await, &["1", "30"]), 10);
}

#[rocket::async_test]
async fn parallel_log_ins_with_the_right_password_leave_no_block_behind() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    for _ in 0..3 {
        let answers = join_all((0..30).map(|_| log_in(&app, HERE, RIGHT))).await;
        assert!(looked_at(&answers, &["1"]) >= 10);
        assert!(answers.iter().all(|answer| [303, 429].contains(&answer.status.code)));
        // All attempts were settled, so none is pending.
        assert_eq!(app.count("SELECT count(*) FROM login_throttle WHERE pending > 0").await, 0);
        fail(&app, HERE, 9).await;
        log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
    }
}

/// Makes attempts that are counted but never settled, as if the process had died.
async fn die_at(app: &TestApp, attempts: usize) {
    app.execute("ALTER TABLE login_events RENAME TO away").await;
    for _ in 0..attempts {
        log_in(app, HERE, WRONG).await.assert_status(503);
    }
    app.execute("ALTER TABLE away RENAME TO login_events").await;
}

#[rocket::async_test]
async fn an_unfinished_attempt_counts_for_a_minute() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    die_at(&app, 10).await;
    assert_wait(&log_in(&app, HERE, RIGHT).await, "1");
    app.advance(59);
    assert_wait(&log_in(&app, HERE, RIGHT).await, "1");
    // The refused attempts in the meantime have not prolonged the block.
    app.advance(1);
    log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
    fail(&app, HERE, 10).await;
}

#[rocket::async_test]
async fn a_success_resets_failures_but_not_unfinished_attempts() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 3).await;
    die_at(&app, 6).await;
    log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
    fail(&app, HERE, 4).await;
    assert_wait(&log_in(&app, HERE, WRONG).await, "1");
}

#[rocket::async_test]
async fn forty_users_behind_one_ip_address_can_log_in_at_once() {
    let app = TestApp::new().await;
    let people: Vec<String> = (0..40).map(|number| format!("user{number}@example.org")).collect();
    for email in &people {
        app.registered(email).await;
    }
    let bodies: Vec<String> =
        people.iter().map(|email| RIGHT.replace("ada%40example.org", email)).collect();
    let answers = join_all(bodies.iter().map(|body| log_in(&app, HERE, body))).await;
    assert!(answers.iter().all(|answer| answer.status.code == 303));
}

#[rocket::async_test]
async fn guesses_at_many_accounts_from_one_ip_address_are_throttled_together() {
    let app = TestApp::new().await;
    let attempt = async |from: &str, number: usize| {
        let body = format!("email=user{number}%40example.org&password=password1234");
        log_in(&app, from, &body).await.status.code
    };
    for number in 0..100 {
        assert_eq!(attempt(HERE, number).await, 422, "{number}");
    }
    assert_eq!(attempt(HERE, 100).await, 429);
    assert_eq!(attempt("192.0.2.2", 100).await, 422);
    // One more is allowed every six seconds.
    app.advance(6);
    assert_eq!(attempt(HERE, 101).await, 422);
    assert_eq!(attempt(HERE, 102).await, 429);
}

#[rocket::async_test]
async fn a_limit_that_does_not_divide_ten_minutes_is_exact() {
    let app = TestApp::with(|f| f.merge(("throttle.address_failures", 350))).await;
    let accepted = async || {
        for accepted in 0..601 {
            let answer = app.visitor().post_from(&app, HERE, "/verify/x", "").await;
            match answer.status.code {
                404 => {}
                429 => return accepted,
                status => panic!("{status}"),
            }
        }
        panic!("more than 600 attempts were accepted");
    };
    assert_eq!(accepted().await, 350);
    app.advance(12);
    assert_eq!(accepted().await, 7);
    app.advance(1);
    assert_eq!(accepted().await, 0);
    app.advance(1);
    assert_eq!(accepted().await, 1);
}

#[rocket::async_test]
async fn an_ipv6_network_of_64_bits_counts_as_one_ip_address() {
    let app = TestApp::new().await;
    for host in 0..10 {
        fail(&app, &format!("2001:db8:1:2::{host}"), 1).await;
    }
    assert_wait(&log_in(&app, "2001:db8:1:2:ffff::1", WRONG).await, "30");
    log_in(&app, "2001:db8:1:3::1", WRONG).await.assert_status(422);
}

#[rocket::async_test]
async fn a_forged_client_address_changes_nothing() {
    let app = TestApp::new().await;
    let attempt = async |number: u8| {
        let request = app.client.post("/login").header(rocket::http::ContentType::Form);
        let forged = format!("198.51.100.{number}");
        let request = request
            .remote("192.0.2.1:99".parse().unwrap())
            .header(rocket::http::Header::new("X-Forwarded-For", forged.clone()))
            .header(rocket::http::Header::new("X-Real-IP", forged.clone()))
            .header(rocket::http::Header::new("Forwarded", format!("for={forged}")));
        app.visitor().send(request.body(WRONG)).await.status.code
    };
    for number in 0..10 {
        assert_eq!(attempt(number).await, 422);
    }
    assert_eq!(attempt(11).await, 429);
}

#[rocket::async_test]
async fn the_throttle_survives_a_restart() {
    let app = TestApp::new().await;
    fail(&app, HERE, 10).await;
    let app = app.restarted(|figment| figment).await;
    assert_wait(&log_in(&app, HERE, WRONG).await, "30");
}

#[rocket::async_test]
async fn every_form_that_asks_for_the_password_counts_failures() {
    let wrong = "wrong horse battery";
    let forms: [(&str, &[(&str, &str)]); 4] = [
        ("/reauthenticate", &[("password", wrong)]),
        ("/account/password", &[("current_password", wrong), ("new_password", "another horse!")]),
        ("/account/email", &[("current_password", wrong), ("email", "b@example.org")]),
        ("/account/delete", &[("current_password", wrong)]),
    ];
    for (path, fields) in forms {
        let app = TestApp::new().await;
        let (ada, phone) = (app.registered(ADA).await, app.visitor());
        for _ in 0..10 {
            ada.post(path, fields).await.assert_status(422);
        }
        assert_wait(&ada.post(path, fields).await, "30");
        // The other forms of this session are blocked, but another session's are not.
        assert_wait(&ada.post("/reauthenticate", &[("password", PASSWORD)]).await, "30");
        phone.log_in(ADA).await.assert_redirect("/account");
        let right = [("password", PASSWORD)];
        phone.post("/reauthenticate", &right).await.assert_redirect("/account");
        app.advance(30);
        ada.post("/reauthenticate", &right).await.assert_redirect("/account");
    }
}

#[rocket::async_test]
async fn an_address_gets_ten_mails_an_hour_whether_known_or_not() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    for email in [ADA, "bob@example.org"] {
        for _ in 0..10 {
            app.visitor().post("/reset", &[("email", email)]).await.assert_status(200);
        }
        let typed = email.to_uppercase();
        let answer = app.visitor().post("/reset", &[("email", &typed)]).await;
        assert_wait(&answer, "360");
    }
    assert_eq!(app.mails().await.len(), 11);
    app.advance(360);
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
}

#[rocket::async_test]
async fn every_form_that_sends_a_mail_is_limited() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for _ in 0..10 {
        ada.post("/account/verify", &[]).await.assert_redirect("/account");
    }
    ada.post("/account/verify", &[]).await.assert_status(429);
    // Each kind of mail is counted separately.
    app.visitor().post("/reset", &[("email", ADA)]).await.assert_status(200);
    let fields = [("email", "b@example.org"), ("current_password", PASSWORD)];
    for _ in 0..10 {
        ada.post("/account/email", &fields).await.assert_redirect("/account");
    }
    ada.post("/account/email", &fields).await.assert_status(429);

    let confirm = |f: Figment| f.merge(("accounts.registration", "confirm"));
    let app = TestApp::with(confirm).await;
    for _ in 0..10 {
        app.visitor().register(ADA).await.assert_redirect("/register/sent");
    }
    app.visitor().register(ADA).await.assert_status(429);
}

#[rocket::async_test]
async fn notices_to_one_address_are_limited() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    for _ in 0..15 {
        app.visitor().log_in(ADA).await.assert_redirect("/account");
    }
    assert_eq!(app.subjects(ADA).await.len(), 11);
}

#[rocket::async_test]
async fn more_devices_do_not_give_more_guesses() {
    let app = TestApp::with(|f| f.merge(("throttle.account_failures", 15))).await;
    let (one, two, three) = (app.registered(ADA).await, app.visitor(), app.visitor());
    two.log_in(ADA).await;
    three.log_in(ADA).await;
    for device in [&one, &two] {
        for _ in 0..7 {
            device.post_from(&app, HERE, "/login", WRONG).await.assert_status(422);
        }
    }
    three.post_from(&app, HERE, "/login", WRONG).await.assert_status(422);
    assert_wait(&three.post_from(&app, HERE, "/login", RIGHT).await, "30");
}

#[rocket::async_test]
async fn a_new_password_deletes_other_devices_and_all_failures() {
    let app = TestApp::new().await;
    let (ada, thief) = (app.registered(ADA).await, app.visitor());
    thief.log_in(ADA).await;
    for host in 10..20 {
        fail(&app, &format!("198.51.100.{host}"), 5).await;
    }
    let fields = [("current_password", PASSWORD), ("new_password", "another horse battery")];
    ada.post("/account/password", &fields).await.assert_redirect("/account");
    assert_eq!(app.count("SELECT count(*) FROM login_devices").await, 1);
    let right = RIGHT.replace("correct", "another");
    log_in(&app, "203.0.113.9", &right).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn one_client_can_cause_a_hundred_mails_an_hour() {
    let app = TestApp::new().await;
    let reset = async |from: &str, number: usize| {
        let body = format!("email=user{number}%40example.org");
        app.visitor().post_from(&app, from, "/reset", &body).await.status.code
    };
    for number in 0..100 {
        assert_eq!(reset(HERE, number).await, 200);
    }
    assert_eq!(reset(HERE, 100).await, 429);
    assert_eq!(reset("192.0.2.2", 100).await, 200);
}

#[rocket::async_test]
async fn sign_ups_from_one_ip_address_are_limited() {
    let app = TestApp::with(|f| f.merge(("throttle.sign_ups", 3))).await;
    let register = async |from: &str, number: usize| {
        let body = format!("email=user{number}%40example.org&password=correct+horse+battery");
        app.visitor().post_from(&app, from, "/register", &body).await.status.code
    };
    for number in 0..3 {
        assert_eq!(register(HERE, number).await, 303);
    }
    let before = hashes(&app);
    assert_eq!(register(HERE, 3).await, 429);
    assert_eq!(hashes(&app), before);
    assert_eq!(register("192.0.2.2", 3).await, 303);
    app.advance(1200);
    assert_eq!(register(HERE, 4).await, 303);
}

#[rocket::async_test]
async fn dead_links_count_as_failures_of_the_ip_address() {
    let app = TestApp::with(|f| f.merge(("throttle.address_failures", 5))).await;
    let attempt = async |path: &str| {
        let body = "new_password=another+horse+battery";
        app.visitor().post_from(&app, HERE, path, body).await.status.code
    };
    for path in ["/reset/x", "/verify/x", "/not-me/x", "/reset/y"] {
        assert_eq!(attempt(path).await, 404, "{path}");
    }
    let short = app.visitor().post_from(&app, HERE, "/reset/x", "new_password=short").await;
    short.assert_status(404);
    for path in ["/reset/x", "/verify/x", "/not-me/x"] {
        assert_eq!(attempt(path).await, 429, "{path}");
    }
    assert_eq!(log_in(&app, HERE, WRONG).await.status.code, 429);
}

#[rocket::async_test]
async fn an_operators_unlock_takes_effect_at_once() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 10).await;
    assert_wait(&log_in(&app, HERE, RIGHT).await, "30");
    let url = format!("{{login={{url=\"{}\"}}}}", database::url(&app.dir));
    let program = env!("CARGO_BIN_EXE_rocket-login");
    let mut command = crate::database::command(program, &app.dir);
    let command = command.args(["user", "unlock", ADA]).env("ROCKET_DATABASES", url);
    assert!(command.status().unwrap().success());
    log_in(&app, HERE, RIGHT).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_throttle_is_configurable_and_can_be_switched_off() {
    let app = TestApp::with(|f| {
        f.merge(("throttle.failures", 2))
            .merge(("throttle.first_delay", "1m"))
            .merge(("throttle.longest_delay", "90s"))
    })
    .await;
    fail(&app, HERE, 2).await;
    assert_wait(&log_in(&app, HERE, WRONG).await, "60");
    app.advance(60);
    fail(&app, HERE, 1).await;
    assert_wait(&log_in(&app, HERE, WRONG).await, "90");

    let app = TestApp::with(|f| f.merge(("throttle.enabled", false))).await;
    fail(&app, HERE, 120).await;
}

#[rocket::async_test]
async fn a_guess_that_failed_on_our_side_does_not_count() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 9).await;
    // The attempt is counted, and then the database fails.
    app.execute("UPDATE users SET created_at = created_at").await;
    app.execute("ALTER TABLE login_events RENAME TO away").await;
    log_in(&app, HERE, WRONG).await.assert_status(503);
    app.execute("ALTER TABLE away RENAME TO login_events").await;
    app.advance(61);
    log_in(&app, HERE, WRONG).await.assert_status(422);
    assert_wait(&log_in(&app, HERE, WRONG).await, "30");
}

#[rocket::async_test]
async fn the_throttle_table_holds_no_plain_address_and_is_swept() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 3).await;
    app.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut db = app.db().await;
    let rows: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT key, account FROM login_throttle").fetch_all(&mut db).await.unwrap();
    assert!(!rows.is_empty());
    for (key, account) in rows {
        for bytes in [Some(key), account].into_iter().flatten() {
            assert_eq!(bytes.len(), 16);
            assert!(!String::from_utf8_lossy(&bytes).contains("ada"));
        }
    }
    app.advance(25 * 60 * 60);
    app.until_after(3600, "SELECT count(*) = 0 FROM login_throttle").await;
}

#[rocket::async_test]
async fn a_flood_of_invented_addresses_is_swept_but_blocks_stay() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    fail(&app, HERE, 10).await;
    app.execute(AssertSqlSafe(format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 503000)
         INSERT INTO login_throttle (key, failures, updated_at, expires_at)
         SELECT {}, 1 + i % 3, 1767225600, 1767225600 + 80000 FROM n",
        database::random(16)
    )))
    .await;
    app.advance(60 * 60);
    app.execute("UPDATE login_throttle SET blocked_until = 1767225600 + 90000 WHERE failures = 10")
        .await;
    app.until_after(60, "SELECT count(*) <= 500000 FROM login_throttle").await;
    assert_eq!(app.count("SELECT count(*) FROM login_throttle WHERE failures = 10").await, 2);
}

#[rocket::async_test]
async fn a_throttled_attempt_is_not_in_the_users_history() {
    let app = TestApp::new().await;
    let ada: Visitor<'_> = app.registered(ADA).await;
    fail(&app, HERE, 10).await;
    log_in(&app, HERE, WRONG).await.assert_status(429);
    assert_eq!(app.count("SELECT count(*) FROM login_events WHERE kind = 'throttled'").await, 0);
    let page = ada.get("/account/activity").await;
    page.assert_text("Log-in failed").assert_text("10 times").assert_no_text("Too many attempts");
}

#[rocket::async_test]
async fn counts_from_a_clock_that_was_ahead_block_nobody() {
    let app = TestApp::new().await;
    app.registered("ada@example.org").await;
    app.visitor().log_in("ada@example.org").await.assert_redirect("/account");
    let month = "UPDATE login_throttle SET updated_at = updated_at + 2678400,
                     blocked_until = blocked_until + 2678400, expires_at = expires_at + 2678400";
    app.execute(month).await;
    app.visitor().log_in("ada@example.org").await.assert_redirect("/account");
}

/// Signs `email` up from `from`.
async fn sign_up<'a>(app: &'a TestApp, from: &str, email: &str) -> Visitor<'a> {
    let visitor = app.visitor();
    let body = RIGHT.replace("ada%40example.org", email);
    visitor.post_from(app, from, "/register", &body).await.assert_redirect("/account");
    visitor
}

async fn with_mails(count: i64) -> TestApp {
    TestApp::with(|f| f.merge(("throttle.address_mails", count))).await
}

async fn ask_reset(app: &TestApp, from: &str, email: &str) -> u16 {
    let answer = app.visitor().post_from(app, from, "/reset", &format!("email={email}")).await;
    answer.status.code
}

#[rocket::async_test]
async fn sign_ups_with_addresses_of_strangers_send_limited_mails() {
    let app = with_mails(3).await;
    for number in 0..6 {
        sign_up(&app, HERE, &format!("stranger{number}@example.org")).await;
    }
    assert_eq!(app.mails().await.len(), 3);
    assert_eq!(ask_reset(&app, HERE, ADA).await, 429);
    // The sign-up succeeded, and its mail can be requested later.
    let last = app.visitor();
    let body = RIGHT.replace("ada", "stranger5");
    last.post_from(&app, HERE, "/login", &body).await.assert_redirect("/account");
    last.post_from(&app, HERE, "/account/verify", "").await.assert_status(429);
    app.advance(1200);
    last.post_from(&app, HERE, "/account/verify", "").await.assert_redirect("/account");
    assert_eq!(app.mails().await.len(), 4);

    sign_up(&app, "192.0.2.2", "neighbour@example.org").await;
    assert_eq!(app.mails().await.len(), 5);
}

#[rocket::async_test]
async fn notices_to_unconfirmed_addresses_stop_at_the_clients_mail_limit() {
    let app = with_mails(4).await;
    for number in 0..2 {
        sign_up(&app, HERE, &format!("stranger{number}@example.org")).await;
    }
    for number in 0..2 {
        for _ in 0..4 {
            let body = RIGHT.replace("ada", &format!("stranger{number}"));
            log_in(&app, HERE, &body).await.assert_redirect("/account");
        }
    }
    assert_eq!(app.mails().await.len(), 4);
}

#[rocket::async_test]
async fn a_change_of_address_counts_as_two_mails() {
    let app = with_mails(3).await;
    let ada = sign_up(&app, HERE, ADA).await;
    let body = "current_password=correct+horse+battery&email=b%40example.org";
    ada.post_from(&app, HERE, "/account/email", body).await.assert_redirect("/account");
    assert_eq!(app.mails().await.len(), 3);
    ada.post_from(&app, HERE, "/account/email", body).await.assert_status(429);
    assert_eq!(ask_reset(&app, HERE, ADA).await, 429);
}

#[rocket::async_test]
async fn mails_to_strangers_never_suppress_notices_to_confirmed_addresses() {
    let app = with_mails(5).await;
    let ada = sign_up(&app, HERE, ADA).await;
    let link = app.link(ADA, "/verify/").await;
    ada.post_from(&app, HERE, &link, "").await.assert_redirect("/account");

    // A thief who knows the password.
    let thief = "198.51.100.1";
    for number in 0..5 {
        assert_eq!(ask_reset(&app, thief, &format!("stranger{number}@example.org")).await, 200);
    }
    assert_eq!(ask_reset(&app, thief, "stranger@example.org").await, 429);
    log_in(&app, thief, RIGHT).await.assert_redirect("/account");
    assert!(app.subjects(ADA).await.last().unwrap().contains("new device"));

    // The notice still counts, so a full bucket stays full.
    app.advance(720);
    log_in(&app, thief, RIGHT).await.assert_redirect("/account");
    assert_eq!(ask_reset(&app, thief, "stranger@example.org").await, 429);

    // The mail with the owner's link is always sent.
    let link = app.link(ADA, "/not-me/").await;
    for number in 0..5 {
        assert_eq!(ask_reset(&app, HERE, &format!("stranger{number}@example.org")).await, 200);
    }
    assert_eq!(ask_reset(&app, HERE, "stranger@example.org").await, 429);
    let mails = app.mails().await.len();
    app.visitor().post_from(&app, HERE, &link, "").await.assert_redirect("/login");
    assert_eq!(app.mails().await.len(), mails + 1);
}

#[rocket::async_test]
async fn simultaneous_acts_of_one_user_that_send_mails_do_not_deadlock() {
    let app = TestApp::new().await;
    let ada = sign_up(&app, HERE, ADA).await;
    let phone = app.visitor();
    for _ in 0..3 {
        let body = "current_password=correct+horse+battery&email=b%40example.org";
        let changed = (0..3).map(|_| ada.post_from(&app, HERE, "/account/email", body));
        let logged_in = (0..3).map(|_| phone.post_from(&app, HERE, "/login", RIGHT));
        let (changed, logged_in) = rocket::tokio::join!(join_all(changed), join_all(logged_in));
        assert!(changed.iter().chain(&logged_in).all(|answer| answer.status.code == 303));
    }
}
