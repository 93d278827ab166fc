//! What goes wrong while machines come home: on calls, in jobs, and in the world around.

use rand::{Rng, rngs::StdRng};
use sim_apiserver::Match;
use sim_site::{Effect, Fault, Mend};

use crate::{soak::MANY, world::World};

/// One call of ten to Azure and vCenter meets a fault.
const RATE: f64 = 0.1;
/// So many are armed at the same time.
const ARMED: usize = 3000;
/// One machine of five has a job that fails.
const FAILING: f64 = 0.2;
/// The code with which such a job fails.
const ON_PURPOSE: &str = "150097";

/// What was armed, and what is broken now.
#[derive(Default)]
pub(crate) struct Trouble {
    armed: usize,
    cut_off: bool,
    /// Machines whose agent registers late: those of each look that is still to come.
    without_agent: Vec<Vec<String>>,
}

impl Trouble {
    pub(crate) fn begin(&mut self, world: &World, machines: &[String], dice: &mut StdRng) {
        self.arm(world, dice);
        let looks = if machines.len() > MANY { 2 } else { 1 };
        let mut without_agent = vec![Vec::new(); looks];
        for machine in machines {
            if dice.random_bool(FAILING) {
                self.inject(world, failing_job(machine, dice));
            }
            // Its agent registers later than the plan begins.
            if dice.random_bool(FAILING) {
                mend(world, Mend { agent_registered: Some(false), ..of(machine) });
                without_agent[dice.random_range(0..looks)].push(machine.clone());
            }
        }
        self.without_agent = without_agent;
        // So that every run has one of each kind.
        self.inject(world, job_fails(&machines[0], "*/reProtect", 1));
        self.inject(world, job_fails(&machines[1], "*/plannedFailover", 0));
    }

    fn inject(&mut self, world: &World, fault: Fault) {
        world.rehearsal.site.try_inject(fault).unwrap();
        self.armed += 1;
    }

    /// Faults for the calls to come, one in ten on average.
    fn arm(&mut self, world: &World, dice: &mut StdRng) {
        let mut skip = 5;
        for _ in 0..ARMED {
            skip += dice.random_range(1..=(2.0 / RATE) as u32 - 1);
            self.inject(world, fault(skip, any_effect(dice)));
        }
    }

    /// Something that is not tied to one call.
    pub(crate) fn go_on(&mut self, world: &World, dice: &mut StdRng) {
        if left(world) < ARMED / 10 {
            self.arm(world, dice);
        }
        if self.cut_off {
            self.cut_off = false;
            mend(world, Mend { vcenter_connected: Some(true), ..Mend::default() });
        }
        for machine in self.without_agent.pop().unwrap_or_default() {
            mend(world, Mend { agent_registered: Some(true), ..of(&machine) });
        }
        match dice.random_range(0..9) {
            0 => world.rehearsal.api.restart(true),
            1 => mend(world, Mend { kill_sessions: Some(true), ..Mend::default() }),
            2 => mend(world, Mend { expire_tokens: Some(true), ..Mend::default() }),
            3 => refuse(world, sim_apiserver::Effect::Refuse(500)),
            4 => refuse(world, sim_apiserver::Effect::LoseAnswer),
            5 => refuse(world, sim_apiserver::Effect::Refuse(409)),
            6 => {
                self.cut_off = true;
                mend(world, Mend { vcenter_connected: Some(false), ..Mend::default() });
            }
            7 => self.inject(world, fault(dice.random_range(0..3), Effect::StaleList)),
            _ => {
                let kind = ["NotAuthenticated", "HostCommunication", "SystemError"][dice.random_range(0..3)];
                let method = ["WaitForUpdatesEx", "RetrievePropertiesEx", "CurrentTime"][dice.random_range(0..3)];
                let effect = Effect::SoapFault { fault: kind.to_owned() };
                self.inject(world, Fault { soap: Some(method.to_owned()), ..fault(0, effect) });
            }
        }
    }

    /// How many faults have struck, and how many jobs have failed. What has struck is disarmed.
    pub(crate) fn struck(&self, world: &World) -> (usize, usize) {
        let snapshot = world.rehearsal.site.snapshot();
        let failed = snapshot["jobs"].as_array().unwrap().iter().filter(|job| job["state"] == "Failed").count();
        (self.armed - left(world), failed)
    }
}

/// The machine of each job that failed because it was to.
pub(crate) fn failed_on_purpose(world: &World) -> Vec<String> {
    let snapshot = world.rehearsal.site.snapshot();
    let jobs = snapshot["jobs"].as_array().unwrap().iter();
    let meant = jobs.filter(|job| job["state"] == "Failed" && job["errors"][0]["code"] == ON_PURPOSE);
    meant.filter_map(|job| job["target"].as_str()).map(str::to_owned).collect()
}

/// What is armed still, but for what every world has.
fn left(world: &World) -> usize {
    let snapshot = world.rehearsal.site.snapshot();
    let armed = snapshot["faults"].as_array().unwrap();
    armed.iter().filter(|armed| armed["fault"]["effect"]["type"] != "lateJobs").count()
}

fn mend(world: &World, change: Mend) {
    world.rehearsal.site.try_inject(fault(0, Effect::World { change: Box::new(change) })).unwrap();
}

fn of(machine: &str) -> Mend {
    Mend { machine: Some(machine.to_owned()), ..Mend::default() }
}

fn fault(skip: u32, effect: Effect) -> Fault {
    Fault { method: None, path: None, soap: None, machine: None, skip, times: 1, effect }
}

/// A job of this machine that fails: a reprotect, which is tried again, or a failover or commit, which a person must ask
/// for again.
fn failing_job(machine: &str, dice: &mut StdRng) -> Fault {
    match dice.random_range(0..4) {
        0 => job_fails(machine, "*/reProtect", 0),
        1 => job_fails(machine, "*/reProtect", 1),
        2 => job_fails(machine, "*/plannedFailover", 0),
        _ => job_fails(machine, "*/failoverCommit", 0),
    }
}

fn job_fails(machine: &str, path: &str, skip: u32) -> Fault {
    let effect =
        Effect::JobFails { code: ON_PURPOSE.to_owned(), message: "It failed on purpose.".to_owned(), task: None };
    Fault { path: Some(path.to_owned()), machine: Some(machine.to_owned()), ..fault(skip, effect) }
}

fn any_effect(dice: &mut StdRng) -> Effect {
    let status = |status, retry_after: Option<&str>| Effect::Status {
        status,
        code: None,
        message: None,
        retry_after: retry_after.map(str::to_owned),
        body: None,
    };
    match dice.random_range(0..9) {
        0 => status(429, Some("10")),
        1 => status(500, None),
        2 => status(503, Some("10")),
        3 => Effect::Html { status: 502 },
        4 => Effect::CutBody { after_bytes: 20 },
        5 | 6 => Effect::ResetBefore,
        7 => Effect::ResetAfter,
        _ => Effect::Latency { millis: 50 },
    }
}

/// Some of the controller's next writes are not taken, or their answers get lost.
fn refuse(world: &World, effect: sim_apiserver::Effect) {
    let on = Match { client: Some("controller".to_owned()), verb: Some("patch".to_owned()), ..Match::default() };
    world.rehearsal.api.faults().inject(sim_apiserver::Fault { on, effect, times: Some(4) });
}

/// The person on duty.
pub(crate) mod someone {
    use failback::{
        api::{FailbackPlan, ReplicatedItem},
        core::conditions,
    };
    use kube::{Api, api::Patch};
    use serde_json::json;

    use crate::world::World;

    /// Looks whether a failover or commit failed, and asks for it again. `before` counts how often that was done.
    pub(crate) async fn tries_again(world: &World, before: usize) -> bool {
        let client = world.rehearsal.client().await.unwrap();
        let items: Api<ReplicatedItem> = Api::default_namespaced(client.clone());
        // The API server may be made to refuse; the next look is soon.
        let Ok(items) = items.list(&Default::default()).await else { return false };
        let failed = items.iter().filter_map(|item| item.status.as_ref()).any(|status| {
            conditions::find(&status.conditions, "Ready").is_some_and(|ready| ready.reason == "OperationFailed")
        });
        let plans: Api<FailbackPlan> = Api::default_namespaced(client);
        let token = Patch::Merge(json!({ "spec": { "retryToken": format!("again-{}", before + 1) } }));
        failed && plans.patch("web", &Default::default(), &token).await.is_ok()
    }
}
