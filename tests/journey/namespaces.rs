//! Of several namespaces one harms only itself, and nothing is decided from half of what a namespace holds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use failback::{
    api::{FailbackPlan, RecoveryVault},
    core::conditions,
    ports::{Standing, Tally},
    rehearsal::Variant,
};
use kube::Api;
use serde_json::{Value, json};
use sim_apiserver::{Effect, Fault, Match};

use crate::stage::{SCENARIO, Stage, manifests};

const WALL: Duration = Duration::from_secs(60);

/// Remembers how many watches of each kind fail.
#[derive(Default)]
struct Failing(Mutex<BTreeMap<&'static str, i64>>);

impl Failing {
    fn of(&self, kind: &str) -> i64 {
        self.0.lock().unwrap().get(kind).copied().unwrap_or_default()
    }
}

impl Tally for Failing {
    fn reconciled(&self, _: &'static str, _: &'static str) {}
    fn operated(&self, _: &'static str, _: &'static str) {}
    fn standing(&self, _: &Standing) {}
    fn watches_failing(&self, kind: &'static str, count: i64) {
        self.0.lock().unwrap().insert(kind, count);
    }
}

/// The example in another namespace, about another machine.
fn within(namespace: &str, machine: &str) -> Vec<Value> {
    let mut objects = manifests(|object| {
        object["metadata"]["namespace"] = json!(namespace);
        if object["kind"] == "ReplicatedItem" {
            object["spec"]["machine"] = json!(machine);
        }
    });
    objects.insert(0, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
    objects
}

/// The example's site with a machine for each of three namespaces.
fn scenario() -> String {
    let (head, web) = SCENARIO.split_once("machines:\n").unwrap();
    let others = ["web-02", "web-03"].map(|name| web.replace("web-01", name)).concat();
    format!("{head}machines:\n{web}{others}")
}

async fn stage(objects: Vec<Value>, failing: &Arc<Failing>, refuse: Option<Match>) -> Stage {
    let namespaces = vec!["dr".to_owned(), "lab".to_owned()];
    // Refused before the controller looks for the first time.
    let stage = Stage::without(&scenario(), 1200.0, objects).await;
    if let Some(on) = refuse {
        stage.rehearsal.api.faults().inject(Fault { on, effect: Effect::Refuse(403), times: None });
    }
    let tally = Arc::clone(failing) as Arc<dyn Tally>;
    stage.begin(Variant { namespaces, tally, ..Variant::default() })
}

async fn plan(stage: &Stage, namespace: &str) -> FailbackPlan {
    Api::namespaced(stage.client.clone(), namespace).get("web").await.unwrap()
}

async fn ready(stage: &Stage, namespace: &str) {
    stage
        .until(WALL, "the plan is ready", || async {
            let status = plan(stage, namespace).await.status.unwrap_or_default();
            conditions::is_true(&status.conditions, "Ready")
        })
        .await;
}

/// The machines that were called for.
fn called(stage: &Stage) -> Vec<String> {
    let mut machines: Vec<_> = stage.rehearsal.site.calls().into_iter().filter_map(|call| call.target).collect();
    machines.sort();
    machines.dedup();
    machines
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_namespaces_that_are_named_are_watched() {
    let mut objects = within("dr", "web-01");
    objects.extend(within("lab", "web-02"));
    objects.extend(within("other", "web-03"));
    let failing = Arc::new(Failing::default());
    let stage = stage(objects, &failing, None).await;
    ready(&stage, "dr").await;
    ready(&stage, "lab").await;
    assert_eq!(called(&stage), ["web-01", "web-02"]);
    let others: Api<RecoveryVault> = Api::namespaced(stage.client.clone(), "other");
    let never = others.get("recovery-vault").await.unwrap().status.unwrap_or_default();
    assert!(never.conditions.iter().all(|condition| condition.status == "Unknown"), "{:?}", never.conditions);
    let lists = stage.rehearsal.api.record().into_iter().filter(|request| request.verb == "list");
    assert!(
        lists
            .filter(|list| list.group == "failback.dev" && list.client != "kube-rs")
            .all(|list| !list.namespace.is_empty())
    );
    assert_eq!(failing.of("ReplicatedItem"), 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_which_one_kind_is_refused_waits_whole_and_alone() {
    let mut objects = within("dr", "web-01");
    objects.extend(within("lab", "web-02"));
    let failing = Arc::new(Failing::default());
    // Its plans can be listed, its machines cannot: a plan judged now would find none of its machines.
    let refused = |verb: &str| Match {
        namespace: Some("lab".to_owned()),
        resource: Some("replicateditems".to_owned()),
        verb: Some(verb.to_owned()),
        ..Match::default()
    };
    let stage = stage(objects, &failing, Some(refused("list"))).await;
    ready(&stage, "dr").await;
    assert_eq!(called(&stage), ["web-01"]);
    assert_eq!(plan(&stage, "lab").await.status.unwrap_or_default().observed_generation.filter(|seen| *seen > 0), None);
    assert_eq!((failing.of("ReplicatedItem"), failing.of("FailbackPlan")), (1, 0));

    // The Role is there now.
    stage.rehearsal.api.faults().clear();
    ready(&stage, "lab").await;
    assert_eq!(called(&stage), ["web-01", "web-02"]);
    assert_eq!(failing.of("ReplicatedItem"), 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_went_while_nobody_watched_is_gone_and_the_others_stay() {
    let mut objects = within("dr", "web-01");
    objects.extend(within("lab", "web-02"));
    let failing = Arc::new(Failing::default());
    let stage = stage(objects, &failing, None).await;
    ready(&stage, "lab").await;
    // No watch, a deletion, and a list in which it is missing.
    let on = Match { verb: Some("watch".to_owned()), resource: Some("failbackplans".to_owned()), ..Match::default() };
    let api = &stage.rehearsal.api;
    api.faults().inject(Fault { on: on.clone(), effect: Effect::Refuse(500), times: None });
    api.faults().break_watches();
    let plans: Api<FailbackPlan> = Api::namespaced(stage.client.clone(), "lab");
    stage
        .until(WALL, "the plan holds nothing any more", || async {
            plans.get("web").await.unwrap().metadata.finalizers.unwrap_or_default().is_empty()
        })
        .await;
    plans.delete("web", &Default::default()).await.unwrap();
    api.compact();
    api.faults().clear();
    // A plan of the same name is a new one, and takes the machine, which an old one in the cache would keep from it.
    let mut again = within("lab", "web-02");
    again.retain(|object| object["kind"] == "FailbackPlan");
    again[0]["spec"]["desiredPhase"] = json!("Assessed");
    stage.apply(again).await;
    stage
        .until(WALL, "the new plan is judged", || async {
            plan(&stage, "lab").await.status.unwrap_or_default().observed_generation == Some(1)
        })
        .await;
    ready(&stage, "dr").await;
    stage.end().await;
}
