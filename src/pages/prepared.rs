//! Our pages, prepared: what is the same in each answer is worked out once.
//!
//! The engine walks through a whole page for each request: the base, the blocks, the macros and each
//! address of a file, though next to nothing of it depends on the request. Here that is done when the
//! templates are read, with the engine's own filters and functions. What is left of a page is a list
//! of [`Step`]s: long texts, a few values, and choices between lists. So nothing of a request is kept
//! for another one, and no page can get to the wrong visitor.
//!
//! This is no second engine. It prepares what it knows for certain, and leaves the rest to the engine:
//! a page with a tag that it does not know, a form with errors, a value that is missing. A test renders
//! each sample of each page both ways and compares the bytes.

mod date;
mod make;
mod term;

use std::collections::HashMap;

use rocket_dyn_templates::tera::{Map, Tera, Value};

use crate::user::User;
use make::Maker;
use term::{Condition, Term, push_value};

/// The pages that could be prepared, by the names of their templates.
#[derive(Default)]
pub struct Prepared(HashMap<String, Page>);

struct Page {
    steps: Vec<Step>,
    /// The length of all texts, in bytes: about that of the page.
    length: usize,
}

/// A part of a page.
enum Step {
    Text(String),
    Value { value: Term, is_escaped: bool },
    Choice { condition: Condition, then: Vec<Step>, otherwise: Vec<Step> },
}

/// The shared values that each request has of its own. All others are the same in each answer.
const OF_REQUEST: [&str; 2] = ["user", "message"];

/// The shared values of a form that was refused. The engine renders such a page.
const OF_REFUSAL: [&str; 3] = ["errors", "codes", "retry_after"];

impl Prepared {
    /// Prepares the templates `names` of `tera`, which get `shared`. The engine must be ours: a filter
    /// of an application may render something else each time.
    pub fn of<'n>(tera: &Tera, names: impl Iterator<Item = &'n str>, shared: &Value) -> Self {
        let mut known = shared.as_object().cloned().unwrap_or_default();
        known.retain(|name, _| !OF_REQUEST.contains(&name.as_str()));
        let page = |name: &str| {
            let steps = Maker::new(tera, tera.get_template(name).ok()?, &known).page()?;
            Some((name.to_owned(), Page { length: length(&steps), steps }))
        };
        Prepared(names.filter_map(page).collect())
    }

    /// Renders the page `name` of `tera` with the values `given` of a request, and for `user`. `None`
    /// means that the engine has to do it.
    pub fn render(
        &self,
        tera: &Tera,
        name: &str,
        given: &Value,
        user: Option<&User>,
    ) -> Option<String> {
        let (page, given) = (self.0.get(name)?, given.as_object()?);
        if OF_REFUSAL.iter().any(|name| given.get(*name).is_some_and(|value| !is_empty(value))) {
            return None;
        }
        // Values are short, and a page that is longer grows once.
        let mut text = String::with_capacity(page.length + 512);
        write(&page.steps, &Request { tera, given, user }, &mut text)?;
        Some(text)
    }
}

/// What a request gives to its page.
struct Request<'r> {
    tera: &'r Tera,
    given: &'r Map<String, Value>,
    /// Beside the values: to make a value of all of it costs more than the few fields that are shown.
    user: Option<&'r User>,
}

fn write(steps: &[Step], request: &Request<'_>, text: &mut String) -> Option<()> {
    for step in steps {
        match step {
            Step::Text(part) => text.push_str(part),
            Step::Value { value, is_escaped } => {
                push_value(text, &*value.of(request)?, *is_escaped)?;
            }
            Step::Choice { condition, then, otherwise } => {
                let steps = if condition.holds(request)? { then } else { otherwise };
                write(steps, request, text)?;
            }
        }
    }
    Some(())
}

fn length(steps: &[Step]) -> usize {
    let lengths = steps.iter().map(|step| match step {
        Step::Text(text) => text.len(),
        Step::Value { .. } => 0,
        Step::Choice { then, otherwise, .. } => length(then).max(length(otherwise)),
    });
    lengths.sum()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use rocket_dyn_templates::tera::{Context, to_value};

    use super::super::Icon;
    use super::super::content::{Shared, samples};
    use super::super::sources::FOLDER;
    use super::super::templates::built_in;
    use super::*;
    use crate::base::Base;
    use crate::user::{Email, Roles};

    fn engine() -> Tera {
        built_in(&Base::parse("/auth").unwrap(), &Icon::default()).unwrap()
    }

    /// Splits `context` into the values that are the same in each answer, and those of a request.
    fn split(context: Context) -> (Value, Value) {
        let shared = to_value(Shared::example()).unwrap();
        let (mut known, mut given) = (shared.as_object().unwrap().clone(), Map::new());
        let Value::Object(context) = context.into_json() else { panic!("it is a map") };
        for (name, value) in context {
            let is_given = [&OF_REQUEST[..], &OF_REFUSAL].concat().contains(&name.as_str());
            match known.get_mut(&name) {
                Some(known) if !is_given => *known = value,
                _ => drop(given.insert(name, value)),
            }
        }
        (known.into(), given.into())
    }

    /// Returns the user of a sample.
    fn user(given: &Value) -> Option<User> {
        let user = given.get("user")?.as_object()?;
        let number = |name| user.get(name).and_then(Value::as_i64);
        let roles: Vec<_> = user["roles"].as_array()?.iter().filter_map(Value::as_str).collect();
        Some(User {
            id: number("id")?,
            email: Email::from_stored(user["email"].as_str()?.to_owned()),
            created_at: number("created_at")?,
            verified_at: number("verified_at"),
            roles: Roles::from_stored(&roles.join(" ")),
            has_factor: user["has_factor"].as_bool()?,
        })
    }

    /// Renders the page `name` both ways, compares, and returns whether it was prepared.
    fn is_prepared(tera: &Tera, name: &str, known: &Value, given: &Value) -> bool {
        let prepared = Prepared::of(tera, [name].into_iter(), known);
        let user = user(given);
        let page = prepared.render(tera, name, given, user.as_ref());
        let Some(page) = page else { return false };
        let mut context = Context::from_value(known.clone()).unwrap();
        context.extend(Context::from_value(given.clone()).unwrap());
        assert_eq!(page, tera.render(name, &context).unwrap(), "{name} with {given}");
        true
    }

    /// Puts a text that must be escaped in the place of each text.
    fn make_hostile(value: &mut Value) {
        match value {
            Value::String(text) => *text = r#"/<b title="x">'&amp;'</b>"#.into(),
            Value::Array(list) => list.iter_mut().for_each(make_hostile),
            Value::Object(map) => map.values_mut().for_each(make_hostile),
            _ => {}
        }
    }

    #[test]
    fn each_sample_of_each_page_is_the_same_prepared_and_rendered() {
        let (tera, mut names) = (engine(), std::collections::BTreeSet::new());
        for samples in samples() {
            let name = format!("{FOLDER}/{}", samples.template);
            for context in Shared::examples().map(|site| samples.contexts(&site).unwrap()).concat()
            {
                let (known, mut given) = split(context);
                if is_prepared(&tera, &name, &known, &given) {
                    names.insert(samples.template);
                }
                make_hostile(&mut given);
                is_prepared(&tera, &name, &known, &given);
            }
        }
        for page in ["account", "home", "login", "logout", "password", "reset"] {
            assert!(names.contains(page), "{page} is not prepared: {names:?}");
        }
    }

    #[test]
    fn no_page_has_a_value_with_the_name_of_a_shared_one() {
        let shared = to_value(Shared::example()).unwrap();
        for samples in samples() {
            for context in samples.contexts(&Shared::example()).unwrap() {
                let (known, _) = split(context);
                // `contexts()` varies these.
                let varied = ["has_mail", "has_mailbox", "is_registration_open", "providers"];
                for (name, value) in known.as_object().unwrap() {
                    let is_same = shared[name] == *value || varied.contains(&name.as_str());
                    assert!(is_same, "{}: {name}", samples.template);
                }
            }
        }
    }

    /// Texts of an application, and `true` for those that are prepared.
    const WRITTEN: &[(&str, bool)] = &[
        ("{{ x }} {{ y.z }} {{ n }} {{ base }}{{ site }}{{ support.href }}", true),
        ("{{ \"<b>\" }}{{ '<' ~ base }}{{ true }}{{ 3 }}{{ user }}", true),
        ("{% if x %}1{% elif n %}2{% else %}3{% endif %}{% if not x %}4{% endif %}", true),
        (
            "{% if x and n %}1{% endif %}{% if x or n %}2{% endif %}{% if no.such %}3{% endif %}",
            true,
        ),
        ("{% if (x and n) or y.z %}1{% endif %}{% if not site or x %}2{% endif %}", true),
        (
            "{% if x == \"<\" %}1{% endif %}{% if x != \"<\" and not y.z == \"e\" %}2{% endif %}",
            true,
        ),
        ("{% if min_length > 7 %}1{% endif %}{% if min_length <= 7 %}2{% endif %}", true),
        (
            "{% if base is starting_with(\"/a\") %}1{% endif %}{% if base is not ending_with(\"/\") %}2{% endif %}",
            true,
        ),
        ("{% set q = x %}{{ q }}{% set q = not x %}{% if q %}1{% else %}2{% endif %}{{ q }}", true),
        ("{% for k, v in errors %}{{ k }}{% else %}none{% endfor %}", true),
        ("{% for p in providers %}{{ p.name }}{{ x }}{{ m::a(b=p.label) }}{% endfor %}", true),
        ("{% for x in providers %}{{ x.mark }}{% else %}none{% endfor %}{{ x }}", true),
        (
            "{% set q = x %}{% for p in providers %}{{ q }}{% set q = p.name %}{{ q }}{% endfor %}{{ q }}",
            true,
        ),
        (
            "{% for p in providers %}{% if p.name == x or y.z == p.mark %}1{% endif %}{% if n %}2{% endif %}{% endfor %}",
            true,
        ),
        ("{% for p in providers %}{% if loop.first %}1{% endif %}{% endfor %}", false),
        ("{% for p in providers %}{% break %}{% endfor %}", false),
        ("{% for k, v in support %}{{ k }}{% endfor %}", false),
        (
            "{{ n | date(format=\"%Y\") }}{{ x | upper }}{{ base | upper }}{{ errors | length }}",
            true,
        ),
        (
            "{{ asset(name=\"style.css\") }}{{ m::a(b=x) }}{{ m::a(b=base, c=y.z) }}{{ m::b(b=x) }}",
            true,
        ),
        ("{% raw %}{{ x }}{% endraw %}{# x #}{%- if x -%} 1 {%- endif %}", true),
        ("{{ m::c(b=x) }}", false),
        ("{{ no.such }}", false),
        ("{{ y }}", false),
        ("{{ x | safe }}", false),
        ("{{ x | default(value=\"d\") }}", false),
        ("{{ now() }}", false),
        ("{{ n + 1 }}", false),
        ("{% if x is defined %}1{% endif %}", false),
        ("{% if n == x %}1{% endif %}", false),
        ("{% if x %}{% set q = 1 %}{% endif %}{{ x }}", false),
        ("{% for k in list %}{{ k }}{% endfor %}", false),
        ("{% include \"rocket-login/logout\" %}", false),
        ("{% filter upper %}{{ x }}{% endfilter %}", false),
    ];

    #[test]
    fn what_an_application_writes_is_the_same_prepared_and_rendered() {
        let macros = "{% macro a(b, c=\"d\") %}[{{ b }}|{{ c }}|{{ base }}|{{ x }}]{% endmacro a %}\
            {% macro b(b) %}{{ self::a(b=b, c=b) }}{% endmacro b %}\
            {% macro c(b) %}{% if b %}{{ self::c(b=b) }}{% endif %}{% endmacro c %}";
        let (known, _) = split(Context::new());
        for &(text, expected) in WRITTEN {
            let mut tera = engine();
            let text = format!("{{% import \"own\" as m %}}{text}");
            tera.add_raw_templates([("own", macros), ("rocket-login/home", &text)]).unwrap();
            for (x, z, n) in [("<", "e", 1), ("", "", 0), ("<b>&'\"", "<", 86_400_000)] {
                let mut given = Map::new();
                given.insert("x".into(), x.into());
                given.insert("y".into(), Map::from_iter([("z".to_owned(), z.into())]).into());
                given.insert("n".into(), n.into());
                given.insert("user".into(), Value::Null);
                given.insert("list".into(), vec![1, 2].into());
                let is = is_prepared(&tera, "rocket-login/home", &known, &given.into());
                assert_eq!(is, expected, "{text} with x = {x:?}");
            }
        }
    }

    #[test]
    fn a_form_with_errors_is_left_to_the_engine() {
        let (tera, (known, given)) = (engine(), split(Context::new()));
        let prepared = Prepared::of(&tera, ["rocket-login/logout"].into_iter(), &known);
        assert!(prepared.render(&tera, "rocket-login/logout", &given, None).is_some());
        for name in OF_REFUSAL {
            let mut given = given.clone();
            given[name] = Map::from_iter([("form".to_owned(), "Wrong.".into())]).into();
            let page = prepared.render(&tera, "rocket-login/logout", &given, None);
            assert!(page.is_none(), "{name}");
        }
    }
}
