//! Where a request comes from, as far as it can be believed.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Once;

use ipnet::IpNet;
use rocket::Request;
use woothee::parser::Parser;

/// Browsers send 100 to 200 characters; a longer value is somebody's test.
const MAX_USER_AGENT_LENGTH: usize = 255;

/// What stands for a user agent where a command acted. No browser can say it:
/// control characters are taken out of what they say.
const OPERATOR: &str = "\toperator";

/// The address and the program a request comes from.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// `None` when unknown, as on a Unix socket.
    address: Option<IpAddr>,
    /// What the browser says it is: anything, but bounded and printable.
    pub user_agent: String,
}

impl Client {
    pub fn of(request: &Request<'_>, trusted_proxies: &[IpNet]) -> Self {
        let agent = request.headers().get_one("User-Agent").unwrap_or_default();
        let address = address(request, trusted_proxies);
        warn_of_proxy(request, address);
        Client {
            address,
            user_agent: agent
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_USER_AGENT_LENGTH)
                .collect(),
        }
    }

    /// The operator, at the command line.
    pub fn operator() -> Self {
        Client { address: None, user_agent: OPERATOR.into() }
    }

    /// Empty when unknown.
    pub fn ip_address(&self) -> String {
        self.address.map_or_else(String::new, |ip| ip.to_string())
    }

    /// What one subscriber has: the address, or the /64 around an IPv6 address.
    /// Empty when unknown.
    pub fn network(&self) -> String {
        self.address.map_or_else(String::new, |ip| network(ip).to_string())
    }
}

/// Behind a proxy that is not configured, all visitors have one address, and
/// share one visitor's limits. Said once.
fn warn_of_proxy(request: &Request<'_>, address: Option<IpAddr>) {
    static WARNED: Once = Once::new();

    let is_local = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    };
    if address.is_some_and(is_local) && request.headers().contains("X-Forwarded-For") {
        WARNED.call_once(|| {
            log::warn!(
                "site.trusted_proxies: requests come through a proxy that is not named there, so \
                 all visitors seem to have one address"
            );
        });
    }
}

/// What a person would call the device, as in "Firefox on Windows".
///
/// Browsers say little else by now, and what they say proves nothing: it is
/// for reading, and nothing is decided by it.
pub fn device(user_agent: &str) -> String {
    if user_agent == OPERATOR {
        return "The operator".into();
    }

    let Some(parsed) = Parser::new().parse(user_agent) else { return "Unknown device".into() };
    let program = match (parsed.category, parsed.name) {
        ("crawler" | "misc", _) => return "A program".into(),
        (_, "UNKNOWN") => "Unknown browser",
        (_, "SamsungBrowser") => "Samsung Internet",
        (_, name) => name,
    };
    match parsed.os {
        "UNKNOWN" => program.into(),
        "Mac OSX" => format!("{program} on macOS"),
        os if os.starts_with("Windows") => format!("{program} on Windows"),
        os => format!("{program} on {os}"),
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// The socket's address, unless a trusted proxy is there: then the right-most
/// entry of `X-Forwarded-For` that no trusted proxy added. Entries left of it
/// are whatever the client wrote, so a forged header changes nothing.
fn address(request: &Request<'_>, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
    let trusted = |ip: &IpAddr| trusted_proxies.iter().any(|network| network.contains(ip));
    let mut address = request.remote()?.ip().to_canonical();
    let forwarded: Vec<&str> =
        request.headers().get("X-Forwarded-For").flat_map(|h| h.split(',')).collect();
    for entry in forwarded.into_iter().rev() {
        if !trusted(&address) {
            break;
        }

        match entry.trim().parse::<IpAddr>() {
            Ok(ip) => address = ip.to_canonical(),
            Err(_) => break,
        }
    }

    Some(address)
}

#[cfg(test)]
mod tests {
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
            ("curl/8.5.0", "A program"),
            ("", "Unknown browser"),
            ("something else", "Unknown device"),
            (OPERATOR, "The operator"),
        ] {
            assert_eq!(device(agent), name, "{agent}");
        }
    }
}
