//! What fails elsewhere holds nobody up: the same machines come home twice, alone and beside a vault that answers 500,
//! a vCenter that hangs, a namespace with wrong passwords and an object that does not parse. How long their steps take is
//! compared. Both run at the same time, with a site and a controller each, so that whatever else this computer does slows
//! both.
//!
//! All vaults are of one subscription behind one endpoint, so that they share a budget of calls; the vault that fails
//! and the vCenter that hangs have twenty machines in motion each, more than are worked on at the same time.
//! They fail until the others are home: some ten minutes, with jobs a fifth as long as the recorded ones;
//! `FAILBACK_LONG=1`: two hours, with jobs of the recorded length.

use std::{collections::HashMap, time::Duration};

use failback::{
    api::{FailbackPlan, ReplicatedItem},
    core::conditions,
    rehearsal::{Rehearsal, Setup, documents, pointed_at_site},
};
use jiff::Timestamp;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::{
    front::{Front, Route},
    process::{Controller, Kubeconfig},
    world::{CYCLE, manifests, short_jobs},
};

/// What a step may take longer beside those that fail.
const MOST: f64 = 1.10;
/// Until a step that is possible is called, in seconds: a vault with a machine in motion is read each 15 s.
const REACTION: f64 = 30.0;
/// Namespaces that are well, with a vault object each: they are read at times of their own.
const WELL: usize = 4;
/// All of them together are no more than one vault in Azure is given calls for at a time.
const MACHINES: usize = 5;
const IN_TROUBLE: usize = 20;
/// Of each site: enough for all of its machines to be powered on at a time.
const HOSTS: usize = 3;
const WALL: Duration = Duration::from_secs(600);

/// Not faster: the controller's waits must be long beside what a busy machine adds to them.
const SPEED: f64 = 10.0;
/// How often the site is looked at, on the wall.
const LOOK: Duration = Duration::from_millis(50);

/// A computer that has something else to do for a while makes a difference that is none of ours: so often it is measured
/// anew.
const TRIES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_elsewhere_holds_nobody_up() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut differs = String::new();
    for _ in 0..TRIES {
        let (alone, beside) = tokio::join!(run(false), run(true));
        println!(
            "{:>32} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "seconds of the site", "count", "mean", "median", "95 %", "worst"
        );
        for (name, run) in [("alone", &alone), ("beside those that fail", &beside)] {
            println!("{name}");
            for (what, times) in
                [("until a step is called", &run.reactions), ("steps", &run.steps), ("machines", &run.whole)]
            {
                println!("{what:>32} {}", shown(times));
            }
        }
        match compare(&alone, &beside) {
            Ok(()) => return,
            Err(why) => differs = why,
        }
        println!("{differs}");
    }
    panic!("{differs}");
}

/// Whether nothing took longer than it may: not on average, and not the slowest.
fn compare(alone: &Run, beside: &Run) -> Result<(), String> {
    type Of = fn(&[f64]) -> f64;
    let judged: [(&str, Of); 4] = [
        ("mean", mean),
        ("median", |times| quantile(times, 0.5)),
        ("95 %", |times| quantile(times, 0.95)),
        ("worst", |times| quantile(times, 1.0)),
    ];
    for (what, before, after) in [("steps", &alone.steps, &beside.steps), ("machines", &alone.whole, &beside.whole)] {
        for (name, of) in judged {
            let (before, after) = (of(before), of(after));
            if after > before * MOST {
                return Err(format!("{what}, {name}: {before:.1} s alone, {after:.1} s beside"));
            }
        }
    }
    let slowest = quantile(&beside.reactions, 1.0);
    if slowest > REACTION { Err(format!("a step that was possible was called after {slowest:.1} s")) } else { Ok(()) }
}

/// What the machines that are well took, in seconds of the site.
struct Run {
    /// From when a step was possible until the end of its job, of all steps of all machines.
    steps: Vec<f64>,
    /// The part of this that is the controller's: until its call.
    reactions: Vec<f64>,
    /// From the first call to the end of the last job, by machine.
    whole: Vec<f64>,
}

async fn run(beside: bool) -> Run {
    let well = site("rg-well", &names("well", WELL * MACHINES)).await;
    let mut routes = vec![Route::of("rg-well", TENANTS[0], &well.site_url)];
    let mut others = Vec::new();
    if beside {
        for (group, tenant) in [("rg-broken", TENANTS[1]), ("rg-hanging", TENANTS[2])] {
            let other = site(group, &names(&group[3..], IN_TROUBLE)).await;
            routes.push(Route::of(group, tenant, &other.site_url));
            others.push(other);
        }
    }
    let azure = Front::before(routes).await;
    let vcenter = Front::before(others.last().map(|hanging| Route::any(&hanging.site_url)).into_iter().collect()).await;
    lax(&well).await;
    for number in 0..WELL {
        let machines = &names("well", WELL * MACHINES)[number * MACHINES..(number + 1) * MACHINES];
        let namespace = format!("well-{number}");
        apply(&well, &namespace, "rg-well", TENANTS[0], machines, &azure.url, &well.site_url).await;
    }
    if beside {
        let broken = &others[0];
        let group = names("broken", IN_TROUBLE);
        apply(&well, "broken", "rg-broken", TENANTS[1], &group, &azure.url, &broken.site_url).await;
        let group = names("hanging", IN_TROUBLE);
        apply(&well, "hanging", "rg-hanging", TENANTS[2], &group, &azure.url, &vcenter.url).await;
        wrong(&well, &azure.url).await;
    }
    let clock = format!("{}={}@{}", Timestamp::now(), well.site.now(), SPEED);
    let kubeconfig = Kubeconfig::of(well.api_address.port(), &well.kubeconfig());
    let controller = Controller::on(&kubeconfig, &clock, "one", 120);
    let mut watch = Watch::default();
    let trouble = async {
        let [broken, hanging] = others.as_slice() else { return std::future::pending().await };
        // Connected, and each machine on its way.
        until(|| effects(broken) >= IN_TROUBLE).await;
        azure.breaks("rg-broken");
        // The first is failed back: others are about to be, and each asks vCenter once more before that.
        until(|| hanging.site.calls().iter().any(|call| call.effect && call.verb == "plannedFailover")).await;
        vcenter.hangs();
        std::future::pending::<()>().await;
    };
    let watched = async {
        while watch.look(&well) < WELL * MACHINES {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = trouble => {}
        done = tokio::time::timeout(WALL, watched) => if done.is_err() { stuck(&well).await },
    }
    if beside {
        assert!(azure.refused() > 0 && vcenter.held() > 0, "{} refused, {} held", azure.refused(), vcenter.held());
    }
    ready(&well).await;
    drop(controller);
    for other in others {
        other.end().await;
    }
    well.end().await;
    watch.ended()
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many calls have taken effect.
fn effects(site: &Rehearsal) -> usize {
    site.site.calls().iter().filter(|call| call.effect).count()
}

const TENANTS: [&str; 3] = [
    "7f3d2c52-0000-4a6e-9d5c-5b1f0a6e4c11",
    "7f3d2c52-0001-4a6e-9d5c-5b1f0a6e4c11",
    "7f3d2c52-0002-4a6e-9d5c-5b1f0a6e4c11",
];

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:02}")).collect()
}

/// A site of its own, with hosts and an appliance of its own (what plans share is counted by these), and with disks of
/// many sizes, so that steps become possible at many times.
async fn site(group: &str, machines: &[String]) -> Rehearsal {
    let tenant = ["rg-well", "rg-broken", "rg-hanging"].iter().position(|known| *known == group).unwrap();
    let example = include_str!("../../examples/scenarios/one-machine.yaml");
    let own = example.replace("esx", &format!("{group}-esx")).replace("appliance01", &format!("{group}-appliance"));
    let mut scenario = documents(&own).unwrap().remove(0);
    scenario["azure"]["resourceGroup"] = json!(group);
    scenario["azure"]["tenant"] = json!(TENANTS[tenant]);
    if !crate::long() {
        scenario["durations"] = short_jobs();
    }
    let hosts: Vec<String> = (1..=HOSTS).map(|number| format!("{group}-esx0{number}.example.com")).collect();
    scenario["vcenters"][0]["hosts"] =
        hosts.iter().map(|host| json!({ "name": host, "cluster": "cluster01" })).collect();
    let sized = |(number, name): (usize, &String)| {
        // Those in trouble are there early.
        let size = if group == "rg-well" { 10 + 2 * number } else { 10 };
        let disk = json!({ "size": format!("{size}GB") });
        let host = hosts[number % hosts.len()].clone();
        let delay = if crate::long() { "8m" } else { "90s" };
        json!({ "name": name, "host": host, "disks": [disk], "agent": { "delay": delay } })
    };
    scenario["machines"] = machines.iter().enumerate().map(sized).collect();
    Rehearsal::start(&Setup::new(scenario.to_string(), SPEED)).await.unwrap()
}

async fn apply(
    well: &Rehearsal,
    namespace: &str,
    group: &str,
    tenant: &str,
    machines: &[String],
    azure: &str,
    vcenter: &str,
) {
    namespace_of(well, namespace).await;
    for mut object in manifests(machines, |spec| spec["commit"]["soakSeconds"] = json!(0)) {
        object["metadata"]["namespace"] = json!(namespace);
        if object["kind"] == "RecoveryVault" {
            object["spec"]["resourceGroup"] = json!(group);
            object["spec"]["credential"]["clientSecret"]["tenantId"] = json!(tenant);
        }
        if object["kind"] == "MasterTarget" {
            object["spec"]["appliance"] = json!(format!("{group}-appliance"));
        }
        let url = if object["kind"] == "RecoveryVault" { azure } else { vcenter };
        well.api.apply(pointed_at_site(object, url)).await.unwrap();
    }
}

async fn namespace_of(well: &Rehearsal, name: &str) {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    well.api.apply(namespace).await.unwrap();
}

/// A namespace whose passwords are wrong, and an object that does not parse.
async fn wrong(well: &Rehearsal, azure: &str) {
    namespace_of(well, "wrong").await;
    for mut object in manifests(&names("wrong", 2), |_| ()) {
        object["metadata"]["namespace"] = json!("wrong");
        match object["kind"].as_str() {
            Some("Secret") if object["metadata"]["name"] == "azure" => {
                object["stringData"]["clientSecret"] = json!("wrong");
            }
            Some("Secret") => object["stringData"]["password"] = json!("wrong"),
            Some("RecoveryVault") => {
                object["spec"]["resourceGroup"] = json!("rg-well");
                object["spec"]["credential"]["clientSecret"]["tenantId"] = json!(TENANTS[0]);
                object = pointed_at_site(object, azure);
            }
            _ => object = pointed_at_site(object, &well.site_url),
        }
        well.api.apply(object).await.unwrap();
    }
    let odd = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "ReplicatedItem",
        "metadata": { "name": "odd", "namespace": "wrong" },
        "spec": { "machine": { "this": "is no name" } }
    });
    well.api.apply(odd).await.unwrap();
}

/// An older definition, which lets objects in that do not parse.
async fn lax(well: &Rehearsal) {
    let crd = failback::api::crds().into_iter().find(|crd| crd.spec.names.kind == "ReplicatedItem").unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    let version = &mut crd["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"] = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    version["selectableFields"] = json!([]);
    well.api.apply(crd).await.unwrap();
}

/// What those wait for that are not home.
async fn stuck(well: &Rehearsal) {
    let items: Api<ReplicatedItem> = Api::all(well.client().await.unwrap());
    for item in items.list(&ListParams::default()).await.unwrap() {
        let status = item.status.unwrap_or_default();
        let ready = conditions::find(&status.conditions, "Ready").map(|condition| &condition.message);
        println!("{:?} {:?} {ready:?}", item.metadata.name, status.phase);
    }
    panic!("not home within {WALL:?}");
}

/// All plans of the namespaces that are well are ready: after the last job the data goes to Azure for a while.
async fn ready(well: &Rehearsal) {
    let client = well.client().await.unwrap();
    for number in 0..WELL {
        let plans: Api<FailbackPlan> = Api::namespaced(client.clone(), &format!("well-{number}"));
        for _ in 0..2000 {
            let status = plans.get("web").await.unwrap().status.unwrap_or_default();
            if conditions::is_true(&status.conditions, "Ready") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = plans.get("web").await.unwrap().status.unwrap_or_default();
        assert!(conditions::is_true(&status.conditions, "Ready"), "{:?}", status.summary);
    }
}

/// When each step of a machine was possible, when it was called, and when its job ended, as the site itself shows it.
#[derive(Default)]
struct Watch {
    possible: HashMap<(String, usize), Timestamp>,
    called: HashMap<(String, usize), Timestamp>,
    ended: HashMap<(String, usize), Timestamp>,
}

impl Watch {
    /// Looks; how many machines have ended their cycle.
    fn look(&mut self, well: &Rehearsal) -> usize {
        let world = well.site.snapshot();
        let mut verbs: HashMap<&str, usize> = HashMap::new();
        let calls = well.site.calls();
        for call in calls.iter().filter(|call| call.effect && CYCLE.contains(&call.verb.as_str())) {
            let machine = call.target.as_deref().unwrap_or_default();
            let step = verbs.entry(machine).or_default();
            self.called.entry((machine.to_owned(), *step)).or_insert(call.at);
            *step += 1;
        }
        for machine in world["machines"].as_array().unwrap() {
            let name = machine["name"].as_str().unwrap();
            let step = verbs.get(name).copied().unwrap_or_default();
            if step > 0 && machine["operation"].is_null() {
                self.ended.entry((name.to_owned(), step - 1)).or_insert_with(|| well.site.now());
            }
            if step < CYCLE.len() && is_possible(machine, step) {
                self.possible.entry((name.to_owned(), step)).or_insert_with(|| well.site.now());
            }
        }
        self.ended.keys().filter(|(_, step)| *step == CYCLE.len() - 1).count()
    }

    /// When a step could be called. A wave is failed back once it is possible for each of its machines.
    fn possible(&self, machine: &str, step: usize) -> Timestamp {
        let position = |name: &str| name[5..].parse::<usize>().unwrap();
        let wave = |name: &str| position(name) / MACHINES;
        let counts = |(name, of): &(String, usize)| {
            *of == step && if CYCLE[step] == "plannedFailover" { wave(name) == wave(machine) } else { name == machine }
        };
        self.possible.iter().filter(|(of, _)| counts(of)).map(|(_, at)| *at).max().unwrap()
    }

    fn ended(self) -> Run {
        let mut run = Run { steps: Vec::new(), reactions: Vec::new(), whole: Vec::new() };
        for machine in names("well", WELL * MACHINES) {
            let since = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
            let of = |step: usize| (machine.clone(), step);
            // The first step waits for the process to start.
            for step in 1..CYCLE.len() {
                let possible = self.possible(&machine, step);
                run.reactions.push(since(possible, self.called[&of(step)]));
                run.steps.push(since(possible, self.ended[&of(step)]));
            }
            run.whole.push(since(self.called[&of(0)], self.ended[&of(CYCLE.len() - 1)]));
        }
        run
    }
}

/// Whether the site would carry the next step of this machine out, and what the step waits for is there.
fn is_possible(machine: &Value, step: usize) -> bool {
    let operation = ["SwitchProtection", "PlannedFailover", "Commit", "SwitchProtection"][step];
    let allowed = machine["allowedOperations"].as_array().unwrap().contains(&json!(operation));
    let tools = machine["onPremVm"]["tools"] == "running";
    allowed
        && match CYCLE[step] {
            "reProtect" => machine["agentRegistered"] == json!(true),
            "failoverCommit" => tools,
            _ => true,
        }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn quantile(values: &[f64], of: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * of).round() as usize]
}

fn shown(values: &[f64]) -> String {
    let of = |of| quantile(values, of);
    format!("{:>10} {:>10.1} {:>10.1} {:>10.1} {:>10.1}", values.len(), mean(values), of(0.5), of(0.95), of(1.0))
}
