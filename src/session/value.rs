//! The values of a session as its row holds them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::metrics::{self, SessionEvent};

/// The deepest nesting of JSON that `serde_json` can read.
const DEEPEST: usize = 127;

/// The values of a session by key.
pub type State = Map<String, Value>;

/// Reads the state in a row. `None` means that it is not in the format that we write.
pub fn parse(data: &str) -> Option<State> {
    match data {
        "{}" => Some(State::new()),
        _ => serde_json::from_str(data).ok(),
    }
}

/// Counts a conflict and returns the error for a session that another request or device has ended.
pub fn ended() -> Error {
    metrics::count(SessionEvent::Conflict);
    Error::ended()
}

/// Returns the state as it is stored. It refuses a state that could not be read back.
pub fn serialize(state: &State) -> Result<String, Error> {
    let is_readable = state.values().all(|value| is_nested_in(value, DEEPEST - 1));
    let data = serde_json::to_string(state).ok().filter(|_| is_readable);
    data.ok_or_else(|| Error::value::<State>("state"))
}

/// Returns whether `value` has at most `levels` levels of lists and objects.
fn is_nested_in(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(|v| is_nested_in(v, levels - 1)),
        Value::Object(values) => levels > 0 && values.values().all(|v| is_nested_in(v, levels - 1)),
        _ => true,
    }
}

pub fn to_json<T: Serialize>(key: &str, value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|_| Error::value::<T>(key))
}

pub fn read<T: DeserializeOwned>(state: &State, key: &str) -> Result<Option<T>, Error> {
    let value = state.get(key);
    value.map(|value| T::deserialize(value).map_err(|_| Error::value::<T>(key))).transpose()
}
