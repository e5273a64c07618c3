//! Roles: which users an application lets do more than others.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

/// The longest name of a role.
const MAX_LENGTH: usize = 32;

/// The most roles of one account. All are read with each session.
#[cfg(feature = "pages")]
pub(crate) const MOST: usize = 32;

/// A role of an application, as a type. The guard [`HasRole`](crate::HasRole) lets in its users alone.
///
/// # Examples
///
/// ```rust
/// use rocket_login::Role;
///
/// enum Editor {}
///
/// impl Role for Editor {
///     const NAME: &'static str = "editor";
/// }
/// ```
pub trait Role: Send + Sync + 'static {
    /// The name, as [`RoleName`] takes it. Another one does not compile where the role is used.
    const NAME: &'static str;
}

/// The name of a role: a lower-case letter, then up to 31 lower-case letters, digits and hyphens.
///
/// It derefs to `str`.
///
/// # Examples
///
/// ```rust
/// use rocket_login::RoleName;
///
/// assert_eq!(&*RoleName::parse("editor").unwrap(), "editor");
/// assert!(RoleName::parse("Chief Editor").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

/// The text is not the name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleNameError;

/// The roles of a user, in the order of their names.
///
/// In JSON and in templates it is a list of names.
///
/// # Examples
///
/// ```rust
/// use rocket_login::User;
///
/// fn may_publish(user: &User) -> bool {
///     user.roles.contains("editor") || user.roles.contains("admin")
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(Box<str>);

impl RoleName {
    /// Parses the name of a role. It trims nothing and changes no letter.
    ///
    /// # Errors
    ///
    /// If the text is not the name of a role.
    pub fn parse(text: &str) -> Result<Self, RoleNameError> {
        match is_name(text) {
            true => Ok(RoleName(text.to_owned())),
            false => Err(RoleNameError),
        }
    }

    /// Returns the name of the role `R`.
    ///
    /// # Examples
    ///
    /// ```rust
    /// use rocket_login::{Role, RoleName};
    ///
    /// enum Editor {}
    ///
    /// impl Role for Editor {
    ///     const NAME: &'static str = "editor";
    /// }
    ///
    /// assert_eq!(RoleName::of::<Editor>(), RoleName::parse("editor").unwrap());
    /// ```
    pub fn of<R: Role>() -> Self {
        RoleName(name_of::<R>().to_owned())
    }
}

/// Returns the name of the role `R`. The compiler refuses a role whose name is not one.
pub(crate) const fn name_of<R: Role>() -> &'static str {
    const { assert!(is_name(R::NAME), "Role::NAME is not [a-z][a-z0-9-]{{0,31}}") };
    R::NAME
}

const fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_LENGTH || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut at = 1;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    true
}

impl Roles {
    /// Returns whether the user has the role with this name.
    pub fn contains(&self, role: &str) -> bool {
        self.iter().any(|one| one == role)
    }

    /// Returns the names of the roles, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }

    /// Returns whether the user has no role.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the column `roles`. The operator may have written it by SQL: names that are not in
    /// order, or are repeated, are put in order, and what is not a name is left out.
    pub(crate) fn from_stored(text: &str) -> Self {
        Roles::of(text.split_ascii_whitespace().filter(|name| is_name(name)).collect())
    }

    fn of(mut names: Vec<&str>) -> Self {
        names.sort_unstable();
        names.dedup();
        Roles(names.join(" ").into())
    }

    /// Returns the text for the column `roles`.
    pub(crate) fn as_stored(&self) -> &str {
        &self.0
    }

    /// Returns these roles and `role`. `None`: they would be more than [`MOST`].
    #[cfg(feature = "pages")]
    pub(crate) fn with(&self, role: &RoleName) -> Option<Self> {
        let more = Roles::of(self.iter().chain([&**role]).collect());
        (more.iter().count() <= MOST.max(self.iter().count())).then_some(more)
    }

    /// Returns these roles without `role`.
    #[cfg(feature = "pages")]
    pub(crate) fn without(&self, role: &RoleName) -> Self {
        Roles::of(self.iter().filter(|one| *one != &**role).collect())
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The names, with a comma between two.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace(' ', ", "))
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for RoleName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a role is a lower-case letter, then up to 31 lower-case letters, digits and hyphens",
        )
    }
}

impl std::error::Error for RoleNameError {}

#[cfg(all(test, feature = "pages"))]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_short_word_in_lower_case() {
        let longest = "a".repeat(MAX_LENGTH);
        for name in ["a", "admin", "chief-editor", "level-2", "a-", "a--b", &longest] {
            assert!(RoleName::parse(name).is_ok(), "{name}");
        }
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for text in ["", " ", "Admin", "2", "-a", "a b", "a_b", "a\n", "é", "ädmin", &too_long] {
            assert_eq!(RoleName::parse(text), Err(RoleNameError), "{text:?}");
        }
    }

    #[test]
    fn roles_are_in_order_and_each_is_there_once() {
        let roles = Roles::from_stored("editor  admin editor Boss -x");
        assert_eq!(roles.iter().collect::<Vec<_>>(), ["admin", "editor"]);
        assert_eq!(roles.as_stored(), "admin editor");
        assert_eq!(serde_json::to_string(&roles).unwrap(), r#"["admin","editor"]"#);
        assert!(roles.contains("admin") && !roles.contains("adm") && !roles.contains(""));
        assert!(Roles::from_stored("").is_empty());
        assert_eq!(Roles::from_stored(""), Roles::default());
    }

    #[test]
    fn an_account_has_at_most_32_roles() {
        let name = |number| RoleName::parse(&format!("{number:a>32}").replace('0', "z")).unwrap();
        let mut roles = Roles::default();
        for number in 1..=MOST {
            roles = roles.with(&name(number)).unwrap();
        }
        assert_eq!(roles.iter().count(), MOST);
        // The column's limit is what the longest roles need.
        assert_eq!(roles.as_stored().len(), 1055);
        assert_eq!(roles.with(&name(99)), None);
        assert_eq!(roles.with(&name(1)), Some(roles.clone()));
        let fewer = roles.without(&name(1));
        assert_eq!(fewer.iter().count(), MOST - 1);
        assert_eq!(fewer.without(&name(1)), fewer);
        assert!(fewer.with(&name(99)).is_some());
    }
}
