//! Names of devices.

use woothee::parser::Parser;

use super::Client;

/// The user agent that is recorded if the operator acted. No browser can claim it, because control
/// characters are removed from the header.
pub(super) const OPERATOR: &str = "\toperator";

/// The longest name that a program may give itself. A longer one is not a name.
const LONGEST_PRODUCT: usize = 32;

impl Client {
    /// Returns the operator as the client, for a command.
    pub fn operator() -> Self {
        Client { address: None, user_agent: OPERATOR.into() }
    }

    /// Returns the client with this address and user agent, which were stored.
    pub fn stored(ip_address: &str, user_agent: &str) -> Self {
        Client { address: ip_address.parse().ok(), user_agent: user_agent.to_owned() }
    }

    /// Returns the operator as the client, for a request of an administrator from this address.
    pub fn as_operator(&self) -> Self {
        Client { address: self.address, ..Client::operator() }
    }
}

/// Returns whether the operator acted, according to a recorded user agent.
pub fn is_operator(user_agent: &str) -> bool {
    user_agent == OPERATOR
}

/// Returns a name for the device that people know, as in "Firefox on Windows".
///
/// Browsers reveal little more than that today, and it proves nothing. The name is for display
/// only; no decision uses it.
pub fn device_name(user_agent: &str) -> String {
    if is_operator(user_agent) {
        return "The operator".into();
    }

    let Some(parsed) = Parser::new().parse(user_agent) else {
        return product(user_agent).unwrap_or("Unknown device").into();
    };
    let program = match (parsed.category, parsed.name) {
        ("crawler" | "misc", name) => {
            let known = if name == "UNKNOWN" { "A program" } else { name };
            return product(user_agent).unwrap_or(known).into();
        }
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

/// Returns the name of a program that is no browser, as it gives itself: what stands before the
/// first slash, as in `curl/8.5.0` (RFC 9110, section 10.1.5). Every browser says `Mozilla` there,
/// and so do robots that look like one.
///
/// A dot is refused, and a digit at the start: this name stands in mails that a stranger can have
/// sent to anybody, and mail programs make links of host names and telephone numbers (phishing).
fn product(user_agent: &str) -> Option<&str> {
    let (name, _version) = user_agent.split_once('/')?;
    let is_name = |name: &str| {
        name.len() <= LONGEST_PRODUCT
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    (is_name(name) && name != "Mozilla").then_some(name)
}
