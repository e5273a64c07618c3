//! npm's `oidc-provider`, which the OpenID Foundation has certified, and the people who log in
//! there.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::{Running, clean, find, free_port, has};

/// The time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The name by which sites know it.
pub const NAME: &str = "certified";

/// The secret has what the header `Authorization` must escape.
const SECRET: &str = "a secret+100%/of:the&site";

/// Returns true if tests with this provider can run. In CI they must. Elsewhere, a line reports
/// that they did not.
pub fn is_installed() -> bool {
    let package = Path::new("tests/oidc/node_modules/oidc-provider");
    has(find("node").is_some(), "node") && has(package.is_dir(), "oidc-provider")
}

/// A provider on its own port, which is killed when dropped.
pub struct OidcServer {
    settings: Value,
    running: Option<Running>,
    complaints: Arc<Mutex<String>>,
}

impl OidcServer {
    /// Starts a provider for the site at the address `site`, such as `http://localhost:8000`.
    pub fn start(site: &str) -> Self {
        Self::with(site, |_| {})
    }

    /// Starts a provider whose settings `change` changes. `tests/oidc/server.mjs` explains them.
    pub fn with(site: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut settings = json!({
            "port": 0,
            "accounts": {},
            "in_id_token": false,
            "client": {
                "client_id": "site",
                "client_secret": SECRET,
                "redirect_uris": [format!("{site}/login/with/{NAME}/callback")],
                "post_logout_redirect_uris": [format!("{site}/login")],
                "backchannel_logout_uri": format!("{site}/login/with/{NAME}/logout"),
                "backchannel_logout_session_required": true,
            },
        });
        change(&mut settings);
        // Another process may take the free port before it does.
        for _ in 0..10 {
            settings["port"] = free_port().into();
            let complaints = Arc::default();
            let mut server = OidcServer { settings: settings.clone(), running: None, complaints };
            if server.run() {
                return server;
            }
        }
        panic!("the provider does not start");
    }

    /// Returns true if it has started.
    fn run(&mut self) -> bool {
        let mut node = clean(find("node").expect("asked for before"));
        node.arg("tests/oidc/server.mjs").arg(self.settings.to_string());
        node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::spawn(node);
        let lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        let errors = BufReader::new(running.child.stderr.take().unwrap()).lines();
        let (complaints, issuer) = (self.complaints.clone(), self.issuer());
        std::thread::spawn(move || {
            for line in errors.map_while(Result::ok) {
                complaints.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        // It would end if nobody read what it prints.
        let (sender, started) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| *line == issuer) {
                let _ = sender.send(line);
            }
        });
        let has_started = started.recv().is_ok();
        self.running = has_started.then_some(running);
        has_started
    }

    /// Stops it. Until [`start_again()`](Self::start_again()) nothing answers.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again with new keys. It has forgotten who was logged in.
    pub fn start_again(&mut self) {
        self.stop();
        assert!(self.run(), "{}", self.complaints());
    }

    /// Its issuer. The host is another one than a site's `localhost`, so that a browser takes the
    /// two for different sites.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    fn port(&self) -> u64 {
        self.settings["port"].as_u64().unwrap()
    }

    /// Returns what it has complained about so far, as a reason for a panic.
    pub fn complaints(&self) -> String {
        self.complaints.lock().unwrap().clone()
    }

    /// The table `providers` of a site's configuration.
    pub fn configured(&self) -> Value {
        let client = &self.settings["client"];
        json!({ NAME: {
            "issuer": self.issuer(),
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "label": "the certified one",
        }})
    }

    /// The value of `ROCKET_PROVIDERS`.
    pub fn variable(&self) -> String {
        let configured = self.configured();
        let keys = configured[NAME].as_object().unwrap().iter();
        let keys: Vec<_> = keys.map(|(key, value)| format!("{key}={value}")).collect();
        format!("{{{NAME}={{{}}}}}", keys.join(","))
    }

    /// Returns the JSON document at `path`.
    pub fn document(&self, path: &str) -> Value {
        let answer = HttpBrowser::default().get(&format!("{}{path}", self.issuer()));
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

/// An answer to one request.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The address that it leads to, in full.
    pub location: Option<String>,
    pub body: String,
}

/// A browser without scripts that speaks plain HTTP. It follows no redirect.
#[derive(Debug, Clone, Default)]
pub struct HttpBrowser {
    /// The cookies by host, whatever its port, and name.
    cookies: BTreeMap<(String, String), String>,
}

impl HttpBrowser {
    pub fn get(&mut self, url: &str) -> Reply {
        self.send("GET", url, &[])
    }

    pub fn post(&mut self, url: &str, fields: &[(String, String)]) -> Reply {
        self.send("POST", url, fields)
    }

    fn send(&mut self, method: &str, url: &str, fields: &[(String, String)]) -> Reply {
        let url = Url::parse(url).unwrap();
        let (address, host) = (url.authority(), host(&url));
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        let body = body.extend_pairs(fields).finish();
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let cookies = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<_> = cookies.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        self.read(&url, &answer)
    }

    /// Reads an answer of `url`, and keeps its cookies.
    fn read(&mut self, url: &Url, answer: &str) -> Reply {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let mut location = None;
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            match name.to_ascii_lowercase().as_str() {
                "location" => location = Some(url.join(value).unwrap().into()),
                "set-cookie" => self.keep(host(url), value),
                _ => {}
            }
        }
        Reply { status, location, body: body.to_owned() }
    }

    /// Keeps a cookie, or deletes it if the line says so.
    fn keep(&mut self, host: String, line: &str) {
        let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
        let key = (host, name.to_owned());
        match value.is_empty() || line.contains("Max-Age=0") {
            true => self.cookies.remove(&key),
            false => self.cookies.insert(key, value.to_owned()),
        };
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap().to_owned()
}

/// Somebody with an account at the provider, and the browser in which they use it.
#[derive(Debug, Clone)]
pub struct Person {
    name: String,
    pub browser: HttpBrowser,
}

/// Where the provider has led a person.
#[derive(Debug)]
pub struct Led {
    /// The address on another host.
    pub to: String,
    /// What the provider has asked on the way: `login`, `consent`, `logout`.
    pub asked: Vec<&'static str>,
}

impl Person {
    /// A person whose `sub` is `name`, and who is not logged in yet.
    pub fn new(name: &str) -> Self {
        Person { name: name.to_owned(), browser: HttpBrowser::default() }
    }

    /// Opens `url` at the provider, says yes to everything, and returns where that leads.
    pub fn visit(&mut self, url: &str) -> Led {
        let (mut url, mut asked) = (url.to_owned(), Vec::new());
        let issuer = Url::parse(&url).unwrap().origin();
        for _ in 0..20 {
            let mut reply = self.browser.get(&url);
            if reply.status == 200 {
                let (question, action, fields) = self.form(&reply.body);
                asked.push(question);
                reply = self.browser.post(&action, &fields);
            }
            url = reply.location.unwrap_or_else(|| panic!("{} {}", reply.status, reply.body));
            if Url::parse(&url).unwrap().origin() != issuer {
                return Led { to: url, asked };
            }
        }
        panic!("the provider leads on and on: {asked:?}");
    }

    /// Opens `url` at the provider, cancels, and returns where that leads.
    pub fn refuse(&mut self, url: &str) -> Led {
        let question = self.browser.get(url).location.expect("a page");
        let page = self.browser.get(&question).body;
        let cancel = page.split("<a href=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.visit(cancel.expect("a way out"))
    }

    /// Returns what a page of the provider asks, the address of its form, and the fields that say
    /// yes.
    fn form(&self, page: &str) -> (&'static str, String, Vec<(String, String)>) {
        let field = |start: &str| {
            let value = page.split_once(start).and_then(|(_, rest)| rest.split('"').next());
            value.map(str::to_owned)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let action = field("action=\"").unwrap_or_else(|| panic!("no form in {page}"));
        let prompt = field("name=\"prompt\" value=\"");
        match prompt.as_deref() {
            Some("login") => {
                let fields = ["prompt", "login", "password"];
                let values = ["login", &self.name, "any"];
                let fields = fields.into_iter().zip(values).map(|(name, value)| pair(name, value));
                ("login", action, fields.collect())
            }
            Some("consent") => ("consent", action, vec![pair("prompt", "consent")]),
            _ => {
                let xsrf = field("name=\"xsrf\" value=\"");
                let xsrf = xsrf.unwrap_or_else(|| panic!("an unknown form: {page}"));
                ("logout", action, vec![pair("xsrf", &xsrf), pair("logout", "yes")])
            }
        }
    }
}

/// An address that the provider calls, instead of a site, when somebody logs out there.
pub struct Listener {
    pub url: String,
    calls: Receiver<String>,
}

impl Listener {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, calls) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // The test is over if nobody reads any more.
                if sender.send(answer(stream.unwrap())).is_err() {
                    return;
                }
            }
        });
        Listener { url, calls }
    }

    /// Waits for the next call, and returns its body.
    pub fn next(&self) -> String {
        self.calls.recv_timeout(PATIENCE).expect("the provider calls")
    }

    /// Returns true if it was called again.
    pub fn has_more(&self) -> bool {
        self.calls.try_recv().is_ok()
    }
}

/// Answers one request with 200, and returns its body.
fn answer(mut stream: TcpStream) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    String::from_utf8(body).unwrap()
}
