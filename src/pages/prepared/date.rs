//! Writes times as the engine's filter `date` does, which reads its format anew each time.

use std::collections::HashMap;
use std::fmt::Write;

use rocket_dyn_templates::tera::Value;
use time::OffsetDateTime;

/// A format of times in UTC.
#[derive(Clone)]
pub struct DateFormat(Vec<Part>);

#[derive(Clone)]
enum Part {
    Text(String),
    Year,
    Month,
    MonthName,
    Day,
    /// The day without a zero before it.
    ShortDay,
    Hour,
    Minute,
    Second,
}

impl DateFormat {
    /// Reads the `arguments` of the filter `date`. `None` means that only the engine knows them.
    pub fn of(arguments: &HashMap<String, Value>) -> Option<Self> {
        let mut rest = arguments.get("format").filter(|_| arguments.len() == 1)?.as_str()?;
        let mut parts = Vec::new();
        while let Some((text, after)) = rest.split_once('%') {
            parts.push(Part::Text(text.to_owned()));
            let length = if after.starts_with('-') { 2 } else { 1 };
            let (code, after) = after.split_at_checked(length)?;
            parts.push(match code {
                "Y" => Part::Year,
                "m" => Part::Month,
                "B" => Part::MonthName,
                "d" => Part::Day,
                "-d" => Part::ShortDay,
                "H" => Part::Hour,
                "M" => Part::Minute,
                "S" => Part::Second,
                _ => return None,
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Some(DateFormat(parts))
    }

    /// Returns the time `value`, in seconds since 1970. `None` means that only the engine knows it, as
    /// it does times in words and years of more than four digits.
    pub fn text(&self, value: &Value) -> Option<String> {
        let time = OffsetDateTime::from_unix_timestamp(value.as_i64()?).ok()?;
        if !(1000..10_000).contains(&time.year()) {
            return None;
        }
        let mut text = String::with_capacity(32);
        for part in &self.0 {
            match part {
                Part::Text(part) => write!(text, "{part}"),
                Part::Year => write!(text, "{}", time.year()),
                Part::Month => write!(text, "{:02}", u8::from(time.month())),
                Part::MonthName => write!(text, "{}", time.month()),
                Part::Day => write!(text, "{:02}", time.day()),
                Part::ShortDay => write!(text, "{}", time.day()),
                Part::Hour => write!(text, "{:02}", time.hour()),
                Part::Minute => write!(text, "{:02}", time.minute()),
                Part::Second => write!(text, "{:02}", time.second()),
            }
            .ok()?;
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rocket_dyn_templates::tera::Tera;

    use super::*;

    fn arguments(format: &str) -> HashMap<String, Value> {
        HashMap::from([("format".to_owned(), format.into())])
    }

    proptest! {
        #[test]
        fn a_time_is_written_as_the_engine_writes_it(
            seconds in prop_oneof![any::<i64>(), -40_000_000_000_i64..260_000_000_000],
            format in "(%Y|%m|%B|%d|%-d|%H|%M|%S|[ a-zé<:-]){0,8}",
        ) {
            let (arguments, value) = (arguments(&format), Value::from(seconds));
            let text = DateFormat::of(&arguments).unwrap().text(&value);
            if let Some(text) = text {
                let tera = Tera::default();
                let filter = tera.get_filter("date").unwrap();
                prop_assert_eq!(Value::from(text), filter.filter(&value, &arguments).unwrap());
            }
        }
    }

    #[test]
    fn another_format_is_left_to_the_engine() {
        assert!(DateFormat::of(&arguments("%Y-%m-%dT%H:%M:%SZ")).is_some());
        for format in ["%j", "%", "%-", "%-m", "%é", "%%"] {
            assert!(DateFormat::of(&arguments(format)).is_none(), "{format}");
        }
        let mut zone = arguments("%Y");
        zone.insert("timezone".into(), "Europe/Paris".into());
        assert!(DateFormat::of(&zone).is_none());
        let year = DateFormat::of(&arguments("%Y")).unwrap();
        assert!(year.text(&"2026-01-01".into()).is_none());
        assert_eq!(year.text(&0.into()).unwrap(), "1970");
    }
}
