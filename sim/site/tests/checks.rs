//! Whatever a failback depends on can be broken by itself, at the start and later, and mended again: each way with the reads
//! that show it, and no others. The table is that of the README.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Arm, Vim, between};
use serde_json::{Value, json};

/// One way to fail a check; see `checks.yaml`.
#[derive(serde::Deserialize)]
struct Row {
    check: String,
    field: String,
    value: Value,
    #[serde(rename = "break")]
    breaks: Value,
    mend: Value,
    reads: BTreeSet<String>,
    /// Further reads that differ when it is so from the start.
    #[serde(default, rename = "atStart")]
    at_start: BTreeSet<String>,
    #[serde(default)]
    shows: String,
}

#[derive(serde::Deserialize)]
struct Checks {
    site: Value,
    checks: Vec<Row>,
}

fn checks() -> Checks {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/checks.yaml")).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

async fn objects(vim: &Vim<'_>, kind: &str, paths: &[&str]) -> String {
    let view = vim
        .call(&format!(r#"<CreateContainerView xmlns="urn:vim25"><_this type="ViewManager">ViewManager</_this><container type="Folder">group-d1</container><type>{kind}</type><recursive>true</recursive></CreateContainerView>"#))
        .await;
    let view = between(&view, "<returnval type=\"ContainerView\">", "<").unwrap().to_owned();
    let paths: String = paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
    vim.call(&format!(
        r#"<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet><propSet><type>{kind}</type>{paths}</propSet><objectSet><obj type="ContainerView">{view}</obj><skip>true</skip><selectSet xsi:type="TraversalSpec"><type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet></specSet><options/></RetrievePropertiesEx>"#
    ))
    .await
}

/// Every read that a client of the site makes, by a name.
async fn wire(running: &common::Running) -> BTreeMap<String, String> {
    let arm = Arm::login(running).await;
    let mut reads = BTreeMap::new();
    for name in ["web", "back", "erp", "ready", "metal"] {
        let id = arm.item_id(name);
        reads.insert(format!("item {name}"), arm.call("GET", &id, None).await.text());
        reads.insert(format!("points {name}"), arm.call("GET", &format!("{id}/recoveryPoints"), None).await.text());
        let vm = format!("{}/providers/Microsoft.Compute/virtualMachines/{name}?$expand=instanceView", arm.base);
        reads.insert(format!("azure {name}"), arm.call("GET", &vm, None).await.text());
    }
    for fabric in arm.get(&format!("{}/replicationFabrics", arm.vault)).await["value"].as_array().unwrap() {
        let name = fabric["properties"]["friendlyName"].as_str().unwrap();
        reads.insert(format!("fabric {name}"), arm.call("GET", fabric["id"].as_str().unwrap(), None).await.text());
    }
    let site = format!("{}/providers/Microsoft.OffAzure/VMwareSites/modernvmwaresite/vcenters", arm.base);
    let lock =
        format!("{}/providers/Microsoft.Compute/virtualMachines/web/providers/Microsoft.Authorization/locks", arm.base);
    for (name, path) in [
        ("appliances", format!("{}/replicationAppliances", arm.vault)),
        ("vcenters", format!("{}/replicationvCenters", arm.vault)),
        ("sites", site),
        ("locks", lock),
    ] {
        reads.insert(name.to_owned(), arm.call("GET", &path, None).await.text());
    }
    let vim = Vim::login(running).await;
    for (name, kind, paths) in [
        (
            "vms",
            "VirtualMachine",
            ["name", "runtime", "config.hardware.device", "config.extraConfig", "snapshot", "guest"].as_slice(),
        ),
        ("hosts", "HostSystem", ["name", "runtime", "parent", "datastore", "summary"].as_slice()),
        ("datastores", "Datastore", ["name", "summary", "host"].as_slice()),
    ] {
        reads.insert(name.to_owned(), objects(&vim, kind, paths).await);
    }
    reads
}

fn differing(some: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> BTreeSet<String> {
    some.iter().filter(|(name, text)| other.get(*name) != Some(text)).map(|(name, _)| name.clone()).collect()
}

fn put(scenario: &mut Value, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = scenario.pointer_mut(parent).unwrap();
    if let Some(list) = parent.as_array_mut() {
        list.push(value);
    } else {
        parent[field] = value;
    }
}

/// All of one instant, so that heartbeats do not differ.
async fn site(scenario: &Value) -> common::Running {
    let origin = "2026-01-05T08:00:00Z".parse().unwrap();
    common::start_with(&scenario.to_string(), sim_site::Options::at_speed(0.0).with_origin(origin)).await
}

#[tokio::test]
async fn each_check_can_be_failed_by_itself_and_mended() {
    let Checks { site: usual, checks } = checks();
    let before = wire(&site(&usual).await).await;
    let mut wrong = Vec::new();
    let mut expect = |what: String, seen: BTreeSet<String>, reads: &BTreeSet<String>, shown: bool| {
        if seen != *reads || !shown {
            wrong.push(format!("{what}: {seen:?} instead of {reads:?}, shown: {shown}"));
        }
    };
    for Row { check, field, value, breaks, mend, reads, at_start, shows } in checks {
        let text = |wire: &BTreeMap<String, String>| reads.iter().map(|name| wire[name].as_str()).collect::<String>();
        let mut broken = usual.clone();
        put(&mut broken, &field, value);
        let from_the_start = wire(&site(&broken).await).await;
        let shown = text(&from_the_start).contains(&shows);
        expect(format!("{check}: {field}"), differing(&before, &from_the_start), &(&reads | &at_start), shown);
        let running = site(&usual).await;
        running.site.try_inject(change(&breaks)).unwrap();
        let later = wire(&running).await;
        let shown = text(&later).contains(&shows);
        expect(format!("{check}: {breaks}"), differing(&before, &later), &reads, shown);
        running.site.try_inject(change(&mend)).unwrap();
        expect(format!("{check}: {mend}"), differing(&before, &wire(&running).await), &BTreeSet::new(), true);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn change(mend: &Value) -> sim_site::Fault {
    serde_json::from_value(json!({"effect": {"type": "world", "change": mend}})).unwrap()
}

#[test]
fn the_readme_has_a_row_for_each() {
    let readme = include_str!("../README.md");
    for Row { check, field, breaks, .. } in checks().checks {
        let row = readme.lines().find(|line| line.contains(&format!("| {check} |")));
        let row = row.unwrap_or_else(|| panic!("{check} has no row"));
        let last = field.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap();
        assert!(row.contains(last), "{check}: {last}");
        let keys = breaks.as_object().unwrap().keys();
        let unnamed = |key: &&String| {
            !["machine", "host", "vm", "component", "fabric", "datastore", "agentRegistered"].contains(&key.as_str())
        };
        for key in keys.filter(unnamed) {
            assert!(row.contains(key.as_str()), "{check}: {key}");
        }
    }
}
