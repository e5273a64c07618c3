//! Each mail of a site, caused by what people do.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use rocket::figment::Figment;
use rocket::http::Accept;
use rocket::local::asynchronous::{Client, LocalRequest};
use rocket_login::Clock;
use rocket_login::testing::{self, Authenticator, Browser, Mail};
use serde_json::Value;

use crate::servers::liar::{CLIENT, Liar, SECRET};

const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "lovelace likes engines";

/// The providers of the sites that send mails. They are few, and stay until the process ends.
static PROVIDERS: Mutex<Vec<&'static Liar>> = Mutex::new(Vec::new());

/// Returns the configuration of a site that sends each of the mails.
pub fn sends_all(figment: Figment) -> Figment {
    let provider: &Liar = Box::leak(Box::new(Liar::start()));
    PROVIDERS.lock().unwrap().push(provider);
    figment
        // More mails than one address may have for nothing.
        .merge(("accounts.registration", "confirm"))
        .merge(("throttle.mails", 100))
        .merge(("providers.example.issuer", provider.issuer()))
        .merge(("providers.example.client_id", CLIENT))
        .merge(("providers.example.client_secret", SECRET))
}

/// Causes each mail of a site with the configuration of [`sends_all`], which has no account yet.
/// Returns the newest of each kind by the name of its template.
pub async fn every_mail(client: &Client) -> BTreeMap<String, Mail> {
    let people = People { client };
    people.forget_a_password("grace@example.org").await;
    people.change_a_password("alan@example.org").await;
    people.take_an_address_back("ada@example.org", "lovelace@example.org").await;
    people.guess_a_password("edsger@example.org").await;
    people.change_second_steps("katherine@example.org").await;
    people.copy_a_passkey("mary@example.org").await;
    people.remove_a_password("dorothy@example.org").await;
    people.use_a_provider("hedy@example.org").await;

    let mut mails = BTreeMap::new();
    for mail in testing::mails(client).await.into_iter().rev() {
        let (subject, _) = mail.subject.split_once(" at ").unwrap();
        let name = names().into_iter().find(|(_, start)| start == subject);
        let (name, _) = name.unwrap_or_else(|| panic!("no template has the subject {subject}"));
        mails.insert(name, mail);
    }
    let expected: Vec<String> = names().into_iter().map(|(name, _)| name).collect();
    assert_eq!(mails.keys().cloned().collect::<Vec<_>>(), expected);
    mails
}

/// The names of all mails, each with its subject up to " at ".
fn names() -> Vec<(String, String)> {
    let files = fs::read_dir("templates/rocket-login/mail").unwrap();
    let mut names = Vec::new();
    for path in files.map(|file| file.unwrap().path()) {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let subject = text.lines().next().and_then(|line| line.strip_prefix("Subject: "));
        if let (Some(name), Some(subject)) = (file.strip_suffix(".txt.tera"), subject) {
            let (start, _) = subject.split_once(" at {{ site }}").expect(&file);
            names.push((name.to_owned(), start.to_owned()));
        }
    }
    names.sort();
    names
}

struct People<'c> {
    client: &'c Client,
}

impl<'c> People<'c> {
    /// Follows the newest link to `path` in a mail to `email`, in `browser`.
    async fn follow(&self, browser: &Browser<'c>, email: &str, path: &str, form: &[(&str, &str)]) {
        let mails = testing::mails(self.client).await;
        let mut mails = mails.iter().filter(|mail| mail.recipient == email);
        let mail = mails.find(|mail| mail.text.contains(path)).expect("a mail with such a link");
        browser.post(&mail.link(path), form).await.assert_status(303);
    }

    async fn register(&self, browser: &Browser<'c>, email: &str) {
        let form = [("email", email), ("password", PASSWORD)];
        browser.post("/register", &form).await.assert_status(303);
    }

    async fn log_in(&self, browser: &Browser<'c>, email: &str) {
        let form = [("email", email), ("password", PASSWORD)];
        browser.post("/login", &form).await.assert_redirect("/account");
    }

    /// Returns a browser that has just signed up and logged in.
    async fn signed_up(&self, email: &str) -> Browser<'c> {
        let browser = Browser::new(self.client);
        self.register(&browser, email).await;
        self.follow(&browser, email, "/verify/", &[]).await;
        self.log_in(&browser, email).await;
        browser
    }

    async fn forget_a_password(&self, email: &str) {
        let browser = self.signed_up(email).await;
        self.register(&Browser::new(self.client), email).await;
        browser.post("/reset", &[("email", email)]).await;
        self.follow(&browser, email, "/reset/", &[("new_password", NEW_PASSWORD)]).await;
    }

    async fn change_a_password(&self, email: &str) {
        let browser = self.signed_up(email).await;
        let form = [("new_device", "on"), ("password_changed", "on")];
        browser.post("/account/notices", &form).await.assert_status(303);
        self.log_in(&Browser::new(self.client), email).await;
        let form = [("current_password", PASSWORD), ("new_password", NEW_PASSWORD)];
        browser.post("/account/password", &form).await.assert_status(303);
    }

    async fn take_an_address_back(&self, email: &str, other: &str) {
        let browser = self.signed_up(email).await;
        let ask = async |browser: &Browser<'c>, address: &str| {
            let form = [("email", address), ("current_password", PASSWORD)];
            browser.post("/account/email", &form).await.assert_status(303);
        };
        ask(&self.signed_up("mallory@example.org").await, email).await;
        ask(&browser, other).await;
        self.follow(&browser, other, "/verify/", &[]).await;
        self.follow(&Browser::new(self.client), email, "/not-me/", &[]).await;
    }

    async fn guess_a_password(&self, email: &str) {
        self.signed_up(email).await;
        let form = [("email", email), ("password", "wrong horse battery")];
        for _ in 0..10 {
            Browser::new(self.client).post("/login", &form).await;
        }
    }

    /// Sends a request, and returns the JSON of the answer.
    async fn json(&self, browser: &Browser<'c>, request: LocalRequest<'c>) -> Value {
        let answer = browser.send(request.header(Accept::JSON)).await;
        answer.assert_status(200);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Gives the right password and then `codes`, one after the other, in a new browser.
    async fn log_in_with(&self, email: &str, codes: &[&str]) {
        let browser = Browser::new(self.client);
        let form = [("email", email), ("password", PASSWORD)];
        browser.post("/login", &form).await.assert_redirect("/login/factor");
        for code in codes {
            browser.post("/login/factor", &[("code", code)]).await;
        }
    }

    async fn change_second_steps(&self, email: &str) {
        let browser = self.signed_up(email).await;
        self.add_an_app(&browser).await;

        let renewed = self.json(&browser, self.client.post("/account/codes")).await;
        // The eighth leaves two.
        for code in renewed["codes"].as_array().unwrap().iter().take(8) {
            self.log_in_with(email, &[code.as_str().unwrap()]).await;
        }
        self.log_in_with(email, &["000000"; 5]).await;
        browser.post("/account/app/remove", &[]).await.assert_redirect("/account/security");
    }

    async fn add_an_app(&self, browser: &Browser<'c>) {
        let offer = self.json(browser, self.client.get("/account/app")).await;
        let now = self.client.rocket().state::<Clock>().expect("a clock").now();
        let code = testing::app_code(offer["secret"].as_str().unwrap(), now);
        let form = [("secret", offer["sealed"].as_str().unwrap()), ("code", &*code)];
        browser.post("/account/app", &form).await.assert_status(200);
    }

    /// Connects an account at the provider, leaves a log-in with it half done, and disconnects it.
    async fn use_a_provider(&self, email: &str) {
        let issuer: String =
            self.client.rocket().figment().extract_inner("providers.example.issuer").unwrap();
        let providers = PROVIDERS.lock().unwrap().clone();
        let provider = providers.into_iter().find(|one| one.issuer() == issuer).unwrap();
        provider.follow(self.client.rocket().state::<Clock>().expect("a clock"));
        let go = async |browser: &Browser<'c>, path: &str| {
            let begun = browser.get(path).await;
            let location = begun.header("location").expect("the way to the provider").to_owned();
            browser.get(&provider.answer(&location)).await
        };

        let browser = self.signed_up(email).await;
        self.add_an_app(&browser).await;
        go(&browser, "/account/providers/example/link").await.assert_redirect("/account/security");
        let other = Browser::new(self.client);
        go(&other, "/login/with/example").await.assert_redirect("/login/factor");
        for _ in 0..5 {
            other.post("/login/factor", &[("code", "000000")]).await;
        }
        let path = "/account/providers/example/unlink";
        browser.post(path, &[]).await.assert_redirect("/account/security");
    }

    fn phone(&self) -> Authenticator {
        let origin = self.client.rocket().figment().extract_inner::<String>("site.url");
        Authenticator::new(&origin.unwrap_or_else(|_| "http://localhost:8000".into()))
    }

    async fn add_a_passkey(&self, browser: &Browser<'c>, phone: &Authenticator) {
        let options = browser.post("/account/passkeys/options", &[]).await.body;
        let form = [("credential", &*phone.create(&options)), ("name", "Phone")];
        browser.post("/account/passkeys", &form).await.assert_status(200);
    }

    async fn remove_a_password(&self, email: &str) {
        let browser = self.signed_up(email).await;
        self.add_a_passkey(&browser, &self.phone()).await;
        browser.post("/account/password/remove", &[]).await.assert_redirect("/account/security");
    }

    async fn copy_a_passkey(&self, email: &str) {
        let browser = self.signed_up(email).await;
        let phone = self.phone().copied();
        self.add_a_passkey(&browser, &phone).await;
        for _ in 0..2 {
            let browser = Browser::new(self.client);
            let options = browser.post("/login/passkey/options", &[]).await.body;
            let form = [("credential", &*phone.get(&options))];
            browser.post("/login/passkey", &form).await.assert_redirect("/account");
        }
    }
}
