//! The order of waves: which come before which.

use std::collections::BTreeSet;

use crate::api::Wave;

/// The names of the waves that a wave depends on: those that it names, else the one before it.
pub fn depends_on(waves: &[Wave], index: usize) -> Vec<&str> {
    match waves.get(index).and_then(|wave| wave.depends_on.as_ref()) {
        Some(named) => named.iter().map(String::as_str).collect(),
        None => index
            .checked_sub(1)
            .and_then(|before| waves.get(before))
            .map(|wave| vec![wave.name.as_str()])
            .unwrap_or_default(),
    }
}

/// Names of waves that wait for each other in a circle, or for such; empty when there are none.
pub fn circle(waves: &[Wave]) -> Vec<&str> {
    let mut left: BTreeSet<usize> = (0..waves.len()).collect();
    loop {
        let names: BTreeSet<&str> =
            left.iter().filter_map(|index| waves.get(*index)).map(|wave| wave.name.as_str()).collect();
        let free: Vec<usize> = left
            .iter()
            .copied()
            .filter(|index| depends_on(waves, *index).iter().all(|name| !names.contains(name)))
            .collect();
        if free.is_empty() {
            return left.iter().filter_map(|index| waves.get(*index)).map(|wave| wave.name.as_str()).collect();
        }
        for index in free {
            left.remove(&index);
        }
    }
}
