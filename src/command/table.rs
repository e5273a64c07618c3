//! Prints lists: a table for people, or JSON for scripts.

use comfy_table::{Table, presets};
use serde::Serialize;

use super::{Done, output};

/// Prints `items`, one on each line, under `columns`. With `json` it prints them as JSON.
pub fn print<T: Serialize, const N: usize>(
    json: bool,
    items: &[T],
    columns: [&str; N],
    row: fn(&T) -> [String; N],
) -> Done {
    if json {
        return print_json(&items);
    }

    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns).add_rows(items.iter().map(row));
    output::print(table.trim_fmt())
}

pub fn print_json(value: &impl Serialize) -> Done {
    output::print(serde_json::to_string_pretty(value)?)
}
