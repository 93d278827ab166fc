//! `x-kubernetes-validations`: the rules of a schema, compiled once and evaluated node by node.
//!
//! kube-cel evaluates the expressions; walking the schema is done here, because transition rules inside lists compare
//! items of the same key and exist for map lists only ("Transition rules" of the CRD documentation), where kube-cel pairs
//! by index.

use std::collections::BTreeMap;

use kube_cel::{CompiledSchema, ErrorKind, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::error::Cause;
use crate::object::Object;
use crate::schema::validation::type_name;
use crate::schema::{Schema, join};

/// The rules of a schema node and of what is below it; nodes without rules are left out.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    own: Option<CompiledSchema>,
    properties: BTreeMap<String, Rules>,
    values: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    /// The keys that tell items apart; without them items have no old self.
    item_keys: Option<Vec<String>>,
}

thread_local! {
    // A validator registers some hundred functions; it is neither cheap to make nor Sync.
    static VALIDATOR: Validator = Validator::new();
}

impl Rules {
    /// Compiles the rules in `raw`, whose parsed form is `schema`. `None` when there are none.
    pub(crate) fn compile(schema: &Schema, raw: &Value) -> Option<Rules> {
        let below = |key: &str| raw.get(key).unwrap_or(&Value::Null);
        let own = if schema.rules.is_empty() { None } else { Some(kube_cel::compile_schema(&only_own_rules(raw))) };
        let child =
            |(name, of): (&String, &Schema)| Some((name.clone(), Rules::compile(of, below("properties").get(name)?)?));
        let rules = Rules {
            own,
            properties: schema.properties.iter().filter_map(child).collect(),
            values: schema.values().and_then(|of| Rules::compile(of, below("additionalProperties"))).map(Box::new),
            items: schema.items.as_deref().and_then(|of| Rules::compile(of, below("items"))).map(Box::new),
            item_keys: schema.is_map_list().then(|| schema.list_keys.clone()),
        };
        let empty =
            rules.own.is_none() && rules.properties.is_empty() && rules.values.is_none() && rules.items.is_none();
        (!empty).then_some(rules)
    }

    /// Adds a cause for each rule that `new` (changed from `old`) does not satisfy.
    pub(crate) fn check(&self, new: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        if let Some(own) = &self.own
            && let Err(errors) = VALIDATOR.with(|v| v.validate_compiled(own, new, old))
        {
            // Ratcheting: an unchanged value can break only the rules that look at the change.
            let counts = |e: &ValidationError| old != Some(new) || e.rule.contains("oldSelf");
            causes.extend(errors.into_vec().into_iter().filter(counts).map(|e| cause(&e, own, new, path)));
        }
        if let Some(fields) = new.as_object() {
            for (name, child) in fields {
                if let Some(rules) = self.properties.get(name).or(self.values.as_deref()) {
                    rules.check(child, old.and_then(|o| o.get(name)), &join(path, name), causes);
                }
            }
        } else if let (Some(items), Some(rules)) = (new.as_array(), &self.items) {
            for (index, item) in items.iter().enumerate() {
                rules.check(item, self.old_item(item, old), &format!("{path}[{index}]"), causes);
            }
        }
    }

    fn old_item<'a>(&self, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
        let keys = self.item_keys.as_ref()?;
        old?.as_array()?.iter().find(|o| keys.iter().all(|k| o.get(k) == item.get(k)))
    }
}

/// The node's schema with the rules of its children removed: those are evaluated at their own nodes.
fn only_own_rules(raw: &Value) -> Value {
    fn strip(value: &Value) -> Value {
        if let Some(fields) = value.as_object() {
            let kept = fields.iter().filter(|(k, v)| !(*k == "x-kubernetes-validations" && v.is_array()));
            Value::Object(kept.map(|(k, v)| (k.clone(), strip(v))).collect::<Map<_, _>>())
        } else {
            value.clone()
        }
    }
    let mut own = strip(raw);
    if let (Some(fields), Some(rules)) = (own.as_object_mut(), raw.get("x-kubernetes-validations")) {
        let mut names = BTreeMap::new();
        collect_names(raw, &mut names);
        let rules = rules.as_array().into_iter().flatten().map(|rule| with_names(rule, &names));
        fields.insert("x-kubernetes-validations".to_owned(), rules.collect());
    }
    own
}

/// Field names whose escaped form differs between Kubernetes, which escapes only a double underscore, and kube-cel, which
/// doubles each.
fn collect_names(raw: &Value, names: &mut BTreeMap<String, String>) {
    if let Some(properties) = raw.get("properties").and_then(Value::as_object) {
        for name in properties.keys().filter(|name| name.contains('_')) {
            let rest = |s: String| s.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__");
            names.insert(rest(name.replace("__", "__underscores__")), rest(name.replace('_', "__")));
        }
        properties.values().for_each(|of| collect_names(of, names));
    }
    for below in ["items", "additionalProperties"] {
        if let Some(of) = raw.get(below) {
            collect_names(of, names);
        }
    }
}

/// The rule in kube-cel's names; its message stays as it would be.
fn with_names(rule: &Value, names: &BTreeMap<String, String>) -> Value {
    let mut changed = rule.clone();
    for field in ["rule", "messageExpression"] {
        if !names.is_empty() && rule.get(field).is_some() {
            changed.put(&format!("/{field}"), renamed(rule.text(&format!("/{field}")), names));
        }
    }
    if changed != *rule && !rule.has("/message") {
        changed.put("/message", format!("failed rule: {}", rule.text("/rule")));
    }
    changed
}

/// Replaces the names of selected fields (behind a dot, outside of strings).
fn renamed(expression: &str, names: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut word = String::new();
    for c in expression.chars().chain([' ']) {
        if quote.is_none() && (c.is_ascii_alphanumeric() || c == '_') {
            word.push(c);
            continue;
        }
        let selected = out.trim_end().ends_with(['.', '?']);
        let replaced = names.get(&word).filter(|_| selected);
        out.push_str(replaced.unwrap_or(&word));
        word.clear();
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c && !out.ends_with('\\') => quote = None,
            None | Some(_) => {}
        }
        out.push(c);
    }
    out.pop();
    out
}

fn cause(error: &ValidationError, node: &CompiledSchema, value: &Value, path: &str) -> Cause {
    let below = error.field_path.trim_start_matches('.');
    let field = if below.is_empty() { path.to_owned() } else { join(path, below) };
    let said = &error.message;
    if error.kind == ErrorKind::EvaluationError {
        let rule = node.validations.iter().flatten().map(|v| &v.rule).find(|r| r.rule == error.rule);
        let named = rule.and_then(|r| r.message.as_deref()).unwrap_or(&error.rule);
        let why = said.trim_start_matches("rule evaluation error: ").replace("No such key", "no such key");
        return Cause::invalid(field, format_args!("\"{}\": {why} evaluating rule: {named}", type_name(value)));
    }
    match error.reason.as_deref() {
        Some("FieldValueForbidden") => Cause::forbidden(field, said),
        Some("FieldValueRequired") => Cause::required(field, said),
        Some("FieldValueDuplicate") => Cause::new("FieldValueDuplicate", field, format!("Duplicate value: {said}")),
        _ => Cause::invalid(field, said),
    }
}
