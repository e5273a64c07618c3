//! `copy`: moves a site to another database.

use std::fmt;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rocket_db_pools::Pool;

use super::{Done, output};
use crate::config::DatabaseConfig;
use crate::db::{Pools, copy, schema};

#[derive(Debug, Args)]
pub struct Copy {
    /// Where the site is, as in sqlite:data/login.db. It must be stopped
    #[arg(long, value_name = "URL")]
    from: Url,
    /// Where it goes, as in postgres://login@db.example.org/login: an empty
    /// database, or one that an interrupted copy has begun to fill. A password is
    /// best in PGPASSWORD
    #[arg(long, value_name = "URL")]
    to: Url,
}

/// An address as it was typed, which may hold a password: it is not read here, or
/// a mistake in it would be printed.
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
        let urls = (self.from.parse("--from")?, self.to.parse("--to")?);
        if urls.0 == urls.1 {
            return Err("--from and --to are the same".into());
        }
        let schema = schema::look(&urls.0).await.map_err(|error| format!("--from: {error}"))?;
        schema.check(&urls.0).map_err(|refusal| format!("--from: {refusal}"))?;

        let from = Pools::open(&urls.0).await.map_err(|error| format!("--from: {error}"))?;
        let to = Pools::open(&urls.1).await.map_err(|error| format!("--to: {error}"))?;
        let done = copy(&from, &to).await;
        if done.is_ok() {
            let line = format!("{} is in {}; set databases.login.url to it", urls.0, urls.1);
            output::print(line)?;
        }
        to.close().await;
        from.close().await;
        done
    }
}

async fn copy(from: &Pools, to: &Pools) -> Done {
    to.migrate().await.map_err(|error| format!("--to: {error}"))?;
    // Of all tables before anything is written: a site that is in use there
    // must not get rows of another one.
    for table in &copy::TABLES {
        let begun = table.begun(from, to).await?;
        if !begun {
            let name = table.name;
            return Err(format!("--to: {name} holds other rows; give an empty database").into());
        }
    }

    for table in &copy::TABLES {
        let (all, done) = (table.count(from).await?, table.count(to).await?);
        let bar = ProgressBar::new(all).with_style(style()).with_message(table.name);
        bar.set_position(done);
        table.copy(from, to, |rows| bar.inc(rows)).await?;
        bar.finish_and_clear();
    }
    for table in &copy::TABLES {
        let (before, after) = (table.sum(from).await?, table.sum(to).await?);
        if before != after {
            let name = table.name;
            return Err(format!(
                "{name}: {} rows became {}, or have changed; stop the site and copy into an \
                     empty database",
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
