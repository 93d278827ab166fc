//! Operations on values with a schema: the fields of a value, comparison, merge, removal, and checking an applied object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fieldset::{FieldSet, Step};
use super::walk::{At, Child, Shape, child, fields, identified, item_step, items, list, shape};

/// All fields that `value` sets.
pub(crate) fn field_set(at: At<'_>, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    add_fields(at, value, &mut Vec::new(), &mut set);
    set
}

fn add_fields(at: At<'_>, value: &Value, path: &mut Vec<Step>, set: &mut FieldSet) {
    match shape(at, Some(value)) {
        Shape::Scalar | Shape::AtomicMap | Shape::AtomicList => set.insert(path),
        Shape::Map | Shape::Unknown => {
            for (name, below) in value.as_object().into_iter().flatten() {
                let of = child(at, name);
                path.push(Step::Field(name.clone()));
                add_fields(of.at(), below, path, set);
                let empty = below.is_null() || below.as_object().is_some_and(Map::is_empty);
                if empty || !matches!(of, Child::Declared(_)) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        shape @ (Shape::MapList | Shape::SetList) => {
            let found = identified(at, shape, Some(value));
            let count = |step: &Step| found.iter().filter(|(s, _)| s == step).count();
            for (step, item) in &found {
                // What is in a duplicated item belongs to nobody; only the item itself does.
                let single = count(step) == 1;
                path.push(step.clone());
                if single && shape == Shape::MapList {
                    add_fields(items(at), item, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// What differs between two values.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// Leaves out `ignored` and what is below.
    pub(crate) fn without(self, ignored: &FieldSet) -> Comparison {
        Comparison {
            added: self.added.difference_below(ignored),
            modified: self.modified.difference_below(ignored),
            removed: self.removed.difference_below(ignored),
        }
    }
}

/// Compares `old` with `new`.
pub(crate) fn compare(at: At<'_>, old: &Value, new: &Value) -> Comparison {
    let mut comparison = Comparison::default();
    compare_at(at, Some(old), Some(new), &mut Vec::new(), &mut comparison);
    comparison
}

fn compare_at(at: At<'_>, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<Step>, out: &mut Comparison) {
    if old == new {
        return;
    }
    let (before, after) = (shape(at, old), shape(at, new));
    let mut leaf = false;
    if new.is_none() {
        leaf = compare_as(before, at, old, new, path, out);
    } else if old.is_none() || before == after {
        leaf = compare_as(after, at, old, new, path, out);
    } else {
        // A value that changed its type: what was below is gone, what is below now is new.
        compare_as(before, at, old, new, path, out);
        compare_as(after, at, old, new, path, out);
    }
    if !leaf {
        match (old, new) {
            (None, _) => out.added.insert(path),
            (_, None) => out.removed.insert(path),
            (Some(_), Some(_)) => {}
        }
    }
}

/// Compares as `shape`; true when it was compared as one leaf.
fn compare_as(
    shape: Shape,
    at: At<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) -> bool {
    let empty = match shape {
        Shape::Scalar | Shape::AtomicMap | Shape::AtomicList => true,
        Shape::Map | Shape::Unknown => fields(old).is_none() && fields(new).is_none(),
        Shape::MapList | Shape::SetList => list(old).is_none() && list(new).is_none(),
    };
    if empty {
        match (old, new) {
            (None, _) => out.added.insert(path),
            (_, None) => out.removed.insert(path),
            (Some(old), Some(new)) if old != new => out.modified.insert(path),
            (Some(_), Some(_)) => {}
        }
        return true;
    }
    if matches!(shape, Shape::Map | Shape::Unknown) {
        let (old, new) = (fields(old), fields(new));
        let names: BTreeSet<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
        for name in names {
            path.push(Step::Field(name.clone()));
            let get = |m: Option<&'_ Map<String, Value>>| m.and_then(|m| m.get(name)).cloned();
            compare_at(child(at, name).at(), get(old).as_ref(), get(new).as_ref(), path, out);
            path.pop();
        }
    } else {
        compare_items(shape, at, old, new, path, out);
    }
    false
}

fn compare_items(
    shape: Shape,
    at: At<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<Step>,
    out: &mut Comparison,
) {
    let mut found: BTreeMap<Step, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for (step, item) in identified(at, shape, old) {
        found.entry(step).or_default().0.push(item);
    }
    for (step, item) in identified(at, shape, new) {
        found.entry(step).or_default().1.push(item);
    }
    for (step, (old, new)) in found {
        path.push(step);
        match (old.as_slice(), new.as_slice()) {
            (old, new) if old.len() <= 1 && new.len() <= 1 => {
                compare_at(items(at), old.first().copied(), new.first().copied(), path, out);
            }
            ([], _) => out.added.insert(path),
            (_, []) => out.removed.insert(path),
            (old, new) if old != new => out.modified.insert(path),
            _ => {}
        }
        path.pop();
    }
}

/// `live` with `applied` on top; `None` when nothing is left.
pub(crate) fn merge(at: At<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let shape = match applied {
        Some(_) => shape(at, applied),
        None => shape(at, live),
    };
    let leaf = || applied.or(live).cloned();
    match shape {
        Shape::Scalar | Shape::AtomicMap | Shape::AtomicList => leaf(),
        Shape::Map | Shape::Unknown => {
            let (live, applied) = (fields(live), fields(applied));
            if live.is_none() && applied.is_none() {
                return leaf();
            }
            let mut merged = Map::new();
            let names: BTreeSet<&String> = live.into_iter().chain(applied).flat_map(Map::keys).collect();
            for name in names {
                let get = |m: Option<&'_ Map<String, Value>>| m.and_then(|m| m.get(name)).cloned();
                if let Some(value) = merge(child(at, name).at(), get(live).as_ref(), get(applied).as_ref()) {
                    merged.insert(name.clone(), value);
                }
            }
            Some(Value::Object(merged))
        }
        Shape::MapList | Shape::SetList => {
            if list(live).is_none() && list(applied).is_none() {
                return leaf();
            }
            Some(merge_items(at, shape, live, applied))
        }
    }
}

/// Items keep the applied order; live items that are not applied stay before the shared item that follows them.
fn merge_items(at: At<'_>, shape: Shape, live: Option<&Value>, applied: Option<&Value>) -> Value {
    let (live, applied) = (identified(at, shape, live), identified(at, shape, applied));
    let find = |list: &[(Step, &Value)], step: &Step| list.iter().find(|(s, _)| s == step).map(|(_, v)| (*v).clone());
    let mut shared = applied.iter().map(|(s, _)| s).filter(|s| live.iter().any(|(l, _)| l == *s)).peekable();
    let mut out = Vec::new();
    let mut taken: BTreeSet<&Step> = BTreeSet::new();
    let (mut left, mut right) = (live.iter().peekable(), applied.iter().peekable());
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (None, None) => return Value::Array(out),
            (Some((step, item)), Some((other, with))) if step == other => {
                out.extend(merge(items(at), Some(item), Some(with)));
                taken.insert(step);
                left.next();
                right.next();
                shared.next();
                continue;
            }
            (Some((step, item)), other) => {
                let in_applied = applied.iter().any(|(s, _)| s == step);
                if other.is_some() && in_applied && shared.peek().is_some_and(|s| *s != step) {
                    // A shared item, but its turn comes with the applied order.
                    left.next();
                    continue;
                }
                if !in_applied {
                    out.extend(merge(items(at), Some(item), None));
                    left.next();
                    continue;
                }
                if taken.contains(step) || other.is_none() {
                    left.next();
                }
            }
            (None, Some(_)) => {}
        }
        if let Some((step, with)) = right.next() {
            taken.insert(step);
            out.extend(merge(items(at), find(&live, step).as_ref(), Some(with)));
            if shared.peek() == Some(&step) {
                shared.next();
            }
        }
    }
}

/// `value` without the fields in `set`. A map that loses its own fields stays, if only as an empty one; a list without
/// items goes, and so does a map of which nothing is left for that reason.
pub(crate) fn remove(at: At<'_>, value: &Value, set: &FieldSet) -> Value {
    removed(at, value, set).unwrap_or_default()
}

fn removed(at: At<'_>, value: &Value, set: &FieldSet) -> Option<Value> {
    match shape(at, Some(value)) {
        Shape::Scalar | Shape::AtomicMap | Shape::AtomicList => Some(value.clone()),
        Shape::Map | Shape::Unknown => {
            let Some(fields) = fields(Some(value)) else { return Some(value.clone()) };
            let mut kept = Map::new();
            let mut lost_own = false;
            for (name, below) in fields {
                let step = Step::Field(name.clone());
                if set.has(&step) {
                    lost_own = true;
                    continue;
                }
                let rest = match set.below(&step) {
                    Some(set) => removed(child(at, name).at(), below, set),
                    None => Some(below.clone()),
                };
                kept.extend(rest.map(|rest| (name.clone(), rest)));
            }
            (lost_own || !kept.is_empty()).then_some(Value::Object(kept))
        }
        shape @ (Shape::MapList | Shape::SetList) => {
            let Some(list) = list(Some(value)) else { return Some(value.clone()) };
            let keep = |item: &Value| {
                let Ok(step) = item_step(at, shape, item) else { return Some(item.clone()) };
                if set.has(&step) {
                    return None;
                }
                match set.below(&step) {
                    Some(set) => removed(items(at), item, set),
                    None => Some(item.clone()),
                }
            };
            let kept: Vec<Value> = list.iter().filter_map(keep).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
    }
}

/// `set` with the declared fields on the way to its paths as members of their own.
pub(crate) fn with_named(at: At<'_>, set: &FieldSet) -> FieldSet {
    set.map_members(|step, member, below| match step {
        Step::Field(name) => {
            let of = child(at, name);
            let named = matches!(of, Child::Declared(_)) && !below.is_empty();
            (member || named, with_named(of.at(), below))
        }
        Step::Key(_) | Step::Item(_) => (member, with_named(items(at), below)),
    })
}

/// What makes `value` unfit to be applied.
pub(crate) fn check(at: At<'_>, value: &Value, path: &str, errors: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let expected = |what: &str| format!("{path}: expected {what}, got &{{{value}}}");
    match shape(at, Some(value)) {
        Shape::Scalar => {
            let right = match at.and_then(|s| s.kind.as_deref()) {
                Some("integer" | "number") => ("numeric (int or float)", value.is_number()),
                Some("string") => ("string", value.is_string()),
                Some("boolean") => ("boolean", value.is_boolean()),
                Some(_) | None => ("", true),
            };
            if !right.1 {
                errors.push(expected(right.0));
            }
        }
        Shape::Map | Shape::AtomicMap | Shape::Unknown => {
            let Some(fields) = value.as_object() else { return errors.push(expected("map")) };
            for (name, below) in fields {
                let here = format!("{path}.{name}");
                match child(at, name) {
                    Child::Undeclared => errors.push(format!("{here}: field not declared in schema")),
                    Child::Declared(of) | Child::Value(of) => check(of, below, &here, errors),
                }
            }
        }
        shape @ (Shape::MapList | Shape::SetList | Shape::AtomicList) => {
            let Some(list) = value.as_array() else { return errors.push(expected("list")) };
            check_items(at, shape, list, path, errors);
        }
    }
}

fn check_items(at: At<'_>, shape: Shape, list: &[Value], path: &str, errors: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        if shape == Shape::AtomicList {
            check(items(at), item, &format!("{path}[{index}]"), errors);
            continue;
        }
        match item_step(at, shape, item) {
            Err(why) => errors.push(format!("{path}: element {index}: {why}")),
            Ok(step) => {
                let here = format!("{path}{}", step.shown());
                check(items(at), item, &here, errors);
                if !seen.insert(step.clone()) {
                    errors.push(format!("{path}: duplicate entries for key {}", step.shown()));
                }
            }
        }
    }
}
