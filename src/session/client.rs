//! Where a request comes from, as far as it can be believed.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Once;

use ipnet::IpNet;
use rocket::Request;

/// Browsers send 100 to 200 characters; a longer value is somebody's test.
const MAX_USER_AGENT_LENGTH: usize = 255;

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
