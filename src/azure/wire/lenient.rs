//! Fields that decode whatever comes.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::dates;

/// A text; also a number or boolean where a text was expected. Null, absent, blank: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Option<String>);

impl Text {
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(crate) fn owned(&self) -> Option<String> {
        self.0.clone()
    }

    /// The text, or an empty one.
    pub(crate) fn or_empty(&self) -> String {
        self.0.clone().unwrap_or_default()
    }

    /// The text unless it is the service's word for nothing, `None`.
    pub(crate) fn unless_none(&self) -> Option<&str> {
        self.get().filter(|word| !word.eq_ignore_ascii_case("none"))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

/// A boolean; also `"true"`, `"False"`. Anything else: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Bool(flag) => Some(flag),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
            Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

/// Nothing that is counted here is larger (2⁵⁰: a pebibyte), so that sums of it cannot overflow either.
const LARGEST: f64 = 1_125_899_906_842_624.0;

/// A count: a number, or a text with one (`"439"`, `"0%"`). Negative numbers mean "not known" (recorded: -1 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count(Option<f64>);

impl Count {
    pub(crate) fn get(self) -> Option<u64> {
        self.0.map(|number| number as u64)
    }

    /// As a percentage, at most 100.
    pub(crate) fn percent(self) -> Option<u8> {
        self.get().and_then(|number| u8::try_from(number.min(100)).ok())
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().trim_end_matches('%').trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Ok(Self(number.filter(|number: &f64| (0.0..=LARGEST).contains(number))))
    }
}

/// A date in any notation; sentinels are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct When(pub(crate) Option<Timestamp>);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => dates::parse(&text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

/// An object. What is there and is not one is remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Part<T> {
    /// Absent or null.
    #[default]
    Absent,
    /// There.
    There(T),
    /// Something that is not such an object.
    Odd,
}

impl<T> Part<T> {
    pub(crate) const fn get(&self) -> Option<&T> {
        match self {
            Self::There(part) => Some(part),
            Self::Absent | Self::Odd => None,
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Absent,
            object @ Value::Object(_) => serde_json::from_value(object).map_or(Self::Odd, Self::There),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Self::Odd,
        })
    }
}

/// A list, read entry by entry: one odd entry never hides the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Many<T> {
    /// What could be read.
    pub(crate) entries: Vec<T>,
    /// Whether something was there that is not a list, or an entry that is not what belongs there.
    pub(crate) odd: bool,
    /// Whether a list was there at all.
    pub(crate) given: bool,
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), odd: false, given: false }
    }
}

impl<T> Many<T> {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }
}

impl Many<Text> {
    /// The texts in it.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.iter().filter_map(Text::owned).collect()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut many = Self::default();
        match Value::deserialize(deserializer)? {
            Value::Null => {}
            Value::Array(values) => {
                many.given = true;
                for value in values {
                    match serde_json::from_value(value) {
                        Ok(entry) => many.entries.push(entry),
                        Err(_) => many.odd = true,
                    }
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => many.odd = true,
        }
        Ok(many)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn booleans_come_as_texts_and_numbers_too() {
        assert_eq!(read::<Flag>(json!("True")), Flag(Some(true)));
        assert_eq!(read::<Flag>(json!("false")), Flag(Some(false)));
        assert_eq!(read::<Flag>(json!(true)), Flag(Some(true)));
        for odd in [json!(null), json!(1), json!("yes"), json!([]), json!({})] {
            assert_eq!(read::<Flag>(odd), Flag(None));
        }
        assert_eq!(read::<Count>(json!("64")).get(), Some(64));
        assert_eq!(read::<Count>(json!("0%")).percent(), Some(0));
        assert_eq!(read::<Count>(json!(42_949_672_960_u64)).get(), Some(42_949_672_960));
        assert_eq!(read::<Count>(json!(250.7)).percent(), Some(100));
        for none in [json!(-1), json!("-1"), json!(""), json!(null), json!("NaN"), json!(1e30), json!({})] {
            assert_eq!(read::<Count>(none).get(), None);
        }
    }

    #[test]
    fn texts_are_texts_whatever_they_are() {
        assert_eq!(read::<Text>(json!(95226)).get(), Some("95226"));
        assert_eq!(read::<Text>(json!("None")).unless_none(), None);
        for none in [json!(null), json!(""), json!("  "), json!([1]), json!({"a": 1})] {
            assert_eq!(read::<Text>(none).get(), None);
        }
    }

    #[test]
    fn one_odd_entry_hides_no_other() {
        let many = read::<Many<Part<Value>>>(json!([{"a": 1}, 7, null, {"b": 2}]));
        assert_eq!(many.iter().filter(|part| part.get().is_some()).count(), 2);
        assert!(read::<Many<Text>>(json!({"not": "a list"})).odd);
        assert!(!read::<Many<Text>>(json!(null)).given);
        assert!(matches!(read::<Part<Value>>(json!("text")), Part::Odd));
    }
}
