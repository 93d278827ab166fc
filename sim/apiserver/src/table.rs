//! Tables: what `kubectl get` prints.
//!
//! Rules: <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>; the columns of the
//! built-in kinds are those of `pkg/printers/internalversion/printers.go`.

use serde_json::{Value, json};

use crate::answer::metadata_only;
use crate::jsonpath;
use crate::object::Object;
use crate::resource::{Column, Resource};

/// A `meta.k8s.io/v1 Table` of `objects`.
pub(crate) fn render(resource: &Resource, objects: &[&Value], meta: Value, columns: bool, include: &str) -> Value {
    let all = if resource.is_event() { event_columns() } else { columns_of(resource) };
    let definition = |c: &Column| {
        json!({
            "name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority,
        })
    };
    let row = |object: &&Value| {
        let cells: Vec<Value> = if resource.is_event() {
            event_cells(object)
        } else {
            all.iter().map(|column| cell(resource, column, object)).collect()
        };
        match include {
            "None" => json!({"cells": cells}),
            "Object" => json!({"cells": cells, "object": object}),
            _ => json!({"cells": cells, "object": metadata_only(object)}),
        }
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
        "columnDefinitions": columns.then(|| all.iter().map(definition).collect::<Vec<_>>()),
        "rows": objects.iter().map(row).collect::<Vec<_>>(),
    })
}

fn column(name: &str, kind: &str, path: &str, priority: i64) -> Column {
    Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        json_path: path.to_owned(),
        format: if name == "Name" && priority == 0 { "name".to_owned() } else { String::new() },
        priority,
        ..Column::default()
    }
}

fn columns_of(resource: &Resource) -> Vec<Column> {
    let mut all = vec![column("Name", "string", ".metadata.name", 0)];
    for given in &resource.columns {
        let kind = if given.kind.is_empty() { "string" } else { &given.kind };
        all.push(Column { kind: kind.to_owned(), ..given.clone() });
    }
    if resource.is_crd() {
        all.push(column("Created At", "date", ".metadata.creationTimestamp", 0));
    } else if !resource.custom {
        all.push(column("Age", "string", ".metadata.creationTimestamp", 0));
    }
    all
}

fn cell(resource: &Resource, column: &Column, object: &Value) -> Value {
    if !column.count.is_empty() {
        let entries = |p: &String| {
            object
                .pointer(p)
                .map_or(0, |v| v.as_object().map_or(v.as_array().map_or(0, Vec::len), serde_json::Map::len))
        };
        return column.count.iter().map(entries).sum::<usize>().into();
    }
    if let Some(what) = &column.job {
        return job_cell(object, what).into();
    }
    let found = jsonpath::find(object, &column.json_path).first().copied().filter(|v| !v.is_null());
    if resource.is_crd() && column.name == "Created At" {
        return found.cloned().unwrap_or_default();
    }
    let is_age = column.kind == "date" || !resource.custom && column.name == "Age";
    match found {
        None if !resource.custom => if is_age { "<unknown>" } else { "" }.into(),
        None => Value::Null,
        Some(time) if is_age => age(time.as_str().unwrap_or_default()).into(),
        Some(value) if column.kind == "string" => {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
        }
        Some(value) => value.clone(),
    }
}

/// `printJob`.
fn job_cell(job: &Value, what: &str) -> String {
    let has = |kind: &str| {
        let met = |c: &Value| c.text("/type") == kind && c.text("/status") == "True";
        job.list("/status/conditions").iter().any(met)
    };
    let number = |pointer: &str| job.pointer(pointer).and_then(Value::as_i64);
    match what {
        "completions" => {
            let done = number("/status/succeeded").unwrap_or(0);
            number("/spec/completions").map_or_else(|| format!("{done}/1"), |wanted| format!("{done}/{wanted}"))
        }
        "duration" => match (job.text("/status/startTime"), job.text("/status/completionTime")) {
            ("", _) => String::new(),
            (start, "") => age(start),
            (start, end) => between(start, end),
        },
        _ if has("Complete") => "Complete".to_owned(),
        _ if has("Failed") => "Failed".to_owned(),
        _ if job.has("/metadata/deletionTimestamp") => "Terminating".to_owned(),
        _ if has("Suspended") => "Suspended".to_owned(),
        _ if has("FailureTarget") => "FailureTarget".to_owned(),
        _ if has("SuccessCriteriaMet") => "SuccessCriteriaMet".to_owned(),
        _ => "Running".to_owned(),
    }
}

fn event_columns() -> Vec<Column> {
    let names = [
        ("Last Seen", 0),
        ("Type", 0),
        ("Reason", 0),
        ("Object", 0),
        ("Subobject", 1),
        ("Source", 1),
        ("Message", 0),
        ("First Seen", 1),
        ("Count", 1),
        ("Name", 1),
    ];
    names.iter().map(|(name, priority)| column(name, "string", "", *priority)).collect()
}

/// `printEvent`, for either kind.
fn event_cells(event: &Value) -> Vec<Value> {
    let first = |pointers: &[&str]| {
        pointers.iter().map(|p| event.text(p)).find(|t| !t.is_empty()).unwrap_or_default().to_owned()
    };
    let about = |field: &str| first(&[&format!("/involvedObject/{field}"), &format!("/regarding/{field}")]);
    let time = |text: String| if text.is_empty() { "<unknown>".to_owned() } else { age(&text) };
    let seen = first(&["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"]);
    let last = first(&["/series/lastObservedTime", "/lastTimestamp", "/deprecatedLastTimestamp", "/eventTime"]);
    let count = ["/series/count", "/count", "/deprecatedCount"].iter().find_map(|p| event.pointer(p)?.as_i64());
    let source =
        first(&["/source/component", "/deprecatedSource/component", "/reportingComponent", "/reportingController"]);
    let (kind, name) = (about("kind").to_lowercase(), about("name"));
    let object = if kind.is_empty() { name } else { format!("{kind}/{name}") };
    vec![
        time(last).into(),
        event.text("/type").into(),
        event.text("/reason").into(),
        object.into(),
        about("fieldPath").into(),
        source.into(),
        first(&["/message", "/note"]).trim().into(),
        time(seen).into(),
        count.unwrap_or(1).into(),
        event.text("/metadata/name").into(),
    ]
}

fn age(since: &str) -> String {
    match since.parse::<jiff::Timestamp>() {
        Ok(since) => human(jiff::Timestamp::now().duration_since(since).as_secs()),
        Err(_) => "<invalid>".to_owned(),
    }
}

fn between(start: &str, end: &str) -> String {
    match (start.parse::<jiff::Timestamp>(), end.parse::<jiff::Timestamp>()) {
        (Ok(start), Ok(end)) => human(end.duration_since(start).as_secs()),
        _ => "<invalid>".to_owned(),
    }
}

/// `duration.HumanDuration`.
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        252_288_000.. => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_prints_them() {
        let expected = [
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (10_799, "179m"),
            (10_860, "3h1m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_158_400, "2y1d"),
        ];
        for (seconds, text) in expected {
            assert_eq!(human(seconds), text);
        }
    }
}
