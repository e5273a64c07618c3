//! When more passwords come than can be hashed.

use std::time::{Duration, Instant};

use rocket::futures::future::{join, join_all};

use crate::support::{PASSWORD, TestApp};

#[rocket::async_test]
async fn who_cannot_be_served_soon_is_told_so_and_pages_go_on() {
    // One worker, and a password that takes it a good part of a second.
    let app = TestApp::with(|figment| {
        figment
            .merge(("password.memory_kib", 131_072))
            .merge(("password.iterations", 5))
            .merge(("password.concurrent_hashes", 1))
    })
    .await;

    let start = Instant::now();
    let visitors: Vec<_> = (0..40).map(|_| app.visitor()).collect();
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    let log_ins = join_all(visitors.iter().map(|visitor| visitor.post("/login", &fields)));
    let page = async {
        let page = app.visitor().get("/").await;
        (page.status.code, start.elapsed())
    };

    let (answers, (status, page_took)) = join(log_ins, page).await;
    let took = start.elapsed();
    assert_eq!(status, 200);
    assert!(page_took < took / 2, "a page took {page_took:?} of {took:?}");

    let (served, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status.code == 422);
    assert!(!served.is_empty() && !refused.is_empty(), "{} served", served.len());
    for answer in refused {
        answer.assert_status(503);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    // Nobody waits longer than two seconds and the hash that is under way.
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[rocket::async_test]
async fn a_short_rush_is_served_whole() {
    let app = TestApp::new().await;
    let visitors: Vec<_> = (0..100).map(|_| app.visitor()).collect();
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    let answers = join_all(visitors.iter().map(|visitor| visitor.post("/login", &fields))).await;
    assert!(answers.iter().all(|answer| answer.status.code == 422));
}
