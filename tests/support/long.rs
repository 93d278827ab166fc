//! Tests that have a long variant ask here.

/// Whether the long variants are asked for, which take minutes to hours each: `FAILBACK_LONG=1`.
pub(crate) fn long() -> bool {
    std::env::var_os("FAILBACK_LONG").is_some_and(|set| set == "1")
}
