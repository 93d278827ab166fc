//! What a write does to ownership, and the apply operation itself: `structured-merge-diff/merge/update.go` with the
//! managers that `apimachinery/pkg/util/managedfields` puts around it.

use serde_json::{Value, json};

use super::fieldset::FieldSet;
use super::managed::{self, Entry};
use super::typed::{self, Comparison};
use crate::error::{Failure, Outcome};
use crate::object::{Object, now};
use crate::schema::Schema;

/// Whose write it is.
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
    /// Fields that this endpoint does not write (its "reset fields").
    pub(crate) reset: FieldSet,
}

impl Writer<'_> {
    fn entry(&self, applied: bool, fields: FieldSet) -> Entry {
        Entry {
            manager: self.manager.to_owned(),
            applied,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: now(),
            fields,
        }
    }
}

/// Fields that are nobody's: the server fills them, or they identify the object.
fn nobodys() -> FieldSet {
    const META: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    META.iter().fold(FieldSet::of(&[&["apiVersion"], &["kind"], &["metadata"]]), |set, name| {
        set.union(&FieldSet::of(&[&["metadata", name]]))
    })
}

fn without_managed_fields(object: &Value) -> Value {
    let mut bare = object.clone();
    bare.cut("/metadata/managedFields");
    bare
}

/// Gives the fields that an ordinary write changed to its writer. `live` is the empty object on creation.
pub(crate) fn update(schema: &Schema, live: &Value, new: &mut Value, writer: &Writer<'_>) {
    let from_request = writer.subresource.is_empty();
    if from_request && managed::is_reset(new) {
        new.meta_mut().remove("managedFields");
        return;
    }
    let mut entries = if from_request { managed::read(new) } else { Vec::new() };
    if entries.is_empty() {
        // Clients that do not know the field must not lose it by leaving it out.
        entries = managed::read(live);
    }
    if entries.is_empty() && live.has("/metadata/uid") {
        new.meta_mut().remove("managedFields");
        return;
    }
    let bare = without_managed_fields(new);
    entries = track(schema, &without_managed_fields(live), &bare, entries, writer);
    managed::write(new, entries);
}

fn track(schema: &Schema, live: &Value, new: &Value, mut entries: Vec<Entry>, writer: &Writer<'_>) -> Vec<Entry> {
    let comparison = typed::compare(Some(schema), live, new).without(&writer.reset);
    let changed = comparison.modified.union(&comparison.added);
    for entry in &mut entries {
        entry.fields = entry.fields.difference(&entry.fields.intersection(&changed));
        entry.fields = entry.fields.difference_below(&comparison.removed);
    }
    let own = writer.entry(false, changed.difference(&nobodys()));
    if own.fields.is_empty() {
        return entries;
    }
    match entries.iter_mut().find(|e| e.same_manager(&own)) {
        Some(mine) => {
            mine.fields = mine.fields.union(&own.fields);
            mine.time = own.time;
        }
        None => entries.push(own),
    }
    entries
}

/// Applies `config` to `live` (the empty object on creation).
pub(crate) fn apply(schema: &Schema, live: &Value, config: &Value, writer: &Writer<'_>, force: bool) -> Outcome<Value> {
    let mut errors = Vec::new();
    typed::check(Some(schema), config, "", &mut errors);
    if !errors.is_empty() {
        let said = match errors.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let (namespace, name) = (config.text("/metadata/namespace"), config.text("/metadata/name"));
        let (api_version, kind) = (config.text("/apiVersion"), config.text("/kind"));
        return Err(Failure::internal(format!(
            "failed to create typed patch object ({namespace}/{name}; {api_version}, Kind={kind}): {said}"
        )));
    }
    let mut entries = managed::read(live);
    if entries.is_empty() && live.has("/metadata/uid") {
        // The object was never tracked: what it has now belongs to a manager of its own.
        let before = Writer { manager: "before-first-apply", reset: writer.reset.clone(), ..*writer };
        let empty = json!({"apiVersion": config.text("/apiVersion"), "kind": config.text("/kind"), "metadata": {}});
        entries = track(schema, &empty, live, entries, &before);
    }
    match apply_tracked(schema, live, config, entries.clone(), writer, force) {
        Err(conflicts) if writer.manager == "kubectl" && conflicts.all_in(&last_applied(schema, live)) => {
            apply_tracked(schema, live, config, entries, writer, true).map_err(Conflicts::failure)
        }
        other => other.map_err(Conflicts::failure),
    }
}

fn apply_tracked(
    schema: &Schema,
    live: &Value,
    config: &Value,
    mut entries: Vec<Entry>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Conflicts> {
    let live = without_managed_fields(live);
    let config_set = typed::field_set(Some(schema), config).difference_below(&writer.reset);
    let own = writer.entry(true, config_set.difference(&nobodys()));
    let merged = typed::merge(Some(schema), Some(&live), Some(config)).unwrap_or_default();
    let mine = entries.iter().position(|e| e.same_manager(&own)).map(|i| entries.remove(i));
    let last = mine.as_ref().map(|e| e.fields.clone()).unwrap_or_default();
    let mut new = prune(schema, merged, &last, &entries, &config_set);
    let comparison = typed::compare(Some(schema), &live, &new).without(&writer.reset);
    let conflicts = conflicts(&entries, &comparison);
    if !force && !conflicts.0.is_empty() {
        return Err(conflicts);
    }
    let changed = comparison.modified.union(&comparison.added);
    for entry in &mut entries {
        entry.fields = entry.fields.difference(&entry.fields.intersection(&changed));
        entry.fields = entry.fields.difference_below(&comparison.removed);
    }
    // An apply that changes nothing leaves the time; an order of items is a change, though not a field's.
    let time = match (new == live, mine) {
        (false, _) => own.time.clone(),
        (true, Some(mine)) => mine.time,
        (true, None) => String::new(),
    };
    entries.push(Entry { time, ..own });
    sync_last_applied(&mut new, config, writer);
    managed::write(&mut new, entries);
    Ok(new)
}

/// Removes what the manager applied last time and does not apply now, unless somebody else owns it.
fn prune(schema: &Schema, merged: Value, last: &FieldSet, others: &[Entry], now: &FieldSet) -> Value {
    if last.is_empty() {
        return merged;
    }
    let at = Some(schema);
    let named = |set: &FieldSet| typed::with_named(at, set);
    let merged_set = named(&typed::field_set(at, &merged));
    let last = named(last);
    let mut pruned = typed::remove(at, &merged, &last);
    // Owned items come back ...
    let owned = others.iter().fold(now.clone(), |set, e| set.union(&e.fields));
    let kept = named(&typed::field_set(at, &pruned)).union(&named(&owned));
    pruned = typed::remove(at, &merged, &merged_set.difference(&kept));
    // ... and so do items that went only because their parent did.
    let gone = merged_set.difference(&named(&typed::field_set(at, &pruned)));
    typed::remove(at, &merged, &gone.intersection(&last))
}

struct Conflicts(Vec<(Entry, FieldSet)>);

fn conflicts(others: &[Entry], comparison: &Comparison) -> Conflicts {
    let changed = comparison.modified.union(&comparison.added);
    let clash = |e: &Entry| {
        let set = e.fields.intersection(&changed);
        (!set.is_empty()).then(|| (e.clone(), set))
    };
    let mut found: Vec<(Entry, FieldSet)> = others.iter().filter_map(clash).collect();
    found.sort_by_key(|(entry, _)| entry.sort_key());
    Conflicts(found)
}

impl Conflicts {
    fn all_in(&self, allowed: &FieldSet) -> bool {
        self.0.iter().all(|(_, set)| set.difference(allowed).is_empty())
    }

    fn failure(self) -> Failure {
        let listed: Vec<(String, Vec<String>)> = self
            .0
            .iter()
            .map(|(entry, set)| {
                let mut paths = Vec::new();
                set.paths("", &mut paths);
                (entry.shown(), paths)
            })
            .collect();
        let count: usize = listed.iter().map(|(_, paths)| paths.len()).sum();
        let message = match listed.as_slice() {
            [(who, paths)] if count == 1 => {
                format!("Apply failed with 1 conflict: conflict with {who}: {}", paths.concat())
            }
            many => {
                let groups: Vec<String> = many
                    .iter()
                    .map(|(who, paths)| format!("conflicts with {who}:\n- {}", paths.join("\n- ")))
                    .collect();
                format!("Apply failed with {count} conflicts: {}", groups.join("\n"))
            }
        };
        let cause = |who: &String, field: &String| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": field});
        let causes: Vec<Value> =
            listed.iter().flat_map(|(who, paths)| paths.iter().map(move |p| cause(who, p))).collect();
        Failure::new(409, "Conflict", message).with(json!({"causes": causes}))
    }
}

const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// The fields of the last client-side apply: `kubectl apply --server-side` takes them over without a conflict
/// (`lastappliedmanager.go`).
fn last_applied(schema: &Schema, live: &Value) -> FieldSet {
    serde_json::from_str::<Value>(live.text(LAST_APPLIED))
        .map(|config| typed::field_set(Some(schema), &config))
        .unwrap_or_default()
}

/// `kubectl apply --server-side` keeps an existing annotation in step (`lastappliedupdater.go`).
fn sync_last_applied(new: &mut Value, config: &Value, writer: &Writer<'_>) {
    if writer.manager == "kubectl" && new.has(LAST_APPLIED) {
        let mut config = without_managed_fields(config);
        config.cut(LAST_APPLIED);
        new.put(LAST_APPLIED, config.to_string());
    }
}
