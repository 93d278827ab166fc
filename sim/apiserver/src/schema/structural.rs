//! What a CustomResourceDefinition must satisfy to be accepted: its names, its versions, and schemas that are structural.
//!
//! Rules: "Specifying a structural schema" of the CRD documentation; wording: `apiextensions/validation/validation.go` and
//! `apiserver/schema/validation.go`.

use serde::Deserialize;
use serde_json::Value;

use super::{Additional, Schema, defaulting, pruning, validation};
use crate::error::Cause;
use crate::metadata::is_subdomain;
use crate::object::Object;

/// Adds what is wrong with a CRD.
pub(crate) fn check(crd: &Value, causes: &mut Vec<Cause>) {
    check_names(crd, causes);
    let versions = crd.list("/spec/versions");
    let storage = versions.iter().filter(|v| v.get("storage") == Some(&Value::Bool(true))).count();
    if storage != 1 {
        let shown = Value::Array(versions.iter().map(|v| v.get("name").cloned().unwrap_or_default()).collect());
        let message = format!("{shown}: must have exactly one version marked as storage version");
        causes.push(Cause::invalid("spec.versions", message));
    }
    if crd.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true)) {
        let message = "true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                       spec.versions[*].schema instead";
        causes.push(Cause::invalid("spec.preserveUnknownFields", message));
    }
    for (index, version) in versions.iter().enumerate() {
        check_version(version, &format!("spec.versions[{index}]"), causes);
    }
}

fn check_names(crd: &Value, causes: &mut Vec<Cause>) {
    for field in ["group", "scope", "names.plural", "names.kind"] {
        if crd.text(&format!("/spec/{}", field.replace('.', "/"))).is_empty() {
            causes.push(Cause::required(format!("spec.{field}"), ""));
        }
    }
    let (group, plural) = (crd.text("/spec/group"), crd.text("/spec/names/plural"));
    let name = crd.text("/metadata/name");
    if name != format!("{plural}.{group}") {
        let message = format!("\"{name}\": must be spec.names.plural+\".\"+spec.group");
        causes.push(Cause::invalid("metadata.name", message));
    }
    if !group.is_empty() && (!is_subdomain(group) || !group.contains('.')) {
        causes
            .push(Cause::invalid("spec.group", format_args!("\"{group}\": should be a domain with at least one dot")));
    }
    let scope = crd.text("/spec/scope");
    if !matches!(scope, "" | "Namespaced" | "Cluster") {
        let message = format!("Unsupported value: \"{scope}\": supported values: \"Cluster\", \"Namespaced\"");
        causes.push(Cause::new("FieldValueNotSupported", "spec.scope", message));
    }
    if crd.list("/spec/versions").is_empty() {
        causes.push(Cause::required("spec.versions", ""));
    }
}

fn check_version(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let root = format!("{path}.schema.openAPIV3Schema");
    let Some(raw) = version.pointer("/schema/openAPIV3Schema") else {
        causes.push(Cause::required(root, "schemas are required"));
        return;
    };
    let schema = match Schema::deserialize(raw) {
        Ok(schema) => schema,
        Err(error) => return causes.push(Cause::invalid(root, error)),
    };
    Checker { causes }.node(&schema, &root, Level::Root);
    for (index, column) in version.list("/additionalPrinterColumns").iter().enumerate() {
        let here = format!("{path}.additionalPrinterColumns[{index}]");
        if !column.text("/jsonPath").starts_with('.') {
            causes.push(Cause::invalid(
                format!("{here}.jsonPath"),
                format_args!("{:?}: must start with a dot", column.text("/jsonPath")),
            ));
        }
        let kind = column.text("/type");
        if !matches!(kind, "boolean" | "date" | "integer" | "number" | "string") {
            causes.push(Cause::invalid(
                format!("{here}.type"),
                format_args!("\"{kind}\": must be one of boolean,date,integer,number,string"),
            ));
        }
    }
    for (index, field) in version.list("/selectableFields").iter().enumerate() {
        let json_path = field.text("/jsonPath");
        let found = json_path.trim_start_matches('.').split('.').try_fold(&schema, |s, name| s.properties.get(name));
        let scalar = found.is_some_and(|s| matches!(s.kind.as_deref(), Some("string" | "boolean" | "integer")));
        if !scalar {
            let message =
                format!("\"{json_path}\": is an invalid path: does not refer to a string, boolean or integer field");
            causes.push(Cause::invalid(format!("{path}.selectableFields[{index}].jsonPath"), message));
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Field,
    Item,
}

struct Checker<'a> {
    causes: &'a mut Vec<Cause>,
}

impl Checker<'_> {
    fn invalid(&mut self, path: String, message: &str) {
        self.causes.push(Cause::invalid(path, message));
    }

    fn forbidden(&mut self, path: String, why: &str) {
        self.causes.push(Cause::forbidden(path, why));
    }

    fn required(&mut self, path: String, why: &str) {
        self.causes.push(Cause::required(path, why));
    }

    fn node(&mut self, schema: &Schema, path: &str, level: Level) {
        self.check_type(schema, path, level);
        self.check_forbidden(schema, path);
        self.check_list(schema, path);
        self.check_map(schema, path);
        self.check_rules(schema, path);
        self.check_default(schema, path);
        self.check_combined(schema, path);
        if level == Level::Root || schema.embedded {
            self.check_metadata(schema, path);
        }
        for (name, of) in &schema.properties {
            if level != Level::Root || !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                self.node(of, &format!("{path}.properties[{name}]"), Level::Field);
            }
        }
        if let Some(of) = schema.values() {
            self.node(of, &format!("{path}.additionalProperties"), Level::Field);
        }
        if let Some(of) = &schema.items {
            self.node(of, &format!("{path}.items"), Level::Item);
        }
    }

    fn check_type(&mut self, schema: &Schema, path: &str, level: Level) {
        let here = format!("{path}.type");
        let free = schema.int_or_string || schema.preserve && level != Level::Root;
        match schema.kind.as_deref() {
            None if !free => {
                let place = match level {
                    Level::Root => "at the root",
                    Level::Field => "for specified object fields",
                    Level::Item => "for specified array items",
                };
                self.required(here, &format!("must not be empty {place}"));
            }
            Some(kind) if level == Level::Root && kind != "object" => {
                self.invalid(here, &format!("\"{kind}\": must be object at the root"));
            }
            Some(kind) if schema.int_or_string => {
                self.invalid(here, &format!("\"{kind}\": must be empty if x-kubernetes-int-or-string is true"));
            }
            Some(kind) if schema.embedded && kind != "object" => {
                self.invalid(here, &format!("\"{kind}\": must be object if x-kubernetes-embedded-resource is true"));
            }
            Some(kind) if !matches!(kind, "object" | "array" | "string" | "integer" | "number" | "boolean") => {
                let supported = "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"";
                let message = format!("Unsupported value: \"{kind}\": supported values: {supported}");
                self.causes.push(Cause::new("FieldValueNotSupported", here, message));
            }
            Some(_) | None => {}
        }
    }

    fn check_forbidden(&mut self, schema: &Schema, path: &str) {
        if schema.unique_items {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.forbidden(format!("{path}.uniqueItems"), why);
        }
        if schema.reference.is_some() {
            self.forbidden(format!("{path}.$ref"), "$ref is not supported");
        }
        if let Some(pattern) = schema.pattern.as_ref().filter(|p| p.regex.is_none()) {
            let message = format!("{:?}: must be a valid regular expression", pattern.source);
            self.invalid(format!("{path}.pattern"), &message);
        }
        match &schema.additional_properties {
            Some(Additional::Allowed(false)) => {
                let why = "additionalProperties cannot be set to false";
                self.forbidden(format!("{path}.additionalProperties"), why);
            }
            Some(_) if !schema.properties.is_empty() => {
                let why = "additionalProperties and properties are mutual exclusive";
                self.forbidden(format!("{path}.additionalProperties"), why);
            }
            Some(_) | None => {}
        }
        if schema.embedded && !schema.preserve && schema.properties.is_empty() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                       x-kubernetes-preserve-unknown-fields";
            self.required(format!("{path}.properties"), why);
        }
    }

    fn check_list(&mut self, schema: &Schema, path: &str) {
        let is_array = schema.kind.as_deref() == Some("array");
        if is_array && schema.items.is_none() {
            self.required(format!("{path}.items"), "must be specified");
        }
        match schema.list_type.as_deref() {
            Some(_) if !is_array => {
                let kind = schema.kind.as_deref().unwrap_or_default();
                self.invalid(
                    format!("{path}.type"),
                    &format!("\"{kind}\": must be array if x-kubernetes-list-type is specified"),
                );
            }
            Some("map") => self.check_keys(schema, path),
            Some("atomic" | "set") | None => {
                if !schema.list_keys.is_empty() {
                    let why = "must be empty if x-kubernetes-list-type is not map";
                    self.forbidden(format!("{path}.x-kubernetes-list-map-keys"), why);
                }
            }
            Some(other) => {
                let message = format!("Unsupported value: \"{other}\": supported values: \"atomic\", \"map\", \"set\"");
                let here = format!("{path}.x-kubernetes-list-type");
                self.causes.push(Cause::new("FieldValueNotSupported", here, message));
            }
        }
    }

    fn check_keys(&mut self, schema: &Schema, path: &str) {
        let here = format!("{path}.x-kubernetes-list-map-keys");
        if schema.list_keys.is_empty() {
            return self.required(here, "must not be empty if x-kubernetes-list-type is map");
        }
        let Some(items) = &schema.items else { return };
        if items.kind.as_deref() != Some("object") {
            let kind = items.kind.as_deref().unwrap_or_default();
            let message = format!("\"{kind}\": must be object if parent array's x-kubernetes-list-type is map");
            self.invalid(format!("{path}.items.type"), &message);
        }
        for (index, key) in schema.list_keys.iter().enumerate() {
            let property = format!("{path}.items.properties[{key}]");
            match items.properties.get(key) {
                None => {
                    let message = format!("\"{key}\": entries must all be names of item properties");
                    self.invalid(format!("{here}[{index}]"), &message);
                }
                Some(of) if matches!(of.kind.as_deref(), Some("object" | "array")) => {
                    let message = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    let kind = of.kind.as_deref().unwrap_or_default();
                    self.invalid(format!("{property}.type"), &format!("\"{kind}\": {message}"));
                }
                Some(of) if of.default.is_none() && !items.required.contains(key) => {
                    let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                               required property";
                    self.required(format!("{property}.default"), why);
                }
                Some(_) => {}
            }
        }
    }

    fn check_map(&mut self, schema: &Schema, path: &str) {
        match schema.map_type.as_deref() {
            Some(_) if schema.kind.as_deref() != Some("object") => {
                let kind = schema.kind.as_deref().unwrap_or_default();
                let message = format!("\"{kind}\": must be object if x-kubernetes-map-type is specified");
                self.invalid(format!("{path}.type"), &message);
            }
            Some("atomic" | "granular") | None => {}
            Some(other) => {
                let message = format!("Unsupported value: \"{other}\": supported values: \"atomic\", \"granular\"");
                let here = format!("{path}.x-kubernetes-map-type");
                self.causes.push(Cause::new("FieldValueNotSupported", here, message));
            }
        }
    }

    fn check_rules(&mut self, schema: &Schema, path: &str) {
        for (index, rule) in schema.rules.iter().enumerate() {
            let here = format!("{path}.x-kubernetes-validations[{index}].rule");
            let text = rule.text("/rule");
            if text.trim().is_empty() {
                self.required(here, "rule is not specified");
                continue;
            }
            let compiled = kube_cel::compile_schema(&serde_json::json!({"x-kubernetes-validations": [rule]}));
            for error in compiled.compilation_errors() {
                self.invalid(here.clone(), &format!("{text:?}: compilation failed: {error}"));
            }
        }
    }

    fn check_default(&mut self, schema: &Schema, path: &str) {
        let Some(default) = &schema.default else { return };
        let here = format!("{path}.default");
        let (mut pruned, mut unknown) = (default.clone(), Vec::new());
        pruning::prune(schema, &mut pruned, &mut unknown);
        if !unknown.is_empty() {
            return self.invalid(here, &format!("{default}: must not have unknown fields"));
        }
        defaulting::default(schema, &mut pruned);
        let mut causes = Vec::new();
        validation::validate(schema, &pruned, None, &here, &mut causes);
        self.causes.extend(causes);
    }

    /// Below `anyOf` and its like only value validations are allowed.
    fn check_combined(&mut self, schema: &Schema, path: &str) {
        let lists = [("allOf", &schema.all_of), ("anyOf", &schema.any_of), ("oneOf", &schema.one_of)];
        for (name, list) in lists {
            for (index, of) in list.iter().enumerate() {
                self.value_validation(of, &format!("{path}.{name}[{index}]"), schema.int_or_string);
            }
        }
        if let Some(of) = &schema.not {
            self.value_validation(of, &format!("{path}.not"), schema.int_or_string);
        }
    }

    fn value_validation(&mut self, schema: &Schema, path: &str, types_allowed: bool) {
        let structural = [
            ("type", schema.kind.is_some() && !types_allowed),
            ("description", schema.description.is_some()),
            ("default", schema.default.is_some()),
            ("nullable", schema.nullable),
            ("additionalProperties", schema.additional_properties.is_some()),
            ("x-kubernetes-preserve-unknown-fields", schema.preserve),
            ("x-kubernetes-embedded-resource", schema.embedded),
            ("x-kubernetes-int-or-string", schema.int_or_string),
            ("x-kubernetes-list-type", schema.list_type.is_some()),
            ("x-kubernetes-map-type", schema.map_type.is_some()),
            ("x-kubernetes-validations", !schema.rules.is_empty()),
        ];
        for (field, _) in structural.iter().filter(|(_, set)| *set) {
            self.forbidden(format!("{path}.{field}"), "must be empty to be structural");
        }
        for (name, of) in &schema.properties {
            self.value_validation(of, &format!("{path}.properties[{name}]"), false);
        }
        if let Some(of) = &schema.items {
            self.value_validation(of, &format!("{path}.items"), false);
        }
    }

    fn check_metadata(&mut self, schema: &Schema, path: &str) {
        let Some(metadata) = schema.properties.get("metadata") else { return };
        let here = format!("{path}.properties[metadata]");
        if metadata.kind.as_deref().is_some_and(|kind| kind != "object") {
            let kind = metadata.kind.as_deref().unwrap_or_default();
            self.invalid(format!("{here}.type"), &format!("\"{kind}\": must be object"));
        }
        if metadata.properties.keys().any(|name| !matches!(name.as_str(), "name" | "generateName")) {
            let why =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.forbidden(here, why);
        }
    }
}
