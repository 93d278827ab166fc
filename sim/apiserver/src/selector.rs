//! Label and field selectors.
//!
//! Rules: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors> and
//! `…/field-selectors`; custom resources select by name, namespace and the `selectableFields` of their CRD.

use serde_json::Value;

use crate::error::{Failure, Outcome};
use crate::object::Object;
use crate::resource::Resource;
use crate::store::{Index, Stored};

/// One requirement on a label or a field.
#[derive(Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// What a list, watch or deletecollection is limited to.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<(String, Test)>,
    fields: Vec<(String, Test)>,
}

impl Selector {
    pub(crate) fn parse(labels: &str, fields: &str, resource: &Resource) -> Outcome<Selector> {
        let labels = split_outside_parentheses(labels).map(label_requirement).collect::<Outcome<_>>()?;
        let fields = fields
            .split(',')
            .filter(|t| !t.is_empty())
            .map(|t| field_requirement(t, resource))
            .collect::<Outcome<_>>()?;
        Ok(Selector { labels, fields })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Stored) -> bool {
        let label = |name: &str| find(&object.index.labels, name);
        let field = |name: &str| match name {
            "metadata.name" => Some(&*object.key.name),
            "metadata.namespace" => Some(&*object.key.namespace),
            _ => Some(find(&object.index.fields, name).unwrap_or_default()),
        };
        self.labels.iter().all(|(name, test)| test.passes(label(name)))
            && self.fields.iter().all(|(name, test)| test.passes(field(name)))
    }
}

impl Test {
    fn passes(&self, value: Option<&str>) -> bool {
        let among = |list: &[String]| value.is_some_and(|v| list.iter().any(|x| x == v));
        match self {
            Test::In(list) => among(list),
            Test::NotIn(list) => !among(list),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
        }
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|t| !t.is_empty())
}

fn label_requirement(text: &str) -> Outcome<(String, Test)> {
    let set = |values: &str| -> Option<Vec<String>> {
        let inner = values.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    let parsed = if let Some((name, values)) = text.split_once(" notin ") {
        set(values).map(|list| (name, Test::NotIn(list)))
    } else if let Some((name, values)) = text.split_once(" in ") {
        set(values).map(|list| (name, Test::In(list)))
    } else if let Some((name, value)) = text.split_once("!=") {
        Some((name, Test::NotIn(one(value))))
    } else if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        Some((name, Test::In(one(value))))
    } else if let Some(name) = text.strip_prefix('!') {
        Some((name, Test::Absent))
    } else {
        Some((text, Test::Exists))
    };
    let name_is_sound = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
    };
    match parsed {
        Some((name, test)) if name_is_sound(name.trim()) => Ok((name.trim().to_owned(), test)),
        Some(_) | None => Err(Failure::bad_request(format!(
            "unable to parse requirement: found '{text}', expected: '=', '!=', '==', 'in', 'notin'"
        ))),
    }
}

fn field_requirement(text: &str, resource: &Resource) -> Outcome<(String, Test)> {
    let (name, value, not) = if let Some((name, value)) = text.split_once("!=") {
        (name, value, true)
    } else if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (name, value, false)
    } else {
        return Err(Failure::bad_request(format!("invalid selector: '{text}'; can't understand '{text}'")));
    };
    // The two event kinds share one index, in the words of core/v1.
    let name = if resource.is_event() {
        name.replacen("regarding.", "involvedObject.", 1).replacen("reportingController", "reportingComponent", 1)
    } else {
        name.to_owned()
    };
    let known = matches!(name.as_str(), "metadata.name" | "metadata.namespace");
    if !known && !resource.selectable.contains(&name) {
        return Err(Failure::bad_request(format!("field label not supported: {name}")));
    }
    let values = vec![value.to_owned()];
    Ok((name, if not { Test::NotIn(values) } else { Test::In(values) }))
}

/// What selectors need to know of a stored object (an event: in its core/v1 form).
pub(crate) fn index(object: &Value, resource: &Resource) -> Index {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let field = |path: &String| {
        if resource.is_event() && path == "source" {
            let component = [object.text("/source/component"), object.text("/reportingComponent")];
            return component.iter().find(|c| !c.is_empty()).map(|c| (path.clone(), (*c).to_owned()));
        }
        let value = object.pointer(&format!("/{}", path.replace('.', "/")))?;
        (!value.is_null()).then(|| (path.clone(), text(value)))
    };
    Index {
        labels: labels.into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect(),
        fields: resource.selectable.iter().filter_map(field).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors_parse() {
        let parse = |t| label_requirement(t).unwrap();
        let list = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(parse("a=b"), ("a".into(), Test::In(list(&["b"]))));
        assert_eq!(parse("a == b"), ("a".into(), Test::In(list(&["b"]))));
        assert_eq!(parse("x.io/a in (b, c)"), ("x.io/a".into(), Test::In(list(&["b", "c"]))));
        assert_eq!(parse("a notin (b)"), ("a".into(), Test::NotIn(list(&["b"]))));
        assert_eq!(parse("!a"), ("a".into(), Test::Absent));
        assert!(label_requirement("a b").is_err());
        assert!(label_requirement("a in b").is_err());
        let parts: Vec<_> = split_outside_parentheses("a in (x,y), b=c").collect();
        assert_eq!(parts, ["a in (x,y)", "b=c"]);
    }
}
