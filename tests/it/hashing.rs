//! Password hashing under load.

use std::time::{Duration, Instant};

use rocket::figment::Figment;
use rocket::futures::future::{join, join_all};
use rocket::tokio::task::yield_now;
use rocket_login::password::Hasher;

use crate::support::{PASSWORD, TestApp};

#[rocket::async_test]
async fn an_overloaded_hasher_answers_503_and_pages_stay_fast() {
    // There is one worker, and a password takes it a good part of a second.
    let app = TestApp::with(|figment| {
        figment
            .merge(("throttle.enabled", false))
            .merge(("password.memory_kib", 131_072))
            .merge(("password.iterations", 5))
            .merge(("password.concurrent_hashes", 1))
    })
    .await;

    let start = Instant::now();
    let visitors: Vec<_> = (0..100).map(|_| app.visitor()).collect();
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    let log_ins = join_all(visitors.iter().map(async |visitor| {
        let answer = visitor.post("/login", &fields).await;
        (answer, start.elapsed())
    }));
    let page = async {
        let page = app.visitor().get("/").await;
        (page.status.code, start.elapsed())
    };

    let (answers, (status, page_took)) = join(log_ins, page).await;
    let took = start.elapsed();
    assert_eq!(status, 200);
    assert!(page_took < took / 2, "a page took {page_took:?} of {took:?}");

    let (served, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|(answer, _)| answer.status.code == 422);
    assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
    for (answer, _) in &refused {
        answer.assert_status(503);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }

    // A request that finds the queue full does not wait at all.
    let at_once = refused.iter().filter(|(_, after)| *after < Duration::from_secs(2)).count();
    assert!(at_once >= 100 - 64 - served.len() - 1, "{at_once} of {} at once", refused.len());
    // No request waits longer than two seconds plus the hash that is in progress.
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[rocket::async_test]
async fn a_short_burst_of_log_ins_is_served_completely() {
    let app = TestApp::with(|figment| figment.merge(("throttle.enabled", false))).await;
    let visitors: Vec<_> = (0..100).map(|_| app.visitor()).collect();
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    let answers = join_all(visitors.iter().map(|visitor| visitor.post("/login", &fields))).await;
    assert!(answers.iter().all(|answer| answer.status.code == 422));
}

#[rocket::async_test]
async fn a_log_in_costs_one_hash_for_every_address() {
    let app = TestApp::new().await;
    let hasher: &Hasher = app.client.rocket().state().unwrap();
    app.registered("ada@example.org").await;
    assert_eq!(hasher.count(), 1);
    for (number, email) in [
        "ada@example.org",
        "ADA@example.org",
        "bob@example.org",
        "no address",
        "müller@example.org",
        "a\0",
    ]
    .into_iter()
    .enumerate()
    {
        let fields = [("email", email), ("password", "wrong horse battery")];
        app.visitor().post("/login", &fields).await.assert_status(422);
        assert_eq!(hasher.count(), number as u64 + 2, "{email:?}");
    }

    app.visitor().log_in("ada@example.org").await.assert_status(303);
    assert_eq!(hasher.count(), 8);
    // A sign-up costs one hash for a taken address, too. With the account's own password it
    // would be a log-in.
    let fields = [("email", "ada@example.org"), ("password", "another horse battery")];
    app.visitor().post("/register", &fields).await.assert_status(422);
    assert_eq!(hasher.count(), 9);
}

/// The memory in KiB and the number of passes.
type Parameters = (u32, u32);

/// The parameters before and after a change of the configuration, and the work of a
/// refusal from then on.
const CHANGES: [(Parameters, Parameters, u64); 6] = [
    ((64, 1), (64, 3), 192),
    ((64, 3), (64, 1), 192),
    ((64, 2), (256, 2), 512),
    ((256, 2), (64, 2), 512),
    ((256, 1), (64, 3), 256),
    ((64, 3), (256, 1), 256),
];

#[rocket::async_test]
async fn refused_log_ins_take_equal_work_after_a_change_of_hash_parameters() {
    let hashed_with = |(memory, passes): Parameters| {
        move |f: Figment| {
            f.merge(("password.memory_kib", memory)).merge(("password.iterations", passes))
        }
    };
    for (before, after, expected) in CHANGES {
        let app = TestApp::with(hashed_with(before)).await;
        app.registered("old@example.org").await;
        let app = app.restarted(hashed_with(after)).await;
        app.registered("new@example.org").await;
        let hasher: &Hasher = app.client.rocket().state().unwrap();
        let effort = async |email: &str| {
            let (count, effort) = (hasher.count(), hasher.effort());
            app.visitor().log_in_with(email, "wrong horse battery").await.assert_status(422);
            assert_eq!(hasher.count() - count, 1);
            hasher.effort() - effort
        };

        // The site learns the costliest parameters from the first attempt on such a hash.
        assert_eq!(effort("old@example.org").await, expected, "{before:?} {after:?}");
        for email in ["old@example.org", "new@example.org", "unknown@example.org", "none"] {
            assert_eq!(effort(email).await, expected, "{email}, {before:?} {after:?}");
        }
        // An unreadable hash takes equal work, too.
        app.execute("UPDATE users SET password_hash = 'x' WHERE email = 'new@example.org'").await;
        assert_eq!(effort("new@example.org").await, expected, "{before:?} {after:?}");

        // A log-in with the right password renews its hash.
        app.visitor().log_in("old@example.org").await.assert_redirect("/account");
        assert_eq!(effort("old@example.org").await, expected);
    }
}

#[rocket::async_test]
async fn a_log_in_is_refused_if_the_password_changes_in_the_meantime() {
    let slow = |figment: Figment| {
        figment.merge(("password.memory_kib", 65_536)).merge(("password.iterations", 10))
    };
    let app = TestApp::with(slow).await;
    app.registered("ada@example.org").await.log_out().await;
    let hasher: &Hasher = app.client.rocket().state().unwrap();
    let before = hasher.count();

    let visitor = app.visitor();
    let change = async {
        while hasher.count() == before {
            yield_now().await;
        }
        app.execute("UPDATE users SET password_hash = 'another'").await;
    };
    let (answer, ()) = join(visitor.log_in("ada@example.org"), change).await;
    answer.assert_status(422);
    assert_eq!(app.sessions().await, 0);
}

#[rocket::async_test]
async fn one_ip_address_takes_at_most_about_half_of_the_hash_queue() {
    // There is one worker with a queue of 64 places, and a password takes it some 5 ms.
    let app = TestApp::with(|figment| {
        figment
            .merge(("throttle.enabled", false))
            .merge(("password.memory_kib", 4_096))
            .merge(("password.iterations", 2))
            .merge(("password.concurrent_hashes", 1))
    })
    .await;
    let body = "email=ada%40example.org&password=wrong+horse+battery";
    let status =
        async |from: &str| app.visitor().post_from(&app, from, "/login", body).await.status.code;
    let flood = join_all((0..100).map(|_| status("192.0.2.1")));
    let (flood, other) = join(flood, status("192.0.2.2")).await;
    assert_eq!(other, 422);
    let served = flood.iter().filter(|status| **status == 422).count();
    // These are half of the places and those that became free during the flood.
    assert!((1..100).contains(&served), "{served}");
    assert!(flood.iter().all(|status| matches!(status, 422 | 503)), "{flood:?}");
}
