//! The commands `completions` and `man`, which make files out of the help.

use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;

use super::{Done, output};
use crate::program;

/// Prints a script that completes the commands and options of `usage` in `shell`.
pub fn print_completions(mut usage: clap::Command, shell: Shell) -> Done {
    let (name, mut script) = (program::name(), Vec::new());
    clap_complete::generate(shell, &mut usage, name, &mut script);
    let script = String::from_utf8_lossy(&script);
    // In a script for bash, clap_complete 4.6 spells a name with a hyphen in two ways, and then
    // completes nothing after the first word (https://github.com/clap-rs/clap/issues/6421).
    let [wrong, right] = ["__subcmd__", "__"].map(|hyphen| name.replace('-', hyphen));
    let [wrong, right] = [wrong, right].map(|name| name + "__subcmd__");
    output::print(script.replace(&wrong, &right).trim_end())
}

/// Prints the manual page of the program, or writes a page for each command into `folder`.
pub fn print_pages(usage: clap::Command, folder: Option<&Path>) -> Done {
    // The command `help` gets no page of its own.
    let usage = usage.disable_help_subcommand(true);
    let Some(folder) = folder else {
        let mut page = Vec::new();
        Man::new(usage).render(&mut page)?;
        return output::print(String::from_utf8_lossy(&page).trim_end());
    };

    let place = folder.display();
    clap_mangen::generate_to(usage, folder)
        .map_err(|error| format!("cannot write into the folder {place}: {error}"))?;
    output::print(format_args!("The manual pages are in {place}."))
}
