//! Prints lists: a table for people, or JSON for scripts.

use comfy_table::{Table, presets};
use serde::Serialize;

use super::{Done, output};

/// Prints `items`, one on each line, under `columns`. If there are none, standard error says so.
pub fn print<T, const N: usize>(
    items: &[T],
    columns: [&str; N],
    row: fn(&T) -> [String; N],
) -> Done {
    if items.is_empty() {
        output::say("nothing was found");
        return Ok(());
    }

    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns).add_rows(items.iter().map(row));
    output::print(table.trim_fmt())
}

pub fn print_json(value: &impl Serialize) -> Done {
    output::print(serde_json::to_string_pretty(value)?)
}

/// A JSON array that is printed while it grows, as [`print_json()`] prints a list.
pub struct JsonArray(bool);

impl JsonArray {
    pub fn begin() -> Self {
        JsonArray(false)
    }

    pub fn add(&mut self, value: &impl Serialize) -> Done {
        let value = serde_json::to_string_pretty(value)?.replace('\n', "\n  ");
        let before = if self.0 { ",\n" } else { "[\n" };
        self.0 = true;
        output::print_part(format_args!("{before}  {value}"))
    }

    pub fn end(self) -> Done {
        output::print(if self.0 { "\n]" } else { "[]" })
    }
}
