//! Sets of field paths, and their form in `managedFields` (FieldsV1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field of an object.
    Field(String),
    /// An item of a map list, by the JSON object of its keys.
    Key(String),
    /// An item of a set, by its JSON.
    Item(String),
}

impl Step {
    fn encoded(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(key) => format!("k:{key}"),
            Step::Item(value) => format!("v:{value}"),
        }
    }

    fn decode(text: &str) -> Option<Step> {
        let (kind, rest) = text.split_at_checked(2)?;
        match kind {
            "f:" => Some(Step::Field(rest.to_owned())),
            "k:" => Some(Step::Key(rest.to_owned())),
            "v:" => Some(Step::Item(rest.to_owned())),
            _ => None,
        }
    }

    /// As conflict messages print it: `.name`, `[key="value"]`, `[="value"]`.
    pub(crate) fn shown(&self) -> String {
        match self {
            Step::Field(name) => format!(".{name}"),
            Step::Item(value) => format!("[={value}]"),
            Step::Key(key) => {
                let keys: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("[{}]", pairs.join(","))
            }
        }
    }
}

/// A set of paths, as a tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FieldSet {
    entries: BTreeMap<Step, Entry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    member: bool,
    below: FieldSet,
}

impl Entry {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.values().all(Entry::is_empty)
    }

    pub(crate) fn insert(&mut self, path: &[Step]) {
        if let Some((first, rest)) = path.split_first() {
            let entry = self.entries.entry(first.clone()).or_default();
            if rest.is_empty() {
                entry.member = true;
            } else {
                entry.below.insert(rest);
            }
        }
    }

    /// The set of the field paths `paths`, each a list of names.
    pub(crate) fn of(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            let steps: Vec<Step> = path.iter().map(|name| Step::Field((*name).to_owned())).collect();
            set.insert(&steps);
        }
        set
    }

    /// Whether the step itself is in the set.
    pub(crate) fn has(&self, step: &Step) -> bool {
        self.entries.get(step).is_some_and(|e| e.member)
    }

    /// What is in the set below `step`.
    pub(crate) fn below(&self, step: &Step) -> Option<&FieldSet> {
        self.entries.get(step).map(|e| &e.below).filter(|s| !s.is_empty())
    }

    pub(crate) fn union(&self, other: &FieldSet) -> FieldSet {
        let mut result = self.clone();
        for (step, entry) in &other.entries {
            let mine = result.entries.entry(step.clone()).or_default();
            mine.member |= entry.member;
            mine.below = mine.below.union(&entry.below);
        }
        result
    }

    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |mine, theirs| match theirs {
            Some(theirs) => {
                Entry { member: mine.member && theirs.member, below: mine.below.intersection(&theirs.below) }
            }
            None => Entry::default(),
        })
    }

    /// Without the paths in `other`; what is below them stays.
    pub(crate) fn difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |mine, theirs| match theirs {
            Some(theirs) => {
                Entry { member: mine.member && !theirs.member, below: mine.below.difference(&theirs.below) }
            }
            None => mine.clone(),
        })
    }

    /// Without the paths in `other` and without what is below them.
    pub(crate) fn difference_below(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |mine, theirs| match theirs {
            Some(theirs) if theirs.member => Entry::default(),
            Some(theirs) => Entry { member: mine.member, below: mine.below.difference_below(&theirs.below) },
            None => mine.clone(),
        })
    }

    fn combine(&self, other: &FieldSet, with: impl Fn(&Entry, Option<&Entry>) -> Entry) -> FieldSet {
        let each = |(step, mine): (&Step, &Entry)| (step.clone(), with(mine, other.entries.get(step)));
        FieldSet { entries: self.entries.iter().map(each).filter(|(_, e)| !e.is_empty()).collect() }
    }

    /// The steps at this level with what is below them; for changes that need to know the schema of each step.
    pub(crate) fn map_members(&self, mut with: impl FnMut(&Step, bool, &FieldSet) -> (bool, FieldSet)) -> FieldSet {
        let mut result = FieldSet::default();
        for (step, entry) in &self.entries {
            let (member, below) = with(step, entry.member, &entry.below);
            result.entries.insert(step.clone(), Entry { member, below });
        }
        result
    }

    /// All paths as messages show them: at each level the members before what is below.
    pub(crate) fn paths(&self, prefix: &str, out: &mut Vec<String>) {
        for (step, _) in self.entries.iter().filter(|(_, e)| e.member) {
            out.push(format!("{prefix}{}", step.shown()));
        }
        for (step, entry) in &self.entries {
            entry.below.paths(&format!("{prefix}{}", step.shown()), out);
        }
    }

    /// FieldsV1.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        for (step, entry) in self.entries.iter().filter(|(_, e)| !e.is_empty()) {
            let mut below = entry.below.to_json();
            if let (Some(object), true, false) = (below.as_object_mut(), entry.member, entry.below.is_empty()) {
                object.insert(".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(step.encoded(), below);
        }
        Value::Object(fields)
    }

    /// Reads FieldsV1; what is not understood is left out.
    pub(crate) fn from_json(value: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        for (key, below) in value.as_object().into_iter().flatten() {
            let Some(step) = Step::decode(key) else { continue };
            let leaf = below.as_object().is_none_or(|o| o.is_empty() || o.contains_key("."));
            set.entries.insert(step, Entry { member: leaf, below: FieldSet::from_json(below) });
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_v1_round_trips() {
        let fields =
            json!({"f:a": {".": {}, "f:b": {}}, "f:l": {"k:{\"name\":\"x\"}": {".": {}, "f:v": {}}, "v:\"s\"": {}}});
        assert_eq!(FieldSet::from_json(&fields).to_json(), fields);
    }

    #[test]
    fn difference_keeps_what_is_below() {
        let all = FieldSet::of(&[&["a"], &["a", "b"], &["c"]]);
        assert_eq!(all.difference(&FieldSet::of(&[&["a"]])), FieldSet::of(&[&["a", "b"], &["c"]]));
        assert_eq!(all.difference_below(&FieldSet::of(&[&["a"]])), FieldSet::of(&[&["c"]]));
        assert_eq!(all.intersection(&FieldSet::of(&[&["a", "b"], &["d"]])), FieldSet::of(&[&["a", "b"]]));
    }
}
