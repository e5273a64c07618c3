//! The fields of a form by their names.

use std::collections::BTreeMap;
use std::fmt;

use rocket::form::{self, DataField, FromForm, Options, ValueField};
use serde::{Deserialize, Serialize};

use super::problem::FieldErrors;

/// All fields of a form, by their names, as texts.
///
/// Take it as `Posted<Fields>` if you do not know the fields, or do not want a struct for them. A field
/// with a name for nested values, such as `tags[0]`, is left out.
///
/// A field may hold a password or personal data, so `Debug` shows the names alone.
///
/// # Examples
///
/// ```rust
/// use rocket_login::web::Fields;
///
/// let mut fields = Fields::from_iter([("invitation", "K7QX"), ("terms", "on")]);
/// assert_eq!(fields.get("invitation"), Some("K7QX"));
/// assert_eq!(fields.get("name"), None);
/// assert_eq!(fields.remove("terms").as_deref(), Some("on"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Creates a form without any field.
    pub fn new() -> Self {
        Fields(BTreeMap::new())
    }

    /// Returns the text of the field `name`. `None`: the form has no such field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Adds the field `name`, or replaces its text.
    pub fn insert(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.0.insert(name.into(), text.into());
    }

    /// Removes the field `name`, and returns its text. `None`: the form has no such field.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Returns the names and texts, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (&**name, &**text))
    }

    /// Returns whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many bytes the names and the texts have together.
    pub(crate) fn size(&self) -> usize {
        self.iter().map(|(name, text)| name.len() + text.len()).sum()
    }

    /// Refuses the character NUL in a name or a text.
    ///
    /// PostgreSQL stores no text with it. A hook that binds one would fail with 503, and any visitor could
    /// fill the log with failures of the database.
    pub(crate) fn refuse_nul(&self) -> Result<(), FieldErrors> {
        if self.iter().any(|(name, text)| name.contains('\0') || text.contains('\0')) {
            let message = "This form has a character that we can't store. Type your answers again.";
            return Err(FieldErrors::of("form", "form_unreadable", message));
        }
        Ok(())
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(fields: I) -> Self {
        Fields(fields.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Of two fields of one name, the first is kept. [`Posted`](super::Posted) refuses them.
#[rocket::async_trait]
impl<'v> FromForm<'v> for Fields {
    type Context = Fields;

    fn init(_: Options) -> Fields {
        Fields::new()
    }

    fn push_value(fields: &mut Fields, field: ValueField<'v>) {
        let name = field.name.source().as_str();
        if !name.contains(['.', '[', ']']) {
            fields.0.entry(name.to_owned()).or_insert_with(|| field.value.to_owned());
        }
    }

    /// A file is not a text.
    async fn push_data(_: &mut Fields, _: DataField<'v, '_>) {}

    fn finalize(fields: Fields) -> form::Result<'v, Self> {
        Ok(fields)
    }
}
