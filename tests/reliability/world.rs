//! Servers in this process, and the controller in one of its own that can be killed.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use failback::{
    api::FailbackPlan,
    core::conditions,
    rehearsal::{Rehearsal, Setup, documents, pointed_at_site},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    gate::Gate,
    process::{Controller, Kubeconfig},
};

const CONNECTIONS: &str = include_str!("../../examples/one-machine/connections.yaml");
const MACHINE: &str = include_str!("../../examples/one-machine/machine.yaml");
const PLAN: &str = include_str!("../../examples/one-machine/plan.yaml");
/// The cycle of a machine that comes home and is protected again.
pub(crate) const CYCLE: [&str; 4] = ["reProtect", "plannedFailover", "failoverCommit", "reProtect"];

/// Servers, gate and manifests of one run.
pub(crate) struct World {
    pub(crate) rehearsal: Rehearsal,
    pub(crate) gate: Gate,
    kubeconfig: Kubeconfig,
    speed: f64,
    machines: Vec<String>,
}

impl World {
    /// A site with machines of these names; one plan brings all of them home and protects them again.
    pub(crate) async fn of(machines: Vec<String>, seed: u64, speed: f64) -> Self {
        Self::with(machines, seed, speed, json!({})).await
    }

    /// The same, with what takes another time than in the recordings.
    pub(crate) async fn with(machines: Vec<String>, seed: u64, speed: f64, durations: Value) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let setup = Setup { seed, ..Setup::new(scenario(&machines, durations), speed) };
        let rehearsal = Rehearsal::start(&setup).await.unwrap();
        // Azure's list of jobs is late by most of the time that a look is given for that.
        let effect = sim_site::Effect::LateJobs { seconds: 100 };
        let late = sim_site::Fault { method: None, path: None, soap: None, machine: None, skip: 0, times: 0, effect };
        rehearsal.site.try_inject(late).unwrap();
        let gate = Gate::before(&rehearsal).await;
        for manifest in manifests(&machines, |spec| spec["onItemFailure"] = json!("Continue")) {
            // The vault is reached through the gate; vCenter is only ever read, and reached directly.
            let through = if manifest["kind"] == "RecoveryVault" { &gate.site } else { &rehearsal.site_url };
            rehearsal.api.apply(pointed_at_site(manifest, through)).await.unwrap();
        }
        let kubeconfig = Kubeconfig::of(gate.api.port(), &sim_apiserver::ApiServer::kubeconfig(gate.api));
        Self { rehearsal, gate, kubeconfig, speed, machines }
    }

    pub(crate) fn controller(&self) -> Controller {
        self.replica("one", 3)
    }

    /// One of several controllers, with a lease of so many seconds.
    pub(crate) fn replica(&self, name: &str, lease_seconds: u16) -> Controller {
        let clock = format!("{}={}@{}", jiff::Timestamp::now(), self.rehearsal.site.now(), self.speed);
        Controller::on(&self.kubeconfig, &clock, name, lease_seconds)
    }

    /// Waits until the plan is ready; then what the site itself says of it.
    pub(crate) async fn until_home(&self, wall: Duration) -> Result<(), String> {
        let plans: Api<FailbackPlan> = Api::default_namespaced(self.rehearsal.client().await.unwrap());
        let began = Instant::now();
        loop {
            // The API server may be made to refuse.
            let status = plans.get("web").await.ok().and_then(|plan| plan.status).unwrap_or_default();
            if conditions::is_true(&status.conditions, "Ready") {
                return self.verdict();
            }
            if began.elapsed() > wall {
                return Err(format!("not home within {wall:?}: {:?} {:#?}", status.summary, status.issues));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a verb took effect.
    pub(crate) async fn until_called(&self, verb: &str, wall: Duration) {
        let began = Instant::now();
        while !self.rehearsal.site.calls().iter().any(|call| call.effect && call.verb == verb) {
            assert!(began.elapsed() < wall, "no {verb} within {wall:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same with a controller that is started now, and again whenever it ends: on a machine that is too busy it may
    /// lose its short lease.
    pub(crate) async fn until_home_again(&self, wall: Duration) -> Result<(), String> {
        self.again(self.until_home(wall)).await
    }

    /// Whatever is waited for, in the same way.
    pub(crate) async fn again<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        let mut controller = self.controller();
        loop {
            tokio::select! {
                done = &mut wait => return done,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            if !controller.runs() {
                controller = self.controller();
            }
        }
    }

    /// Of each machine every verb took effect once, in order, and once more only after its job had failed by a fault;
    /// never did two of its jobs run at the same time, nor both copies.
    fn verdict(&self) -> Result<(), String> {
        let world = self.rehearsal.site.snapshot();
        let jobs = world["jobs"].as_array().unwrap();
        for machine in &self.machines {
            let verbs = self.took_effect(machine);
            // Site recovery itself begins the end of an initial replication, and undoes what a failed failover left.
            let own = |job: &Value| ["IrCompletion", "CancelFailover"].iter().any(|own| job["scenario"] == json!(own));
            let begun = |job: &&Value| job["target"] == json!(machine) && !own(job);
            let of_machine: Vec<&Value> = jobs.iter().filter(begun).collect();
            once_each(&verbs, &of_machine).map_err(|why| format!("{machine}: {why}; its verbs were {verbs:?}"))?;
        }
        let both =
            world["machines"].as_array().unwrap().iter().find(|machine| machine["bothRunningEver"] != json!(false));
        match both {
            None => Ok(()),
            Some(machine) => Err(format!("both copies of {} ran", machine["name"])),
        }
    }

    /// The verbs that took effect on a machine, in their order.
    pub(crate) fn took_effect(&self, machine: &str) -> Vec<String> {
        let calls = self.rehearsal.site.calls().into_iter();
        let of_machine = calls
            .filter(|call| call.effect && call.path.contains("replicationProtectedItems"))
            .filter(|call| call.target.as_deref() == Some(machine));
        of_machine.map(|call| call.verb).collect()
    }

    /// A person changes an object.
    pub(crate) async fn patch<K>(&self, name: &str, change: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::default_namespaced(self.rehearsal.client().await.unwrap());
        api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    /// The lease of a process that was killed need not be waited for: what it began is met while it goes on.
    pub(crate) async fn free_lease(&self) {
        let leases: Api<Lease> = Api::default_namespaced(self.rehearsal.client().await.unwrap());
        drop(leases.delete("failback-controller", &DeleteParams::default()).await.unwrap());
    }

    pub(crate) async fn end(self) {
        self.rehearsal.end().await;
    }
}

/// Judges the verbs that took effect on a machine, each of which began one of its jobs.
fn once_each(verbs: &[String], jobs: &[&Value]) -> Result<(), String> {
    if verbs.len() != jobs.len() {
        return Err(format!("{} jobs for {} calls: {jobs:#?}", jobs.len(), verbs.len()));
    }
    let worked: Vec<&str> = verbs
        .iter()
        .zip(jobs)
        .filter(|(_, job)| job["state"] != json!("Failed"))
        .map(|(verb, _)| verb.as_str())
        .collect();
    if worked != CYCLE {
        return Err(format!("those that did not fail were {worked:?}"));
    }
    let time = |job: &Value, field: &str| job[field].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    match jobs.windows(2).find(|pair| time(pair[0], "ended") > time(pair[1], "started")) {
        None => Ok(()),
        Some(pair) => Err(format!("two of its jobs ran at the same time: {pair:#?}")),
    }
}

/// Jobs a fifth as long as the recorded ones: a run looks as often at each step, in less time.
pub(crate) fn short_jobs() -> Value {
    json!({
        "reprotect": "2m", "protect": "2m", "initialReplicationBase": "30s", "checksumPerSecond": "400MB",
        "firstRecoveryPoint": "1m", "failback": "4m", "commit": "30s", "tools": "20s", "crashPointEvery": "1m"
    })
}

fn scenario(machines: &[String], durations: Value) -> String {
    let machines: Vec<Value> = machines.iter().map(|name| json!({ "name": name })).collect();
    let mut scenario: Value = documents(include_str!("../../examples/scenarios/one-machine.yaml")).unwrap().remove(0);
    scenario["machines"] = json!(machines);
    scenario["durations"] = durations;
    scenario.to_string()
}

/// No more disks than an appliance carries at a time.
const WAVE: usize = 50;

/// Connections, these machines, and a plan that moves as many of them at a time as it can, with `declare` added to its spec.
pub(crate) fn manifests(machines: &[String], declare: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut manifests = documents(CONNECTIONS).unwrap();
    for name in machines {
        let mut machine = documents(MACHINE).unwrap().remove(0);
        machine["metadata"]["name"] = json!(name);
        machine["spec"]["machine"] = json!(name);
        manifests.push(machine);
    }
    let mut plan = documents(PLAN).unwrap().remove(0);
    let wave = |(number, machines): (usize, &[String])| json!({ "name": format!("wave-{number}"), "items": machines, "maxConcurrent": machines.len() });
    plan["spec"]["waves"] = machines.chunks(WAVE).enumerate().map(wave).collect();
    declare(&mut plan["spec"]);
    manifests.push(plan);
    manifests
}
