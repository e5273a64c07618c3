//! The application's pages to which ours lead.

use crate::base::Base;
use crate::web::ReturnTo;

/// What an application says about its pages.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    pub home: Option<String>,
    pub after_log_in: Option<String>,
    pub after_log_out: Option<String>,
}

/// The pages to which ours lead, as managed state.
#[derive(Debug, Clone)]
pub struct Landing {
    pub home: String,
    pub after_log_in: String,
    pub after_log_out: String,
}

impl Landing {
    /// Takes the application's pages, or `/` and our account page.
    ///
    /// # Errors
    ///
    /// Returns a line for the log if one of them is not a path on this site.
    pub fn new(base: &Base, pages: &Pages) -> Result<Self, String> {
        let checked = |method: &str, path: Option<&str>, default: &str| {
            let path = path.unwrap_or(default);
            match ReturnTo::parse(path) {
                Some(path) => Ok(path.to_string()),
                None => Err(format!(
                    "Stage::{method}: {path:?} is not a path on this site; write one with a \
                     single slash in front, as in \"/dashboard\""
                )),
            }
        };
        let Pages { home, after_log_in, after_log_out } = pages;
        let home = checked("home", home.as_deref(), "/")?;
        let account = base.join("/account");
        let after_log_in = checked("after_log_in", after_log_in.as_deref(), &account)?;
        let after_log_out = checked("after_log_out", after_log_out.as_deref(), &home)?;
        Ok(Landing { home, after_log_in, after_log_out })
    }
}
