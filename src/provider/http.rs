//! Asks a provider, and nobody else: each call has a limit in time, in length and in number.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rocket::tokio::sync::Semaphore;
use rocket::tokio::task::spawn_blocking;
use rocket::tokio::time::{Instant, timeout_at};
use serde::de::DeserializeOwned;
use ureq::config::Config as AgentConfig;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, http::Response};
use url::Url;
use zeroize::Zeroizing;

use super::Trouble;

/// How long all calls for one request may take together.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer, in bytes.
const LONGEST_ANSWER: u64 = 256 * 1024;

/// The most calls to one provider at the same time. A provider that is silent keeps no more of the
/// runtime's blocking threads.
const PLACES: usize = 8;

/// The most calls that wait for a place. Further ones fail at once.
const QUEUE: usize = 64;

/// The longest excerpt of an answer in a log line, in characters.
const LONGEST_EXCERPT: usize = 120;

/// The certificates of the system, or those that `ureq` brings if the system has none.
static ROOTS: LazyLock<RootCerts> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs().certs;
    match found.is_empty() {
        true => RootCerts::WebPki,
        false => found.iter().map(|der| Certificate::from_der(der).to_owned()).into(),
    }
});

/// Until when all calls for one request must be done.
#[derive(Debug, Clone, Copy)]
pub struct Budget(pub Instant);

impl Budget {
    pub fn of(duration: Duration) -> Self {
        Budget(Instant::now() + duration)
    }

    /// Returns half of what is left, for a call that may fail without harm.
    pub fn half(self) -> Self {
        Self::of(self.left() / 2)
    }

    fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// A question to a provider.
pub struct Question {
    url: Url,
    /// The value of the header `Authorization`.
    authorization: Option<Zeroizing<String>>,
    /// The body, as of a form. `None` asks with `GET`.
    form: Option<Zeroizing<String>>,
}

impl Question {
    pub fn get(url: &Url) -> Self {
        Question { url: url.clone(), authorization: None, form: None }
    }

    pub fn post(url: &Url, form: Zeroizing<String>) -> Self {
        Question { form: Some(form), ..Self::get(url) }
    }

    pub fn authorized(self, authorization: Zeroizing<String>) -> Self {
        Question { authorization: Some(authorization), ..self }
    }
}

/// What a provider has answered.
pub struct Reply {
    pub status: u16,
    /// `None` unless its type is JSON.
    json: Option<Zeroizing<Vec<u8>>>,
}

impl Reply {
    /// Parses the body of an answer with the status 200. `what` names it in the log.
    pub fn good<T: DeserializeOwned>(&self, what: &str) -> Result<T, Trouble> {
        match self.status {
            200 => self.json(what),
            status => Err(Trouble::Down(format!("{what} has the status {status}"))),
        }
    }

    /// Parses the body, whatever the status is.
    pub fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, Trouble> {
        let Some(json) = &self.json else {
            let status = self.status;
            return Err(Trouble::Down(format!("{what} (status {status}) is not JSON by its type")));
        };
        // The error of the parser quotes the answer, which may hold a token.
        serde_json::from_slice(json)
            .map_err(|_| Trouble::Down(format!("{what} has another form than the standard says")))
    }
}

/// Asks one provider.
pub struct Http {
    agent: Agent,
    network: Arc<Network>,
    places: Arc<Semaphore>,
    queue: Semaphore,
}

impl Http {
    /// Asks the provider of the configuration at `home`. `discovery` is where its metadata are, which
    /// may name other hosts. Without it only hosts of the configuration are asked.
    pub fn new(home: &Url, discovery: Option<&Url>) -> Self {
        let is_local = home.scheme() == "http";
        let network = Arc::new(Network {
            home: home.host_str().unwrap_or_default().to_owned(),
            discovery: discovery.map(|url| url.path().to_owned()),
            is_private: AtomicBool::new(false),
            seen_private: AtomicBool::new(false),
        });
        let roots = if is_local { RootCerts::WebPki } else { ROOTS.clone() };
        let config = AgentConfig::builder()
            .https_only(!is_local)
            .http_status_as_error(false)
            // A redirect could lead to any address, the machine's own included.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy from the environment would connect in our place, and past our check of the
            // address.
            .proxy(None)
            // A connection that is kept may be dead by the time it is needed, and log-ins are rare.
            .max_idle_connections(0)
            .user_agent(concat!("rocket-login/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let resolver = Checked { network: network.clone(), inner: DefaultResolver::default() };
        Http {
            agent: Agent::with_parts(config, DefaultConnector::default(), resolver),
            network,
            places: Arc::new(Semaphore::new(PLACES)),
            queue: Semaphore::new(QUEUE),
        }
    }

    /// Asks the provider.
    ///
    /// # Errors
    ///
    /// Returns `Down` if there is no whole answer within the budget, or if too many others ask.
    pub async fn ask(&self, question: Question, budget: Budget) -> Result<Reply, Trouble> {
        let place = shown(&question.url);
        let late = || Trouble::Down(format!("{place} does not answer in time"));
        let turn = {
            let Ok(_waiting) = self.queue.try_acquire() else {
                return Err(Trouble::Down("too many log-ins wait for its answers".into()));
            };
            let turn = timeout_at(budget.0, self.places.clone().acquire_owned()).await;
            turn.map_err(|_| late())?
        };
        let agent = self.agent.clone();
        let answer = spawn_blocking(move || {
            // The place is free again only if the thread is, even if nobody waits any more.
            let _turn = turn;
            call(&agent, &question, budget)
        });
        match timeout_at(budget.0, answer).await {
            Ok(Ok(Ok(reply))) => Ok(reply),
            Ok(Ok(Err(error))) => Err(Trouble::Down(format!("{place} {}", in_words(&error)))),
            Ok(Err(_)) | Err(_) => Err(late()),
        }
    }

    /// Keeps where the metadata came from, which decides which addresses may be asked from now on.
    pub fn believe(&self) {
        let seen = self.network.seen_private.load(Ordering::SeqCst);
        self.network.is_private.store(seen, Ordering::SeqCst);
    }
}

/// Asks, and waits for the whole answer. This blocks.
fn call(agent: &Agent, question: &Question, budget: Budget) -> Result<Reply, ureq::Error> {
    let (url, left) = (question.url.as_str(), Some(budget.left()));
    let authorization =
        question.authorization.iter().map(|value| ("Authorization", value.as_str()));
    let answer = match &question.form {
        Some(form) => {
            let ask = agent.post(url).config().timeout_global(left).build();
            let ask = ask.header("Content-Type", "application/x-www-form-urlencoded");
            let ask = authorization.fold(ask, |ask, (name, value)| ask.header(name, value));
            ask.send(form.as_str())
        }
        None => {
            let ask = agent.get(url).config().timeout_global(left).build();
            let ask = authorization.fold(ask, |ask, (name, value)| ask.header(name, value));
            ask.call()
        }
    };
    read(answer?)
}

fn read(mut answer: Response<Body>) -> Result<Reply, ureq::Error> {
    let status = answer.status().as_u16();
    let is_json = answer.body().mime_type().is_some_and(is_json);
    if !is_json {
        return Ok(Reply { status, json: None });
    }
    let body = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec()?;
    Ok(Reply { status, json: Some(Zeroizing::new(body)) })
}

/// Returns whether a media type, without its parameters, is one of JSON.
fn is_json(kind: &str) -> bool {
    let kind = kind.trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "does not answer in time".into(),
        ureq::Error::HostNotFound => "cannot be reached: there is no such host".into(),
        ureq::Error::BodyExceedsLimit(_) => {
            format!("answers with more than {} KiB", LONGEST_ANSWER / 1024)
        }
        ureq::Error::Other(refused) if refused.is::<Refused>() => refused.to_string(),
        error => format!("cannot be reached: {error}"),
    }
}

/// Returns an address for the log, without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// Returns the beginning of what others have sent, for the log: printable, and on one line.
pub fn excerpt(text: &str) -> String {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(LONGEST_EXCERPT).map(printable).collect()
}

/// Which addresses may be asked.
#[derive(Debug)]
struct Network {
    /// The host of the configuration.
    home: String,
    /// The path of the metadata at that host. `None` means that every host that is asked is one of
    /// the configuration.
    discovery: Option<String>,
    /// The metadata that are believed came from a private address.
    is_private: AtomicBool,
    /// The metadata that were asked for last came from a private address.
    seen_private: AtomicBool,
}

impl Network {
    /// Returns those of `found` that may be asked for `uri`.
    ///
    /// A provider must not make this server ask other machines in its own network, so its metadata
    /// may name private addresses only if they came from one. The addresses that are checked here are
    /// those that are connected to: a name that resolves differently the next time changes nothing.
    fn permitted(&self, uri: &Uri, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refused> {
        if uri.scheme_str() == Some("http") {
            // It is on this machine, for tests and for development: elsewhere anybody could listen.
            return some(found, |address| address.to_canonical().is_loopback());
        }
        let Some(discovery) = &self.discovery else { return Ok(found) };
        if uri.host() == Some(&self.home) && uri.path() == discovery {
            let public = some(found.clone(), is_public);
            self.seen_private.store(public.is_err(), Ordering::SeqCst);
            return public.or(Ok(found));
        }
        match self.is_private.load(Ordering::SeqCst) {
            true => Ok(found),
            false => some(found, is_public),
        }
    }
}

fn some(found: Vec<IpAddr>, is_good: fn(&IpAddr) -> bool) -> Result<Vec<IpAddr>, Refused> {
    let good: Vec<_> = found.into_iter().filter(is_good).collect();
    if good.is_empty() { Err(Refused) } else { Ok(good) }
}

/// An address is not one that this provider may name.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not asked: it has a private address, and its issuer has a public one")
    }
}

impl std::error::Error for Refused {}

/// Resolves names, and leaves out the addresses that may not be asked.
#[derive(Debug)]
struct Checked {
    network: Arc<Network>,
    inner: DefaultResolver,
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &Uri,
        config: &AgentConfig,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let addresses = found.iter().map(|socket| socket.ip()).collect();
        let permitted = self.network.permitted(uri, addresses);
        let permitted = permitted.map_err(|refused| ureq::Error::Other(Box::new(refused)))?;
        let mut left = self.empty();
        for socket in found.iter().filter(|socket| permitted.contains(&socket.ip())) {
            left.push(*socket);
        }
        Ok(left)
    }
}

/// Returns whether an address is one of the public internet.
fn is_public(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // "This network", carrier-grade NAT, protocol assignments, benchmarks, reserved.
        (0 | 240.., _, _) | (100, 64..128, _) | (192, 0, 0) | (198, 18..20, _) => true,
        _ => address.is_private() || address.is_loopback() || address.is_link_local(),
    };
    !is_special && !address.is_multicast() && !address.is_documentation()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // Addresses of version 4 in others: translated (RFC 6052), and 6to4.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => embedded(g, h),
        (0x2002, high) => embedded(high, c),
        (0x2001, 0xdb8 | 0) => false,
        // All that is assigned to the public internet.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(discovery: Option<&str>) -> Network {
        Network {
            home: "login.example.org".into(),
            discovery: discovery.map(str::to_owned),
            is_private: AtomicBool::new(false),
            seen_private: AtomicBool::new(false),
        }
    }

    fn permits(network: &Network, uri: &str, address: &str) -> bool {
        network.permitted(&uri.parse().unwrap(), vec![address.parse().unwrap()]).is_ok()
    }

    #[test]
    fn addresses_of_the_public_internet_are_told_from_others() {
        for public in ["1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"]
        {
            assert!(is_public(&public.parse().unwrap()), "{public}");
        }
        let private = "0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.168.0.1 \
                       192.0.0.8 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 \
                       ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::7f00:1 fc00::1 fd12::1 fe80::1 fec0::1 \
                       ff02::1 64:ff9b::7f00:1 64:ff9b:1::1 2001:db8::1 2001::1 2002:7f00:1::1";
        for private in private.split_whitespace() {
            assert!(!is_public(&private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn a_public_provider_names_no_private_address() {
        let network = network(Some("/.well-known/x"));
        let (token, home) = ("https://token.example.org/t", "https://login.example.org/t");
        for uri in [token, home, "https://10.0.0.1/t", "https://[::1]/t"] {
            assert!(!permits(&network, uri, "10.0.0.1"), "{uri}");
            assert!(permits(&network, uri, "1.1.1.1"), "{uri}");
        }
    }

    #[test]
    fn a_provider_of_the_own_network_names_others_there() {
        let network = network(Some("/.well-known/x"));
        assert!(permits(&network, "https://login.example.org/.well-known/x", "10.0.0.1"));
        // Its metadata have to be good first.
        assert!(!permits(&network, "https://token.example.org/t", "10.0.0.2"));
        network.is_private.store(network.seen_private.load(Ordering::SeqCst), Ordering::SeqCst);
        assert!(permits(&network, "https://token.example.org/t", "10.0.0.2"));

        assert!(permits(&network, "https://login.example.org/.well-known/x", "1.1.1.1"));
        assert!(!network.seen_private.load(Ordering::SeqCst));
    }

    #[test]
    fn hosts_of_the_configuration_have_any_address() {
        let network = network(None);
        assert!(permits(&network, "https://github.example.org/t", "10.0.0.1"));
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for discovery in [Some("/.well-known/x"), None] {
            let network = network(discovery);
            assert!(permits(&network, "http://localhost/.well-known/x", "127.0.0.1"));
            assert!(!permits(&network, "http://localhost/.well-known/x", "10.0.0.1"));
            assert!(!permits(&network, "http://localhost/.well-known/x", "1.1.1.1"));
        }
    }

    #[test]
    fn types_of_json_are_told_from_others() {
        for json in ["application/json", "Application/JSON", "application/jwk-set+json"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["text/html", "text/json", "application/jsonp", "application/jwt", ""] {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn an_excerpt_is_short_and_on_one_line() {
        let hostile = "\u{1b}[2Jinvalid\r\nfaked line\u{202e}".to_owned() + &"x".repeat(500);
        let shown = excerpt(&hostile);
        assert!(shown.len() == LONGEST_EXCERPT && !shown.contains(char::is_control), "{shown}");
    }
}
