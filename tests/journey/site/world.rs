//! The site and its plan: 50 machines in two vaults, in six waves that are no chain. `FAILBACK_LONG=1`: 200 machines, with
//! four times as much of everything that is limited.

use serde_json::{Value, json};

/// How many times the short run this one is.
pub(super) fn scale() -> usize {
    if crate::long::long() { 4 } else { 1 }
}

/// A wave, in the short run.
pub(super) struct Wave {
    pub(super) name: &'static str,
    machines: usize,
    pub(super) after: &'static [&'static str],
    at_once: usize,
    /// Disks of its machines, in turn.
    disks: [usize; 2],
    /// Which of the two master targets of each vault it comes home through.
    target: usize,
}

impl Wave {
    /// How many machines it has.
    fn machines(&self) -> usize {
        self.machines * scale()
    }

    /// How many of them move at a time.
    pub(super) fn at_once(&self) -> usize {
        self.at_once * scale()
    }

    pub(super) fn positions_before(&self) -> Vec<usize> {
        self.after.iter().map(|name| WAVES.iter().position(|wave| wave.name == *name).unwrap()).collect()
    }
}

/// `b`, `c` and `d` share their master targets: `d` has to wait until enough of `c` is home.
pub(super) const WAVES: [Wave; 6] = [
    Wave { name: "a", machines: 2, after: &[], at_once: 2, disks: [1, 2], target: 2 },
    Wave { name: "b", machines: 10, after: &["a"], at_once: 6, disks: [1, 1], target: 1 },
    Wave { name: "c", machines: 12, after: &["a"], at_once: 8, disks: [1, 2], target: 1 },
    Wave { name: "d", machines: 8, after: &["b"], at_once: 5, disks: [2, 2], target: 1 },
    Wave { name: "e", machines: 10, after: &["b", "c"], at_once: 8, disks: [1, 1], target: 2 },
    Wave { name: "f", machines: 8, after: &["d", "e"], at_once: 8, disks: [1, 2], target: 2 },
];

/// How many machines of the plan move at a time.
pub(super) fn at_once() -> usize {
    15 * scale()
}

/// Disks that a master target carries.
pub(super) fn disks() -> usize {
    15 * scale()
}

/// A machine for each step that fails in it: wave, machine, step, how many times its job fails until a person is asked.
pub(super) const FAILING: [(&str, &str, u32); 4] =
    [("b-03", "Commit", 1), ("c-11", "FailBack", 1), ("d-07", "Reprotect", 5), ("e-09", "Protect", 5)];
/// Seconds from the end of a failback until VMware Tools run, and from the end of the synchronisation to Azure until
/// there is a recovery point.
const TOOLS: i64 = 60;
pub(super) const FIRST_POINT: i64 = 120;

/// A machine of the site.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) wave: usize,
    pub(super) number: usize,
    pub(super) vault: &'static str,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) disks: usize,
}

pub(super) fn machines() -> Vec<Machine> {
    let of_wave = |(wave, spec): (usize, &'static Wave)| {
        (1..=spec.machines()).map(move |number| {
            let vault = ["north", "south"][number % 2];
            Machine {
                name: format!("{}-{number:02}", spec.name),
                wave,
                number,
                vault,
                target: format!("{vault}-{}", spec.target),
                host: format!("esx0{}.example.com", 1 + number / 2 % scale()),
                disks: spec.disks[number / 2 % 2],
            }
        })
    };
    WAVES.iter().enumerate().flat_map(of_wave).collect()
}

/// The scenario of the simulated site.
pub(super) fn scenario() -> Value {
    let hosts: Vec<_> = (1..=scale())
        .map(|number| json!({ "name": format!("esx0{number}.example.com"), "cluster": "cluster01" }))
        .collect();
    let fabric = |vault: &str| {
        let appliance = |number| json!({ "name": format!("{vault}-{number}"), "host": "esx01.example.com" });
        json!({ "name": format!("{vault}-fabric"), "vault": vault, "appliances": [appliance(1), appliance(2)] })
    };
    let machines: Vec<_> = machines()
        .iter()
        .map(|machine| {
            // Always the same sizes, and not all alike.
            let size = 20 + 4 * (machine.number * 7 % 6) / machine.disks;
            json!({
                "name": machine.name, "fabric": format!("{}-fabric", machine.vault), "host": machine.host,
                "os": if machine.number.is_multiple_of(3) { "Linux" } else { "Windows" },
                "agent": { "delay": "1m" },
                "disks": vec![json!({ "size": format!("{size}GB") }); machine.disks],
            })
        })
        .collect();
    json!({
        "description": "a whole site comes home",
        "vcenters": [{
            "name": "vcenter.example.com", "hosts": hosts,
            "datastores": [{ "name": "bulk01", "capacity": "400TB", "free": "200TB" }],
        }],
        "fabrics": [fabric("north"), fabric("south")],
        "machines": machines,
        // Shorter than they are, so that the run is: a reaction weighs the more.
        "durations": {
            "reprotect": "6m", "initialReplicationBase": "1m", "checksumPerSecond": "100MB", "bandwidthPerSecond": "100MB",
            "failback": "8m", "protect": "4m", "tools": format!("{TOOLS}s"), "firstRecoveryPoint": format!("{FIRST_POINT}s"),
        },
        "faults": faults(),
    })
}

fn faults() -> Vec<Value> {
    let fault = |(machine, step, times): (&str, &str, u32)| {
        let (verb, skip) = match step {
            "Reprotect" => ("reProtect", 0),
            "FailBack" => ("plannedFailover", 0),
            "Commit" => ("failoverCommit", 0),
            _ => ("reProtect", 1),
        };
        json!({
            "machine": machine, "method": "POST", "path": format!("*/{verb}"), "skip": skip, "times": times,
            "effect": { "type": "jobFails", "code": "150097", "message": format!("{step} is to fail here.") },
        })
    };
    FAILING.into_iter().map(fault).collect()
}

/// Connections and master targets.
pub(super) fn connections(example: &[Value]) -> Vec<Value> {
    let mut objects = Vec::new();
    for object in example {
        match object["kind"].as_str().unwrap_or_default() {
            "RecoveryVault" => objects.extend(["north", "south"].map(|vault| {
                let mut object = object.clone();
                object["metadata"]["name"] = json!(vault);
                object["spec"]["vaultName"] = json!(vault);
                object
            })),
            "MasterTarget" => {
                let of_vault = |vault| [format!("{vault}-1"), format!("{vault}-2")].map(|name| (vault, name));
                objects.extend(["north", "south"].into_iter().flat_map(of_vault).map(|(vault, name)| {
                    let mut object = object.clone();
                    object["metadata"]["name"] = json!(name);
                    object["spec"]["appliance"] = json!(name);
                    object["spec"]["vaultRef"]["name"] = json!(vault);
                    object["spec"]["maxDisks"] = json!(disks());
                    object
                }));
            }
            _ => objects.push(object.clone()),
        }
    }
    objects
}

/// The machines' objects. Each fifth one has a service that must answer on `port` before its commit.
pub(super) fn items(port: u16) -> Vec<Value> {
    let item = |machine: Machine| {
        let mut object = json!({
            "apiVersion": "failback.dev/v1alpha1", "kind": "ReplicatedItem",
            "metadata": { "name": machine.name, "namespace": "default", "labels": { "wave": WAVES[machine.wave].name } },
            "spec": {
                "machine": machine.name, "vaultRef": { "name": machine.vault }, "vcenterRef": { "name": "vcenter" },
                "masterTargetRef": { "name": machine.target },
            },
        });
        if machine.number.is_multiple_of(5) {
            let tcp = json!({ "host": "127.0.0.1", "port": port });
            object["spec"]["verification"] = json!({ "probes": [{ "name": "service", "tcp": tcp }] });
        }
        object
    };
    machines().into_iter().map(item).collect()
}

/// A Job that takes some seconds.
fn hook(name: &str, when: Value, seconds: u32) -> Value {
    let container =
        json!({ "name": name, "image": "registry.example.com/tell:1", "command": ["sleep", seconds.to_string()] });
    let template =
        json!({ "spec": { "template": { "spec": { "containers": [container], "restartPolicy": "Never" } } } });
    let mut hook = when;
    hook["name"] = json!(name);
    hook["jobTemplate"] = template;
    hook
}

/// The plan, which does nothing yet. Its last wave is found by label.
pub(super) fn plan() -> Value {
    let wave = |wave: &Wave| {
        let mut object = json!({ "name": wave.name, "maxConcurrent": wave.at_once(), "dependsOn": wave.after });
        if wave.name == "f" {
            object["selector"] = json!({ "matchLabels": { "wave": wave.name } });
        } else {
            object["items"] = (1..=wave.machines()).map(|number| json!(format!("{}-{number:02}", wave.name))).collect();
        }
        object
    };
    json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackPlan",
        "metadata": { "name": "site", "namespace": "default" },
        "spec": {
            "desiredPhase": "Assessed",
            "waves": WAVES.iter().map(wave).collect::<Vec<_>>(),
            "maxConcurrent": at_once(),
            "onItemFailure": "Quarantine",
            "failureBudget": FAILING.len(),
            "approvals": [{ "step": "FailBack" }, { "step": "Commit" }],
            "commit": { "policy": "Manual" },
            "hooks": [
                hook("freeze", json!({ "when": "Before", "step": "Reprotect" }), 120),
                hook("tell", json!({ "when": "After", "step": "Protect", "scope": "Wave" }), 5),
            ],
        },
    })
}
