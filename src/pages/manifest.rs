//! `/manifest.webmanifest`: the site's name, colours and icons, for browsers and phones.

use rocket::http::{ContentType, Header};
use rocket::{Responder, State, get};
use serde::Serialize;

use super::{Icon, Landing, assets};
use crate::base::Base;
use crate::config::Config;

/// The colour of the page in the light scheme, `--page` of `style.css`. A manifest has only one.
const PAGE: &str = "#f4f5f7";

/// A web app manifest (W3C). It says `browser`, so no browser offers to install the site as a
/// program: only the application knows whether it is one, and then has a manifest of its own.
#[derive(Serialize)]
struct Manifest<'m> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'m str,
    start_url: &'m str,
    display: &'static str,
    background_color: &'static str,
    theme_color: &'static str,
    icons: Vec<Picture<'m>>,
}

/// A picture of the icon.
#[derive(Serialize)]
struct Picture<'m> {
    src: String,
    sizes: &'m str,
    #[serde(rename = "type")]
    kind: String,
}

/// The answer.
#[derive(Responder)]
pub struct Served {
    content: (ContentType, String),
    cache: Header<'static>,
}

/// The rank of this route: an application's own manifest comes first.
#[get("/manifest.webmanifest", rank = 100)]
pub fn manifest(
    config: &State<Config>,
    base: &State<Base>,
    landing: &State<Landing>,
    icon: &State<Icon>,
) -> Option<Served> {
    let picture = |(name, sizes)| {
        let kind = assets::content_type(name)?.to_string();
        Some(Picture { src: assets::url(base, icon, name)?, sizes, kind })
    };
    let manifest = Manifest {
        name: config.site_name(),
        start_url: &landing.home,
        display: "browser",
        background_color: PAGE,
        theme_color: PAGE,
        icons: icon.pictures().into_iter().filter_map(picture).collect(),
    };
    let kind = ContentType::new("application", "manifest+json");
    Some(Served {
        content: (kind, serde_json::to_string(&manifest).ok()?),
        cache: Header::new("Cache-Control", assets::FOR_AN_HOUR),
    })
}
