//! The command `copy`, which moves a site to another database.

use std::fmt;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rocket_db_pools::Pool as _;

use super::{Done, output};
use crate::config::DatabaseConfig;
use crate::db::schema::{self, Schema};
use crate::db::tables::TABLES;
use crate::db::{Connection, Migrations, Pool, Source, copy};

#[derive(Debug, Args)]
pub struct Copy {
    /// The site's present database, as in sqlite:data/login.db. Stop the site first: no other
    /// program may have the database open
    #[arg(long, value_name = "URL")]
    from: Url,
    /// The new database, as in postgres://login@db.example.org/login: an empty one, or one that
    /// an interrupted copy has begun to fill. Put a password into PGPASSWORD
    #[arg(long, value_name = "URL")]
    to: Url,
    /// Continue although the site's database has tables, or columns in our tables, that are not
    /// part of this program; they are listed and stay behind
    #[arg(long)]
    leave_other_tables: bool,
}

/// An address as the operator typed it, which may contain a password. Clap does not parse it,
/// because its message would print a wrong one.
#[derive(Clone)]
struct Url(String);

impl From<String> for Url {
    fn from(url: String) -> Self {
        Url(url)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url")
    }
}

impl Url {
    fn parse(&self, option: &str) -> Result<DatabaseConfig, String> {
        DatabaseConfig::parse(&self.0).map_err(|error| format!("{option}: {}", error.problem()))
    }
}

impl Copy {
    pub async fn run(self) -> Done {
        let urls = (self.from.parse(FROM)?, self.to.parse(TO)?);
        if is_same(&urls.0, &urls.1) {
            return Err("--from and --to are the same".into());
        }
        // The tables of an application are not copied.
        let none = Migrations::new();
        let schema = schema::look(&urls.0, &none).await.map_err(|error| at(FROM, error))?;
        schema.check(&urls.0).map_err(|refusal| at(FROM, refusal))?;
        let schema = schema::look(&urls.1, &none).await.map_err(|error| at(TO, error))?;
        if matches!(schema, Schema::Ahead | Schema::Altered(_)) {
            schema.check(&urls.1).map_err(|refusal| at(TO, refusal))?;
        }

        output::say_database(&urls.0);
        let mut from = Source::open(&urls.0).await.map_err(|error| at(FROM, error))?;
        let done = self.copy(&mut from, &urls).await;
        from.close().await;
        done
    }

    async fn copy(&self, from: &mut Source, urls: &(DatabaseConfig, DatabaseConfig)) -> Done {
        let left = copy::others(&mut from.db).await?.join(", ");
        if !left.is_empty() && !self.leave_other_tables {
            return Err(format!(
                "--from: {left}: not part of this program, so they would stay behind; move them \
                 yourself, and add --leave-other-tables"
            )
            .into());
        }

        output::say(format_args!("new database: {}", urls.1));
        let to = Pool::open(&urls.1).await.map_err(|error| at(TO, error))?;
        let copied = copy_tables(&mut from.db, &to).await;
        to.close().await;
        copied?;
        if !left.is_empty() {
            output::print(format_args!("left behind: {left}"))?;
        }
        output::print(format_args!(
            "{} was copied to {}; set databases.login.url to the new one",
            urls.0, urls.1
        ))
    }
}

const FROM: &str = "--from";
const TO: &str = "--to";

/// Returns the problem of the database that `option` names.
fn at(option: &str, problem: impl fmt::Display) -> String {
    let problem = problem.to_string();
    let problem = problem.strip_prefix("databases.login.url: ").unwrap_or(&problem);
    format!("{option}: {problem}")
}

/// Returns whether both are the same database. Several paths may lead to one file.
fn is_same(from: &DatabaseConfig, to: &DatabaseConfig) -> bool {
    match (from, to) {
        (DatabaseConfig::Sqlite(from), DatabaseConfig::Sqlite(to)) => {
            from == to
                || matches!((from.canonicalize(), to.canonicalize()), (Ok(a), Ok(b)) if a == b)
        }
        _ => from == to,
    }
}

async fn copy_tables(from: &mut Connection, to: &Pool) -> Done {
    to.migrate().await.map_err(|error| at(TO, error))?;
    // We check all tables before we write anything: rows of another site must not get into a
    // database that is in use.
    for table in &TABLES {
        let begun = table.begun(from, to).await?;
        if !begun {
            let name = table.name;
            return Err(
                format!("--to: {name} has other rows already; use an empty database").into()
            );
        }
    }

    for table in &TABLES {
        let all = table.count(from).await?;
        let done = table.count(&mut *copy::unhurried(to).await?).await?;
        let bar = ProgressBar::new(all).with_style(style()).with_message(table.name);
        bar.set_position(done);
        table.copy(from, to, |rows| bar.inc(rows)).await?;
        bar.finish_and_clear();
    }
    for table in &TABLES {
        let before = table.sum(from).await?;
        let after = table.sum(&mut *copy::unhurried(to).await?).await?;
        if before != after {
            let name = table.name;
            return Err(format!(
                "{name}: {} rows became {}, or some have changed; copy into an empty database that \
                 nobody else uses",
                before.rows, after.rows
            )
            .into());
        }
        output::print(format_args!("{}: {} rows, the same in both", table.name, after.rows))?;
    }
    Ok(())
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg:20} {wide_bar} {human_pos}/{human_len} {eta}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
