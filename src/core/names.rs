//! Many names in little space: those that differ only in a number of the same width are written as one range, as in
//! `web-{001..120}`. Names of Kubernetes have no braces, so nothing else looks like one.

use std::collections::{BTreeMap, BTreeSet};

/// As few names as this are no range: it would be no shorter to read.
const FEWEST: usize = 3;
/// More digits do not fit the number.
const MOST_DIGITS: usize = 18;

/// A name around its last number.
type Split<'a> = (&'a str, &'a str, &'a str);

fn split(name: &str) -> Option<Split<'_>> {
    let end = name.rfind(|letter: char| letter.is_ascii_digit())? + 1;
    let (head, suffix) = name.split_at_checked(end)?;
    let prefix = head.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = head.strip_prefix(prefix)?;
    (digits.len() <= MOST_DIGITS).then_some((prefix, digits, suffix))
}

/// Writes names as few entries, in their order as text.
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut numbered: BTreeMap<(&str, &str, usize), BTreeSet<u64>> = BTreeMap::new();
    let mut entries = BTreeSet::new();
    for name in names {
        match split(name).and_then(|parts| Some((parts, parts.1.parse::<u64>().ok()?))) {
            Some(((prefix, digits, suffix), number)) => {
                numbered.entry((prefix, suffix, digits.len())).or_default().insert(number);
            }
            None => drop(entries.insert(name.to_owned())),
        }
    }
    for ((prefix, suffix, width), numbers) in numbered {
        for (first, last) in runs(&numbers) {
            let many = usize::try_from(last - first).is_ok_and(|more| more + 1 >= FEWEST);
            if many {
                entries.insert(format!("{prefix}{{{first:0width$}..{last:0width$}}}{suffix}"));
            } else {
                entries.extend((first..=last).map(|number| format!("{prefix}{number:0width$}{suffix}")));
            }
        }
    }
    entries.into_iter().collect()
}

/// Numbers that follow one another, as their first and last.
fn runs(numbers: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            Some(_) | None => runs.push((*number, *number)),
        }
    }
    runs
}

/// A range: what stands before it, its first and last number as written, what stands after it.
fn range(entry: &str) -> Option<(&str, &str, &str, &str)> {
    let (prefix, rest) = entry.split_once('{')?;
    let (numbers, suffix) = rest.split_once('}')?;
    let (first, last) = numbers.split_once("..")?;
    Some((prefix, first, last, suffix))
}

/// The names, in their order.
pub fn unfold(entries: &[String]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for entry in entries {
        let numbers =
            range(entry).and_then(|range| Some((range, range.1.parse::<u64>().ok()?, range.2.parse::<u64>().ok()?)));
        match numbers {
            Some(((prefix, digits, _, suffix), first, last)) => {
                let width = digits.len();
                // What a person wrote into a status must not fill the memory.
                let numbers = (first..=last).take(MOST_NAMES);
                names.extend(numbers.map(|number| format!("{prefix}{number:0width$}{suffix}")));
            }
            None => drop(names.insert(entry.clone())),
        }
    }
    names.into_iter().collect()
}

/// A plan has no more machines than this: 32 waves of 256.
const MOST_NAMES: usize = 8192;

/// Whether a name is among them.
pub fn contains(entries: &[String], name: &str) -> bool {
    entries.iter().any(|entry| match range(entry) {
        // Numbers of one width are in the order of their text.
        Some((prefix, first, last, suffix)) => split(name).is_some_and(|(before, digits, after)| {
            (before, after) == (prefix, suffix) && digits.len() == first.len() && (first..=last).contains(&digits)
        }),
        None => entry == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_into_ranges() {
        let names = ["db", "web-001", "web-002", "web-003", "web-005", "app-9", "app-10", "app-11", "app-12", "x1.lan"];
        let folded = fold(names);
        assert_eq!(folded, ["app-9", "app-{10..12}", "db", "web-005", "web-{001..003}", "x1.lan"]);
        let mut sorted = names.map(str::to_owned);
        sorted.sort_unstable();
        assert_eq!(unfold(&folded), sorted);
        assert!(names.iter().all(|name| contains(&folded, name)));
        for other in ["web-004", "web-0001", "app-13", "app-8", "web-001.lan", "", "dbx"] {
            assert!(!contains(&folded, other), "{other}");
        }
    }

    #[test]
    fn whatever_the_names_they_come_back() {
        proptest::proptest!(|(names in proptest::collection::btree_set("[a-c]{0,2}-?[0-9]{0,3}(\\.[a-b]{1,2}[0-9]?)?", 0..60))| {
            let folded = fold(names.iter().map(String::as_str));
            proptest::prop_assert_eq!(unfold(&folded), names.iter().cloned().collect::<Vec<_>>());
            for name in &names {
                proptest::prop_assert!(contains(&folded, name));
            }
            proptest::prop_assert!(folded.len() <= names.len());
        });
    }
}
