//! The loggers of our command line: one for a command, and one for the site.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use clap::builder::styling::AnsiColor;
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::output;
use crate::history;

/// The target of the lines that say what has started.
pub const START: &str = "rocket_login::start";

/// The target of the lines about requests.
pub const REQUEST: &str = "rocket_login::request";

/// Installs the logger of a command, unless the application has installed one.
pub fn install_for_command() {
    let _ = log::set_logger(&OfCommand);
}

/// Installs the logger of the site, unless the application has installed one. It must come before
/// the `Rocket` is made, which installs Rocket's logger.
pub fn install_for_site() {
    if log::set_logger(&OfSite).is_ok() {
        IS_OURS.store(true, Relaxed);
        log::set_max_level(LevelFilter::Info);
    }
}

/// Makes the site's logger obey `log_level` and `cli_colors`.
pub fn configure(config: &rocket::Config) {
    let level = LevelFilter::from(config.log_level);
    LEVEL.store(level as usize, Relaxed);
    let has_colors =
        config.cli_colors && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    HAS_COLORS.store(has_colors && stdout().is_terminal(), Relaxed);
    if IS_OURS.load(Relaxed) {
        // The lines that are always printed have the level of information.
        let quietest = if level == LevelFilter::Off { level } else { LevelFilter::Info };
        log::set_max_level(level.max(quietest));
    }
}

/// Returns whether each request has a line in the log.
pub fn logs_requests() -> bool {
    IS_OURS.load(Relaxed) && LEVEL.load(Relaxed) >= Level::Info as usize
}

/// The logger of a command, which prints this crate's warnings on standard error: only the site
/// writes to its own log.
struct OfCommand;

impl Log for OfCommand {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("rocket_login")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            output::say(record.args());
        }
    }

    fn flush(&self) {}
}

/// The logger of the site. It prints on standard output what Rocket's logger prints, in the same
/// form, except for what Rocket says at the launch and about the steps of a request: the site says
/// both in fewer lines of its own.
struct OfSite;

static IS_OURS: AtomicBool = AtomicBool::new(false);
static LEVEL: AtomicUsize = AtomicUsize::new(Level::Info as usize);
static HAS_COLORS: AtomicBool = AtomicBool::new(false);

impl Log for OfSite {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        const DEBUG: usize = Level::Debug as usize;

        match (LEVEL.load(Relaxed), metadata.target()) {
            (0, _) => false,
            // A log with only the refusals does not show whether an attack succeeded in the end.
            (_, START | history::TARGET) => true,
            (level @ DEBUG.., _) => metadata.level() as usize <= level,
            (level, target) => metadata.level() as usize <= level && !is_left_out(target, metadata),
        }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // If this fails too, nobody is left to be told.
            let line = line(record);
            let _ = stdout().write_all(line.as_bytes()).or_else(|_| write_error(&line));
        }
    }

    fn flush(&self) {}
}

fn write_error(line: &str) -> io::Result<()> {
    stderr().write_all(line.as_bytes())
}

/// Returns whether a line is printed only with `log_level = "debug"`.
fn is_left_out(target: &str, metadata: &Metadata<'_>) -> bool {
    let is_step = ["rocket::server", "rocket::shield"].iter().any(|of| target.starts_with(of));
    let is_library = ["hyper", "rustls"].iter().any(|of| target.starts_with(of));
    // Rocket marks even the line that it has launched as a warning.
    target.starts_with("rocket::launch")
        || is_library
        || (is_step && metadata.level() == Level::Info)
}

/// Returns the line of a record, with its end.
fn line(record: &Record<'_>) -> String {
    let styled = |color: AnsiColor, text: &str| match HAS_COLORS.load(Relaxed) {
        true => {
            let style = color.on_default().bold();
            format!("{style}{text}{style:#} ")
        }
        false => format!("{text} "),
    };
    // Rocket marks lines that belong to the one before.
    let is_indented = record.target().ends_with('_');
    let start = match record.level() {
        _ if is_indented => "   >> ".to_owned(),
        Level::Error => styled(AnsiColor::Red, "Error:"),
        Level::Warn => styled(AnsiColor::Yellow, "Warning:"),
        Level::Info => String::new(),
        Level::Debug | Level::Trace => format!("{}: ", record.target()),
    };
    format!("{start}{}\n", record.args())
}
