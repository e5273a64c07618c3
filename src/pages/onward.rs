//! A page that leads the browser on, mostly by itself, where a redirect would not do: after a form,
//! because browsers hold redirects to the policy `form-action`, and from a provider, because a cookie
//! with `SameSite=Strict` is not sent along the redirects of another site.

use serde::Serialize;

use super::content::{Audience, Content};

/// The content of the page. Render it with `Html::without_session()`: the message for the next page
/// must not be shown here, and used up.
#[derive(Serialize)]
pub struct OnwardPage {
    /// Where to: a path with the base, or an `https` address.
    pub to: String,
    /// What the provider is called. `None` means that it leads back to this site.
    pub label: Option<String>,
    /// The visitor must click to connect their account with the provider. Otherwise a link on another
    /// site could lead through a log-in here to the provider and back, and connect the account with
    /// whom the attacker has logged this browser in there (forced linking).
    pub waits: bool,
}

/// An address in a sample.
const AWAY: &str = "https://provider.example/authorize?a=b&c=d";

impl OnwardPage {
    /// Leads to a page of this site.
    pub fn back(to: String) -> Self {
        OnwardPage { to, label: None, waits: false }
    }

    /// Leads to the provider of this name.
    pub fn there(to: String, label: String) -> Self {
        OnwardPage { to, label: Some(label), waits: false }
    }
}

impl Content for OnwardPage {
    const TEMPLATE: &'static str = "onward";
    const AUDIENCE: Audience = Audience::Unknown;

    fn samples() -> Vec<Self> {
        vec![
            OnwardPage::back("/account".into()),
            OnwardPage { waits: true, ..OnwardPage::there(AWAY.into(), "Example".into()) },
            OnwardPage::there(AWAY.into(), "Example".into()),
        ]
    }
}
