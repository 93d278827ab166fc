//! Manifests for a rehearsal: as they are in the examples, but pointed at the simulated site.

use serde_json::{Value, json};

/// The documents of a YAML file, empty ones left out.
///
/// # Errors
/// When it is no YAML.
pub fn documents(text: &str) -> Result<Vec<Value>, serde_yaml::Error> {
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let object: Value = serde::Deserialize::deserialize(document)?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// The same object, with the site in place of the public cloud and the vCenter that it names.
pub fn pointed_at_site(mut object: Value, site: &str) -> Value {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return object };
    match kind.as_str() {
        "RecoveryVault" => {
            spec.insert("cloud".to_owned(), json!("Custom"));
            spec.insert("customEndpoints".to_owned(), json!({ "authority": site, "resourceManager": site }));
        }
        "VCenter" => {
            spec.insert("server".to_owned(), json!(site));
            spec.remove("caBundle");
            spec.remove("thumbprint");
        }
        _ => {}
    }
    object
}
