//! An OpenID provider inside the tests' process, which lies as it is told. It plays GitHub as well.

mod http;
mod keys;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use base64::prelude::{BASE64_STANDARD, Engine};
use rocket_login::Clock;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256, Sha512};
use url::{Url, form_urlencoded};

use http::{Reply, Request};
use keys::{Keys, encoded, random};

pub use http::Fault;
pub use keys::Signing;

pub const CLIENT: &str = "site";

/// It has characters that each way to send it must encode.
pub const SECRET: &str = "a:secret/with+signs & 100%";

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const KEYS: &str = "/keys";
pub const AUTHORIZE: &str = "/authorize";
pub const TOKEN: &str = "/token";
pub const USER_INFO: &str = "/userinfo";
pub const END_SESSION: &str = "/end-session";
pub const GITHUB_AUTHORIZE: &str = "/login/oauth/authorize";
pub const GITHUB_TOKEN: &str = "/login/oauth/access_token";
pub const GITHUB_USER: &str = "/user";
pub const GITHUB_EMAILS: &str = "/user/emails";

/// A part of what the provider says, in which it can lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The discovery document.
    Metadata,
    /// The list of keys.
    Keys,
    /// The query with which the browser comes back.
    Answer,
    /// What the token endpoint answers.
    Token,
    /// The header of the id token.
    Header,
    /// The claims of the id token.
    Claims,
    /// What the userinfo endpoint answers.
    UserInfo,
    /// What GitHub says of the user.
    GitHubUser,
}

/// A provider, which stops when it is dropped.
pub struct Liar {
    origin: String,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The person in front of the provider's page.
#[derive(Clone)]
struct Person {
    subject: String,
    email: String,
}

/// What a code stands for.
struct Grant {
    person: Person,
    asked: BTreeMap<String, String>,
    sid: String,
    logged_in_at: i64,
}

struct State {
    origin: String,
    clock: Clock,
    person: Person,
    keys: Keys,
    signing: Signing,
    /// `true` if only the userinfo endpoint knows the address, as in `oidc-provider`.
    is_email_at_user_info: bool,
    /// What replaces the truth, by part. `None` takes it away.
    lies: HashMap<Part, BTreeMap<String, Option<Value>>>,
    emails: Option<Value>,
    faults: HashMap<String, Fault>,
    counts: HashMap<String, usize>,
    /// The fields of the latest request to log somebody in.
    asked: BTreeMap<String, String>,
    /// The codes that are good, each once.
    grants: HashMap<String, Grant>,
    access: HashMap<String, Person>,
    sid: String,
    id_token: String,
}

impl Liar {
    /// Starts an honest one. Ada is in front of its page, with the subject `1001` and a verified address.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let origin = format!("http://{address}");
        let state = Arc::new(Mutex::new(State::new(origin.clone())));
        let shared = state.clone();
        let handle = move |request: &Request| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).handle(request)
        };
        let is_stopped = Arc::new(AtomicBool::new(false));
        let thread = Some(http::serve(listener, is_stopped.clone(), Arc::new(handle)));
        Liar { origin, address, state, is_stopped, thread }
    }

    /// Lets it tell the time by the clock of a test's site instead of the system's.
    pub fn follow(&self, clock: &Clock) {
        self.state().clock = clock.clone();
    }

    /// The issuer, and GitHub's address and API.
    pub fn issuer(&self) -> &str {
        &self.origin
    }

    /// Puts somebody else in front of the page, with a verified address. A subject of GitHub is a number.
    pub fn is(&self, subject: &str, email: &str) {
        self.state().person = Person { subject: subject.into(), email: email.into() };
    }

    /// Says `value` for the member `name` of `part` from now on.
    pub fn says(&self, part: Part, name: &str, value: impl Into<Value>) {
        let mut state = self.state();
        state.lies.entry(part).or_default().insert(name.into(), Some(value.into()));
    }

    /// Leaves the member `name` of `part` out from now on.
    pub fn omits(&self, part: Part, name: &str) {
        self.state().lies.entry(part).or_default().insert(name.into(), None);
    }

    /// Signs in this way from now on.
    pub fn signs(&self, signing: Signing) {
        self.state().signing = signing;
    }

    /// Tells the address at the userinfo endpoint alone from now on.
    pub fn tells_email_at_user_info(&self) {
        self.state().is_email_at_user_info = true;
    }

    /// Answers badly at `path` from now on.
    pub fn fails(&self, path: &str, fault: Fault) {
        self.state().faults.insert(path.into(), fault);
    }

    /// Answers badly at all paths that a site asks from now on.
    pub fn fails_everywhere(&self, fault: &Fault) {
        let github = [GITHUB_TOKEN, GITHUB_USER, GITHUB_EMAILS];
        for path in [DISCOVERY, KEYS, TOKEN, USER_INFO].into_iter().chain(github) {
            self.fails(path, fault.clone());
        }
    }

    /// Replaces the addresses that GitHub lists.
    pub fn lists_emails(&self, emails: Value) {
        self.state().emails = Some(emails);
    }

    /// Signs with a new key under a new name from now on, and forgets the old one.
    pub fn rotates(&self) {
        self.state().keys.rotate();
    }

    /// Lists a stranger's key under the name of its own, before it.
    pub fn doubles_kid(&self) {
        let mut state = self.state();
        let mut keys = state.keys.public();
        let namesake = state.keys.namesake();
        keys["keys"].as_array_mut().unwrap().insert(0, namesake);
        state.lies.entry(Part::Keys).or_default().insert("keys".into(), Some(keys["keys"].take()));
    }

    /// Tells the truth again, and answers well.
    pub fn is_honest(&self) {
        let mut state = self.state();
        state.lies.clear();
        state.faults.clear();
        state.signing = Signing::Es256;
        state.is_email_at_user_info = false;
        state.emails = None;
    }

    /// How many requests have come to `path`.
    pub fn count(&self, path: &str) -> usize {
        self.state().counts.get(path).copied().unwrap_or(0)
    }

    /// How many requests have come at all.
    pub fn count_all(&self) -> usize {
        self.state().counts.values().sum()
    }

    /// The fields of the latest request to log somebody in.
    pub fn asked(&self) -> BTreeMap<String, String> {
        self.state().asked.clone()
    }

    /// The provider's session of the latest log-in.
    pub fn sid(&self) -> String {
        self.state().sid.clone()
    }

    /// The latest id token.
    pub fn id_token(&self) -> String {
        self.state().id_token.clone()
    }

    /// Does what a browser and a person do at `location`, to which the site has sent them. Returns the
    /// path and the query to which the provider sends them back.
    ///
    /// # Panics
    ///
    /// Panics if `location` is not at this provider, or lacks what the site must send.
    #[track_caller]
    pub fn answer(&self, location: &str) -> String {
        let asked = location.strip_prefix(&self.origin).expect("an address of this provider");
        let (path, query) = asked.split_once('?').expect("a query");
        let back = self.state().authorize(path, http::fields(query));
        local(&back.expect("a right request to log somebody in"))
    }

    /// Says no at `location`, and returns where that leads, as [`answer()`](Self::answer()) does.
    pub fn deny(&self, location: &str, error: &str) -> String {
        let asked: BTreeMap<_, _> =
            Url::parse(location).unwrap().query_pairs().into_owned().collect();
        let mut query = BTreeMap::from([("error", error), ("state", &*asked["state"])]);
        if location.contains(AUTHORIZE) && !location.contains(GITHUB_AUTHORIZE) {
            query.insert("iss", &self.origin);
        }
        local(&with_query(&asked["redirect_uri"], query))
    }

    /// Returns a logout token. The members of `claims` replace or complete the usual ones, which name
    /// neither a subject nor a session; `null` takes one away.
    pub fn log_out_token(&self, claims: &Value) -> String {
        let (origin, now) = (self.origin.clone(), self.state().clock.now());
        let mut whole = json!({
            "iss": origin, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": random(),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        merge(&mut whole, claims);
        self.signed(&json!({ "typ": "logout+jwt" }), &whole)
    }

    /// Signs `claims` as it does now. The members of `header` replace or complete the usual ones; `null`
    /// takes one away.
    pub fn signed(&self, header: &Value, claims: &Value) -> String {
        let state = self.state();
        state.keys.sign(state.signing, header, claims)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn new(origin: String) -> Self {
        State {
            origin,
            clock: Clock::system(),
            person: Person { subject: "1001".into(), email: "ada@example.org".into() },
            keys: Keys::new(),
            signing: Signing::Es256,
            is_email_at_user_info: false,
            lies: HashMap::new(),
            emails: None,
            faults: HashMap::new(),
            counts: HashMap::new(),
            asked: BTreeMap::new(),
            grants: HashMap::new(),
            access: HashMap::new(),
            sid: String::new(),
            id_token: String::new(),
        }
    }

    fn handle(&mut self, request: &Request) -> Reply {
        *self.counts.entry(request.path.clone()).or_default() += 1;
        let mut reply = match (&*request.method, &*request.path) {
            ("GET", DISCOVERY) => Reply::json(200, &self.metadata()),
            ("GET", KEYS) => Reply::json(200, &self.lied(Part::Keys, self.keys.public())),
            ("GET", AUTHORIZE | GITHUB_AUTHORIZE) => {
                match self.authorize(&request.path, request.query.clone()) {
                    Ok(back) => Reply::redirect(back),
                    Err(missing) => Reply::text(400, "text/plain", missing),
                }
            }
            ("POST", TOKEN) => self.token(request),
            ("GET", USER_INFO) => self.user_info(request),
            ("GET", END_SESSION) => match request.query.get("post_logout_redirect_uri") {
                Some(back) => Reply::redirect(back.clone()),
                None => Reply::text(200, "text/html", "<p>You are logged out.".into()),
            },
            ("POST", GITHUB_TOKEN) => self.github_token(request),
            ("GET", GITHUB_USER | GITHUB_EMAILS) => self.github(request),
            _ => Reply::text(404, "text/plain", "Not found".into()),
        };
        reply.fault = self.faults.get(&request.path).cloned();
        reply
    }

    /// Returns `truth` with the lies of `part`.
    fn lied(&self, part: Part, mut truth: Value) -> Value {
        let members = truth.as_object_mut().expect("an object");
        for (name, value) in self.lies.get(&part).into_iter().flatten() {
            match value {
                Some(value) => members.insert(name.clone(), value.clone()),
                None => members.remove(name),
            };
        }
        truth
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.origin);
        let truth = json!({
            "issuer": self.origin,
            "authorization_endpoint": at(AUTHORIZE),
            "token_endpoint": at(TOKEN),
            "userinfo_endpoint": at(USER_INFO),
            "jwks_uri": at(KEYS),
            "end_session_endpoint": at(END_SESSION),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email"],
            "authorization_response_iss_parameter_supported": true,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
        });
        self.lied(Part::Metadata, truth)
    }

    /// Returns the address to which the browser is sent back.
    ///
    /// # Errors
    ///
    /// Says what the request lacks.
    fn authorize(&mut self, path: &str, asked: BTreeMap<String, String>) -> Result<String, String> {
        let field = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
        let is_github = path == GITHUB_AUTHORIZE;
        let is_right = [
            ("path", is_github || path == AUTHORIZE),
            ("client_id", field("client_id") == CLIENT),
            ("response_type", is_github || field("response_type") == "code"),
            ("scope", is_github || field("scope").split(' ').any(|scope| scope == "openid")),
            ("state", field("state").len() >= 22),
            ("nonce", is_github || field("nonce").len() >= 22),
            ("code_challenge", is_github || field("code_challenge").len() == 43),
            ("code_challenge_method", is_github || field("code_challenge_method") == "S256"),
            ("redirect_uri", field("redirect_uri").ends_with("/callback")),
        ];
        if let Some((name, _)) = is_right.into_iter().find(|(_, is_right)| !is_right) {
            return Err(format!("{name} is wrong in {asked:?}"));
        }
        let now = self.clock.now();
        let is_asked_again = field("prompt") == "login" || field("max_age") == "0";
        let logged_in_at = if is_asked_again { now } else { now - 3600 };
        let (code, sid) = (random(), random());
        let mut answer = json!({ "code": code, "state": field("state") });
        if !is_github {
            answer["iss"] = Value::String(self.origin.clone());
        }
        let answer = self.lied(Part::Answer, answer);
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let answer = answer.as_object().unwrap().iter();
        let answer: Vec<_> = answer.map(|(name, value)| (name.clone(), text(value))).collect();
        let back = with_query(field("redirect_uri"), answer);
        self.sid.clone_from(&sid);
        self.asked.clone_from(&asked);
        let person = self.person.clone();
        self.grants.insert(code, Grant { person, asked, sid, logged_in_at });
        Ok(back)
    }

    /// Takes the grant of a code away, if client, verifier and callback are right.
    fn redeem(&mut self, request: &Request) -> Result<Grant, &'static str> {
        let field = |name: &str| request.form.get(name).map(String::as_str).unwrap_or_default();
        if !is_client(request) {
            return Err("invalid_client");
        }
        let grant = self.grants.remove(field("code")).ok_or("invalid_grant")?;
        let challenge = encoded(Sha256::digest(field("code_verifier")));
        let is_right = grant.asked.get("code_challenge").is_none_or(|asked| *asked == challenge)
            && grant.asked["redirect_uri"] == field("redirect_uri");
        is_right.then_some(grant).ok_or("invalid_grant")
    }

    fn token(&mut self, request: &Request) -> Reply {
        if request.form.get("grant_type").is_none_or(|kind| kind != "authorization_code") {
            return Reply::json(400, &json!({ "error": "unsupported_grant_type" }));
        }
        let grant = match self.redeem(request) {
            Ok(grant) => grant,
            Err(error) => {
                let status = if error == "invalid_client" { 401 } else { 400 };
                return Reply::json(status, &json!({ "error": error }));
            }
        };
        let access = random();
        let header = self.lied(Part::Header, json!({}));
        let claims = self.lied(Part::Claims, self.claims(&grant, &access));
        self.id_token = self.keys.sign(self.signing, &header, &claims);
        self.access.insert(access.clone(), grant.person);
        let truth = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": 300,
            "id_token": self.id_token,
        });
        Reply::json(200, &self.lied(Part::Token, truth))
    }

    fn claims(&self, grant: &Grant, access: &str) -> Value {
        let now = self.clock.now();
        let mut claims = json!({
            "iss": self.origin, "sub": grant.person.subject, "aud": CLIENT,
            "iat": now, "exp": now + 300, "nonce": grant.asked["nonce"], "sid": grant.sid,
            "at_hash": self.hash_of(access),
        });
        if grant.asked.contains_key("max_age") {
            claims["auth_time"] = json!(grant.logged_in_at);
        }
        if !self.is_email_at_user_info {
            claims["email"] = json!(grant.person.email);
            claims["email_verified"] = json!(true);
        }
        claims
    }

    /// The left half of the token's hash, of the kind that the signature has.
    fn hash_of(&self, access: &str) -> String {
        match self.signing {
            Signing::EdDsa => encoded(&Sha512::digest(access)[..32]),
            _ => encoded(&Sha256::digest(access)[..16]),
        }
    }

    fn bearer(&self, request: &Request) -> Option<Person> {
        let token = request.headers.get("authorization")?.strip_prefix("Bearer ")?;
        self.access.get(token).cloned()
    }

    fn user_info(&self, request: &Request) -> Reply {
        let Some(person) = self.bearer(request) else {
            return Reply::json(401, &json!({ "error": "invalid_token" }));
        };
        let truth = json!({ "sub": person.subject, "email": person.email, "email_verified": true });
        Reply::json(200, &self.lied(Part::UserInfo, truth))
    }

    /// GitHub answers with a form unless it is asked for JSON, and mistakes with 200.
    fn github_token(&mut self, request: &Request) -> Reply {
        let answer = match self.redeem(request) {
            Ok(grant) => {
                let access = random();
                self.access.insert(access.clone(), grant.person);
                let truth = json!({ "access_token": access, "token_type": "bearer", "scope": "user:email" });
                self.lied(Part::Token, truth)
            }
            Err("invalid_client") => json!({ "error": "incorrect_client_credentials" }),
            Err(_) => json!({ "error": "bad_verification_code" }),
        };
        match request.headers.get("accept").is_some_and(|kinds| kinds.contains("json")) {
            true => Reply::json(200, &answer),
            false => Reply::text(200, "application/x-www-form-urlencoded", "error=no+JSON".into()),
        }
    }

    /// GitHub's API refuses programs that do not say who they are.
    fn github(&self, request: &Request) -> Reply {
        if request.headers.get("user-agent").is_none_or(String::is_empty) {
            return Reply::json(403, &json!({ "message": "Request forbidden" }));
        }
        let Some(person) = self.bearer(request) else {
            return Reply::json(401, &json!({ "message": "Bad credentials" }));
        };
        if request.path == GITHUB_USER {
            let id: u64 = person.subject.parse().expect("a number");
            let truth = json!({ "id": id, "login": format!("user-{id}"), "email": null });
            return Reply::json(200, &self.lied(Part::GitHubUser, truth));
        }
        let truth = json!([
            { "email": "private@users.example.org", "primary": false, "verified": true,
              "visibility": null },
            { "email": person.email, "primary": true, "verified": true, "visibility": "private" },
        ]);
        Reply::json(200, self.emails.as_ref().unwrap_or(&truth))
    }
}

/// Returns `true` if the site has given the id and the secret of the client, in one of the two ways.
fn is_client(request: &Request) -> bool {
    let field = |name: &str| request.form.get(name).map(String::as_str);
    let right = (Some(CLIENT), Some(SECRET));
    let Some(given) = request.headers.get("authorization") else {
        return (field("client_id"), field("client_secret")) == right;
    };
    let Some(given) = given.strip_prefix("Basic ") else { return false };
    let given = BASE64_STANDARD.decode(given).unwrap_or_default();
    let given = String::from_utf8(given).unwrap_or_default();
    // RFC 6749, section 2.3.1: both are encoded like a form. And only one way may be used.
    let decoded = |text: &str| http::fields(&format!("x={text}")).remove("x");
    let (id, secret) = given.split_once(':').unwrap_or_default();
    let (id, secret) = (decoded(id), decoded(secret));
    (id.as_deref(), secret.as_deref()) == right && field("client_secret").is_none()
}

/// Puts the members of `more` into `whole`. `null` takes one away.
fn merge(whole: &mut Value, more: &Value) {
    let nothing = Map::new();
    let members = whole.as_object_mut().expect("an object");
    for (name, value) in more.as_object().unwrap_or(&nothing) {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
}

fn with_query<N: AsRef<str>, V: AsRef<str>>(
    address: &str,
    query: impl IntoIterator<Item = (N, V)>,
) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{address}?{query}")
}

/// Returns the path and the query of an address.
fn local(address: &str) -> String {
    let url = Url::parse(address).expect("an address");
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}
