//! Ten thousand bad inputs in all forms, cookies and headers.
//!
//! They are generated from a seed, so a failure can be repeated: `SEED=… cargo test`.

use std::time::Duration;

use rocket::http::{ContentType, Header, Method};
use rocket::local::asynchronous::LocalRequest;
use rocket_login::{Email, NewPassword, config::PasswordConfig};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Row};

use crate::database::pick;
use crate::servers::client::Random;
use crate::support::{Answer, PASSWORD, TestApp, Visitor, encode};

/// The number of inputs of each kind. Forms cost the most, because they write to the disk.
const ROUNDS: usize = 2_000;

const OWNER: &str = "ada@example.org";

/// The fields of each form. If you add a form, add it here.
const FORMS: [(&str, &[&str]); 35] = [
    ("/register", &["email", "password", "next"]),
    ("/login", &["email", "password", "remember", "next"]),
    ("/login/factor", &["code", "trust", "next"]),
    ("/login/factor/passkey", &["credential", "trust", "next"]),
    ("/login/factor/passkey/options", &[]),
    ("/login/passkey", &["credential", "remember", "next"]),
    ("/login/passkey/options", &[]),
    ("/login/with/<name>/logout", &["logout_token"]),
    ("/logout", &["provider"]),
    ("/reset", &["email"]),
    ("/reset/<token>", &["new_password", "code", "credential"]),
    ("/reset/<token>/passkey/options", &[]),
    ("/verify/<token>", &["password"]),
    ("/not-me/<token>", &[]),
    ("/reauthenticate", &["password", "code", "credential", "next"]),
    ("/reauthenticate/passkey/options", &[]),
    ("/account/app", &["code", "secret"]),
    ("/account/app/remove", &[]),
    ("/account/password/remove", &[]),
    ("/account/passkeys/decline", &[]),
    ("/account/codes", &[]),
    ("/account/codes/download", &["codes"]),
    ("/account/passkeys", &["credential", "name"]),
    ("/account/passkeys/options", &[]),
    ("/account/passkeys/<id>/rename", &["name"]),
    ("/account/passkeys/<id>/remove", &[]),
    ("/account/providers/<name>/unlink", &["id"]),
    ("/password-strength", &["email", "password"]),
    ("/account/verify", &[]),
    ("/account/email", &["email", "current_password"]),
    ("/account/password", &["current_password", "new_password"]),
    ("/account/delete", &["current_password"]),
    (
        "/account/notices",
        &["new_device", "password_changed", "password_reset", "email_changed", "failures"],
    ),
    ("/account/sessions/<id>/revoke", &[]),
    ("/account/sessions/revoke-others", &[]),
];

const HEADERS: [&str; 22] = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Expect",
    "Forwarded",
    "Host",
    "If-Modified-Since",
    "If-None-Match",
    "Origin",
    "Range",
    "Referer",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Transfer-Encoding",
    "User-Agent",
    "X-Forwarded-For",
    "X-HTTP-Method-Override",
    "X-Real-IP",
];

const COOKIES: [&str; 4] = ["session", "session-flash", "session-device", "session-sign-up"];

/// Texts that have made programs fail before. `<xss` must never become markup.
const NOISE: [&str; 34] = [
    "",
    "\0",
    "\u{fffd}",
    "\r\nX-Injected: 1",
    "\n",
    "\t",
    " ",
    "%",
    "%00",
    "%ff",
    "{{ 7*7 }}",
    "{% include 'x' %}",
    "<xss>",
    "\"><xss>",
    "'><xss>",
    "' OR '1'='1",
    "'; DROP TABLE users; --",
    "../../etc/passwd",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "\u{202e}",
    "\u{200b}",
    "𝕏",
    "e\u{301}",
    "İ",
    "ſ",
    "-1",
    "NaN",
    "18446744073709551616",
    "null",
    "true",
    "on",
    "$argon2id$v=19$m=4294967295,t=1,p=1$",
];

impl Random {
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns noise, letters and strange characters, and sometimes a very long text.
    fn text(&mut self) -> String {
        if self.one_in(40) {
            let length = self.below(9_000);
            return self.pick(&["a", "ä", "<", "\0", "a@"]).repeat(length);
        }

        let pieces = self.below(5);
        let piece = |random: &mut Self| match random.below(3) {
            0 => random.pick(&NOISE).to_owned(),
            1 => (0..random.below(9)).map(|_| char::from(random.pick(b"abcXYZ019.@-_/"))).collect(),
            _ => char::from_u32(random.below(0x11_0000) as u32)
                .map_or("\u{d7ff}".into(), String::from),
        };
        (0..pieces).map(|_| piece(self)).collect()
    }

    /// Returns a token of the right shape, or nearly.
    fn token(&mut self) -> String {
        let length = self.pick(&[43, 43, 43, 42, 44, 1, 64, 300]);
        (0..length).map(|_| char::from(self.pick(b"abcdefghijkXYZ0189-_"))).collect()
    }

    /// Returns an invalid value for `field`.
    fn value(&mut self, field: &str) -> String {
        match field {
            "email" if self.one_in(3) => self.pick(&[OWNER, "eve@example.org"]).to_owned(),
            "email" => {
                let text = format!("{}@{}", self.text(), self.pick(&["example.org", "b", "b.c\0"]));
                if Email::parse(&text).is_ok() { format!("{text},") } else { text }
            }
            // A password is always wrong, and never acceptable as a new one.
            name if name.ends_with("password") => {
                let text = self.text();
                let policy = PasswordConfig::default();
                match NewPassword::parse(&text, &policy, &[]) {
                    Ok(_) => "too short".into(),
                    Err(_) => text,
                }
            }
            _ => self.text(),
        }
    }

    /// Replaces, inserts, removes or doubles some bytes.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let byte = self.pick(b"&=%[].+;\0\xff\xc3 az09/{}:,\"\\\\");
            match self.below(4) {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => {
                    let copy = bytes[at..].to_vec();
                    bytes.extend_from_slice(b"&");
                    bytes.extend(copy);
                }
                _ => bytes.insert(at, byte),
            }
        }
    }

    /// Returns a JSON value of any kind.
    fn any_json(&mut self) -> Value {
        match self.below(8) {
            0 => json!([self.text()]),
            1 => json!({ self.text(): null }),
            2 => json!(self.below(usize::MAX)),
            3 => json!(-0.5),
            4 => json!(null),
            5 => json!(true),
            _ => json!(self.text()),
        }
    }

    fn path(&mut self, route: &str) -> String {
        let token = if self.one_in(2) { self.token() } else { encode(&self.text()) };
        let token = if token.is_empty() { "x".into() } else { token };
        route.replace("<token>", &token).replace("<id>", &token).replace("<name>", &token)
    }
}

/// Returns where an accepted form leads: a browser by a redirect, and a program by JSON.
fn leads_to(answer: &Answer) -> Option<String> {
    if let Some(location) = answer.header("location") {
        return Some(location.to_owned());
    }
    let json: Value = serde_json::from_str(&answer.body).ok()?;
    json["location"].as_str().map(str::to_owned)
}

/// The site, the generator, and a user whose account must stay as it is.
struct Attack<'a> {
    app: &'a TestApp,
    owner: &'a Visitor<'a>,
    random: Random,
    seed: u64,
    sent: usize,
    signed_up: i64,
    db: AnyConnection,
}

impl<'a> Attack<'a> {
    /// Returns a form with its fields in any order, some missing and some doubled.
    fn body(&mut self, kind: &ContentType, fields: &[&str]) -> Vec<u8> {
        let random = &mut self.random;
        let mut pairs = Vec::new();
        for field in fields {
            for _ in 0..random.pick(&[1, 1, 1, 1, 1, 1, 0, 2]) {
                pairs.push((field.to_string(), json!(random.value(field))));
            }
        }
        if random.one_in(4) {
            let (name, value) = (random.text(), random.any_json());
            pairs.push((name, value));
        }
        let first = random.below(pairs.len() + 1);
        pairs.rotate_left(first);
        if *kind == ContentType::JSON {
            let members = pairs.into_iter().map(|(name, value)| format!("{}:{value}", json!(name)));
            return format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into_bytes();
        }
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| format!("{}={}", encode(&name), encode(&text(value))));
        pairs.collect::<Vec<_>>().join("&").into_bytes()
    }

    fn form(&mut self) -> (&'static str, String, ContentType, Vec<u8>) {
        let (route, fields) = self.random.pick(&FORMS);
        let kind = match self.random.one_in(3) {
            true => ContentType::JSON,
            false => ContentType::Form,
        };
        let body = self.body(&kind, fields);
        (route, self.random.path(route), kind, body)
    }

    /// Returns the browser of the account's owner or of a stranger.
    fn browser(&mut self) -> Visitor<'a> {
        let visitor = self.app.visitor();
        if self.random.one_in(2) {
            visitor.set_cookie("session", self.owner.session_cookie());
        }
        visitor
    }

    /// Asks more often for JSON, because a page costs ten times as much.
    fn accept(&mut self, request: LocalRequest<'a>) -> LocalRequest<'a> {
        let kind = if self.random.one_in(3) { "text/html" } else { "application/json" };
        request.header(Header::new("Accept", kind))
    }

    async fn send(
        &mut self,
        visitor: &Visitor<'a>,
        request: LocalRequest<'a>,
        what: &str,
    ) -> Answer {
        let answer = visitor.send(request).await;
        self.sent += 1;
        self.assert_sane(&answer, what);
        if !self.is_logged_in().await {
            self.owner.sign_in(OWNER).await;
        }
        answer
    }

    /// Returns false if a form has ended the owner's session, as log-out does.
    async fn is_logged_in(&mut self) -> bool {
        let sql = "SELECT count(*) FROM sessions";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut self.db).await.unwrap() == 1
    }

    #[track_caller]
    fn assert_sane(&self, answer: &Answer, what: &str) {
        let what = format!("SEED={} number {}: {}", self.seed, self.sent, what.escape_debug());
        let status = answer.status.code;
        let is_deliberate = status == 503 && answer.header("retry-after").is_some();
        assert!(status < 500 || is_deliberate, "{what}: {status}");
        for name in [
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "permissions-policy",
        ] {
            assert!(answer.header(name).is_some(), "{what}: {status} without {name}");
        }
        assert!(answer.header("x-injected").is_none(), "{what}");
        for (name, value) in &answer.headers {
            assert!(!value.contains(['\r', '\n', '\0']), "{what}: {name}: {value}");
        }
        let is_page =
            answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        assert!(!is_page || !answer.body.contains("<xss"), "{what}: markup in\n{}", answer.body);
    }

    /// Sends correctly encoded forms with wrong values.
    async fn fields(&mut self) {
        let (route, path, kind, body) = self.form();
        let visitor = self.browser();
        let request = self.app.client.post(path).header(kind.clone()).body(&body);
        let request = self.accept(request);
        let what = format!("{route} {kind} {}", String::from_utf8_lossy(&body));
        let answer = self.send(&visitor, request, &what).await;
        // A refusal redirects a stranger to the log-in, and an accepted form redirects elsewhere.
        let is_taken = leads_to(&answer).is_some_and(|to| !to.starts_with("/login"));
        let is_refused = ["/register", "/login", "/account/password", "/account/email"];
        assert!(!is_taken || !is_refused.contains(&route), "SEED={} {what}", self.seed);
    }

    /// Sends damaged forms with all kinds of content types.
    async fn bodies(&mut self) {
        let (route, path, kind, mut body) = self.form();
        self.random.damage(&mut body);
        let kind = match self.random.one_in(5) {
            true => self.random.pick(&[
                "multipart/form-data; boundary=x",
                "application/json",
                "application/x-www-form-urlencoded",
                "text/plain",
                "",
            ]),
            false if kind == ContentType::JSON => "application/json",
            false => "application/x-www-form-urlencoded",
        };
        let visitor = self.browser();
        let request = self.app.client.post(path).header(Header::new("Content-Type", kind));
        let request = self.accept(request.body(&body));
        let what = format!("{route} {kind} {}", String::from_utf8_lossy(&body));
        let answer = self.send(&visitor, request, &what).await;
        // Damage can make a form valid by chance. Then this was an ordinary sign-up.
        if route == "/register" && leads_to(&answer).is_some() {
            self.signed_up += 1;
        }
    }

    async fn cookies(&mut self) {
        let visitor = self.app.visitor();
        for _ in 0..=self.random.below(3) {
            let mut value = match self.random.below(5) {
                0 => self.random.text(),
                1 => self.random.token(),
                2 => "a".repeat(self.random.below(10_000)),
                _ => self.owner.session_cookie(),
            };
            if self.random.one_in(2) {
                let mut bytes = value.into_bytes();
                self.random.damage(&mut bytes);
                value = String::from_utf8_lossy(&bytes).into_owned();
            }
            let name = match self.random.below(6) {
                0 => self.random.text(),
                // A request with the owner's undamaged session cookie would be legitimate.
                _ if value == self.owner.session_cookie() => self.random.pick(&COOKIES[1..]).into(),
                _ => self.random.pick(&COOKIES).into(),
            };
            visitor.set_cookie(&name, value);
        }
        let path = self.random.pick(&["/", "/account", "/login", "/account/sessions", "/reset"]);
        let method = self.random.pick(&[Method::Get, Method::Get, Method::Post]);
        let request = self.accept(self.app.client.req(method, path).header(ContentType::Form));
        let what = format!("{method} {path}");
        let answer = self.send(&visitor, request, &what).await;
        assert!(!answer.body.contains(OWNER), "SEED={} {what}", self.seed);
    }

    async fn headers(&mut self) {
        let routes: Vec<_> = self.app.client.rocket().routes().collect();
        let route = self.random.pick(&routes);
        let (method, path) = (route.method, self.random.path(route.uri.path()));
        let mut request = self.app.client.req(method, path.clone());
        let mut what = format!("{method} {path}");
        for _ in 0..=self.random.below(4) {
            let (name, value) = (self.random.pick(&HEADERS), self.random.text());
            what += &format!(" {name}: {value}");
            request.add_header(Header::new(name, value));
        }
        let visitor = self.browser();
        let body = self.body(&ContentType::Form, &["email", "current_password"]);
        self.send(&visitor, request.body(body), &what).await;
    }
}

#[rocket::async_test]
async fn ten_thousand_bad_inputs_break_nothing_and_store_nothing() {
    let seed = std::env::var("SEED").map_or(20_260_101, |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    let app = TestApp::with(|f| f.merge(("throttle.enabled", false))).await;
    let owner = app.registered(OWNER).await;
    let (random, db) = (Random(seed), app.db().await);
    let mut attack = Attack { app: &app, owner: &owner, random, seed, sent: 0, signed_up: 0, db };
    for round in 0..ROUNDS {
        attack.fields().await;
        attack.bodies().await;
        attack.cookies().await;
        attack.headers().await;
        if round % 2 == 0 {
            attack.cookies().await;
            attack.headers().await;
        }
    }
    let (sent, signed_up) = (attack.sent, attack.signed_up);
    assert!(sent >= 10_000, "{sent}");
    // Some rows are written after the answer.
    rocket::tokio::time::sleep(Duration::from_millis(50)).await;

    let none = [
        pick(
            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
            "SELECT 0",
        ),
        pick("SELECT count(*) FROM pragma_foreign_key_check", "SELECT 0"),
        "SELECT count(*) FROM login_tokens WHERE purpose IN ('sign_up', 'change_email')",
        "SELECT count(*) FROM sessions WHERE user_id IS NULL OR data <> '{}'",
        "SELECT count(*) FROM login_events WHERE length(user_agent) > 255",
        "SELECT count(*) FROM login_throttle",
    ];
    for sql in none {
        assert_eq!(app.count(sql).await, 0, "SEED={seed} {sql}");
    }
    assert_eq!(app.users().await, 1 + signed_up, "SEED={seed}");
    assert_eq!(app.sessions().await, 1, "SEED={seed}");
    let stored = "SELECT email FROM users UNION ALL SELECT email FROM login_tokens \
                  UNION ALL SELECT recipient FROM login_mails";
    for row in sqlx::query(stored).fetch_all(&mut app.db().await).await.unwrap() {
        let address: String = row.get(0);
        assert!(Email::parse(&address).is_ok(), "SEED={seed} {address}");
    }
    // Nobody has changed the owner's password.
    app.visitor().log_in_with(OWNER, PASSWORD).await.assert_redirect("/account");
}

#[rocket::async_test]
async fn the_generator_attacks_every_form() {
    let app = TestApp::new().await;
    for route in app.client.rocket().routes().filter(|route| route.method == Method::Post) {
        let path = route.uri.path();
        assert!(FORMS.iter().any(|(form, _)| path == *form), "{path} is not among the forms");
    }
}
