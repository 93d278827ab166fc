//! `x-kubernetes-validations`: the rules of a schema, compiled once and evaluated node by node.
//!
//! kube-cel evaluates the expressions; walking the schema is done here, because transition rules inside lists compare
//! items of the same key and exist for map lists only ("Transition rules" of the CRD documentation), where kube-cel pairs
//! by index.

use std::collections::BTreeMap;

use kube_cel::{CompiledSchema, ErrorKind, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::error::Cause;
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
            causes.extend(errors.into_vec().into_iter().map(|e| cause(&e, path)));
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
        fields.insert("x-kubernetes-validations".to_owned(), rules.clone());
    }
    own
}

fn cause(error: &ValidationError, path: &str) -> Cause {
    let below = error.field_path.trim_start_matches('.');
    let field = if below.is_empty() { path.to_owned() } else { join(path, below) };
    let said = &error.message;
    if error.kind == ErrorKind::EvaluationError {
        return Cause::invalid(field, said);
    }
    match error.reason.as_deref() {
        Some("FieldValueForbidden") => Cause::forbidden(field, said),
        Some("FieldValueRequired") => Cause::required(field, said),
        Some("FieldValueDuplicate") => Cause::new("FieldValueDuplicate", field, format!("Duplicate value: {said}")),
        _ => Cause::invalid(field, said),
    }
}
