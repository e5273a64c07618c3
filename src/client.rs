//! The origin of a request, as far as it can be trusted.

#[cfg(feature = "pages")]
mod device_name;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Once;

use ipnet::IpNet;
use rocket::Request;

#[cfg(feature = "pages")]
pub use device_name::{device_name, is_operator};

/// The longest user agent that is kept, in characters. Browsers send 100 to 200; a longer value is
/// somebody's test.
const MAX_USER_AGENT_LENGTH: usize = 255;

/// The number of characters of an unreadable entry that the log quotes.
const LONGEST_QUOTE: usize = 60;

/// The address and the program that sent a request.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// `None` means that the address is unknown, as on a Unix socket, or if a trusted proxy does
    /// not name it.
    address: Option<IpAddr>,
    /// The browser's own description of itself. It can be any text, but it has a bounded length and
    /// no control characters.
    pub user_agent: String,
}

impl Client {
    /// Returns the client of `request`. It believes `X-Forwarded-For` only if a proxy in
    /// `trusted_proxies` wrote it.
    pub fn of(request: &Request<'_>, trusted_proxies: &[IpNet]) -> Self {
        let agent = request.headers().get_one("User-Agent").unwrap_or_default();
        let (address, doubt) = address(request, trusted_proxies);
        if let Some(doubt) = doubt {
            doubt.warn();
        }
        Client {
            address,
            user_agent: agent
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_USER_AGENT_LENGTH)
                .collect(),
        }
    }

    /// Returns the IP address as text, or an empty text if it is unknown.
    pub fn ip_address(&self) -> String {
        self.address.map_or_else(String::new, |ip| ip.to_string())
    }

    /// Returns the network of one subscriber: the IPv4 address, or the /64 around an IPv6 address.
    /// The text is empty if the address is unknown.
    pub fn network(&self) -> String {
        self.address.map_or_else(String::new, |ip| network(ip).to_string())
    }
}

/// A reason why the address may not be the visitor's.
#[derive(Debug, PartialEq, Eq)]
enum Doubt {
    /// A proxy that is not configured passes the requests on. All visitors then have one address,
    /// and share the limits of one visitor.
    Unnamed(IpAddr),
    /// A trusted proxy has written an entry that is not an address.
    Unreadable(String),
}

impl Doubt {
    /// Logs the warning. Each kind is logged once per process.
    fn warn(&self) {
        static UNNAMED: Once = Once::new();
        static UNREADABLE: Once = Once::new();

        let once = match self {
            Doubt::Unnamed(_) => &UNNAMED,
            Doubt::Unreadable(_) => &UNREADABLE,
        };
        once.call_once(|| log::warn!("{self}"));
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Unnamed(proxy) => write!(
                f,
                "site.trusted_proxies: requests come through {proxy}, which is not listed there, \
                 so all visitors share one address and its limits; add the proxy's address"
            ),
            Doubt::Unreadable(entry) => {
                let quoted: String = entry.chars().take(LONGEST_QUOTE).collect();
                write!(
                    f,
                    "X-Forwarded-For: a trusted proxy wrote {quoted:?}, which is not an address; \
                     such a visitor's address is unknown, so no limit by address applies to them"
                )
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// Returns the address of the visitor, and a doubt about it if there is one.
///
/// It is the socket's address, unless that belongs to a trusted proxy. Then it is the right-most
/// entry of `X-Forwarded-For` that is not itself a trusted proxy. The client may have written all
/// entries left of it, so a forged header changes nothing.
///
/// If that entry cannot be read, the address is unknown. The proxy's own address would be shared by
/// everybody, so a hundred wrong passwords would lock everybody out. The entries further left may
/// be forged.
fn address(request: &Request<'_>, trusted_proxies: &[IpNet]) -> (Option<IpAddr>, Option<Doubt>) {
    let trusted = |ip: &IpAddr| trusted_proxies.iter().any(|network| network.contains(ip));
    let Some(peer) = request.remote() else { return (None, None) };
    let mut address = peer.ip().to_canonical();
    let entries = request.headers().get("X-Forwarded-For").flat_map(|header| header.split(','));
    for entry in entries.collect::<Vec<_>>().into_iter().rev() {
        if !trusted(&address) {
            // There is no doubt about a visitor in a local network whom a trusted proxy names,
            // because no entry is left of theirs.
            return (Some(address), is_local(address).then_some(Doubt::Unnamed(address)));
        }
        match read(entry) {
            Some(ip) => address = ip,
            None => return (None, Some(Doubt::Unreadable(entry.trim().to_owned()))),
        }
    }
    (Some(address), None)
}

fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Reads the address in an entry of `X-Forwarded-For`, in each form that proxies write: bare, or as
/// a `node` of RFC 7239, section 6, which may have a port and quotation marks: `203.0.113.9:51234`,
/// `"[2001:db8::9]:443"`. `None` means that the entry is not an address, such as `unknown` or
/// `_hidden`.
fn read(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let quoted = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let node = quoted.unwrap_or(entry);
    let address = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
                return None;
            }
            return read_v6(address);
        }
        // In an IPv6 address without brackets, the text after a colon is not a port.
        None => match node.split_once(':') {
            Some((address, port)) if is_port(port) && address.contains('.') => address,
            _ => node,
        },
    };
    match address.parse::<IpAddr>() {
        Ok(ip) => Some(ip.to_canonical()),
        Err(_) => read_v6(address),
    }
}

/// Reads an IPv6 address. It drops the zone that may follow, which has a meaning only on the host
/// that wrote it.
fn read_v6(address: &str) -> Option<IpAddr> {
    let (address, _zone) = address.split_once('%').unwrap_or((address, ""));
    address.parse::<Ipv6Addr>().ok().map(|v6| IpAddr::from(v6).to_canonical())
}

/// Returns whether `text` is a port, or an obfuscated one (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(all(test, feature = "pages"))]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{TestCaseResult, TestRunner};
    use rocket::config::LogLevel;
    use rocket::local::blocking::Client as LocalClient;

    use super::device_name::OPERATOR;
    use super::*;

    #[test]
    fn a_device_has_a_name_that_people_know() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
                 Gecko) Version/18.1 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 \
                 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                 SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                "Samsung Internet on Android",
            ),
            ("curl/8.5.0", "curl"),
            ("python-requests/2.32.3", "python-requests"),
            ("Go-http-client/2.0", "Go-http-client"),
            ("PostmanRuntime/7.43.0", "PostmanRuntime"),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "Googlebot",
            ),
            ("The operator/1.0", "Unknown device"),
            ("", "Unknown browser"),
            ("something else", "Unknown device"),
            // Mail programs would make links of these.
            ("log-in.example.org/1", "Unknown device"),
            ("800-555-0100/1", "Unknown device"),
            (OPERATOR, "The operator"),
        ] {
            assert_eq!(device_name(agent), name, "{agent}");
        }
    }

    /// Generates user agents of browsers, bots and attackers.
    fn user_agent() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            proptest::sample::select(vec![
                "Mozilla/5.0 ",
                "(Windows NT 10.0; ",
                "(X11; Linux ",
                "(iPhone; CPU ",
                "Android ",
                "Mac OS X ",
                "CrOS ",
                "Chrome/",
                "Firefox/",
                "Safari/",
                "MSIE ",
                "Trident/7.0; ",
                "rv:",
                "OPR/",
                "Edg/",
                "Googlebot/",
                "bot",
                "curl/",
                "Version/",
                "Windows Phone ",
                "DoCoMo/",
                "KDDI-",
                "SoftBank/",
                "UP.Browser/",
                "Nintendo ",
                "PlayStation ",
                "BlackBerry",
                "FreeBSD",
                "compatible; ",
                ")",
                ";",
                "/",
                "<script>",
                "&",
                "\"",
                "'",
                "\t",
                "\toperator",
                "9.9",
                "999999999999999999999",
            ])
            .prop_map(String::from),
            "\\PC{0,8}",
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn is_plain(label: &str) -> bool {
        label.chars().all(|c| c.is_ascii_alphanumeric() || " .-_/()".contains(c))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_user_agent_gets_a_short_plain_name(agent in user_agent()) {
            let label = device_name(&agent);
            prop_assert!(!label.is_empty() && label.len() <= 64, "{}", label);
            prop_assert!(is_plain(&label), "{}", label);
        }
    }

    /// Generates addresses of both kinds, including IPv4 addresses mapped to IPv6.
    fn ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<std::net::Ipv4Addr>().prop_map(IpAddr::V4),
            any::<Ipv6Addr>().prop_map(IpAddr::V6),
            any::<std::net::Ipv4Addr>().prop_map(|v4| v4.to_ipv6_mapped().into()),
        ]
    }

    /// Generates addresses of trusted proxies.
    fn proxy() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 3]>().prop_map(|[b, c, d]| std::net::Ipv4Addr::new(10, b, c, d).into())
    }

    fn of(client: &LocalClient, peer: IpAddr, headers: &[(&'static str, String)]) -> Client {
        let trusted: [IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
        let mut request = client.get("/").remote((peer, 1).into());
        for (name, value) in headers {
            request.add_header(rocket::http::Header::new(*name, value.clone()));
        }
        Client::of(request.inner(), &trusted)
    }

    fn local_client() -> LocalClient {
        let config = rocket::Config { log_level: LogLevel::Off, ..rocket::Config::debug_default() };
        LocalClient::untracked(rocket::custom(config)).unwrap()
    }

    // This does without the macro, so that one client serves all cases.
    fn hold<S: Strategy>(strategy: S, law: impl Fn(&LocalClient, S::Value) -> TestCaseResult) {
        let client = local_client();
        let config =
            ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) };
        let outcome = TestRunner::new(config).run(&strategy, |value| law(&client, value));
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    }

    #[test]
    fn a_user_agent_is_stored_shortened_and_printable() {
        let agent = prop_oneof![user_agent(), any::<String>(), "\\PC{250,300}"];
        hold((ip(), agent), |client, (peer, agent)| {
            let kept = of(client, peer, &[("User-Agent", agent)]).user_agent;
            prop_assert!(kept.chars().count() <= MAX_USER_AGENT_LENGTH);
            prop_assert!(!kept.contains(char::is_control) && kept != OPERATOR);
            Ok(())
        });
    }

    #[test]
    fn a_forwarded_header_from_an_untrusted_peer_changes_nothing() {
        hold((ip(), any::<String>(), ip()), |client, (peer, forged, ip)| {
            prop_assume!(!matches!(peer.to_canonical(), IpAddr::V4(v4) if v4.octets()[0] == 10));
            for forged in [forged, ip.to_string()] {
                let found = of(client, peer, &[("X-Forwarded-For", forged)]).address;
                prop_assert_eq!(found, Some(peer.to_canonical()));
            }
            Ok(())
        });
    }

    #[test]
    fn entries_left_of_the_rightmost_untrusted_address_change_nothing() {
        let garbage =
            prop_oneof!["[ -~]{0,40}", any::<String>(), ip().prop_map(|ip| ip.to_string())];
        let proxies = proptest::collection::vec(proxy(), 0..4);
        let strategy = (proxy(), ip(), proxies, garbage, any::<bool>());
        hold(strategy, |client, (peer, visitor, proxies, forged, is_one_header)| {
            let visitor = visitor.to_canonical();
            prop_assume!(!matches!(visitor, IpAddr::V4(v4) if v4.octets()[0] == 10));
            let entries = [visitor].into_iter().chain(proxies);
            let entries: Vec<String> = entries.map(|ip| ip.to_string()).collect();
            let honest = entries.join(", ");
            let headers = match is_one_header {
                true => vec![("X-Forwarded-For", format!("{forged},{honest}"))],
                false => vec![("X-Forwarded-For", forged), ("X-Forwarded-For", honest)],
            };
            prop_assert_eq!(of(client, peer, &headers).address, Some(visitor));
            Ok(())
        });
    }

    /// Returns the forms in which proxies write an address.
    fn written(ip: IpAddr) -> Vec<String> {
        match ip {
            IpAddr::V4(v4) => vec![
                format!("{v4}"),
                format!("{v4}:51234"),
                format!("\"{v4}:51234\""),
                format!("{v4}:_hidden.port-1"),
                format!("::ffff:{v4}"),
                format!("[::ffff:{v4}]:443"),
            ],
            IpAddr::V6(v6) => vec![
                format!("{v6}"),
                format!("[{v6}]"),
                format!("[{v6}]:443"),
                format!("\"[{v6}]:443\""),
                format!("\"[{v6}]\""),
                format!("[{v6}]:_x"),
                format!("{v6}%eth0"),
                format!("[{v6}%25eth0]:443"),
            ],
        }
    }

    #[test]
    fn ports_brackets_quotation_marks_and_zones_are_understood() {
        hold((proxy(), ip()), |client, (peer, visitor)| {
            let visitor = visitor.to_canonical();
            prop_assume!(!matches!(visitor, IpAddr::V4(v4) if v4.octets()[0] == 10));
            for entry in written(visitor) {
                let headers = [("X-Forwarded-For", format!("6.6.6.6, {entry}"))];
                let found = of(client, peer, &headers).address;
                prop_assert_eq!(found, Some(visitor), "{}", entry);
            }
            // The entries of proxies in the middle are understood, too.
            for entry in written(peer) {
                let headers = [("X-Forwarded-For", format!("6.6.6.6, {visitor}, {entry}"))];
                let found = of(client, peer, &headers).address;
                prop_assert_eq!(found, Some(visitor), "{}", entry);
            }
            Ok(())
        });
    }

    #[test]
    fn an_unreadable_entry_gives_no_address() {
        let client = local_client();
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        for entry in [
            "unknown",
            "\"unknown\"",
            "_hidden",
            "unix:",
            "",
            "localhost",
            "203.0.113.9:",
            "203.0.113.9:port",
            "203.0.113.9:123456",
            "[203.0.113.9]:1",
            "[2001:db8::9",
            "2001:db8::9]",
            "[2001:db8::9]443",
            "203.0.113.9;host=x",
            "for=203.0.113.9",
            "203.0.113.09",
            "\"203.0.113.9",
        ] {
            let headers = [("X-Forwarded-For", format!("6.6.6.6, {entry}"))];
            let found = of(&client, proxy, &headers);
            assert_eq!(found.address, None, "{entry}");
            assert_eq!((found.network(), found.ip_address()), Default::default(), "{entry}");
            // The header of an untrusted peer is ignored.
            let peer = "203.0.113.9".parse().unwrap();
            assert_eq!(of(&client, peer, &headers).address, Some(peer), "{entry}");
        }
    }

    #[test]
    fn a_warning_names_the_unlisted_proxy_or_the_unreadable_entry() {
        let (client, trusted) = (local_client(), ["10.0.0.0/8".parse().unwrap()]);
        let doubt = |peer: &str, forwarded: &str| {
            let mut request = client.get("/").remote((peer.parse::<IpAddr>().unwrap(), 1).into());
            request.add_header(rocket::http::Header::new("X-Forwarded-For", forwarded.to_owned()));
            address(request.inner(), &trusted).1
        };
        let unnamed = |proxy: &str| Some(Doubt::Unnamed(proxy.parse().unwrap()));
        assert_eq!(doubt("127.0.0.1", "203.0.113.9"), unnamed("127.0.0.1"));
        assert_eq!(doubt("10.0.0.1", "203.0.113.9, 192.168.0.7"), unnamed("192.168.0.7"));
        // There is no warning of a stranger's forgery or of a visitor in the proxy's network.
        assert_eq!(doubt("203.0.113.9", "6.6.6.6"), None);
        assert_eq!(doubt("10.0.0.1", "203.0.113.9"), None);
        assert_eq!(doubt("10.0.0.1", "192.168.0.7"), None);
        assert_eq!(doubt("10.0.0.1", "203.0.113.9:51234"), None);

        let hidden = doubt("10.0.0.1", "203.0.113.9, _hidden").unwrap();
        assert_eq!(hidden, Doubt::Unreadable("_hidden".into()));
        let said = hidden.to_string();
        assert!(said.contains("\"_hidden\"") && !said.contains("site.trusted_proxies"), "{said}");
        let long = doubt("10.0.0.1", &"x".repeat(4096)).unwrap().to_string();
        assert!(long.len() < 300, "{long}");
        assert!(
            unnamed("127.0.0.1").unwrap().to_string().contains("127.0.0.1, which is not listed")
        );
    }

    #[test]
    fn only_addresses_with_equal_first_64_bits_share_a_network() {
        hold((any::<u64>(), any::<u64>(), any::<u64>(), 0..64_u32), |_, (net, a, b, bit)| {
            let ip = |net: u64, host: u64| {
                IpAddr::from(Ipv6Addr::from_bits(u128::from(net) << 64 | u128::from(host)))
            };
            prop_assert_eq!(network(ip(net, a)), network(ip(net, b)));
            prop_assert_ne!(network(ip(net, a)), network(ip(net ^ (1 << bit), a)));
            Ok(())
        });
    }
}
