//! Every journey of `examples`: as it stands there it comes home, each verb once.

use std::{path::PathBuf, time::Duration};

use failback::rehearsal::documents;
use serde_json::{Value, json};

use crate::stage::Stage;

const SPEED: f64 = 1200.0;
const WALL: Duration = Duration::from_secs(240);

/// A folder of `examples`, and the scenario that it plays in.
pub(crate) struct Example {
    pub(crate) scenario: Value,
    pub(crate) manifests: Vec<Value>,
}

pub(crate) fn example(name: &str) -> Example {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let read = |path: PathBuf| documents(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let manifests = files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")).flat_map(read);
    Example {
        scenario: read(root.join("scenarios").join(format!("{name}.yaml"))).remove(0),
        manifests: manifests.collect(),
    }
}

/// Brings all machines of an example home, protects them again, and looks at what the site saw.
async fn comes_home(name: &str) {
    let Example { scenario, manifests } = example(name);
    let items: Vec<(String, String)> = manifests
        .iter()
        .filter(|object| object["kind"] == "ReplicatedItem")
        .map(|object| {
            let text = |pointer: &str| object.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            (text("/metadata/name"), text("/spec/machine"))
        })
        .collect();
    let stage = Stage::playing(&scenario.to_string(), SPEED, manifests).await;
    stage.approve_all(WALL).await;
    stage.all_ready(WALL).await.unwrap();
    for (item, machine) in &items {
        let calls = stage.rehearsal.site.calls();
        let generation = stage.items().get(item).await.unwrap().status.unwrap().generation;
        let failback = if generation.as_deref() == Some("Classic") { "unplannedFailover" } else { "plannedFailover" };
        let verbs: Vec<_> = calls
            .iter()
            .filter(|call| call.effect && call.target.as_deref() == Some(machine))
            .filter(|call| call.path.contains("replicationProtectedItems"))
            .map(|call| call.verb.as_str())
            .collect();
        let world = stage.rehearsal.site.snapshot();
        let jobs = world["jobs"].as_array().unwrap().iter();
        let begun = jobs.filter(|job| job["target"] == json!(machine) && job["scenario"] != json!("IrCompletion"));
        // An agent that has not registered yet after the machine started at home is waited for by trying again.
        let waited = |job: &Value| job["state"] == json!("Failed") && job["errors"] == json!(["95226"]);
        let verbs: Vec<_> =
            verbs.into_iter().zip(begun).filter(|(_, job)| !waited(job)).map(|(verb, _)| verb).collect();
        assert_eq!(verbs, ["reProtect", failback, "failoverCommit", "reProtect"], "{machine} of {name}");
    }
    assert!(!stage.both_ran(), "{name}");
    let world = stage.rehearsal.site.snapshot();
    for (_, machine) in &items {
        let shown = world["machines"].as_array().unwrap().iter().find(|shown| shown["name"] == json!(machine)).unwrap();
        assert_eq!(shown["stage"], json!("ForwardProtected"), "{machine} of {name}");
    }
    stage.end().await;
}

macro_rules! journeys {
    ($($test:ident: $folder:literal,)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            comes_home($folder).await;
        })*
    };
}

journeys! {
    onto_the_original_vm: "one-machine",
    into_a_new_vm: "alternate-location",
    a_physical_server: "physical-server",
    windows_and_linux: "windows-and-linux",
    a_consistency_group: "consistency-group",
    the_classic_generation: "classic",
    a_standalone_esx_host: "standalone-esx-host",
    with_hooks_and_a_job_as_probe: "hooks",
    three_tiers_with_an_approval: "three-tier",
    all_of_them_in_one_plan: "all-journeys",
}
