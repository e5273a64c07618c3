//! What a step of a page asks of a request: a value, or whether something holds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use rocket_dyn_templates::tera::Value;

use super::super::escape::push_escaped;
use super::Request;
use super::date::DateFormat;
use crate::user::User;

/// A value.
#[derive(Clone)]
pub enum Term {
    /// It is the same in each answer.
    Known(Value),
    /// The request gives it, at this path: `["user", "email"]`.
    Given(Vec<String>),
    /// A filter makes it of another value.
    Filtered { value: Box<Term>, filter: String, arguments: HashMap<String, Value> },
    /// A time that is written out.
    Date { value: Box<Term>, format: DateFormat },
    /// It is `true` or `false`.
    Whether(Box<Condition>),
}

/// Something that holds or does not.
#[derive(Clone)]
pub enum Condition {
    Known(bool),
    /// The value is there, and is neither empty nor zero.
    Truthy(Term),
    Equal(Term, Term),
    Not(Box<Condition>),
    Both(Box<Condition>, Box<Condition>),
    Either(Box<Condition>, Box<Condition>),
}

impl Term {
    /// Returns the value for `request`. `None` means that the engine has to say what it is.
    pub fn of<'v>(&'v self, request: &'v Request<'_>) -> Option<Cow<'v, Value>> {
        match self {
            Term::Known(value) => Some(Cow::Borrowed(value)),
            Term::Given(path) => given(path, request),
            Term::Filtered { value, filter, arguments } => {
                let filter = request.tera.get_filter(filter).ok()?;
                filter.filter(&*value.of(request)?, arguments).ok().map(Cow::Owned)
            }
            Term::Date { value, format } => {
                let text = format.text(&*value.of(request)?)?;
                Some(Cow::Owned(Value::String(text)))
            }
            Term::Whether(condition) => condition.holds(request).map(Value::Bool).map(Cow::Owned),
        }
    }
}

impl Condition {
    /// Returns whether it holds for `request`. `None` means that the engine has to say so.
    pub fn holds(&self, request: &Request<'_>) -> Option<bool> {
        Some(match self {
            Condition::Known(holds) => *holds,
            // An absent value is not true.
            Condition::Truthy(Term::Given(path)) if *path == ["user"] => request.user.is_some(),
            Condition::Truthy(Term::Given(path)) => {
                given(path, request).is_some_and(|value| is_truthy(&value))
            }
            Condition::Truthy(value) => is_truthy(&*value.of(request)?),
            Condition::Equal(one, other) => equal(&*one.of(request)?, &*other.of(request)?)?,
            Condition::Not(other) => !other.holds(request)?,
            Condition::Both(one, other) => one.holds(request)? && other.holds(request)?,
            Condition::Either(one, other) => one.holds(request)? || other.holds(request)?,
        })
    }

    /// Returns the opposite.
    pub fn not(self) -> Self {
        match self {
            Condition::Known(holds) => Condition::Known(!holds),
            Condition::Not(other) => *other,
            other => Condition::Not(Box::new(other)),
        }
    }
}

fn given<'v>(path: &[String], request: &'v Request<'_>) -> Option<Cow<'v, Value>> {
    let (first, rest) = path.split_first()?;
    if let ("user", Some(user)) = (first.as_str(), request.user) {
        let [name] = rest else { return None };
        return of_user(user, name).map(Cow::Owned);
    }
    let value = rest.iter().try_fold(request.given.get(first)?, |value, name| value.get(name));
    value.map(Cow::Borrowed)
}

/// Returns a field of the user as the engine would find it. `None` means that it has to.
fn of_user(user: &User, name: &str) -> Option<Value> {
    Some(match name {
        "id" => user.id.into(),
        "email" => user.email.to_string().into(),
        "created_at" => user.created_at.into(),
        "verified_at" => user.verified_at.into(),
        "has_factor" => user.has_factor.into(),
        _ => return None,
    })
}

/// Returns whether two values are equal. `None` means that only the engine knows: a number is equal to
/// nothing else, and unequal to nothing else either.
pub fn equal(one: &Value, other: &Value) -> Option<bool> {
    match (one.is_number(), other.is_number()) {
        (true, true) => Some(one.as_f64() == other.as_f64()),
        (false, false) => Some(one == other),
        _ => None,
    }
}

/// Returns whether an `if` takes the value as true.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(holds) => *holds,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Adds the value to `text` as the engine prints it, with its text escaped if `is_escaped`. `None`
/// means that it is no text and no number.
pub fn push_value(text: &mut String, value: &Value, is_escaped: bool) -> Option<()> {
    match value {
        Value::Null => Some(()),
        Value::Bool(holds) => write!(text, "{holds}").ok(),
        Value::Number(number) if !number.is_f64() => write!(text, "{number}").ok(),
        Value::String(value) => {
            match is_escaped {
                true => push_escaped(text, value),
                false => text.push_str(value),
            }
            Some(())
        }
        Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
