//! A page that leads the browser on by itself, where a redirect would not do: after a form, because
//! browsers hold redirects to the policy `form-action`, and from a provider, because a cookie with
//! `SameSite=Strict` is not sent along the redirects of another site.

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
}

impl Content for OnwardPage {
    const TEMPLATE: &'static str = "onward";
    const AUDIENCE: Audience = Audience::Unknown;

    fn samples() -> Vec<Self> {
        vec![
            OnwardPage { to: "/account".into(), label: None },
            OnwardPage {
                to: "https://provider.example/authorize?a=b&c=d".into(),
                label: Some("Example".into()),
            },
        ]
    }
}
