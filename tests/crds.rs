//! What is generated from the code, and checked in: the definitions under `crds/`, the tables and the diagram under
//! `docs/`. With `FAILBACK_UPDATE=1` this writes them; without, it fails where they differ.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use failback::{
    api::crds_yaml,
    core::{checks::CHECKS, stage::TRANSITIONS, waiting::REASONS},
};
use serde_json::Value;

/// Compares a checked-in file with what the code says, or writes it.
fn same(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("FAILBACK_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, expected).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is not what the code says; run this test with FAILBACK_UPDATE=1");
}

fn crds() -> Vec<Value> {
    crds_yaml().unwrap().iter().map(|(_, yaml)| serde_yaml::from_str(yaml).unwrap()).collect()
}

fn version(crd: &Value) -> &Value {
    let versions = crd["spec"]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1);
    &versions[0]
}

fn kind(crd: &Value) -> &str {
    crd["spec"]["names"]["kind"].as_str().unwrap()
}

#[test]
fn definitions_are_what_the_code_says() {
    let generated = crds_yaml().unwrap();
    for (name, yaml) in &generated {
        same(&format!("crds/{name}"), yaml);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files: BTreeSet<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, generated.into_iter().map(|(name, _)| name).collect(), "a file that nothing generates");
}

/// Calls `see` with every schema and its path.
fn walk(schema: &Value, path: &str, see: &mut dyn FnMut(&str, &Value)) {
    see(path, schema);
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        walk(part, &format!("{path}.{name}"), see);
    }
    for part in ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)) {
        walk(part, &format!("{path}[]"), see);
    }
}

fn each_schema(mut see: impl FnMut(&str, &Value)) {
    for crd in &crds() {
        walk(&version(crd)["schema"]["openAPIV3Schema"], kind(crd), &mut see);
    }
}

#[test]
fn every_field_is_explained() {
    let mut bare = Vec::new();
    each_schema(|path, schema| {
        let described = schema["description"].as_str().is_some_and(|text| text.len() > 5);
        // The elements of a list are explained by the list; a condition's fields by Kubernetes itself.
        if !described && !path.ends_with("[]") {
            bare.push(path.to_owned());
        }
    });
    assert!(bare.is_empty(), "no description: {bare:#?}");
}

#[test]
fn schemas_are_ones_that_every_server_takes() {
    let mut odd = Vec::new();
    each_schema(|path, schema| {
        let enumerated = schema["enum"].as_array();
        if enumerated.is_some_and(|values| values.iter().any(|value| !value.is_string())) {
            odd.push(format!("{path}: an enum of other things than words: {}", schema["enum"]));
        }
        // Others, such as uint16, are unknown to the server and warned about at every apply.
        if let Some(format) = schema["format"].as_str()
            && !["int32", "int64", "double", "date-time"].contains(&format)
        {
            odd.push(format!("{path}: format {format}"));
        }
        for key in ["anyOf", "oneOf", "allOf", "$ref"].into_iter().filter(|key| schema.get(key).is_some()) {
            odd.push(format!("{path}: {key}"));
        }
        let is_type = |wanted: &str| schema["type"] == wanted;
        let preserved = schema["x-kubernetes-preserve-unknown-fields"] == true;
        if schema["type"].as_str().is_none() && !preserved && schema["x-kubernetes-int-or-string"] != true {
            odd.push(format!("{path}: no type"));
        }
        let has = |key: &str| schema.get(key).is_some();
        let of_what = has("properties") || has("additionalProperties") || preserved;
        if is_type("array") && !has("items") || is_type("object") && !of_what {
            odd.push(format!("{path}: of what?"));
        }
    });
    assert!(odd.is_empty(), "{odd:#?}");
}

/// The server estimates what a rule may cost from the largest value that the schema allows, and refuses the whole
/// definition when that is too much.
#[test]
fn what_rules_look_at_is_bounded() {
    let (mut rules, mut unbounded) = (0, Vec::new());
    for crd in &crds() {
        walk(&version(crd)["schema"]["openAPIV3Schema"], kind(crd), &mut |path, schema| {
            let with_rules = schema["x-kubernetes-validations"].as_array();
            rules += with_rules.map_or(0, Vec::len);
            for rule in with_rules.into_iter().flatten() {
                assert!(rule["message"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {rule}");
            }
            if with_rules.is_none() {
                return;
            }
            let text = with_rules.unwrap().iter().map(|rule| rule["rule"].as_str().unwrap()).collect::<String>();
            walk(schema, path, &mut |inner, part| {
                let name = inner.trim_end_matches("[]").rsplit('.').next().unwrap();
                // A rule on the whole object, or one that names the field; of a status, only what it names with it.
                let of_status = inner.split_once(".status.").map(|(_, rest)| rest.split(['.', '[']).next().unwrap());
                let used = (text.contains(&format!(".{name}")) || text.contains("self == oldSelf"))
                    && of_status.is_none_or(|field| text.contains(&format!("status.{field}")));
                let bounded = match part["type"].as_str() {
                    Some("string") => {
                        ["maxLength", "enum", "format"].iter().any(|key| part.get(*key).is_some())
                            || part["pattern"].as_str().is_some_and(|pattern| !pattern.contains(['+', '*']))
                    }
                    Some("array") => part.get("maxItems").is_some(),
                    Some(_) | None => true,
                };
                if used && !bounded {
                    unbounded.push(inner.to_owned());
                }
            });
        });
    }
    assert!(rules >= 6, "{rules} rules: the definitions were not understood");
    assert!(unbounded.is_empty(), "{unbounded:#?}");
}

#[test]
fn an_object_just_applied_is_not_read_as_done() {
    for crd in &crds() {
        let status = &version(crd)["schema"]["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"]["observedGeneration"], -1, "{}", kind(crd));
        assert_eq!(version(crd)["subresources"]["status"], serde_json::json!({}), "{}", kind(crd));
        let conditions = &status["properties"]["conditions"];
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{}", kind(crd));
        assert_eq!(conditions["x-kubernetes-list-map-keys"], serde_json::json!(["type"]), "{}", kind(crd));
    }
}

#[test]
fn names_and_columns_are_those_of_the_api() {
    let rows: Vec<String> = crds()
        .iter()
        .map(|crd| {
            let names = &crd["spec"]["names"];
            assert_eq!(names["categories"], serde_json::json!(["failback", "dr"]), "{}", kind(crd));
            assert_eq!(crd["spec"]["scope"], "Namespaced");
            assert_eq!(crd["spec"]["group"], "failback.dev");
            assert_eq!(version(crd)["name"], "v1alpha1");
            let columns = version(crd)["additionalPrinterColumns"].as_array().unwrap();
            let columns: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
            format!("{} {}: {}", kind(crd), names["shortNames"][0].as_str().unwrap(), columns.join(" "))
        })
        .collect();
    let expected = [
        "RecoveryVault rvault: Vault Region Items Ready Reason Age",
        "VCenter vc: Server Version VMs Ready Reason Age",
        "MasterTarget mt: Vault Kind OS Disks Ready Reason Age",
        "ReplicatedItem rpi: Machine Phase Progress Location Ready Reason Plan Age",
        "FailbackPlan fbp: Desired Phase Done Ready Reason ETA Age",
        "FailbackApproval fba: Plan Step Approver Valid Reason Expires Age",
    ];
    assert_eq!(rows, expected);
}

/// A column whose path names no field stays empty for ever.
#[test]
fn columns_point_at_fields() {
    for crd in &crds() {
        for column in version(crd)["additionalPrinterColumns"].as_array().unwrap() {
            let path = column["jsonPath"].as_str().unwrap();
            let mut schema = &version(crd)["schema"]["openAPIV3Schema"];
            let plain = path.split_once('[').map_or(path, |(before, _)| before);
            for name in plain.split('.').filter(|name| !name.is_empty()) {
                if name == "metadata" {
                    break;
                }
                schema = &schema["properties"][name];
                assert!(schema.is_object(), "{}: column {} points at {path}", kind(crd), column["name"]);
            }
        }
    }
}

const GENERATED: &str = "<!-- Generated from the code: `FAILBACK_UPDATE=1 cargo nextest run --test crds` -->\n\n";

#[test]
fn the_checks_are_documented() {
    let mut text = format!(
        "# Checks\n\n{GENERATED}Each check runs from the moment a machine is declared. A step starts only when all checks that \
         gate it have passed;\n`Unknown` holds it back just as `Failed` does. What was seen, and what to do about it, is in \
         `status.checks`.\nOne that does not apply to a machine is not shown. A plan may waive a check by name, with a reason, \
         where the table says so;\nthe others keep what must never happen from happening.\n\n\
         | check | gates | generation | may be waived | holds when | source |\n|---|---|---|---|---|---|\n"
    );
    for check in CHECKS {
        let gates: Vec<_> = check.gates.iter().map(|verb| verb.as_str()).collect();
        let gates = if gates.is_empty() { "none, it warns".to_owned() } else { gates.join(", ") };
        assert!(!check.holds_when.is_empty() && !check.source.is_empty(), "{}", check.name);
        let generation = check.generation.map_or_else(|| "both".to_owned(), |of| format!("{of:?}").to_lowercase());
        let waivable = if check.waivable { "yes" } else { "no" };
        let (name, holds, source) = (check.name, check.holds_when, check.source);
        writeln!(text, "| `{name}` | {gates} | {generation} | {waivable} | {holds} | {source} |").unwrap();
    }
    let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), CHECKS.len(), "a name twice");
    same("docs/checks.md", &text);
}

#[test]
fn the_reasons_are_documented() {
    let mut text = format!(
        "# What a machine can wait for\n\n{GENERATED}These words are the reasons of the conditions `Ready`, `Reconciling` and \
         `Stalled` of a ReplicatedItem, of events, and the\nlabel `waiting_on` of the metrics. One that stalls waits for a \
         person.\n\n| reason | what it means | what to do | stalls |\n|---|---|---|---|\n"
    );
    for (reason, meaning, remedy, stalls) in REASONS {
        assert!(!meaning.is_empty() && !remedy.is_empty(), "{reason}");
        writeln!(text, "| `{reason}` | {meaning} | {remedy} | {} |", if stalls { "yes" } else { "" }).unwrap();
    }
    let reasons: BTreeSet<_> = REASONS.iter().map(|row| row.0).collect();
    assert_eq!(reasons.len(), REASONS.len(), "a reason twice");
    same("docs/reasons.md", &text);
}

#[test]
fn the_phases_are_documented() {
    let mut text = format!(
        "# Phases of a machine\n\n{GENERATED}Any other change was made by somebody else while nobody looked: it is taken as \
         it is, and told by the event\n`ExternalChangeDetected`.\n\n```mermaid\nstateDiagram-v2\n    [*] --> FailedOver\n"
    );
    for (from, to, why) in TRANSITIONS {
        writeln!(text, "    {from:?} --> {to:?}: {why}").unwrap();
    }
    text.push_str("    Protected --> [*]\n```\n");
    let edges: BTreeSet<_> = TRANSITIONS.iter().map(|(from, to, _)| (from, to)).collect();
    assert_eq!(edges.len(), TRANSITIONS.len(), "a transition twice");
    same("docs/phases.md", &text);
}
