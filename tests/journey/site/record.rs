//! What the simulated site itself recorded: which job ran when, and what was in use at the same time.

use std::collections::BTreeMap;

use failback::{
    api::{OperationRecord, ReplicatedItemStatus},
    core::conditions,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    list_schedule::{Leg, Way},
    world::{FIRST_POINT, Machine},
};

/// A job of a machine, in milliseconds of the site's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// Reprotect, SyncToVMware, FailBack, Commit, Protect or SyncToAzure.
    pub(super) step: &'static str,
    pub(super) starts: i64,
    pub(super) ends: i64,
    /// Its error's code, when it failed.
    pub(super) failed: Option<String>,
}

/// The jobs of each machine, in their order.
#[derive(Clone, Debug)]
pub(super) struct Record(pub(super) BTreeMap<String, Vec<Job>>);

pub(super) const STEPS: [&str; 4] = ["Reprotect", "FailBack", "Commit", "Protect"];

impl Record {
    /// Reads the site's own account. Every job has ended.
    pub(super) fn of(world: &Value) -> Self {
        let mut jobs: BTreeMap<String, Vec<Job>> = BTreeMap::new();
        for job in world["jobs"].as_array().unwrap() {
            let time = |field: &str| job[field].as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond();
            let before = jobs.entry(job["target"].as_str().unwrap().to_owned()).or_default();
            let home = before.iter().any(|job| job.step == "Commit" && job.failed.is_none());
            let step = match job["scenario"].as_str().unwrap() {
                "SwitchReplicationGroupProtection" if home => "Protect",
                "SwitchReplicationGroupProtection" => "Reprotect",
                "IrCompletion" if home => "SyncToAzure",
                "IrCompletion" => "SyncToVMware",
                "PlannedFailover" => "FailBack",
                "CommitFailover" => "Commit",
                other => panic!("nobody asked for a job {other}: {job}"),
            };
            let failed = (job["state"] != "Succeeded").then(|| job["errors"][0].as_str().unwrap_or("?").to_owned());
            before.push(Job { step, starts: time("started"), ends: time("ended"), failed });
        }
        Self(jobs)
    }

    fn all(&self, machine: &str, step: &str) -> Vec<&Job> {
        self.0.get(machine).into_iter().flatten().filter(|job| job.step == step).collect()
    }

    /// The one that succeeded.
    pub(super) fn done(&self, machine: &str, step: &str) -> Option<&Job> {
        self.all(machine, step).into_iter().find(|job| job.failed.is_none())
    }

    /// How many seconds after the end of a job the controller knew of it, on average.
    pub(super) fn seen_late(&self, statuses: &BTreeMap<String, ReplicatedItemStatus>) -> f64 {
        let late: Vec<i64> = statuses
            .iter()
            .flat_map(|(name, status)| {
                let records = status.operation.iter().chain(&status.history);
                records.filter_map(|record| {
                    let seen = record.ended_at.as_ref()?.0.as_millisecond();
                    let began = record.intended_at.0.as_millisecond();
                    let of = |job: &&Job| job.step == record.verb && job.starts >= began && job.ends <= seen;
                    let job = self.0.get(name)?.iter().find(of)?;
                    Some(seen - job.ends)
                })
            })
            .collect();
        late.iter().sum::<i64>() as f64 / late.len().max(1) as f64 / 1000.0
    }

    /// When a machine moved: from each call of a resting point to the next one.
    pub(super) fn moves(&self, machine: &str) -> Vec<(i64, i64)> {
        let jobs = self.0.get(machine).into_iter().flatten();
        let failed = jobs.clone().filter(|job| job.failed.is_some()).map(|job| (job.starts, job.ends));
        let whole = |first: &str, last: &str, more: i64| {
            Some((self.done(machine, first)?.starts, self.done(machine, last)?.ends + more))
        };
        let whole = [
            whole("Reprotect", "SyncToVMware", 0),
            whole("FailBack", "FailBack", 0),
            whole("Commit", "Commit", 0),
            whole("Protect", "SyncToAzure", FIRST_POINT * 1000),
        ];
        failed.chain(whole.into_iter().flatten()).collect()
    }

    /// When its disks were attached to its master target: until it was committed.
    pub(super) fn attached(&self, machine: &str) -> Vec<(i64, i64)> {
        let failed = self.all(machine, "Reprotect").into_iter().filter(|job| job.failed.is_some());
        let whole = self.done(machine, "Reprotect").map(|job| {
            let committed = self.done(machine, "Commit").map_or(i64::MAX, |job| job.ends);
            (job.starts, committed)
        });
        failed.map(|job| (job.starts, job.ends)).chain(whole).collect()
    }

    /// When calls of it, or jobs begun by them, were in flight.
    pub(super) fn calls(&self, machine: &str) -> Vec<(i64, i64)> {
        STEPS.iter().flat_map(|step| self.all(machine, step)).map(|job| (job.starts, job.ends)).collect()
    }

    /// When it was failing back.
    pub(super) fn starts(&self, machine: &str) -> Vec<(i64, i64)> {
        self.all(machine, "FailBack").into_iter().map(|job| (job.starts, job.ends)).collect()
    }
}

/// The way that a machine has gone, with the durations that the controller measured: from each call until it saw the end.
pub(super) fn way(machine: &Machine, status: &ReplicatedItemStatus) -> Way {
    let of = |verb: &str| -> Vec<&OperationRecord> {
        let mut all: Vec<_> =
            status.operation.iter().chain(&status.history).filter(|record| record.verb == verb).collect();
        all.reverse();
        all
    };
    let begun = |verb: &str| Some(of(verb).first()?.intended_at.0.as_second());
    let ended = |verb: &str| Some(of(verb).last()?.ended_at.as_ref()?.0.as_second());
    let is = |kind: &str| {
        let condition = conditions::find(&status.conditions, kind).filter(|condition| condition.status == "True")?;
        Some(condition.last_transition_time.0.as_second())
    };
    let until = |kind: &str, after: Option<i64>| is(kind).zip(after).map_or(0, |(is, after)| (is - after).max(0));
    let mut legs = Vec::new();
    if let Some((begun, end)) = begun("Reprotect").zip(ended("Reprotect")) {
        legs.push(Leg { call: end - begun, rest: until("Reprotected", Some(end)), settles: 0 });
    }
    if let Some((begun, end)) = begun("FailBack").zip(ended("FailBack")) {
        let home = is("FailedBack").unwrap_or(end).max(end);
        legs.push(Leg { call: end - begun, rest: home - end, settles: until("Verified", Some(home)) });
    }
    if let Some((begun, end)) = begun("Commit").zip(ended("Protect").or(ended("Commit"))) {
        legs.push(Leg { call: end - begun, rest: until("Protected", Some(end)), settles: 0 });
    }
    Way {
        commit: begun("Commit").zip(ended("Commit")).map_or(0, |(begun, ended)| ended - begun),
        wave: machine.wave,
        target: machine.target.clone(),
        disks: machine.disks,
        host: machine.host.clone(),
        vault: machine.vault.to_owned(),
        legs,
        fails: is("Protected").is_none(),
    }
}

/// The most that was in use at the same time, of each thing.
pub(super) fn peaks(uses: impl Iterator<Item = (String, usize, Vec<(i64, i64)>)>) -> BTreeMap<String, usize> {
    let mut changes: BTreeMap<String, Vec<(i64, bool, usize)>> = BTreeMap::new();
    for (of, weight, spans) in uses {
        let of = changes.entry(of).or_default();
        // What ends at a moment makes room for what begins at it.
        of.extend(spans.into_iter().flat_map(|(from, to)| [(from, true, weight), (to, false, weight)]));
    }
    let peak = |mut changes: Vec<(i64, bool, usize)>| {
        changes.sort_unstable();
        let (mut now, mut most) = (0, 0);
        for (_, begins, weight) in changes {
            now = if begins { now + weight } else { now - weight };
            most = most.max(now);
        }
        most
    };
    changes.into_iter().map(|(of, changes)| (of, peak(changes))).collect()
}
