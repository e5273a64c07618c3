//! `Cookie` headers with the cookies of other applications on the same host.

use std::io::Write;

use rocket::http::{ContentType, Header};
use tempfile::TempDir;

use crate::servers::program::{Program, receive, session_cookie};
use crate::support::{Answer, PASSWORD, TestApp, Visitor, header};

/// Foreign cookies that a browser may send before or after ours.
fn strange_cookies() -> Vec<String> {
    let long = "x".repeat(20_000);
    [
        "",
        ";",
        "; ;;",
        "=",
        "=nameless",
        "nothing",
        "a=",
        "a==b=c",
        "a=%",
        "a=%zz",
        "a=%ff%fe",
        "a=%00",
        "a=\"quoted\"",
        "a=\"half",
        "a=\"with; semicolon\"",
        "a=ü",
        "sessions=x",
        "Session=x",
        "session-=x",
        "session",
        "session=",
        "session=x",
        "session=%",
        "session=%ff",
        "session=\"\"",
        "session=\"",
        "session=x; session=y; session=z",
        "session-flash=x; session-device=x; session-sign-up=x",
        "$Version=1; $Path=/",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("session={long}"),
        format!("a={long}"),
        vec!["session=x"; 300].join("; "),
        (0..300).map(|i| format!("a{i}={i}")).collect::<Vec<_>>().join("; "),
    ])
    .collect()
}

/// Requests `path` with exactly these cookies.
async fn get(app: &TestApp, path: &str, cookies: &str) -> Answer {
    let request = app.client.get(path.to_owned());
    app.visitor().send(request.header(Header::new("Cookie", cookies.to_owned()))).await
}

/// Returns all cookies of `visitor` as a browser would send them.
fn all(visitor: &Visitor<'_>) -> String {
    let names = ["session", "session-flash", "session-device", "session-sign-up"];
    let pairs = names.into_iter().filter_map(|name| Some((name, visitor.cookie(name)?)));
    let pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{name}={}", crate::support::encode(&value))).collect();
    pairs.join("; ")
}

#[rocket::async_test]
async fn a_valid_session_is_found_among_foreign_cookies() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let own = all(&ada);
    for strange in strange_cookies() {
        for cookies in
            [format!("{own}; {strange}"), format!("{strange}; {own}"), format!("{strange};{own}")]
        {
            let account = get(&app, "/account", &cookies).await;
            account.assert_status(200).assert_text("ada@example.org");
        }
        // Alone they make an anonymous visitor and no error. No cookie is removed, so nothing
        // loops.
        let nobody = get(&app, "/account", &strange).await;
        nobody.assert_redirect("/login?next=%2Faccount");
        assert_eq!(nobody.header("set-cookie"), None, "{strange}");
    }

    // Some proxies pass cookies on in several lines.
    let request = app.client.get("/account").header(header("Cookie", "session=x"));
    let lines = request.header(Header::new("Cookie", own)).header(header("Cookie", "a=%ff"));
    app.visitor().send(lines).await.assert_status(200);
}

#[rocket::async_test]
async fn the_live_session_counts_among_several_session_cookies() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let ended = ada.session_cookie();
    ada.log_out().await;
    ada.log_in("ada@example.org").await;
    let good = ada.session_cookie();
    let basket = app.visitor();
    basket.with_session(async |session| session.set("basket", "1").await.unwrap()).await;
    let visitors = basket.session_cookie();

    let pair = |value: &str| format!("session={}", crate::support::encode(value));
    for others in [vec![&ended], vec![&visitors], vec![&ended, &visitors]] {
        let others: Vec<String> = others.into_iter().map(|value| pair(value)).collect();
        for cookies in [
            format!("{}; {}", others.join("; "), pair(&good)),
            format!("{}; {}", pair(&good), others.join("; ")),
        ] {
            let account = get(&app, "/account", &cookies).await;
            account.assert_status(200).assert_text("ada@example.org");
            assert_eq!(account.set_cookie("session"), None);
        }
    }

    // Some libraries quote the value.
    let quoted = format!("session=\"{}\"", crate::support::encode(&good));
    get(&app, "/account", &quoted).await.assert_status(200);

    // After the log-out the other cookies are still there, and their sessions have ended.
    let cookies = format!("{}; {}", pair(&ended), pair(&good));
    let request = app.client.post("/logout").header(Header::new("Cookie", cookies.clone()));
    let left = app.visitor().send(request).await;
    assert!(left.set_cookie("session").is_some());
    let after = get(&app, "/account", &cookies).await;
    after.assert_redirect("/login?next=%2Faccount");
    assert_eq!(after.set_cookie("session"), None);
}

#[rocket::async_test]
async fn at_most_eight_session_cookies_are_looked_up() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let good = ada.session_cookie();
    let mut ended = Vec::new();
    for _ in 0..8 {
        let visitor = app.visitor();
        visitor.log_in("ada@example.org").await;
        ended.push(visitor.session_cookie());
        visitor.log_out().await;
    }
    let pair = |value: &String| format!("session={}", crate::support::encode(value));
    let seven: Vec<String> = ended[..7].iter().chain([&good]).map(pair).collect();
    get(&app, "/account", &seven.join("; ")).await.assert_status(200);
    let eight: Vec<String> = ended.iter().chain([&good]).map(pair).collect();
    get(&app, "/account", &eight.join("; ")).await.assert_redirect("/login?next=%2Faccount");
}

#[rocket::async_test]
async fn a_percent_encoded_cookie_name_is_not_ours() {
    let app = TestApp::release().await;
    let mallory = app.registered("mallory@example.org").await;
    let planted = crate::support::encode(&mallory.cookie("__Host-session").unwrap());
    // A browser lets a sibling domain set this cookie, because its name has no prefix.
    for name in ["__Host%2Dsession", "%5F_Host-session", "%5f%5fHost%2dsession"] {
        let cookies = format!("{name}={planted}");
        get(&app, "/account", &cookies).await.assert_redirect("/login?next=%2Faccount");
    }
    get(&app, "/account", &format!("__Host-session={planted}")).await.assert_status(200);
}

#[rocket::async_test]
async fn a_flash_message_is_shown_once_among_foreign_cookies() {
    let app = TestApp::new().await;
    let ada = app.registered("ada@example.org").await;
    let own = all(&ada);
    let strange = "session-flash=x; session-flash=%ff; session-flash=";
    for cookies in [format!("{own}; {strange}"), format!("{strange}; {own}")] {
        let page = get(&app, "/account", &cookies).await;
        page.assert_text("Welcome!");
        assert!(page.cookie_attributes("session-flash").contains(&"Max-Age=0"));
    }

    // Foreign cookies stay. They show no message, and pages do not remove them.
    let session = format!("session={}", crate::support::encode(&ada.session_cookie()));
    let page = get(&app, "/account", &format!("{strange}; {session}")).await;
    page.assert_status(200).assert_no_text("Welcome!");
    assert_eq!(page.header("set-cookie"), None);
}

#[rocket::async_test]
async fn a_device_and_a_sign_up_are_recognised_among_foreign_cookies() {
    let app = TestApp::with(|figment| figment.merge(("accounts.registration", "confirm"))).await;
    let ada = app.visitor();
    ada.register("ada@example.org").await.assert_redirect("/register/sent");
    let link = app.link("ada@example.org", "/verify/").await;
    let strange = "session-sign-up=x; session-device=x; session=x";
    let post = async |path: &str, cookies: String, body: String| {
        let request = app.client.post(path.to_owned()).header(ContentType::Form);
        ada.send(request.header(Header::new("Cookie", cookies)).body(body)).await
    };
    // The browser is recognised as the one that signed up, so its password stays valid.
    let cookies = format!("{}; {strange}", all(&ada));
    post(&link, cookies, String::new()).await.assert_redirect("/login");
    let body = format!("email=ada%40example.org&password={}", PASSWORD.replace(' ', "+"));
    post("/login", strange.into(), body.clone()).await.assert_redirect("/account");

    let mails = app.mails().await.len();
    let cookies = format!("{strange}; {}; {strange}", all(&ada));
    post("/login", cookies, body).await.assert_redirect("/account");
    assert_eq!(app.mails().await.len(), mails, "the device was told as a new one");
}

#[cfg(unix)]
#[test]
fn the_program_finds_its_session_among_foreign_cookies() {
    let dir = TempDir::new().unwrap();
    let key = ("ROCKET_SECRET_KEY", "bm90IGEgc2VjcmV0OiB0aGUgZGVidWcga2V5IQAAAAA=");
    let program = crate::database::command(env!("CARGO_BIN_EXE_rocket-login"), &dir);
    let site = Program::start(program, &[key]);
    let form = "email=ada%40example.org&password=correct+horse+battery";
    let own = session_cookie(&site.request("POST /register", None, form));
    let ask = |lines: &[&[u8]]| {
        let mut stream = site.connect();
        stream.write_all(b"GET /account HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").unwrap();
        for line in lines {
            stream.write_all(b"Cookie: ").unwrap();
            stream.write_all(line).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"\r\n").unwrap();
        receive(&mut stream)
    };

    for strange in strange_cookies() {
        for cookies in [format!("{own}; {strange}"), format!("{strange}; {own}")] {
            let answer = ask(&[cookies.as_bytes()]);
            assert!(answer.starts_with("HTTP/1.1 200"), "{strange}: {answer}");
        }
        let answer = ask(&[strange.as_bytes()]);
        assert!(answer.starts_with("HTTP/1.1 303"), "{strange}: {answer}");
    }

    // Rocket drops a line with invalid UTF-8, but no other line.
    let bytes = [b"a=\xfc; ", own.as_bytes()].concat();
    let answer = ask(&[&bytes]);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let answer = ask(&[b"a=\xfc", own.as_bytes(), b"b=\xff\xfe"]);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
