//! Units as people write them in a scenario: `40GB`, `12m`.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes. Written as an integer or as `512MB`, `40GB`, `2TB` (powers of 1024, as vCenter and ASR count).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Size {
    /// `n` gibibytes.
    pub const fn gb(n: u64) -> Size {
        Size(n * 1024 * 1024 * 1024)
    }
    /// `n` mebibytes.
    pub const fn mb(n: u64) -> Size {
        Size(n * 1024 * 1024)
    }
}

fn parse_size(text: &str) -> Result<Size, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is not a size; write 40GB, 512MB or a number of bytes"))?;
    let factor: f64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "KB" | "KIB" => 1024.0,
        "MB" | "MIB" => 1024.0 * 1024.0,
        "GB" | "GIB" => 1024.0 * 1024.0 * 1024.0,
        "TB" | "TIB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("`{other}` is not a unit of size; known: B, KB, MB, GB, TB")),
    };
    Ok(Size((number * factor) as u64))
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 40GB")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Size, E> {
                Ok(Size(v))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Size, E> {
                parse_size(v).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

/// A length of time, written as `12m`, `1h 30m`, `90s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub SignedDuration);

impl Span {
    /// `n` minutes.
    pub const fn minutes(n: i64) -> Span {
        Span(SignedDuration::from_secs(n * 60))
    }
    /// `n` seconds.
    pub const fn seconds(n: i64) -> Span {
        Span(SignedDuration::from_secs(n))
    }
    /// `part / whole` of this span.
    pub(crate) fn share(self, part: i32, whole: i32) -> SignedDuration {
        self.0 * part / whole.max(1)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: SignedDuration = text
            .parse()
            .map_err(|_| de::Error::custom(format!("`{text}` is not a length of time; write 90s, 12m, 1h 30m")))?;
        if span.is_negative() {
            return Err(de::Error::custom(format!("`{text}` is negative")));
        }
        Ok(Span(span))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:#}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans() {
        assert_eq!(parse_size("40GB"), Ok(Size(42_949_672_960)));
        assert_eq!(parse_size("1.5 MB"), Ok(Size(1_572_864)));
        assert!(parse_size("40 apples").is_err());
        let span: Span = serde_yaml::from_str("1h 30m").unwrap();
        assert_eq!(span, Span::minutes(90));
        let again: Span = serde_yaml::from_str(&serde_yaml::to_string(&span).unwrap()).unwrap();
        assert_eq!(again, span);
    }
}
