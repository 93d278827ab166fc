//! The site and its plan: 200 machines in two vaults, on four hosts, in six waves that are no chain.

use serde_json::{Value, json};

/// A wave: name, machines, those before it, how many move at a time, disks of each second machine, master target.
pub(super) struct Wave {
    pub(super) name: &'static str,
    pub(super) machines: usize,
    pub(super) after: &'static [&'static str],
    pub(super) at_once: usize,
    /// Disks of its machines, in turn.
    disks: [usize; 2],
    /// Which of the two master targets of each vault it comes home through.
    target: usize,
}

impl Wave {
    pub(super) fn positions_before(&self) -> Vec<usize> {
        self.after.iter().map(|name| WAVES.iter().position(|wave| wave.name == *name).unwrap()).collect()
    }
}

/// `b`, `c` and `d` share their master targets: `d` has to wait until enough of `c` is home.
pub(super) const WAVES: [Wave; 6] = [
    Wave { name: "a", machines: 10, after: &[], at_once: 10, disks: [1, 2], target: 2 },
    Wave { name: "b", machines: 40, after: &["a"], at_once: 24, disks: [1, 1], target: 1 },
    Wave { name: "c", machines: 50, after: &["a"], at_once: 30, disks: [1, 2], target: 1 },
    Wave { name: "d", machines: 30, after: &["b"], at_once: 20, disks: [2, 2], target: 1 },
    Wave { name: "e", machines: 40, after: &["b", "c"], at_once: 30, disks: [1, 1], target: 2 },
    Wave { name: "f", machines: 30, after: &["d", "e"], at_once: 30, disks: [1, 2], target: 2 },
];
pub(super) const AT_ONCE: usize = 60;
/// A machine for each step that fails in it: wave, machine, step, how many times its job fails until a person is asked.
pub(super) const FAILING: [(&str, &str, u32); 4] =
    [("b-03", "Commit", 1), ("c-11", "FailBack", 1), ("d-07", "Reprotect", 5), ("e-21", "Protect", 5)];
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
        (1..=spec.machines).map(move |number| {
            let vault = ["north", "south"][number % 2];
            Machine {
                name: format!("{}-{number:02}", spec.name),
                wave,
                number,
                vault,
                target: format!("{vault}-{}", spec.target),
                host: format!("esx0{}.example.com", 1 + number / 2 % 4),
                disks: spec.disks[number / 2 % 2],
            }
        })
    };
    WAVES.iter().enumerate().flat_map(of_wave).collect()
}

/// The scenario of the simulated site.
pub(super) fn scenario() -> Value {
    let hosts: Vec<_> =
        (1..=4).map(|number| json!({ "name": format!("esx0{number}.example.com"), "cluster": "cluster01" })).collect();
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
        "description": "a site of two hundred machines comes home",
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
                    object
                }));
            }
            _ => objects.push(object.clone()),
        }
    }
    objects
}

/// The machines' objects. Each tenth one has a service that must answer on `port` before its commit.
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
        if machine.number.is_multiple_of(10) {
            let tcp = json!({ "host": "127.0.0.1", "port": port });
            object["spec"]["verification"] = json!({ "probes": [{ "name": "service", "tcp": tcp }] });
        }
        object
    };
    machines().into_iter().map(item).collect()
}

/// The plan, which does nothing yet. Its last wave is found by label.
pub(super) fn plan() -> Value {
    let wave = |wave: &Wave| {
        let mut object = json!({ "name": wave.name, "maxConcurrent": wave.at_once, "dependsOn": wave.after });
        if wave.name == "f" {
            object["selector"] = json!({ "matchLabels": { "wave": wave.name } });
        } else {
            object["items"] = (1..=wave.machines).map(|number| json!(format!("{}-{number:02}", wave.name))).collect();
        }
        object
    };
    json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackPlan",
        "metadata": { "name": "site", "namespace": "default" },
        "spec": {
            "desiredPhase": "Assessed",
            "waves": WAVES.iter().map(wave).collect::<Vec<_>>(),
            "maxConcurrent": AT_ONCE,
            "onItemFailure": "Quarantine",
            "failureBudget": FAILING.len(),
            "approvals": [{ "step": "FailBack" }, { "step": "Commit" }],
            "commit": { "policy": "Manual" },
        },
    })
}
