//! The fairing for an application that wants log-in, with the sessions below it.

mod ignite;

use std::sync::Arc;
use std::{fmt, iter};

use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::{Build, Rocket};

use crate::auth::{AttachedHooks, Hooks};
use crate::base::Base;
use crate::clock::Clock;
use crate::db::{Db, Migrations, Preparation};
use crate::pages::{Customize, Engines, Pages};
use crate::sessions::figment;
use crate::web::Headers;

/// The whole site, configured by [`figment()`](crate::figment()).
pub fn rocket() -> Rocket<Build> {
    rocket::custom(figment()).attach(stage())
}

/// Attaches everything: [`sessions()`](crate::sessions()), users, pages at `/`, error pages, security headers and the
/// cross-site check.
///
/// If the configuration is wrong or the database cannot be opened, the launch fails. One line in
/// the log then names the key and the fix.
///
/// The application can replace each visible part:
///
///   * Its own route for `/` or for a file in `/static`, and its own default catcher, take
///     precedence over ours.
///   * `rocket-login/login.html.tera` in its `template_dir` replaces our log-in page, and so on for
///     every page and mail; [a page](crate::_documentation::templates) lists them. Its other
///     templates are its own, whatever their names are.
///   * [`Stage::templates()`] adds filters and functions for templates. A page of the application
///     that extends one of ours is a [`Rendered`](crate::Rendered).
///   * [`Stage`] has more: the pages to which ours lead, migrations, hooks.
///
/// An application with its own templates attaches
/// [`Template::fairing()`](rocket_dyn_templates::Template::fairing()) itself, before or after the
/// stage.
///
/// # Security headers
///
/// Our pages, files and error pages always have these headers:
///
/// | header | value |
/// |---|---|
/// | `Content-Security-Policy` | `default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'` |
/// | `X-Content-Type-Options` | `nosniff` |
/// | `X-Frame-Options` | `DENY` |
/// | `Referrer-Policy` | `same-origin` |
/// | `Cross-Origin-Opener-Policy` | `same-origin` |
/// | `Cross-Origin-Resource-Policy` | `same-origin` |
/// | `Permissions-Policy` | `camera=(), geolocation=(), microphone=(), payment=(), usb=()` |
/// | `Strict-Transport-Security` | `max-age=63072000; includeSubDomains`; not in the debug profile |
///
/// [`Stage::headers()`], or the key `site.headers`, says what the responses of the application's own
/// routes and catchers get:
///
/// | builder | key | |
/// |---|---|---|
/// | [`Headers::Ours`] | `"ours"`, the default | all of ours |
/// | [`Headers::with_policy()`] | | ours, with another `Content-Security-Policy` |
/// | [`Headers::Own`] | `"own"` | none of ours: those of the application's [`Shield`](rocket::shield::Shield), or of the one that every Rocket begins with |
///
/// The builder comes before the key. With `site.hsts_subdomains = false`, `includeSubDomains` is
/// left out, for a host with subdomains that have no https.
///
/// A header that a response has already stays. So a route loosens a header by setting it, and a
/// fairing of the application loosens it for many pages, whether it is attached before or after the
/// stage. To allow frames, set `X-Frame-Options: SAMEORIGIN`. Our policy then has
/// `frame-ancestors 'self'`. With `Headers::Own`, only a `Content-Security-Policy` of a fairing
/// stays on our pages, because nobody could distinguish the other headers from those of a `Shield`.
///
/// ```rust,no_run
/// use rocket::http::Header;
/// use rocket::{Responder, get, launch, routes};
/// use rocket_login::stage_at;
/// use rocket_login::web::Headers;
///
/// const POLICY: &str = "default-src 'none'; style-src 'self' https://fonts.example; \
///     font-src https://fonts.example; img-src 'self' data:; script-src 'self'; \
///     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
///
/// #[derive(Responder)]
/// struct Map {
///     page: &'static str,
///     permissions: Header<'static>,
/// }
///
/// /// This page may ask where the visitor is.
/// #[get("/map")]
/// fn map() -> Map {
///     let permissions = Header::new("Permissions-Policy", "geolocation=(self)");
///     Map { page: "<p>Where are you?", permissions }
/// }
///
/// /// All pages except ours may load these fonts.
/// #[launch]
/// fn rocket() -> _ {
///     let login = stage_at("/auth").headers(Headers::with_policy(POLICY));
///     rocket::build().attach(login).mount("/", routes![map])
/// }
/// ```
///
/// Unless you choose `Headers::Own`, the stage replaces Rocket's
/// [`Shield`](rocket::shield::Shield), because its default headers cannot be distinguished from
/// those that a route has set. An application that wants both attaches its own `Shield` at ignition,
/// after the stage:
/// `.attach(AdHoc::on_ignite("Shield", |rocket| async { rocket.attach(shield) }))`.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build().attach(rocket_login::stage())
/// }
/// ```
pub fn stage() -> Stage {
    Stage::at("/")
}

/// Attaches everything like [`stage()`], with the pages under `base`. With `"/auth"` the log-in
/// page is at `/auth/login`.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// #[launch]
/// fn rocket() -> _ {
///     rocket::build().attach(rocket_login::stage_at("/auth"))
/// }
/// ```
pub fn stage_at(base: &str) -> Stage {
    Stage::at(base)
}

/// What [`stage()`] attaches, and what an application says about it.
///
/// A stage is a fairing. Rocket keeps the one that was attached last.
///
/// # Examples
///
/// ```rust,no_run
/// # use rocket::launch;
/// use rocket_login::Stage;
///
/// #[launch]
/// fn rocket() -> _ {
///     let login = Stage::at("/auth").after_log_in("/dashboard").after_log_out("/bye");
///     rocket::build().attach(login)
/// }
/// ```
#[derive(Clone)]
#[must_use = "a stage does nothing until it is attached"]
pub struct Stage {
    base: String,
    clock: Option<Clock>,
    customize: Option<Customize>,
    pages: Pages,
    headers: Option<Headers>,
    preparation: Preparation,
    hooks: AttachedHooks,
}

impl Stage {
    /// Creates a stage with the pages under `base`, as [`stage_at()`] does.
    ///
    /// If `base` is not a path such as `/auth`, the launch fails.
    pub fn at(base: &str) -> Self {
        Stage {
            base: base.to_owned(),
            clock: None,
            customize: None,
            pages: Pages::default(),
            headers: None,
            preparation: Preparation::default(),
            hooks: AttachedHooks::default(),
        }
    }

    /// Sets the clock. Without it, the stage uses the clock that the application manages, or else
    /// the system's.
    ///
    /// # Examples
    ///
    /// ```rust,no_run
    /// use rocket_login::{Clock, stage};
    ///
    /// let clock = Clock::manual(1_767_225_600); // 1 January 2026
    /// let rocket = rocket::build().attach(stage().clock(clock.clone()));
    /// ```
    pub fn clock(self, clock: Clock) -> Self {
        Stage { clock: Some(clock), ..self }
    }

    /// Adds filters and functions to the engine that renders our pages, mails and
    /// [`Rendered`](crate::Rendered). `customize` runs after the templates are read, and again each
    /// time they are read anew.
    ///
    /// # Examples
    ///
    /// ```rust,no_run
    /// use std::collections::HashMap;
    ///
    /// use rocket_dyn_templates::tera::{Result, Value};
    ///
    /// fn shout(value: &Value, _: &HashMap<String, Value>) -> Result<Value> {
    ///     Ok(value.as_str().unwrap_or_default().to_uppercase().into())
    /// }
    ///
    /// let stage = rocket_login::stage()
    ///     .templates(|engines| engines.tera.register_filter("shout", shout));
    /// let rocket = rocket::build().attach(stage);
    /// ```
    pub fn templates(self, customize: impl Fn(&mut Engines) + Send + Sync + 'static) -> Self {
        Stage { customize: Some(Customize::new(customize)), ..self }
    }

    /// Sets the front page of the application, to which our pages link and a log-out leads. The
    /// default is `/`.
    ///
    /// If `path` is not a path on this site, the launch fails.
    pub fn home(mut self, path: &str) -> Self {
        self.pages.home = Some(path.to_owned());
        self
    }

    /// Sets the page to which a log-in or a sign-up leads, unless the visitor came from another
    /// page. The default is our account page.
    ///
    /// If `path` is not a path on this site, the launch fails.
    pub fn after_log_in(mut self, path: &str) -> Self {
        self.pages.after_log_in = Some(path.to_owned());
        self
    }

    /// Sets the page to which a log-out leads, and the deletion of an account. The default is
    /// [`home()`](Stage::home()).
    ///
    /// If `path` is not a path on this site, the launch fails.
    pub fn after_log_out(mut self, path: &str) -> Self {
        self.pages.after_log_out = Some(path.to_owned());
        self
    }

    /// Sets which [security headers](stage()#security-headers) the responses of the application's own
    /// routes get. It comes before the key `site.headers`.
    ///
    /// # Examples
    ///
    /// An application that has headers of its own already:
    ///
    /// ```rust,no_run
    /// use rocket::shield::{Frame, Shield};
    /// use rocket_login::stage_at;
    /// use rocket_login::web::Headers;
    ///
    /// let rocket = rocket::build()
    ///     .attach(Shield::default().enable(Frame::Deny))
    ///     .attach(stage_at("/auth").headers(Headers::Own));
    /// ```
    pub fn headers(self, headers: Headers) -> Self {
        Stage { headers: Some(headers), ..self }
    }

    /// Runs `hooks` together with the acts on accounts: a sign-up, a log-in, a deletion and others. Given
    /// more than once, all of them run, in this order.
    ///
    /// # Examples
    ///
    /// ```rust,no_run
    /// use rocket_login::auth::{HookError, Hooks};
    /// use rocket_login::{Transaction, User, sql};
    ///
    /// struct CountLogIns;
    ///
    /// #[rocket::async_trait]
    /// impl Hooks for CountLogIns {
    ///     async fn logged_in(&self, tx: &mut Transaction, user: &User) -> Result<(), HookError> {
    ///         let count = "INSERT INTO log_ins (user_id, count) VALUES ($1, 1)
    ///                      ON CONFLICT (user_id) DO UPDATE SET count = log_ins.count + 1";
    ///         sql::query(count).bind(user.id).execute(tx).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let rocket = rocket::build().attach(rocket_login::stage().hooks(CountLogIns));
    /// ```
    pub fn hooks(mut self, hooks: impl Hooks) -> Self {
        self.hooks.add(hooks);
        self
    }

    /// Sets the migrations of the application, for its own tables in the database of the accounts:
    /// a [`Migrations`], or sqlx's `Migrator`.
    ///
    /// They run at the launch, after ours and before any request. If one of them fails, the launch
    /// fails, and nothing has changed in the database.
    ///
    /// # Examples
    ///
    /// ```rust,no_run
    /// use rocket_login::{Migrations, stage};
    ///
    /// let notes = "CREATE TABLE notes (
    ///     user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    ///     text    TEXT   NOT NULL
    /// )";
    /// let stage = stage().migrations(Migrations::new().add(1, "notes", notes));
    /// let rocket = rocket::build().attach(stage);
    /// ```
    pub fn migrations(mut self, migrations: impl Into<Migrations>) -> Self {
        self.preparation.migrations = Arc::new(migrations.into());
        self
    }

    /// Runs `act` at the launch, with the database at hand: after the migrations and before any
    /// request. Several acts run one after the other.
    ///
    /// If `act` returns an error, the launch fails, and the log says it in one line.
    ///
    /// # Examples
    ///
    /// ```rust,no_run
    /// use rocket_login::{Db, Error, sql, stage};
    ///
    /// async fn first_room(db: Db) -> Result<(), Error> {
    ///     let mut tx = db.write().await?;
    ///     let insert = "INSERT INTO rooms (name) VALUES ('lobby') ON CONFLICT DO NOTHING";
    ///     sql::query(insert).execute(&mut tx).await?;
    ///     tx.commit().await
    /// }
    ///
    /// let rocket = rocket::build().attach(stage().with_database(first_room));
    /// ```
    pub fn with_database<F, A, E>(mut self, act: F) -> Self
    where
        F: Fn(Db) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.preparation.acts.push(Arc::new(move |db| {
            let acted = act(db);
            Box::pin(async move {
                acted
                    .await
                    .map_err(|error| format!("Stage::with_database: {}", in_words(&*error.into())))
            })
        }));
        self
    }
}

impl Stage {
    /// Returns the hooks of the application.
    #[cfg(feature = "cli")]
    pub(crate) fn own_hooks(&self) -> AttachedHooks {
        self.hooks.clone()
    }

    /// Returns the migrations of the application.
    #[cfg(feature = "cli")]
    pub(crate) fn own_migrations(&self) -> &Migrations {
        &self.preparation.migrations
    }

    /// Returns the path below which the pages are.
    ///
    /// # Errors
    ///
    /// Returns a line for the log if it is not a path.
    pub(crate) fn base(&self) -> Result<Base, String> {
        Base::parse(&self.base).ok_or_else(|| {
            format!(
                "Stage::at: {:?} is not a path; write the path below which the pages are, as in \
                 \"/auth\"",
                self.base
            )
        })
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Returns an error with its causes, in one line.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    let mut line = String::new();
    for cause in causes.map(|cause| cause.to_string().replace('\n', " ")) {
        // Some errors repeat their cause.
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[rocket::async_trait]
impl Fairing for Stage {
    fn info(&self) -> Info {
        Info { name: "Login", kind: Kind::Ignite | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        ignite::attach_login(rocket, self.clone()).await
    }
}
