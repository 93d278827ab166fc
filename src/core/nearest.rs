//! What a misspelt name was probably meant to be.

/// The candidate that needs the fewest edits to become `wanted`, if that is a third of its length at most. Case does
/// not count; of several the first by name.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = wanted.to_lowercase().chars().collect();
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(edits, candidate)| *edits * 3 <= candidate.chars().count().max(wanted.len()))
        .min()
        .map(|(_, candidate)| candidate)
}

/// ` Did you mean "x"?`, or nothing.
pub fn did_you_mean<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wanted, candidates).map_or_else(String::new, |name| format!(" Did you mean \"{name}\"?"))
}

/// Levenshtein's distance, row by row.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, letter) in to.chars().enumerate() {
        let mut before = line + 1;
        let mut next = vec![before];
        for ((old, replaced), above) in from.iter().zip(&row).zip(row.iter().skip(1)) {
            before = (replaced + usize::from(*old != letter)).min(above + 1).min(before + 1);
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
