//! What the templates get: the content of each page, and samples of it.

use std::collections::BTreeMap;

use rocket_dyn_templates::tera::{self, Value};
use serde::Serialize;

use super::provider_links::{self, ProviderLink};
use super::{
    Landing, account, activity, app, codes, delete, email, errors, factor, home, login, logout,
    mailbox, not_me, notices, onward, page, password, reauthenticate, register, reset, security,
    sessions, verify,
};

use crate::base::Base;
use crate::clock::{Timestamp, wait_in_words};
use crate::config::{Config, SupportLink};
use crate::user::{Email, Roles, User};

/// The content of one page, beside the [`Shared`] values. Its fields are the template's variables.
///
/// Routes and samples use the same type, so a template that renders with the samples gets no other
/// variables later.
pub trait Content: Serialize {
    /// The name of the template, which stands in the folder `rocket-login`.
    const TEMPLATE: &'static str;

    /// The people who see the page.
    const AUDIENCE: Audience = Audience::Everybody;

    /// `true` if search engines may list the page: it is the same for everybody, and people look for
    /// it.
    const IS_FOR_SEARCH: bool = false;

    /// The fields of the page's form that an error can be at. `form` is the form as a whole.
    const FIELDS: &'static [&'static str] = &[];

    /// The code of an error at a field, if the template asks for it.
    const CODES: &'static [(&'static str, &'static str)] = &[];

    /// Returns contents that take every branch of our template.
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// The people who see a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Visitors and users.
    Everybody,
    /// Users only.
    Users,
    /// The page does not know who sees it, because it asks no database.
    Unknown,
}

/// The values that every template gets.
#[derive(Debug, Clone, Serialize)]
pub struct Shared {
    /// The path under which the pages are: empty, or as in `/auth`.
    base: String,
    /// The site's name. It is empty if it is not known.
    site: String,
    /// The application's front page.
    home: String,
    /// Where visitors get help.
    support: Option<SupportLink>,
    /// The addresses of the terms and the privacy policy.
    terms: Option<String>,
    privacy: Option<String>,
    user: Option<User>,
    /// What was done on the page before.
    message: Option<String>,
    /// `true` if anybody may sign up.
    is_registration_open: bool,
    has_mail: bool,
    /// The providers that users can log in with, in the order of their names.
    providers: Vec<ProviderLink>,
    /// `true` in the debug profile, where the mailbox shows the mails.
    has_mailbox: bool,
    /// The fewest characters of a password.
    min_length: usize,
    /// The message at each field, and its code for templates that say it otherwise.
    errors: BTreeMap<String, String>,
    codes: BTreeMap<String, String>,
    /// How long to wait before the form is sent again, if it was not checked.
    retry_after: Option<Wait>,
}

/// How long somebody has to wait.
#[derive(Debug, Clone, Serialize)]
pub struct Wait {
    pub seconds: Timestamp,
    pub words: String,
}

impl Wait {
    pub fn new(seconds: Timestamp) -> Self {
        Wait { seconds, words: wait_in_words(seconds) }
    }
}

impl Shared {
    /// Returns the values without a user and without a message.
    pub fn new(base: &Base, landing: &Landing, config: &Config, has_mail: bool) -> Self {
        Shared {
            base: base.as_str().to_owned(),
            site: config.site_name().to_owned(),
            home: landing.home.clone(),
            support: config.site.support_link(),
            terms: config.site.terms.clone(),
            privacy: config.site.privacy.clone(),
            user: None,
            message: None,
            is_registration_open: config.accounts.is_open(),
            has_mail,
            providers: provider_links::configured(config),
            has_mailbox: config.debug,
            min_length: config.password.min_length,
            errors: BTreeMap::new(),
            codes: BTreeMap::new(),
            retry_after: None,
        }
    }

    /// Returns these values as visitors and users get them on different sites: with and without a
    /// user, a message, mail and so on, and with each error of the page's fields.
    fn samples(&self, page: &Samples) -> Vec<Shared> {
        let users = match page.audience {
            Audience::Everybody => vec![None, sample_user(None), sample_user(Some(1))],
            Audience::Users => vec![sample_user(None), sample_user(Some(1))],
            Audience::Unknown => vec![None],
        };
        let mut samples = Vec::new();
        for (number, user) in users.iter().enumerate() {
            for (has_mail, is_open) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let message = (has_mail == (number % 2 == 0)).then(|| "You are logged in.".into());
                let (user, is_registration_open) = (user.clone(), is_open);
                let providers = if is_open { ProviderLink::samples() } else { Vec::new() };
                let shared = Shared { has_mailbox: has_mail && is_open, providers, ..self.clone() };
                samples.push(Shared { user, message, is_registration_open, has_mail, ..shared });
            }
        }

        // An error at each field by itself, and at all of them.
        let ends: Vec<Shared> =
            samples.first().into_iter().chain(samples.last()).cloned().collect();
        for at in page.fields.iter().map(std::slice::from_ref).chain([page.fields]) {
            let at_each = |text: &dyn Fn(&str) -> &str| -> BTreeMap<String, String> {
                at.iter().map(|field| (String::from(*field), text(field).to_owned())).collect()
            };
            let (errors, codes) = (at_each(&|_| "Enter this."), at_each(&|field| page.code(field)));
            let with_errors = |shared: &Shared| Shared {
                errors: errors.clone(),
                codes: codes.clone(),
                ..shared.clone()
            };
            samples.extend(ends.iter().map(with_errors));
        }
        if page.fields.contains(&"form") {
            samples.extend(ends.into_iter().map(Shared::made_to_wait));
        }
        samples
    }

    /// Adds the error of a form that was not checked.
    fn made_to_wait(self) -> Self {
        let wait = Wait::new(27);
        let text = format!("Too many attempts. Try again in {}.", wait.words);
        Shared {
            errors: BTreeMap::from([("form".into(), text)]),
            codes: BTreeMap::from([("form".into(), "throttled".into())]),
            retry_after: Some(wait),
            ..self
        }
    }
}

fn sample_user(verified_at: Option<i64>) -> Option<User> {
    Some(User {
        id: 1,
        email: sample_email(),
        created_at: 0,
        verified_at,
        roles: Roles::default(),
        has_factor: verified_at.is_some(),
    })
}

/// Returns an address for samples.
pub fn sample_email() -> Email {
    Email::parse("ada@example.org").expect("it is an address")
}

/// Returns the samples of all pages.
pub fn samples() -> Vec<Samples> {
    vec![
        Samples::of::<account::AccountPage>(),
        Samples::of::<activity::ActivityPage>(),
        Samples::of::<app::AppPage>(),
        Samples::of::<codes::CodesPage>(),
        Samples::of::<register::ClosedPage>(),
        Samples::of::<page::DeadLinkPage>(),
        Samples::of::<delete::DeletePage>(),
        Samples::of::<email::ChangeEmailPage>(),
        Samples::of::<errors::ErrorPage>(),
        Samples::of::<factor::FactorPage>(),
        Samples::of::<home::HomePage>(),
        Samples::of::<login::LogInPage>(),
        Samples::of::<logout::LogOutPage>(),
        Samples::of::<mailbox::MailboxPage>(),
        Samples::of::<email::NoMailPage>(),
        Samples::of::<not_me::NotMePage>(),
        Samples::of::<notices::NoticesPage>(),
        Samples::of::<onward::OnwardPage>(),
        Samples::of::<password::ChangePasswordPage>(),
        Samples::of::<reauthenticate::ReauthenticatePage>(),
        Samples::of::<register::SignUpPage>(),
        Samples::of::<register::SentPage>(),
        Samples::of::<reset::ResetPage>(),
        Samples::of::<reset::ChoosePage>(),
        Samples::of::<reset::ResetSentPage>(),
        Samples::of::<security::SecurityPage>(),
        Samples::of::<sessions::SessionsPage>(),
        Samples::of::<verify::VerifyPage>(),
    ]
}

/// The samples of one template.
#[derive(Debug)]
pub struct Samples {
    /// The template's name, without the folder.
    pub template: &'static str,
    /// The people who see the page.
    pub audience: Audience,
    fields: &'static [&'static str],
    codes: &'static [(&'static str, &'static str)],
    contents: Vec<Value>,
}

impl Samples {
    fn of<C: Content>() -> Self {
        // What cannot be serialized becomes `null`, which no context is made of.
        let value = |content| tera::to_value(content).unwrap_or_default();
        Samples {
            template: C::TEMPLATE,
            audience: C::AUDIENCE,
            fields: C::FIELDS,
            codes: C::CODES,
            contents: C::samples().into_iter().map(value).collect(),
        }
    }

    /// Returns a code of an error at `field`.
    fn code(&self, field: &str) -> &'static str {
        let code = self.codes.iter().find(|(at, _)| *at == field);
        code.map_or("empty", |(_, code)| code)
    }

    /// Returns every content of the page with every sample of the `shared` values.
    ///
    /// # Errors
    ///
    /// Returns an error if a content is not serialized as a map.
    pub fn contexts(&self, shared: &Shared) -> tera::Result<Vec<tera::Context>> {
        let mut contexts = Vec::new();
        for shared in shared.samples(self) {
            for content in &self.contents {
                let mut context = tera::Context::from_serialize(&shared)?;
                context.extend(tera::Context::from_value(content.clone())?);
                contexts.push(context);
            }
        }
        Ok(contexts)
    }
}

#[cfg(test)]
impl Shared {
    /// Returns the values of a site.
    pub fn example() -> Self {
        Shared {
            base: "/auth".into(),
            site: "Example".into(),
            home: "/".into(),
            support: support("mailto:help@example.org"),
            terms: Some("/terms".into()),
            privacy: Some("/privacy".into()),
            user: None,
            message: None,
            is_registration_open: true,
            has_mail: true,
            providers: ProviderLink::samples(),
            has_mailbox: true,
            min_length: 8,
            errors: BTreeMap::new(),
            codes: BTreeMap::new(),
            retry_after: None,
        }
    }

    /// Returns the values of sites that say more about themselves, and less.
    pub fn examples() -> [Self; 3] {
        let bare = Shared { site: String::new(), support: None, terms: None, ..Self::example() };
        let helping = Shared { support: support("https://example.org/help"), ..Self::example() };
        [Self::example(), bare, helping]
    }
}

#[cfg(test)]
fn support(href: &str) -> Option<SupportLink> {
    Some(SupportLink { href: href.into(), text: href.into() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rocket_dyn_templates::tera::{Context, Tera};

    use super::super::Icon;
    use super::super::assets::Asset;
    use super::super::sources::{BUILT_IN, FOLDER};
    use super::super::templates::built_in;
    use super::*;

    const PAGE: &str = include_str!("../../docs/templates.md");

    fn shared() -> Shared {
        Shared::example()
    }

    fn asset() -> Asset {
        Asset { base: Base::parse("/auth").unwrap(), icon: Icon::default() }
    }

    /// Returns the names of the templates that are pages.
    fn pages() -> BTreeSet<String> {
        let names = BUILT_IN.iter().filter_map(|one| one.name.strip_prefix("rocket-login/"));
        let is_page =
            |name: &&str| !name.starts_with("mail/") && !["base", "macros"].contains(name);
        names.filter(is_page).map(str::to_owned).collect()
    }

    #[test]
    fn every_page_has_samples() {
        let sampled = samples().into_iter().map(|samples| samples.template.to_owned());
        assert_eq!(sampled.collect::<BTreeSet<_>>(), pages());
        for samples in samples() {
            assert!(!samples.contexts(&shared()).unwrap().is_empty(), "{}", samples.template);
        }
    }

    /// Marks each branch of `text`: what follows an `if`, an `elif`, an `else` or a `for`.
    fn with_marks(name: &str, text: &str, marks: &mut Vec<String>) -> String {
        let mut pieces = text.split("{%");
        let mut marked = pieces.next().unwrap().to_owned();
        for piece in pieces {
            let (tag, rest) = piece.split_once("%}").unwrap();
            let word = tag.trim_start_matches('-').split_whitespace().next().unwrap();
            let mark = ["if", "elif", "else", "for"].contains(&word).then(|| {
                marks.push(format!("§{name} {}:{}§", marks.len(), tag.replace('"', "").trim()));
                marks.last().unwrap().as_str()
            });
            marked += &format!("{{%{tag}%}}{}{rest}", mark.unwrap_or_default());
        }
        marked
    }

    #[test]
    fn the_samples_take_every_branch_of_every_page() {
        let mut marks = Vec::new();
        let texts = BUILT_IN.iter().map(|one| {
            let marked = with_marks(&one.name, &one.text(), &mut marks);
            (one.name.clone(), marked)
        });
        let texts: Vec<_> = texts.filter(|(name, _)| !name.contains("/mail/")).collect();
        marks.retain(|mark| !mark.contains("/mail/"));
        assert!(marks.len() > 60, "{}", marks.len());

        let mut tera = Tera::default();
        tera.autoescape_on(Vec::new());
        tera.register_function("asset", asset());
        tera.add_raw_templates(texts).unwrap();
        let mut rendered = String::new();
        for samples in samples() {
            let name = format!("{FOLDER}/{}", samples.template);
            let contexts = Shared::examples().map(|shared| samples.contexts(&shared).unwrap());
            for context in contexts.concat() {
                rendered += &tera.render(&name, &context).unwrap();
            }
        }
        marks.retain(|mark| !rendered.contains(mark));
        assert!(marks.is_empty(), "no sample takes {marks:#?}");
    }

    #[test]
    fn every_page_with_a_form_that_may_be_refused_shows_every_message_once() {
        let mut tera = Tera::default();
        tera.register_function("asset", asset());
        let texts = BUILT_IN.iter().map(|one| (one.name.clone(), one.text()));
        let texts: Vec<_> = texts.filter(|(name, _)| !name.contains("/mail/")).collect();
        tera.add_raw_templates(texts).unwrap();

        // A hook may refuse at any field, even at one that another page has.
        let fields =
            ["form", "email", "password", "current_password", "new_password", "invitation"];
        let errors = fields.map(|field| (field.to_owned(), format!("Wrong at {field}.")));
        let user = sample_user(None);
        let shared = Shared { user, errors: BTreeMap::from(errors.clone()), ..shared() };
        let mut count = 0;
        for samples in samples().iter().filter(|samples| !samples.fields.is_empty()) {
            for content in &samples.contents {
                let mut context = Context::from_serialize(&shared).unwrap();
                context.extend(Context::from_value(content.clone()).unwrap());
                let page =
                    tera.render(&format!("{FOLDER}/{}", samples.template), &context).unwrap();
                for (_, message) in &errors {
                    assert_eq!(page.matches(message).count(), 1, "{}: {page}", samples.template);
                }
                count += 1;
            }
        }
        assert!(count > 8, "{count}");
    }

    #[test]
    fn no_page_has_an_empty_line() {
        let tera = built_in(&Base::parse("/auth").unwrap(), &Icon::default()).unwrap();
        for samples in samples() {
            for context in samples.contexts(&shared()).unwrap() {
                let name = format!("{FOLDER}/{}", samples.template);
                let page = tera.render(&name, &context).unwrap();
                let line = page.lines().find(|line| line.trim().is_empty());
                assert_eq!(line, None, "{name}: begin the line with its tag\n{page}");
            }
        }
    }

    /// Adds the paths of the values in `value`, as in `page.sessions[].device`.
    fn add_paths(path: &str, value: &Value, paths: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) if !map.is_empty() || path.is_empty() => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    add_paths(&format!("{path}{dot}{key}"), value, paths);
                }
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                list.iter().for_each(|value| add_paths(&format!("{path}[]"), value, paths));
            }
            _ => drop(paths.insert(path.to_owned())),
        }
    }

    /// Returns the variables in `values`. A value that is sometimes absent counts as what it is
    /// otherwise.
    fn variables(values: &[Value]) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        values.iter().for_each(|value| add_paths("", value, &mut all));
        let is_above = |path: &String| {
            let below = [format!("{path}."), format!("{path}[")];
            all.iter().any(|other| below.iter().any(|below| other.starts_with(below.as_str())))
        };
        all.iter().filter(|path| !is_above(path)).cloned().collect()
    }

    /// Returns the words between backticks.
    fn code(text: &str) -> BTreeSet<String> {
        text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn section(title: &str) -> &'static str {
        let (_, rest) = PAGE.split_once(&format!("\n## {title}\n")).unwrap();
        rest.split("\n## ").next().unwrap()
    }

    #[test]
    fn every_variable_of_a_page_is_in_the_documentation() {
        for samples in samples() {
            let start = format!("| `{}.html.tera` | ", samples.template);
            let row = section("Pages").lines().find_map(|line| line.strip_prefix(&start));
            let row = row.unwrap_or_else(|| panic!("{start} is not there"));
            let named = code(row.split('|').next().unwrap());
            assert_eq!(named, variables(&samples.contents), "{}", samples.template);
        }
    }

    #[test]
    fn every_shared_variable_is_in_the_documentation() {
        let section = section("What every template gets");
        let (table, _) = section.split_once("\n| function").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let named: BTreeSet<String> =
            rows.map(|row| row.split('`').nth(1).unwrap().into()).collect();
        let context = Context::from_serialize(shared()).unwrap().into_json();
        assert_eq!(named, context.as_object().unwrap().keys().cloned().collect());

        let user = tera::to_value(sample_user(None)).unwrap();
        let fields = user.as_object().unwrap().keys().map(|field| format!("user.{field}"));
        let row = table.lines().find(|line| line.starts_with("| `user`")).unwrap();
        let named = code(row).into_iter().filter(|word| word.starts_with("user."));
        assert_eq!(named.collect::<BTreeSet<_>>(), fields.collect());
    }

    #[test]
    fn every_macro_block_and_file_is_in_the_documentation() {
        let text = |name: &str| BUILT_IN.iter().find(|one| one.name == name).unwrap().text();
        let between = |text: &str, start: &str, end: &str| -> BTreeSet<String> {
            text.split(start).skip(1).map(|rest| rest.split(end).next().unwrap().into()).collect()
        };
        let macros = between(&text("rocket-login/macros"), "{% macro ", " %}");
        let rows = section("Macros").lines().filter(|line| line.starts_with("| `"));
        let named: BTreeSet<String> =
            rows.map(|row| row.split('`').nth(1).unwrap().into()).collect();
        assert_eq!(macros, named);

        let blocks = between(&text("rocket-login/base"), "{% block ", " %}");
        let row = section("Pages").lines().find(|line| line.starts_with("| `base.")).unwrap();
        assert_eq!(blocks, code(row).into_iter().filter(|name| !name.contains('.')).collect());

        for (title, folder) in [("Pages", "rocket-login/"), ("Mails", "rocket-login/mail/")] {
            let first = section(title).lines().filter_map(|line| line.strip_prefix("| `"));
            let named = first.filter_map(|row| row.split('`').next());
            let named = named.filter_map(|file| Some(file.split_once('.')?.0.to_owned()));
            let names = BUILT_IN.iter().filter_map(|one| one.name.strip_prefix(folder));
            let names = names.filter(|name| !name.contains('/') && *name != "layout");
            assert_eq!(named.collect::<BTreeSet<_>>(), names.map(str::to_owned).collect());
        }
    }
}
