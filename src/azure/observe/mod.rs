//! From what Azure sends to what the core knows.
//!
//! Lenient where a field is for people, strict where a decision hangs on it: an item whose scenario or permitted
//! operations cannot be read is not shown at all, since "nothing runs" must never be guessed.

pub(crate) mod around;
pub(crate) mod fabric;
pub(crate) mod health;
pub(crate) mod item;
pub(crate) mod job;
pub(crate) mod vm;

#[cfg(test)]
mod recorded_tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{azure::quote::quote, core::observed::OsFamily};

/// An entry that cannot be shown: its id, where it has one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Odd {
    id: String,
    why: String,
}

impl Odd {
    fn new(id: Option<&str>, why: &str) -> Self {
        Self { id: quote(id.unwrap_or("an entry without id")), why: why.to_owned() }
    }
}

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.why)
    }
}

fn os_family(word: &str) -> Option<OsFamily> {
    if word.eq_ignore_ascii_case("windows") {
        Some(OsFamily::Windows)
    } else if word.eq_ignore_ascii_case("linux") {
        Some(OsFamily::Linux)
    } else {
        None
    }
}

/// Decodes an object of any kind. The models accept any object, so that only other JSON is odd.
fn decode<T: DeserializeOwned>(value: Value) -> Result<T, Odd> {
    let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
    serde_json::from_value(value).map_err(|_| Odd::new(id.as_deref(), "not an object"))
}
