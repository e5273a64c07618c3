//! `copy`: moves a site to another database.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rocket_db_pools::Pool;

use super::Done;
use crate::config::DatabaseConfig;
use crate::db::{Pools, copy};

#[derive(Debug, Args)]
pub struct Copy {
    /// Where the site is, as in sqlite:data/login.db. It must be stopped
    #[arg(long, value_name = "URL", value_parser = DatabaseConfig::parse)]
    from: DatabaseConfig,
    /// Where it goes, as in postgres://login@db.example.org/login: an empty
    /// database, or one that an interrupted copy has begun to fill. A password is
    /// best in PGPASSWORD
    #[arg(long, value_name = "URL", value_parser = DatabaseConfig::parse)]
    to: DatabaseConfig,
}

impl Copy {
    pub async fn run(self) -> Done {
        if self.from == self.to {
            return Err("--from and --to are the same".into());
        }
        if let DatabaseConfig::Sqlite(path) = &self.from
            && !path.is_file()
        {
            return Err(format!("--from: there is no {}", path.display()).into());
        }

        let from = Pools::open(&self.from).await.map_err(|error| format!("--from: {error}"))?;
        let to = Pools::open(&self.to).await.map_err(|error| format!("--to: {error}"))?;
        let done = self.copy(&from, &to).await;
        to.close().await;
        from.close().await;
        done
    }

    async fn copy(&self, from: &Pools, to: &Pools) -> Done {
        from.migrate().await.map_err(|error| format!("--from: {error}"))?;
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
            println!("{}: {} rows, the same in both", table.name, after.rows);
        }
        println!("{} is in {}; set databases.login.url to it", self.from, self.to);
        Ok(())
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg:20} {wide_bar} {human_pos}/{human_len} {eta}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
