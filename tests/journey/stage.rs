//! What the journeys have in common.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use failback::{
    api::{DesiredPhase, FailbackApproval, FailbackPlan, ReplicatedItem},
    core::conditions,
    rehearsal::{Rehearsal, Setup, Variant, documents},
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SCENARIO: &str = include_str!("../../examples/scenarios/one-machine.yaml");
const CONNECTIONS: &str = include_str!("../../examples/one-machine/connections.yaml");
const MACHINE: &str = include_str!("../../examples/one-machine/machine.yaml");
const PLAN: &str = include_str!("../../examples/one-machine/plan.yaml");

/// A rehearsal with its controller.
pub(crate) struct Stage {
    pub(crate) rehearsal: Rehearsal,
    pub(crate) client: Client,
    controller: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Stage {
    /// The one-machine example at a speed, with manifests as `change` leaves them.
    pub(crate) async fn with(speed: f64, change: impl Fn(&mut Value)) -> Self {
        Self::of(SCENARIO, speed, change).await
    }

    /// Another scenario.
    pub(crate) async fn of(scenario: &str, speed: f64, change: impl Fn(&mut Value)) -> Self {
        install_tls();
        let rehearsal = Rehearsal::start(&Setup::new(scenario, speed)).await.unwrap();
        let controller = rehearsal.controller().await.unwrap();
        let stage = Self { controller: Some(controller), ..Self::without_controller(rehearsal).await };
        stage.apply(manifests(change)).await;
        stage
    }

    /// The same, with a controller that is started in another way.
    pub(crate) async fn varied(scenario: &str, speed: f64, variant: Variant, manifests: Vec<Value>) -> Self {
        Self::without(scenario, speed, manifests).await.begin(variant)
    }

    /// The servers with all objects, before any controller looks.
    pub(crate) async fn without(scenario: &str, speed: f64, manifests: Vec<Value>) -> Self {
        install_tls();
        let rehearsal = Rehearsal::start(&Setup::new(scenario, speed)).await.unwrap();
        let stage = Self::without_controller(rehearsal).await;
        stage.apply(manifests).await;
        stage
    }

    /// Its controller.
    pub(crate) fn begin(self, variant: Variant) -> Self {
        let controller = self.rehearsal.controller_as(self.client.clone(), variant).unwrap();
        Self { controller: Some(controller), ..self }
    }

    /// A scenario with manifests of its own.
    pub(crate) async fn playing(scenario: &str, speed: f64, manifests: Vec<Value>) -> Self {
        install_tls();
        let rehearsal = Rehearsal::start(&Setup::new(scenario, speed)).await.unwrap();
        let controller = rehearsal.controller().await.unwrap();
        let stage = Self { controller: Some(controller), ..Self::without_controller(rehearsal).await };
        stage.apply(manifests).await;
        stage
    }

    /// Servers whose controller runs elsewhere.
    pub(crate) async fn without_controller(rehearsal: Rehearsal) -> Self {
        let client = rehearsal.client().await.unwrap();
        Self { rehearsal, client, controller: None }
    }

    /// The example with another desired phase.
    pub(crate) async fn up_to(phase: DesiredPhase, speed: f64) -> Self {
        Self::with(speed, |object| {
            if object["kind"] == "FailbackPlan" {
                object["spec"]["desiredPhase"] = json!(phase);
            }
        })
        .await
    }

    pub(crate) async fn apply(&self, manifests: Vec<Value>) {
        self.rehearsal.apply(manifests).await.unwrap();
    }

    pub(crate) fn plans(&self) -> Api<FailbackPlan> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) fn items(&self) -> Api<ReplicatedItem> {
        Api::default_namespaced(self.client.clone())
    }

    pub(crate) async fn raise(&self, phase: DesiredPhase) {
        let patch = Patch::Merge(json!({ "spec": { "desiredPhase": phase } }));
        self.plans().patch("web", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until the plan is ready for the spec that it has now.
    pub(crate) async fn plan_ready(&self, wall: Duration) {
        let plans = self.plans();
        self.until(wall, "the plan is ready", || async {
            let plan = plans.get("web").await.unwrap();
            let status = plan.status.unwrap_or_default();
            status.observed_generation == plan.metadata.generation && conditions::is_true(&status.conditions, "Ready")
        })
        .await;
    }

    /// Raises every plan.
    pub(crate) async fn raise_all(&self, phase: DesiredPhase) {
        let patch = Patch::Merge(json!({ "spec": { "desiredPhase": phase } }));
        for plan in self.plans().list(&Default::default()).await.unwrap() {
            self.plans().patch(&plan.name_any(), &PatchParams::default(), &patch).await.unwrap();
        }
    }

    /// Gives at once every consent that the plans will ask for.
    pub(crate) async fn approve_all(&self, wall: Duration) {
        let plans = || async { self.plans().list(&Default::default()).await.unwrap().items };
        let seen = |plan: &FailbackPlan| plan.status.as_ref().is_some_and(|status| status.spec_hash.is_some());
        let plans = self.wait(wall, plans, |plans| plans.iter().all(seen)).await.unwrap();
        for plan in plans {
            for approval in &plan.spec.approvals {
                self.approve(&plan, approval.step.as_str()).await;
            }
        }
    }

    /// Consents to a step of a plan as it is.
    pub(crate) async fn approve(&self, plan: &FailbackPlan, step: &str) {
        self.approve_as(plan, step, &format!("{}-{}", plan.name_any(), step.to_lowercase())).await;
    }

    /// The same by an approval of this name.
    pub(crate) async fn approve_as(&self, plan: &FailbackPlan, step: &str, name: &str) {
        let approvals: Api<FailbackApproval> = Api::default_namespaced(self.client.clone());
        let approval = json!({
            "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval",
            "metadata": { "name": name },
            "spec": {
                "planRef": { "name": plan.name_any() }, "planUid": plan.uid(), "step": step,
                "approver": "lead@example.com",
                "specHash": plan.status.as_ref().and_then(|status| status.spec_hash.clone()),
                "expiresAt": self.rehearsal.clock.now() + SignedDuration::from_hours(48),
            },
        });
        approvals.create(&PostParams::default(), &serde_json::from_value(approval).unwrap()).await.unwrap();
    }

    /// Waits until every plan is ready for the spec that it has now.
    pub(crate) async fn all_ready(&self, wall: Duration) -> Result<(), String> {
        let waiting = || async {
            let plans = self.plans().list(&Default::default()).await.unwrap().items;
            let waits = |plan: &FailbackPlan| {
                let status = plan.status.clone().unwrap_or_default();
                status.observed_generation != plan.metadata.generation
                    || !conditions::is_true(&status.conditions, "Ready")
            };
            plans.into_iter().filter(waits).map(|plan| plan.status).collect::<Vec<_>>()
        };
        self.wait(wall, waiting, Vec::is_empty).await.map(drop)
    }

    /// Waits until what is read is as wanted; else tells what was read last.
    pub(crate) async fn wait<T: std::fmt::Debug, F: Future<Output = T>>(
        &self,
        wall: Duration,
        read: impl Fn() -> F,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<T, String> {
        let began = Instant::now();
        loop {
            let seen = read().await;
            if wanted(&seen) {
                return Ok(seen);
            }
            if began.elapsed() > wall {
                return Err(format!("not within {wall:?}; seen last: {seen:#?}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the item's Ready condition says.
    pub(crate) async fn reason(&self, item: &str) -> String {
        let status = self.items().get(item).await.unwrap().status.unwrap_or_default();
        conditions::find(&status.conditions, "Ready").map(|ready| ready.message.clone()).unwrap_or_default()
    }

    /// Waits for something to be true, and shows what is there if it does not become true.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, wall: Duration, what: &str, check: impl Fn() -> F) {
        let began = Instant::now();
        while !check().await {
            if began.elapsed() > wall {
                let items = self.items().list(&Default::default()).await.unwrap();
                let plans = self.plans().list(&Default::default()).await.unwrap();
                let shown: Vec<_> = items.into_iter().map(|item| item.status).collect();
                let plans: Vec<_> = plans.into_iter().map(|plan| plan.status).collect();
                panic!("not within {wall:?}: {what}\n{shown:#?}\n{plans:#?}\n{:#?}", self.rehearsal.site.calls());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a condition of any object, and returns it.
    pub(crate) async fn condition<F>(&self, wall: Duration, what: &str, read: impl Fn() -> F) -> Condition
    where
        F: Future<Output = Option<Condition>>,
    {
        let began = Instant::now();
        loop {
            if let Some(condition) = read().await {
                return condition;
            }
            assert!(began.elapsed() < wall, "not within {wall:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The verbs that reached Azure, in their order.
    pub(crate) fn verbs(&self) -> Vec<String> {
        let calls = self.rehearsal.site.calls();
        calls.into_iter().filter(|call| call.path.contains("replicationProtectedItems")).map(|call| call.verb).collect()
    }

    /// Both copies of any machine ran at the same time.
    pub(crate) fn both_ran(&self) -> bool {
        let world = self.rehearsal.site.snapshot();
        world["machines"].as_array().unwrap().iter().any(|machine| machine["bothRunningEver"] != json!(false))
    }

    /// Another controller in place of the one that ran.
    pub(crate) async fn restart_controller(&mut self) {
        if let Some((stop, controller)) = self.controller.take() {
            stop.cancel();
            controller.await.unwrap();
        }
        self.controller = Some(self.rehearsal.controller().await.unwrap());
    }

    pub(crate) async fn end(self) {
        if let Some((stop, controller)) = self.controller {
            stop.cancel();
            controller.await.unwrap();
        }
        self.rehearsal.end().await;
    }
}

/// All objects of the example.
pub(crate) fn manifests(change: impl Fn(&mut Value)) -> Vec<Value> {
    let mut objects: Vec<Value> =
        [CONNECTIONS, MACHINE, PLAN].iter().flat_map(|text| documents(text).unwrap()).collect();
    objects.iter_mut().for_each(change);
    objects
}

pub(crate) fn install_tls() {
    // Tests share a process under `cargo test`; only the first one installs it.
    drop(rustls::crypto::ring::default_provider().install_default());
}
