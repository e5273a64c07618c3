//! How much memory a value takes.
//!
//! These are the sizes of the allocations that the value owns, as glibc's allocator rounds them up.
//! `just bench traffic` checks their sum by the memory that the process takes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::value::State;

/// The slots in one node of a `BTreeMap`, with its links.
const OF_NODE: usize = 12;

/// `true` if the maps of `serde_json` are trees. An application may select its other kind, a table.
const IS_TREE: bool = size_of::<State>() == size_of::<BTreeMap<String, Value>>();

/// Returns the memory for an allocation of `bytes`: with 8 bytes of the allocator's, and rounded up
/// to 16. Nothing is allocated for 0 bytes.
pub fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    }
}

/// Returns the memory for a `T` in an `Arc`, without what the `T` points to.
pub fn shared<T>() -> usize {
    allocated(size_of::<[usize; 2]>() + size_of::<T>())
}

/// Returns the memory that a state points to.
pub fn of_state(state: &State) -> usize {
    let values = state.iter().map(|(key, value)| allocated(key.len()) + of_value(value));
    slots(state.len()) + values.sum::<usize>()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocated(text.capacity()),
        Value::Array(values) => {
            allocated(values.capacity() * size_of::<Value>())
                + values.iter().map(of_value).sum::<usize>()
        }
        Value::Object(values) => of_state(values),
    }
}

/// Returns the memory for the slots of a map with `entries`.
fn slots(entries: usize) -> usize {
    let slot = size_of::<(String, Value)>();
    match entries {
        0 => 0,
        // Nodes are at least half full.
        _ if IS_TREE => (1 + entries / 5) * allocated(OF_NODE * slot),
        // A slot has a hash and a place in an index, which is twice as long.
        _ => allocated(entries.next_power_of_two().max(4) * (slot + 8 + 18)),
    }
}
