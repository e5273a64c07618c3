//! The keys of a session's values: strings, and keys that fix the type of the value.

use std::fmt;
use std::marker::PhantomData;

/// A key of a session's value that fixes the type of the value.
///
/// A constant of it is the one place that says both, so that two handlers cannot disagree. Every method of
/// [`Session`](crate::Session) that takes a string as a key takes a `Key` too. Both name the same value: the
/// compiler checks the type where you use the `Key`, and not where you use the string.
///
/// The type is not stored. If a new version of your application changes the type of a key, a session from
/// before may hold a value of the old type, and reading it fails with
/// [`is_value()`](crate::Error::is_value()). Change the name as well then.
///
/// # Examples
///
/// ```rust
/// # use rocket::get;
/// use rocket_login::{Error, Key, Session};
///
/// const VIEWS: Key<u32> = Key::new("views");
///
/// #[get("/views")]
/// async fn views(session: &Session) -> Result<String, Error> {
///     let before = session.get(VIEWS)?.unwrap_or_default();
///     let now = session.update(VIEWS, |views| views.unwrap_or_default() + 1).await?;
///     Ok(format!("{before}, {now}"))
/// }
/// ```
///
/// A value of another type does not compile:
///
/// ```rust,compile_fail,E0277
/// # use rocket_login::{Error, Key, Session};
/// # const VIEWS: Key<u32> = Key::new("views");
/// # async fn example(session: &Session) -> Result<(), Error> {
/// session.set(VIEWS, "three").await?;
/// # Ok(()) }
/// ```
pub struct Key<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// Creates a key with the name `name`, under which the session's row holds the value.
    pub const fn new(name: &'static str) -> Self {
        Key { name, value: PhantomData }
    }

    /// Returns the name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// The name of a session's value: a string or a [`Key`]. No other type can be one.
pub trait AnyKey: sealed::Sealed {
    /// Returns the name.
    fn name(&self) -> &str;
}

/// The key of a session's value of the type `T`: a string, for every type, or a [`Key<T>`](Key). No other
/// type can be one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a key of a session's value of the type `{T}`",
    label = "its value has another type"
)]
pub trait KeyOf<T>: AnyKey {}

impl<S: AsRef<str> + ?Sized> AnyKey for &S {
    fn name(&self) -> &str {
        (*self).as_ref()
    }
}

impl<S: AsRef<str> + ?Sized, T> KeyOf<T> for &S {}

impl<T> AnyKey for Key<T> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<T> KeyOf<T> for Key<T> {}

impl<T> AnyKey for &Key<T> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<T> KeyOf<T> for &Key<T> {}

impl<S: AsRef<str> + ?Sized> sealed::Sealed for &S {}

impl<T> sealed::Sealed for Key<T> {}

impl<T> sealed::Sealed for &Key<T> {}

mod sealed {
    /// Keeps others from implementing the traits of keys.
    pub trait Sealed {}
}
