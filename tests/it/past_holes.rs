//! Security holes of other systems, and the tests that show that we do not have them.
//!
//! | hole | what went wrong | the test that shows we do not have it |
//! |---|---|---|
//! | CVE-2022-25896 passport, CVE-2018-11385 Symfony, CVE-2024-7341 Keycloak | the id was kept at log-in | `logging_in_again_gives_a_new_token_and_voids_the_old_one` |
//! | GHSA-j5jh-hpr4-h332 Symfony | fixation through "remember me" | `a_replaced_or_logged_out_cookie_is_void` |
//! | CVE-2023-46733 Symfony, GHSA-c9h6-v78w-52wj Keycloak | re-authentication kept the old id | `giving_the_password_leads_back_and_renews_the_session_id` |
//! | CVE-2026-7507 Keycloak | a session made beforehand was taken over | `a_session_planted_before_the_log_in_does_not_become_the_users`, `a_token_that_the_server_did_not_issue_is_never_adopted` |
//! | CVE-2025-12390 Keycloak | the next user of a browser got the last one's session | `logging_in_as_somebody_else_ends_the_earlier_session`, `another_users_state_is_dropped_at_log_in` |
//! | GHSA-9963-gmh8-vvm6 Jenkins | the old session survived the log-in | `logging_in_again_gives_a_new_token_and_voids_the_old_one` |
//! | GHSA-jwhv-rgqc-fqj5 Rails | a session id in the address was accepted | `a_session_in_the_address_or_another_header_logs_nobody_in` |
//! | CVE-2026-35192 Django, CVE-2023-30861, CVE-2026-27205 Flask | a shared cache handed out a session | `a_response_that_sets_the_cookie_is_not_cached`, `pages_are_never_cached` |
//! | tower-sessions 0.12.0 | "create" was "save", so a new id could overwrite a live session | `the_store_passes_the_conformance_suite` |
//! | CVE-2011-4136, CVE-2020-13254 Django | session keys shared a namespace with others, or had any form | `an_empty_or_short_token_matches_nothing`, `our_session_cookie_is_not_accepted_under_another_name` |
//! | RUSTSEC-2024-0343 nano-id | an alphabet with less entropy | `tokens_do_not_repeat`, `a_token_survives_its_text_form` |
//! | CVE-2019-16782 Rack | the id itself was the key of the index: timing | `the_session_table_holds_nothing_that_logs_in` |
//! | CVE-2026-6873 Django | a value signed for one purpose was accepted for another | `our_session_cookie_is_not_accepted_under_another_name`, `a_link_works_only_for_its_own_purpose` |
//! | Flask 3.1.0 | previous keys were used in the wrong order | `a_previous_secret_key_still_opens_a_cookie_which_is_then_resealed` |
//! | Rocket's guide, GO-2026-4801 Kratos | a known key in production | `release_needs_a_secret_key_that_is_not_published`, `keys_that_are_not_secret_are_recognised` |
//! | CVE-2026-43911 vaultwarden, CVE-2021-41268 Symfony, CVE-2026-27575 Vikunja, CVE-2025-71335 Flowise, CVE-2021-25970 Camaleon | sessions survived a new password | `a_change_ends_all_other_sessions_and_gives_this_one_a_new_id`, `a_reset_ends_every_session_of_the_user_and_of_nobody_else` |
//! | CVE-2021-25979 Apostrophe | sessions survived the end of the account | `a_disabled_account_is_logged_out_at_once_and_cannot_log_in`, `a_deleted_account_is_gone_at_once` |
//! | CVE-2026-56750 Gitea | the theft of a remembered token was noticed, but the thief's session was kept | `this_was_not_me_ends_all_sessions_and_starts_a_reset` |
//! | CVE-2025-24973 Concorde, CVE-2026-28275 Initiative | a token still worked after the log-out | `logging_out_ends_the_session_on_the_server`, `a_log_out_finds_the_session_under_its_new_token` |
//! | rack-session 2.1.1, connect-redis #328, beaker #9, express-session #935 | a slow request wrote an ended session back | `a_slow_write_never_restores_an_ended_session`, `a_slow_response_does_not_restore_a_replaced_token` |
//! | tower-sessions 0.4.3 | expired sessions were served | `a_session_ends_when_unused_for_two_hours` |
//! | CVE-2015-3982 Django | many visitors shared an empty key | `an_empty_or_short_token_matches_nothing` |
//! | CVE-2014-0482, CVE-2007-0405 Django | the previous user stayed logged in | `logging_in_as_somebody_else_ends_the_earlier_session` |
//! | CVE-2024-51996 Symfony | a remembered token was not bound to its user | `a_session_row_records_its_user_address_and_browser`, `deleting_a_user_by_sql_deletes_their_sessions` |
//! | CVE-2015-5143, CVE-2015-5963 Django | visits and log-outs created rows | `a_visitor_who_only_reads_has_neither_cookie_nor_row`, `the_visitor_limit_bounds_new_sessions_per_network_and_hour` |
//! | CVE-2016-4423 Symfony | a huge user name from a failed log-in was stored | `an_invalid_address_is_not_stored_anywhere` |
//! | CVE-2013-1443 Django | megabytes of password were hashed | `a_field_of_a_megabyte_is_refused` |
//! | CVE-2023-36053, CVE-2021-45115 Django | a validator took minutes | `an_address_with_a_hundred_thousand_labels_is_refused_quickly` |
//! | CVE-2023-46695, CVE-2025-27556 Django | normalising took minutes | `thousands_of_accents_are_normalised_quickly` |
//! | CVE-2025-14550, CVE-2026-84429 Django, CVE-2007-5712 | many headers took quadratic time | `malformed_cookies_make_an_anonymous_visitor` |
//! | CVE-2023-25577 Werkzeug, CVE-2023-30798, CVE-2024-47874 Starlette | multipart forms had no limit | `a_body_that_is_not_a_form_is_refused` |
//! | CVE-2026-5766, CVE-2026-33033 Django | the limit trusted the declared length | `a_chunked_form_has_the_same_size_limit` |
//! | RUSTSEC-2017-0005 cookie, RUSTSEC-2026-0009 time | a date or an age caused a panic | `malformed_cookies_make_an_anonymous_visitor`, `no_dependency_has_a_version_with_a_known_hole` |
//! | RUSTSEC-2026-0199 bcrypt, GHSA-wx54-3278-m5g4 Spring | a malformed hash caused a panic or skipped the work | `a_changed_row_is_refused_at_once`, `an_unreadable_stored_hash_logs_nobody_in` |
//! | Kratos `hash_limits.go` | a stored hash could demand any cost | `a_changed_row_is_refused_at_once` |
//! | Keycloak #28477, Gitea #14702, woogles #235 | many simultaneous hashes exhausted the memory | `an_overloaded_hasher_answers_503_and_pages_stay_fast`, `memory_grows_for_one_hash_only` |
//! | CVE-2024-39329, CVE-2025-13473 Django, GHSA-3533-rvpc-6x56 Spring, Kratos #832, Authelia #949 | no hash was computed for an unknown or unusable account | `a_log_in_costs_one_hash_for_every_address`, `a_log_in_to_a_disabled_or_void_account_costs_one_hash` |
//! | Keycloak #51887 | an empty password was answered faster for a known address | `an_empty_password_costs_equal_work_for_every_address` |
//! | Keycloak #26625, vaultwarden | sending a mail during the request revealed who has an account | `a_page_does_not_wait_for_a_mail_server_that_never_answers` |
//! | CVE-2024-45231 Django | a failed mail changed the status | `mails_wait_while_the_server_is_down_and_arrive_once_when_it_is_back` |
//! | CVE-2018-6188 Django, CVE-2021-21424 Symfony, GHSA-vmf9-6pcv-xr87 authentik | a disabled account got another text | `a_log_in_to_a_disabled_or_void_account_costs_one_hash` |
//! | CVE-2019-5421 Devise, CVE-2024-4629 Keycloak | parallel attempts passed the counter | `tests/it/throttle.rs` |
//! | GHSA-jc8m-cxhj-668x Sorcery | an account was locked only once | `tests/it/throttle.rs` |
//! | GHSA-85v8-vx4w-q684, CVE-2026-9798, CVE-2026-16103 Keycloak, CVE-2026-43914 vaultwarden | a second way to log in was not counted | `tests/it/throttle.rs` |
//! | GHSA-cq42-vhv7-xr7p Keycloak | a stranger locked the owner out | `tests/it/throttle.rs` |
//! | CVE-2019-19844 Django, CVE-2021-3424 Keycloak | letters that look or case-fold alike made one address | `an_invalid_address_is_refused_with_the_reason`, `the_email_column_is_unique_regardless_of_case` |
//! | CVE-2026-32700 Devise | parallel changes confirmed a stranger's address | `parallel_changes_never_confirm_an_address_whose_mail_was_not_opened` |
//! | CVE-2019-16109, CVE-2013-0233 Devise | a blank token matched | `an_empty_or_short_token_matches_nothing`, `a_malformed_link_is_a_dead_link` |
//! | CVE-2019-11272 Spring | an account without a password had the password "null" | `a_log_in_to_a_disabled_or_void_account_costs_one_hash` |
//! | CVE-2026-18963 Keycloak | a reset was possible without the mail | `a_link_works_only_for_its_own_purpose`, `a_reset_sets_the_password_and_logs_nobody_in` |
//! | CVE-2025-22228 Spring | the end of a long password was ignored | `the_last_character_of_the_longest_password_matters` |
//! | CVE-2014-1418, CVE-2014-0473, CVE-2026-48588 Django | private pages were cached | `pages_are_never_cached`, `the_export_holds_everything_and_no_secret` |
//! | CVE-2024-26144 Rails, CVE-2025-48947 nextjs-auth0 | publicly cached files set a cookie | `a_static_file_never_sets_a_cookie_even_when_one_is_due` |
//! | CVE-2026-119346 Next.js | a cookie's value appeared in another header | `a_cookies_value_appears_in_no_page_and_no_other_header` |
//! | CVE-2025-29927 Next.js, CVE-2026-3902, CVE-2015-0219 Django | a header switched a check off | `no_header_changes_path_method_or_user`, `headers_and_queries_that_name_a_user_log_nobody_in` |
//! | CVE-2021-32637 Authelia | a path that could not be parsed was allowed | `malformed_paths_show_neither_the_account_nor_a_file`, `a_request_that_cannot_be_parsed_gets_the_headers_too` |
//! | CVE-2008-3909, CVE-2011-0696, CVE-2016-7401, CVE-2011-4140 Django | a forged or replayed form passed | `a_form_on_another_site_has_no_effect`, `a_private_act_without_a_log_in_is_not_replayed` |
//! | CVE-2018-14574, CVE-2017-7233, CVE-2016-2512, CVE-2012-3442 Django, CVE-2021-32618, CVE-2021-23385, CVE-2021-23401, CVE-2023-49438 Flask | `next` led to another site | `nobody_is_sent_to_another_site`, `everything_else_is_refused` |
//! | CVE-2012-4520, CVE-2011-4139 Django, CVE-2017-12161 Keycloak | `Host` appeared in mailed links | `links_are_built_from_the_configured_address_and_never_from_the_request`, `a_forged_host_appears_in_no_page_and_no_redirect` |
//! | CVE-2015-5144, CVE-2021-32052, CVE-2026-53878 Django | a line break at the end passed the validator | `a_line_break_after_an_address_never_reaches_the_database_or_a_mail` |
//! | CVE-2025-48432 Django | a path forged lines of the log | `a_path_with_line_breaks_stays_on_one_line_of_the_log` |
//! | CVE-2024-55224 vaultwarden | HTML in a name reached a mail | `names_in_a_mail_are_escaped`, `the_user_agent_header_is_escaped` |
//! | CVE-2021-23336 Python | one parser separated fields at `;` and another did not | `a_semicolon_does_not_separate_fields`, `a_field_sent_twice_is_refused` |
//! | CVE-2016-2513 Django | an account with an older, cheaper hash was refused faster | `a_known_address_with_an_old_hash_is_refused_no_faster_than_an_unknown` |
//! | CVE-2023-30861, CVE-2026-27205 Flask | a page that only read the session went into shared caches | `pages_that_depend_on_the_session_stay_out_of_shared_caches` |
//! | SQLite 3.7.0 to 3.51.2 | a commit was lost | `an_sqlite_that_can_lose_commits_is_recognised` |
//! | RUSTSEC-2024-0363 sqlx | a value of 4 GiB became another statement | `a_field_of_a_megabyte_is_refused`, `no_dependency_has_a_version_with_a_known_hole` |
//! | RUSTSEC-2026-0111 diesel | invalid UTF-8 was read as text | `invalid_utf8_in_a_row_causes_no_panic` |
//! | CVE-2023-44487, RUSTSEC-2024-0003, RUSTSEC-2024-0332, RUSTSEC-2026-0258 h2 | floods of streams and frames | `unencrypted_http_2_is_not_supported`, `no_dependency_has_a_version_with_a_known_hole` |
//! | RUSTSEC-2021-0078, RUSTSEC-2021-0079 hyper | lengths were parsed laxly | `a_body_with_two_lengths_smuggles_no_request` |
//! | RUSTSEC-2022-0090 SQLite, RUSTSEC-2023-0096 aes-gcm, RUSTSEC-2020-0028, RUSTSEC-2021-0044 Rocket, RUSTSEC-2026-0098, -0099, -0104 rustls-webpki | various, fixed in later versions | `no_dependency_has_a_version_with_a_known_hole` |
//!
//! Left out, and why:
//!
//! - CVE-2022-24895, CVE-2018-11406 Symfony: tokens in forms that outlive a log-in. Ours have none.
//! - GHSA-xc85-32mf-xpv8 Rack, RUSTSEC-2022-0018 totp-rs: a comparison that is not constant-time.
//!   We compare password hashes with `subtle` and look tokens up by their hash. No clock can measure
//!   either.
//! - solana-private-channels #247: a hash is abandoned when its client hangs up. Rocket's local
//!   client does not hang up; `tests/it/hashing.rs` tests the bounds of the queue.
//! - RUSTSEC-2026-0178 to -0180 postgres-protocol: sqlx has its own client for PostgreSQL, so the
//!   crate is not in the graph.
//! - RUSTSEC-2026-0097 rand: tokens and salts come from `getrandom`.
//! - RUSTSEC-2023-0034 h2: the crate is not in the graph.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use cookie::{Cookie, CookieJar};
use rocket::http::{ContentType, Header, RawStr};
use rocket::{get, routes};
use rocket_login::password::{Hasher, PasswordHash};
use rocket_login::{Email, EmailError, Session, User};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tempfile::TempDir;

use crate::database::command;
use crate::database::pick;
use crate::servers::program::{Program, receive, session_cookie};
use crate::support::{Answer, PASSWORD, TestApp, cookie_key, encode, header, sealed};

const ADA: &str = "ada@example.org";

/// Returns the token inside a session cookie.
fn opened(value: &str) -> String {
    let jar = CookieJar::new();
    let cookie = Cookie::new("session", value.to_owned());
    jar.private(&cookie_key()).decrypt(cookie).unwrap().value().to_owned()
}

fn program(dir: &TempDir, variables: &[(&str, &str)]) -> Program {
    Program::start(command(env!("CARGO_BIN_EXE_rocket-login"), dir), variables)
}

/// Sends the bytes of `request` on a connection that stays open, and returns
/// the answer.
fn raw(site: &Program, request: &[u8]) -> Vec<u8> {
    let mut stream = site.connect();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(request).unwrap();
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        answer.extend_from_slice(&chunk[..length]);
    }
    answer
}

#[rocket::async_test]
async fn a_session_in_the_address_or_another_header_logs_nobody_in() {
    let app = TestApp::new().await;
    let cookie = app.registered(ADA).await.session_cookie();
    let encoded = encode(&cookie);
    for path in [
        format!("/account?session={encoded}"),
        format!("/account?sid={encoded}"),
        format!("/account?PHPSESSID={encoded}&jsessionid={encoded}"),
        format!("/account;session={encoded}"),
        format!("/account/{encoded}"),
    ] {
        let answer = app.visitor().get(&path).await;
        assert!(matches!(answer.status.code, 303 | 404), "{path}: {}", answer.status);
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    for name in ["Session", "X-Session", "Authorization"] {
        let request = app.client.get("/account").header(Header::new(name, cookie.clone()));
        app.visitor().send(request).await.assert_status(303);
    }
    let (visitor, fields) = (app.visitor(), [("session", cookie.as_str())]);
    visitor.post("/account/sessions/revoke-others", &fields).await.assert_redirect("/login");
}

#[rocket::async_test]
async fn a_cookies_value_appears_in_no_page_and_no_other_header() {
    let app = TestApp::new().await;
    let ada = app.visitor();
    let registered = ada.register(ADA).await;
    let lines =
        registered.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    // The cookies as they are, decoded, and opened.
    let mut secrets = vec![opened(&ada.session_cookie())];
    for (_, line) in lines {
        let value = line.split_once('=').unwrap().1.split(';').next().unwrap();
        let decoded = RawStr::new(value).percent_decode().unwrap();
        secrets.extend([value.to_owned(), decoded.into_owned()]);
    }
    assert!(secrets.len() >= 7 && secrets.iter().all(|secret| secret.len() > 40), "{secrets:?}");

    let mut answers = vec![registered];
    for path in [
        "/",
        "/account",
        "/account/password",
        "/account/email",
        "/account/sessions",
        "/account/activity",
        "/account/notices",
        "/account/export",
        "/login",
        "/reauthenticate",
        "/nowhere",
        "/static/style.css",
    ] {
        answers.push(ada.get(path).await);
    }
    answers.push(ada.post("/account/password", &[]).await);
    let json = app.client.get("/nowhere").header(rocket::http::Accept::JSON);
    answers.push(ada.send(json).await);
    answers.push(ada.log_out().await);
    for answer in answers {
        let others =
            answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("set-cookie"));
        let headers: String = others.map(|(name, value)| format!("{name}: {value}\n")).collect();
        for secret in &secrets {
            answer.assert_no_text(secret);
            assert!(!headers.contains(secret.as_str()), "{headers}");
        }
    }
}

#[rocket::async_test]
async fn an_empty_or_short_token_matches_nothing() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let token = opened(&ada.session_cookie());
    for value in ["", " ", "0", "null", &token[..42], &token[1..], &format!("{token}A")] {
        let visitor = app.visitor();
        visitor.set_cookie("session", sealed("session", value));
        assert!(!visitor.is_logged_in().await, "{value:?}");
    }
    for path in ["/verify/", "/not-me/", "/reset/%20", "/reset/null", "/reset/0"] {
        app.visitor().post(path, &[("new_password", PASSWORD)]).await.assert_status(404);
    }

    // The table refuses such keys as well, even from another program.
    for sql in [
        pick("UPDATE sessions SET id = x''", "UPDATE sessions SET id = ''"),
        "UPDATE sessions SET id = NULL",
        pick("UPDATE login_tokens SET id = x''", "UPDATE login_tokens SET id = ''"),
        "UPDATE login_tokens SET id = NULL",
    ] {
        let error = sqlx::query(sql).execute(&mut app.db().await).await.unwrap_err().to_string();
        assert!(error.contains("constraint"), "{sql}: {error}");
    }
    assert!(ada.is_logged_in().await);
}

#[rocket::async_test]
async fn a_static_file_never_sets_a_cookie_even_when_one_is_due() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    ada.get("/account").await;
    ada.log_in_remembered(ADA).await.assert_status(303);
    app.advance(24 * 60 * 60);
    // Both the renewed cookie and the removal of the message wait for a page.
    for path in ["/static/style.css", "/static/reveal.js", "/favicon.ico", "/static/nothing"] {
        assert_eq!(ada.get(path).await.header("set-cookie"), None, "{path}");
    }
    let page = ada.get("/account").await;
    assert!(page.set_cookie("session").is_some() && page.set_cookie("session-flash").is_some());
}

#[rocket::async_test]
async fn invalid_utf8_in_a_row_causes_no_panic() {
    let dir = TempDir::new().unwrap();
    let site = program(&dir, &[]);
    let [ada, bob] = ["ada", "bob"].map(|name| {
        let form = format!("email={name}%40example.org&password=correct+horse+battery");
        session_cookie(&site.request("POST /register", None, &form))
    });
    let options = SqliteConnectOptions::new().filename(dir.path().join("data/login.db"));
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(
        "UPDATE sessions SET user_agent = CAST(x'fffe41' AS TEXT), ip_address = CAST(x'ff' AS TEXT)
             WHERE user_id = 1;
         UPDATE login_events SET user_agent = CAST(x'c328' AS TEXT) WHERE user_id = 1;
         UPDATE users SET password_hash = CAST(x'ff' AS TEXT) WHERE id = 1",
    )
    .execute(&mut db)
    .await
    .unwrap();

    for path in ["/", "/account", "/account/sessions", "/account/activity", "/account/export"] {
        // Only the owner gets an error page, and only from pages that read the row.
        let answer = site.request(&format!("GET {path}"), Some(&ada), "");
        assert!(answer.starts_with("HTTP/1.1 200") || answer.contains("</html>"), "{answer}");
        assert!(!answer.to_lowercase().contains("utf-8 sequence"), "{answer}");
        assert!(site.request(&format!("GET {path}"), Some(&bob), "").starts_with("HTTP/1.1 200"));
    }
    let form = "email=ada%40example.org&password=correct+horse+battery";
    assert!(!site.request("POST /login", None, form).starts_with("HTTP/1.1 303"));
    site.until_output("a statement failed").await;
    assert!(!site.output().contains("panicked"), "{}", site.output());

    // The database refuses an address of such bytes.
    let sql = "UPDATE users SET email = CAST(x'ff41ff' AS TEXT) WHERE id = 1";
    let error = sqlx::query(sql).execute(&mut db).await.unwrap_err().to_string();
    assert!(error.contains("users_email_ascii"), "{error}");
}

#[test]
fn an_address_with_a_hundred_thousand_labels_is_refused_quickly() {
    let start = Instant::now();
    for many in [
        format!("ada@{}org", "a.".repeat(100_000)),
        format!("{}ada@example.org", "a.".repeat(100_000)),
        format!("ada{}example.org", "@".repeat(100_000)),
    ] {
        assert_eq!(Email::parse(&many), Err(EmailError::TooLong));
    }
    // The longest address whose labels are examined one by one.
    for _ in 0..1_000 {
        let _ = Email::parse(&format!("ada@{}!", "a.".repeat(120)));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[rocket::async_test]
async fn thousands_of_accents_are_normalised_quickly() {
    let app = TestApp::new().await;
    let start = Instant::now();
    // As many marks as fit a form, in an order that normalisation has to sort.
    let accents: String = "\u{301}\u{323}\u{345}\u{327}".chars().cycle().take(1_200).collect();
    let fields = [("email", ADA), ("password", accents.as_str())];
    for form in ["/login", "/register"] {
        app.visitor().post(form, &fields).await.assert_status(422);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(app.users().await, 0);
}

#[rocket::async_test]
async fn a_line_break_after_an_address_never_reaches_the_database_or_a_mail() {
    let app = TestApp::new().await;
    let fields = [("email", "ada@example.org\r\n"), ("password", PASSWORD)];
    app.visitor().post("/register", &fields).await.assert_status(303);
    app.visitor().post("/reset", &[("email", "ada@example.org\n")]).await.assert_status(200);
    for inner in
        ["ada@example.org\nBcc: eve@example.org", "ada\r\n@example.org", "ada@example.org\0"]
    {
        app.visitor().post("/reset", &[("email", inner)]).await.assert_status(422);
    }

    let email: String =
        sqlx::query("SELECT email FROM users").fetch_one(&mut app.db().await).await.unwrap().get(0);
    assert_eq!(email, ADA);
    let mails = app.mails().await;
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|mail| mail.recipient == ADA), "{mails:?}");
}

#[rocket::async_test]
async fn an_invalid_address_is_not_stored_anywhere() {
    let app = TestApp::new().await;
    let tried = format!("{}@example.org", "zyxwvut".repeat(1_200));
    for path in ["/login", "/register", "/reset"] {
        let fields = [("email", tried.as_str()), ("password", PASSWORD)];
        let answer = app.visitor().post(path, &fields).await;
        answer.assert_status(422);
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    assert_eq!(app.sessions().await, 0);
    for file in std::fs::read_dir(app.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"zyxwvutzyxwvut"));
    }
}

#[rocket::async_test]
async fn the_last_character_of_the_longest_password_matters() {
    let app = TestApp::new().await;
    // bcrypt ignores everything after 72 bytes. The second password has letters of four bytes.
    for (email, start) in [(ADA, "a long tail"), ("bob@example.org", "🐎🔋📎 so long")] {
        let long: String = start.chars().cycle().take(127).collect();
        let fields = [("email", email), ("password", &format!("{long}x"))];
        app.visitor().post("/register", &fields).await.assert_status(303);
        app.visitor().log_in_with(email, &format!("{long}y")).await.assert_status(422);
        app.visitor().log_in_with(email, &long).await.assert_status(422);
        app.visitor().log_in_with(email, &format!("{long}xx")).await.assert_status(422);
        app.visitor().log_in_with(email, &format!("{long}x")).await.assert_status(303);
    }
}

#[rocket::async_test]
async fn a_log_in_to_a_disabled_or_void_account_costs_one_hash() {
    let app = TestApp::new().await;
    let hasher: &Hasher = app.client.rocket().state().unwrap();
    for email in ["disabled@example.org", "void@example.org"] {
        app.registered(email).await;
    }
    app.execute("UPDATE users SET disabled_at = 1 WHERE id = 1").await;
    let thief = app.visitor();
    thief.log_in("void@example.org").await;
    let link = app.link("void@example.org", "/not-me/").await;
    app.visitor().post(&link, &[]).await.assert_redirect("/login");

    let mut bodies = Vec::new();
    for email in ["disabled@example.org", "void@example.org", "nobody@example.org"] {
        let before = hasher.count();
        let answer = app.visitor().log_in_with(email, "wrong horse battery").await;
        assert_eq!((answer.status.code, hasher.count() - before), (422, 1), "{email}");
        bodies.push(answer.body.replace(email, "…"));
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    // No text equals a void password.
    for word in ["null", "None", "!", "*"] {
        app.visitor().log_in_with("void@example.org", word).await.assert_status(422);
    }
}

#[rocket::async_test]
async fn an_empty_password_costs_equal_work_for_every_address() {
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let hasher: &Hasher = app.client.rocket().state().unwrap();
    let ask = async |email: &str, password: &str| {
        let before = hasher.count();
        let answer = app.visitor().log_in_with(email, password).await;
        let body = answer.body.replace(email, "…");
        (answer.status.code, hasher.count() - before, body)
    };
    for password in ["", " ", "\0", &"a".repeat(9_000)] {
        let (known, unknown) = (ask(ADA, password).await, ask("bob@example.org", password).await);
        assert_eq!(known, unknown, "{password:.9}");
        assert_eq!(known.0, 422);
    }
}

#[rocket::async_test]
async fn a_forged_host_appears_in_no_page_and_no_redirect() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    let assert_clean = |answer: &Answer, path: &str| {
        answer.assert_no_text("evil");
        assert!(answer.headers.iter().all(|(_, value)| !value.contains("evil")), "{path}");
    };
    for name in ["Host", "X-Forwarded-Host", "X-Host", "Forwarded"] {
        for path in [
            "/",
            "/login",
            "/account",
            "/reset",
            "/logout",
            "/nowhere",
            "/.well-known/change-password",
        ] {
            for visitor in [&ada, &app.visitor()] {
                let request = app.client.get(path).header(header(name, "evil.example"));
                assert_clean(&visitor.send(request).await, path);
            }
        }
        let request = app.client.post("/logout").header(header(name, "evil.example"));
        assert_clean(&app.visitor().send(request).await, "log-out");
    }
}

#[rocket::async_test]
async fn a_semicolon_does_not_separate_fields() {
    let app = TestApp::new().await;
    app.registered(ADA).await.log_out().await;
    let body = "email=ada%40example.org;password=correct+horse+battery";
    app.visitor().post_raw("/login", body).await.assert_status(422).assert_text("password-error");
    // A cache that splits at `;` would see a second `next` here.
    let form = app.visitor().get("/login?x=1;next=/notes").await;
    form.assert_status(200).assert_no_text("notes");

    let fields = [("email", ADA), ("password", PASSWORD), ("next", "/notes;next=//evil.example")];
    let answer = app.visitor().post("/login", &fields).await;
    answer.assert_redirect("/notes;next=//evil.example");
}

#[rocket::async_test]
async fn no_header_changes_path_method_or_user() {
    let app = TestApp::new().await;
    let ada = app.registered(ADA).await;
    for (name, value) in [
        ("X-Original-URL", "/account"),
        ("X-Rewrite-URL", "/account"),
        ("X-Middleware-Subrequest", "middleware"),
        ("X_User", "1"),
        ("X-Forwarded-User", ADA),
        ("X-Forwarded-Prefix", "/account"),
    ] {
        let request = app.client.get("/").header(header(name, value));
        app.visitor().send(request).await.assert_status(200).assert_no_text("Member since");
        let request = app.client.get("/account").header(header(name, value));
        app.visitor().send(request).await.assert_redirect("/login?next=%2Faccount");
    }
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        // A GET that claims to be a POST, and a POST that claims to be a GET.
        ada.send(app.client.get("/logout").header(header(name, "POST"))).await.assert_status(200);
        let request = app.client.post("/logout").header(header(name, "GET"));
        ada.send(request.header(header("Sec-Fetch-Site", "cross-site"))).await.assert_status(403);
        assert!(ada.is_logged_in().await);
    }
}

#[rocket::async_test]
async fn names_in_a_mail_are_escaped() {
    let app = TestApp::new().await;
    let email = "o'neil&co@example.org";
    app.registered(email).await;
    let agent = "<img src=x onerror=alert(1)> Firefox/145.0\" \u{1}";
    let request = app.client.post("/login").header(ContentType::Form);
    let request = request.header(Header::new("User-Agent", agent)).body(format!(
        "email={}&password={}",
        encode(email),
        encode(PASSWORD)
    ));
    app.visitor().send(request).await.assert_status(303);
    app.visitor().post("/reset", &[("email", email)]).await.assert_status(200);

    let mails = app.mails().await;
    assert_eq!(mails.len(), 3);
    for mail in mails {
        assert!(!mail.html.contains("<img") && !mail.text.contains("<img"), "{}", mail.html);
        assert!(!mail.html.contains("&co@"), "{}", mail.html);
        assert!(!mail.subject.contains(['\r', '\n', '\u{1}']), "{}", mail.subject);
    }
}

#[rocket::async_test]
async fn a_path_with_line_breaks_stays_on_one_line_of_the_log() {
    let dir = TempDir::new().unwrap();
    let site = program(&dir, &[("ROCKET_LOG_LEVEL", "normal")]);
    let forged = "security:%20event=logged_in%20ip=6.6.6.6%20user=1";
    site.request(&format!("GET /a%0d%0a{forged}"), None, "");
    site.request(&format!("GET /account?a=%0a{forged}%1b[2J"), None, "");
    let body = format!("email=a%0d%0a{forged}%40example.org&password=correct+horse+battery");
    site.request("POST /login", None, &body);
    site.request("GET /healthz", None, "");

    site.until_output("GET /healthz").await;
    let log = site.output();
    assert!(log.contains("event=log_in_failed") && log.contains("/a%0d%0a"), "{log}");
    let is_forged = |line: &str| line.contains("event=logged_in ip=6.6.6.6");
    assert!(!log.lines().any(is_forged) && !log.contains("\u{1b}[2J"), "{log}");
}

#[test]
fn a_chunked_form_has_the_same_size_limit() {
    let dir = TempDir::new().unwrap();
    let site = program(&dir, &[]);
    let head = "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (length, status) in [(1_000, 422), (20_000, 413)] {
        let mut stream = site.connect();
        let value = "a".repeat(length);
        write!(stream, "{head}{:x}\r\nemail={value}\r\n0\r\n\r\n", length + 6).unwrap();
        let answer = receive(&mut stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{length}: {answer}");
    }
}

#[test]
fn a_body_with_two_lengths_smuggles_no_request() {
    let dir = TempDir::new().unwrap();
    let site = program(&dir, &[]);
    let hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{lengths}\r\n0\r\n\r\n{hidden}"
        );
        let answer = raw(&site, request.as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{lengths}: {answer}");
    }
}

#[test]
fn unencrypted_http_2_is_not_supported() {
    let dir = TempDir::new().unwrap();
    let site = program(&dir, &[]);
    // The preface and an empty SETTINGS frame. A server of HTTP/2 would answer with a frame.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = raw(&site, preface);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    let upgrade = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = raw(&site, upgrade.as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn malformed_cookies_make_an_anonymous_visitor() {
    let dir = TempDir::new().unwrap();
    let site = program(&dir, &[]);
    let flood = "a=b; ".repeat(5_000);
    for cookie in [
        "session=x; Max-Age=99999999999999999999999",
        "session=x; Expires=Mon, 99 Foo 99999999999 99:99:99 GMT",
        "session=%00%0d%0a; session=%ff; session=\"; =; ;;; ==",
        "session",
        &flood,
    ] {
        let start = Instant::now();
        let answer = site.request("GET /account", Some(cookie), "");
        assert!(answer.starts_with("HTTP/1.1 303"), "{cookie:.60}: {answer}");
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    assert!(site.request("GET /readyz", None, "").ends_with("ok"));
}

/// The pages of an application, which set no caching headers themselves.
#[get("/mine")]
fn mine(user: &User) -> String {
    user.email.to_string()
}

#[get("/perhaps")]
fn perhaps(user: Option<&User>) -> &'static str {
    if user.is_some() { "you" } else { "nobody" }
}

#[get("/state")]
fn state(session: &Session) -> &'static str {
    if session.get::<String>("a").is_ok_and(|value| value.is_some()) { "set" } else { "unset" }
}

#[rocket::async_test]
async fn pages_that_depend_on_the_session_stay_out_of_shared_caches() {
    let build =
        |rocket: rocket::Rocket<rocket::Build>| rocket.mount("/", routes![mine, perhaps, state]);
    let app = TestApp::built(|figment| figment, build).await;
    let ada = app.registered(ADA).await;
    for path in ["/mine", "/perhaps", "/state"] {
        for answer in [ada.get(path).await, app.visitor().get(path).await] {
            let header = |name| answer.header(name).unwrap_or_default().to_lowercase();
            let is_kept_apart = header("vary").contains("cookie")
                || header("cache-control").contains("no-store")
                || header("cache-control").contains("private");
            assert!(is_kept_apart, "{path}: {:?}", answer.headers);
        }
    }
}

#[rocket::async_test]
async fn a_known_address_with_an_old_hash_is_refused_no_faster_than_an_unknown() {
    use rocket_login::Password;

    // The operator has raised the cost, and the user has not logged in since.
    let app = TestApp::new().await;
    app.registered(ADA).await;
    let hash: String = sqlx::query_scalar("SELECT password_hash FROM users")
        .fetch_one(&mut app.db().await)
        .await
        .unwrap();
    let app = app.restarted(|f| f.merge(("password.memory_kib", 16_384))).await;
    let hasher: &Hasher = app.client.rocket().state().unwrap();
    let (old, wrong) = (PasswordHash::from_stored(hash), Password::typed("wrong horse battery"));
    let best = async |hash: Option<&PasswordHash>| {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            assert!(!hasher.verify(wrong.clone(), hash).await.unwrap().matches);
            best = best.min(start.elapsed());
        }
        best
    };
    let (known, unknown) = (best(Some(&old)).await, best(None).await);
    assert!(known * 2 > unknown, "{known:?} for a known address, {unknown:?} for an unknown one");
}

#[test]
fn no_dependency_has_a_version_with_a_known_hole() {
    let lock = include_str!("../../Cargo.lock");
    let versions = |name: &str| -> Vec<[u64; 3]> {
        let name = format!("name = \"{name}\"\nversion = \"");
        let found = lock.split(&name).skip(1).map(|rest| rest.split('"').next().unwrap());
        let numbers = |version: &str| -> Vec<u64> {
            let plain = version.split(['-', '+']).next().unwrap();
            plain.split('.').map(|number| number.parse().unwrap()).collect()
        };
        found.map(|version| numbers(version).try_into().unwrap()).collect()
    };
    for (name, fixed) in [
        ("aes-gcm", [0, 10, 3]),        // RUSTSEC-2023-0096
        ("cookie", [0, 7, 6]),          // RUSTSEC-2017-0005
        ("libsqlite3-sys", [0, 25, 1]), // RUSTSEC-2022-0090
        ("rocket", [0, 5, 0]),          // RUSTSEC-2020-0028, RUSTSEC-2021-0044
        ("rustls-webpki", [0, 102, 0]), // RUSTSEC-2026-0098, -0099, -0104
        ("sqlx", [0, 8, 1]),            // RUSTSEC-2024-0363
        ("time", [0, 3, 47]),           // RUSTSEC-2026-0009
    ] {
        let versions = versions(name);
        assert!(!versions.is_empty(), "{name} is not in the graph");
        assert!(versions.iter().all(|version| *version >= fixed), "{name}: {versions:?}");
    }
    // These crates are not in the graph, so their holes do not concern us.
    for name in
        ["h2", "bcrypt", "nano-id", "totp-rs", "diesel", "tokio-postgres", "postgres-protocol"]
    {
        assert_eq!(versions(name), Vec::<[u64; 3]>::new(), "{name}");
    }
}
