//! Why something that a step needs cannot be decided, in words that name field, value and remedy.

use super::nearest::nearest;

/// Why nothing is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What it depends on is not known, because of this.
    Unknown(String),
    /// What is known rules it out.
    Refused {
        /// What was found, with the field and the value at fault.
        why: String,
        /// What to do.
        remedy: String,
    },
}

impl Refusal {
    /// Ruled out by what is known.
    pub fn refused(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), remedy: remedy.into() }
    }

    /// A declared name that does not exist among those that do.
    pub fn missing(field: &str, what: &str, wanted: &str, names: &[&str]) -> Self {
        let known = match names {
            [] => "there is none at all".to_owned(),
            some if some.len() > MOST_NAMES => format!("there are {}", some.len()),
            some => format!("there is {}", some.join(", ")),
        };
        let remedy = match nearest(wanted, names.iter().copied()) {
            Some(name) => format!("Did you mean \"{name}\"?"),
            None => format!("Name one that exists, or remove {field}."),
        };
        Self::refused(format!("{field}: there is no {what} \"{wanted}\"; {known}."), remedy)
    }

    /// The whole in a sentence or two.
    pub fn sentence(&self) -> String {
        match self {
            Self::Unknown(why) => why.clone(),
            Self::Refused { why, remedy } => format!("{why} {remedy}"),
        }
    }
}

/// A fact that is unknown decides nothing.
impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self::Unknown(why.to_owned())
    }
}

/// More names than this are counted, not listed.
const MOST_NAMES: usize = 8;
