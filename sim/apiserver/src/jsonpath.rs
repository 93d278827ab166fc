//! The JSONPath of printer columns: fields, indexes, `[*]` and filters by equality.
//!
//! Rule: `additionalPrinterColumns[].jsonPath` is "a simple JSON path".

use serde_json::Value;

/// The values at `path` (`.a.b[0].c`, `.a[?(@.type=="x")].b`, `.metadata.labels.x\.io/y`).
pub(crate) fn find<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![value];
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let Some((inside, after)) = bracket.split_once(']') else { return Vec::new() };
            found = found.into_iter().flat_map(|v| bracketed(v, inside)).collect();
            rest = after;
        } else {
            let (name, after) = field_name(rest.strip_prefix('.').unwrap_or(rest));
            if !name.is_empty() {
                found = found.into_iter().filter_map(|v| v.get(&name)).collect();
            }
            rest = after;
        }
    }
    found
}

/// Reads a field name up to the next `.` or `[`; a backslash escapes.
fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, text.get(at..).unwrap_or_default()),
            _ => name.push(c),
        }
    }
    (name, "")
}

fn bracketed<'a>(value: &'a Value, inside: &str) -> Vec<&'a Value> {
    if inside == "*" {
        return match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
    }
    let unquoted = |s: &'_ str| s.trim().trim_matches(['\'', '"']).to_owned();
    if let Some(condition) = inside.strip_prefix("?(").and_then(|s| s.strip_suffix(')')) {
        let Some((left, right)) = condition.split_once("==") else { return Vec::new() };
        let (left, wanted) = (left.trim().trim_start_matches('@'), unquoted(right));
        let is = |v: &&Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned) == wanted;
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        return items.iter().filter(|item| find(item, left).first().is_some_and(is)).collect();
    }
    match inside.parse::<usize>() {
        Ok(index) => value.get(index).into_iter().collect(),
        Err(_) => value.get(unquoted(inside)).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_what_printer_columns_ask_for() {
        let value = json!({"a": {"b": [{"t": "x", "v": 1}, {"t": "y", "v": 2}]}, "l": {"k.io/n": "s"}});
        assert_eq!(find(&value, ".a.b[?(@.t==\"y\")].v"), [&json!(2)]);
        assert_eq!(find(&value, ".a.b[0].v"), [&json!(1)]);
        assert_eq!(find(&value, ".a.b[*].v"), [&json!(1), &json!(2)]);
        assert_eq!(find(&value, ".l.k\\.io/n"), [&json!("s")]);
        assert_eq!(find(&value, ".l['k.io/n']"), [&json!("s")]);
        assert!(find(&value, ".nope.x").is_empty());
    }
}
