//! What Azure sends, as it sends it.
//!
//! Every field is optional and every scalar is read leniently (protocol reference §2.2): booleans come as strings,
//! numbers as strings, dates in four notations with sentinels. Nothing in here fails to decode; what is odd is
//! remembered as odd, and the observers decide what that means.

pub(crate) mod around;
pub(crate) mod dates;
pub(crate) mod fabric;
pub(crate) mod item;
pub(crate) mod job;
pub(crate) mod lenient;
