//! Reads the fields of a form out of a JSON object.

use std::fmt;

use rocket::http::Status;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Number, Value};

/// Every whole number below this one is a double of its own, and none above it.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A field's name and its text. `None` means that the field counts as absent.
pub type Field = (String, Option<String>);

/// Returns the members of the object in `text`, in their order. It returns `400` if the text is not
/// JSON, and `422` if it is not an object of plain values.
///
/// It returns both of two members with one name, so that the caller can refuse them.
pub fn fields(text: &str) -> Result<Vec<Field>, Status> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(Members).map_err(|error| status(&error))?;
    json.end().map_err(|error| status(&error))?;
    Ok(fields)
}

fn status(error: &serde_json::Error) -> Status {
    match error.classify() {
        Category::Data => Status::UnprocessableEntity,
        Category::Syntax | Category::Eof | Category::Io => Status::BadRequest,
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = members.next_entry()? {
            let text = match value {
                Value::String(text) => Some(text),
                // What a browser sends for a box that is ticked, and what Rocket reads as not ticked.
                Value::Bool(is_true) => Some(if is_true { "on" } else { "off" }.to_owned()),
                Value::Number(number) if is_exact(&number) => Some(number.to_string()),
                Value::Null => None,
                // The answer of a passkey, as browsers make it.
                value @ Value::Object(_) if name == "credential" => Some(value.to_string()),
                _ => return Err(A::Error::custom("not a plain value")),
            };
            fields.push((name, text));
        }
        Ok(fields)
    }
}

/// Returns whether the number is what the client has sent. A larger one is already rounded, and a
/// password of many digits would be another one.
fn is_exact(number: &Number) -> bool {
    number.is_u64() || number.is_i64() || number.as_f64().is_some_and(|n| n.abs() < EXACT)
}
