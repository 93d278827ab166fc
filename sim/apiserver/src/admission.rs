//! What happens to a written object before it is stored: decoding, defaults of the built-in kinds, names and validation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::call::{Call, Strictness};
use crate::crd;
use crate::error::{Cause, Failure, Outcome};
use crate::metadata;
use crate::object::Object;
use crate::resource::Resource;
use crate::schema::{defaulting, pruning, structural, validation};

/// A decoded request object, and what `Warning` headers to send for it.
pub(crate) struct Decoded {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
    /// A custom resource sent under another kind: it is neither pruned nor defaulted, and then refused.
    pub(crate) wrong_kind: bool,
}

/// Type meta, pruning (with `fieldValidation`) and defaulting.
pub(crate) fn decode(call: &Call, mut object: Value) -> Outcome<Decoded> {
    let resource = &call.resource;
    if !object.is_object() {
        return Err(Failure::bad_request("the object provided is unrecognized (must be of type object)"));
    }
    let wrong_kind = type_meta(resource, &mut object)?;
    let mut warnings = Vec::new();
    if !wrong_kind {
        let mut unknown = Vec::new();
        pruning::prune(&resource.schema, &mut object, &mut unknown);
        warnings = validate_fields(call, unknown)?;
        if !resource.custom {
            check_types(resource, &object)?;
        }
        defaulting::default(&resource.schema, &mut object);
    }
    tidy_metadata(&mut object);
    default_builtin(resource, &mut object)?;
    Ok(Decoded { object, warnings, wrong_kind })
}

/// Fills in `apiVersion` and `kind`; true when a custom resource came under another kind.
fn type_meta(resource: &Resource, object: &mut Value) -> Outcome<bool> {
    let (version, kind) = (resource.api_version(), resource.kind());
    let sent = |name: &str| object.text(name).to_owned();
    let (sent_version, sent_kind) = (sent("/apiVersion"), sent("/kind"));
    if !sent_version.is_empty() && sent_version != version {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({sent_version}) does not match the expected API version ({version})"
        )));
    }
    let wrong_kind = !sent_kind.is_empty() && sent_kind != kind;
    if wrong_kind && !resource.custom {
        return Err(Failure::bad_request(format!(
            "{sent_kind} in version \"{}\" cannot be handled as a {kind}: the kind in the data does not match",
            resource.version
        )));
    }
    object.put("/apiVersion", version);
    if !wrong_kind {
        object.put("/kind", kind);
    }
    Ok(wrong_kind)
}

fn validate_fields(call: &Call, unknown: Vec<String>) -> Outcome<Vec<String>> {
    let said: Vec<String> = unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
    match call.strictness {
        Strictness::Ignore => Ok(Vec::new()),
        Strictness::Warn => Ok(said),
        Strictness::Strict if said.is_empty() => Ok(said),
        Strictness::Strict => {
            let (kind, version) = (call.resource.kind(), &call.resource.version);
            Err(Failure::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
                said.join(", ")
            )))
        }
    }
}

/// A built-in kind is a Go struct: a value of the wrong type cannot be decoded at all.
fn check_types(resource: &Resource, object: &Value) -> Outcome<()> {
    let mut object = object.clone();
    defaulting::default(&resource.schema, &mut object);
    let mut causes = Vec::new();
    validation::validate(&resource.schema, &object, None, "", &mut causes);
    match causes.iter().find(|c| c.reason == "FieldValueTypeInvalid") {
        None => Ok(()),
        Some(cause) => {
            let (kind, version) = (resource.kind(), &resource.version);
            let said = cause.message.trim_start_matches("Invalid value: ");
            Err(Failure::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: json: cannot unmarshal {said} into field {kind}.{}",
                cause.field
            )))
        }
    }
}

/// ObjectMeta passes through a Go struct with `omitempty`.
pub(crate) fn tidy_metadata(object: &mut Value) {
    object.meta_mut().retain(|name, value| {
        let empty = value.is_null()
            || value.as_object().is_some_and(serde_json::Map::is_empty)
            // An empty list of managedFields is a request to clear them.
            || name != "managedFields" && value.as_array().is_some_and(Vec::is_empty)
            || value.as_str().is_some_and(str::is_empty);
        !empty
    });
}

fn default_builtin(resource: &Resource, object: &mut Value) -> Outcome<()> {
    if resource.is("", "secrets") {
        encode_string_data(object);
        let data = object.get("data").and_then(Value::as_object);
        let readable = |v: &Value| STANDARD.decode(v.as_str().unwrap_or_default()).is_ok();
        if !data.into_iter().flatten().all(|(_, v)| readable(v)) {
            let what = "Secret in version \"v1\" cannot be handled as a Secret";
            return Err(Failure::bad_request(format!("{what}: illegal base64 data in field data")));
        }
        if object.text("/type").is_empty() {
            object.put("/type", "Opaque");
        }
    } else if resource.is_namespace() {
        let name = object.text("/metadata/name").to_owned();
        if !name.is_empty() {
            object.put("/metadata/labels/kubernetes.io~1metadata.name", name);
        }
    } else if resource.is_crd() {
        crd::set_defaults(object);
    } else if resource.is("batch", "jobs") {
        default_job(object);
    } else if resource.is_event() && resource.group.is_empty() && object.text("/type").is_empty() {
        object.put("/type", "Normal");
    }
    Ok(())
}

/// `stringData` is write-only and goes to `data` (`pkg/apis/core/v1/conversion.go`).
fn encode_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = secret.cut("/stringData") else { return };
    for (key, value) in plain {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        secret.put("/data", secret.get("data").cloned().unwrap_or_else(|| json!({})));
        if let Some(data) = secret.get_mut("data") {
            data.fields_mut().insert(key, encoded.into());
        }
    }
}

/// `pkg/apis/batch/v1/defaults.go`.
fn default_job(job: &mut Value) {
    for (field, default) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        let pointer = format!("/spec/{field}");
        if !job.has(&pointer) {
            job.put(&pointer, default);
        }
    }
}

/// Validates an object that is to be stored. `more` are causes found before.
pub(crate) fn validate(call: &Call, new: &Value, old: Option<&Value>, more: Vec<Cause>) -> Outcome<()> {
    let resource = &call.resource;
    let name = new.text("/metadata/name");
    let mut causes = more;
    metadata::check(new, old.is_none(), &mut causes);
    if resource.custom {
        if new.text("/kind") != resource.kind() {
            let message = format!("\"{}\": must be {}", new.text("/kind"), resource.kind());
            causes.push(Cause::invalid("kind", message));
        }
        validation::validate(&resource.schema, new, old, "", &mut causes);
        check_rules(resource, new, old, &mut causes);
    } else if resource.is_crd() {
        structural::check(new, &mut causes);
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&resource.group, new.text("/kind"), name, causes))
}

/// Rules run on objects that are otherwise in order ("blocking errors" in `cel/validation.go`).
fn check_rules(resource: &Resource, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    const BLOCKING: [&str; 5] = [
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    ];
    let Some(rules) = &resource.rules else { return };
    if causes.iter().any(|c| BLOCKING.contains(&c.reason)) {
        let why = "null: some validation rules were not checked because the object was invalid; correct the existing \
                   errors to complete validation";
        causes.push(Cause::invalid("", why));
    } else {
        rules.check(new, old, "", causes);
    }
}
