//! The status of a plan: counts and aggregates, never a row per machine.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    PlanInput, deletion,
    gates::{self, ceiling, unapproved},
    issues::issues,
    stops::NO_ITEMS,
    waves::{Resolved, Standing, is_verified},
};
use crate::{
    api::{Cancelled, DesiredPhase, FailbackPlanStatus, HookStatus, Issue, Results, Summary, WaveStatus},
    core::{
        conditions::{self, Draft, Truth, summary},
        found::STATUS_LOST,
        names,
        preview::{self, Found, Going, PreviewInput},
        text::cut,
        waiting::{self, HELD_REASONS},
    },
};

/// What is kept of a run.
pub(super) struct Run {
    pub(super) started_at: Option<Time>,
    pub(super) completed_at: Option<Time>,
    pub(super) cancelled: Vec<Cancelled>,
    /// Records of the hooks of scope Plan and Wave.
    pub(super) hooks: Vec<HookStatus>,
    /// What is said of hooks that failed, and hold something.
    pub(super) hooks_failed: Vec<String>,
}

/// Bytes of a condition's message: a machine's own may be longer, and it shows that itself.
const MOST_TEXT: usize = 1500;

pub(super) fn status(
    input: &PlanInput<'_>,
    found: &Found,
    waves: &[Resolved<'_>],
    standings: &[Standing<'_>],
    invalid: Option<&str>,
    run: Run,
) -> FailbackPlanStatus {
    let counts = counts(standings);
    let ahead = PreviewInput {
        uid: input.uid,
        spec: input.spec,
        items: input.items,
        found,
        load: Some(input.load),
        measured: input.measured,
        cancelled: &run.cancelled,
        now: input.now,
    };
    let going = Going { moving: counts.moving > 0, held: is_held(input, standings) || !run.hooks_failed.is_empty() };
    let ahead = preview::for_status(&ahead, input.status, input.generation, going);
    let issues = issues(input, waves, standings, &run.cancelled, ahead.overrun.as_ref());
    let seen = Seen { input, standings, invalid, counts: &counts, issues: &issues, run: &run };
    let mut drafts = seen.drafts(run.completed_at.is_some());
    drafts.iter_mut().for_each(|draft| draft.message = cut(&draft.message, MOST_TEXT));
    fitted(FailbackPlanStatus {
        observed_generation: input.generation,
        phase: lowest(standings),
        conditions: conditions::merge(&input.status.conditions, drafts, input.generation, input.now),
        waves: waves.iter().map(|wave| of_wave(wave, standings, run.started_at.is_some())).collect(),
        spec_hash: Some(input.spec_hash.to_owned()),
        results: kept(input.status.results.as_ref(), results(input, standings, run.started_at.as_ref())),
        started_at: run.started_at,
        completed_at: run.completed_at,
        cancelled: run.cancelled,
        hooks: run.hooks,
        retry_token: input.spec.retry_token.clone(),
        summary: counts,
        issues,
        estimated_completion: ahead.completion,
        preview: ahead.preview,
    })
}

/// The status within its size: names and sentences that only illustrate a count go, where there is no room for them.
fn fitted(mut status: FailbackPlanStatus) -> FailbackPlanStatus {
    const MOST: usize = 63 * 1024;
    let shorter: [fn(&mut FailbackPlanStatus); 3] = [
        |status| status.preview.iter_mut().for_each(|preview| preview.blockers.truncate(3)),
        |status| status.issues.iter_mut().for_each(|issue| issue.items.truncate(1)),
        |status| status.issues.iter_mut().for_each(|issue| issue.items.clear()),
    ];
    for shorten in shorter {
        if serde_json::to_string(&status).is_ok_and(|text| text.len() <= MOST) {
            break;
        }
        shorten(&mut status);
    }
    status
}

/// Whether something that lies ahead waits for a person, or for another plan. A window opens by itself.
fn is_held(input: &PlanInput<'_>, standings: &[Standing<'_>]) -> bool {
    let by_person = |standing: &Standing<'_>| {
        let held = ceiling(input, standing.reached).held_by;
        let cancelled = standing.claim.as_ref().is_some_and(|claim| claim.held_by == "Cancelled");
        standing.stalled || standing.claimed_by.is_some() || cancelled || !matches!(held, "" | "WindowClosed")
    };
    standings.iter().filter(|standing| !standing.arrived).any(by_person)
}

fn of_wave(wave: &Resolved<'_>, standings: &[Standing<'_>], started: bool) -> WaveStatus {
    let name = &wave.wave.name;
    let of_wave: Vec<_> = standings.iter().filter(|standing| standing.wave == name).cloned().collect();
    let verified = of_wave.iter().filter(|standing| is_verified(standing)).count();
    let Summary { total, reached, moving, stalled, .. } = counts(&of_wave);
    WaveStatus {
        name: name.clone(),
        total,
        reached,
        moving,
        stalled,
        verified: i32::try_from(verified).unwrap_or(i32::MAX),
        items: wave.found.as_ref().filter(|_| started).map(|found| names::fold(found.iter().copied())),
    }
}

/// Whether the plan goes on without it: it is not to come home any more.
fn is_set_aside(standing: &Standing<'_>) -> bool {
    standing.claim.as_ref().is_some_and(|claim| matches!(claim.held_by.as_str(), "Quarantined" | "Cancelled"))
}

/// What the run had measured, until more machines have come home: those that were set aside, or whose failback was to be
/// undone, count once they are tried again.
fn kept(before: Option<&Results>, now: Option<Results>) -> Option<Results> {
    let more = now.filter(|now| before.is_none_or(|before| now.machines > before.machines));
    more.or_else(|| before.cloned())
}

/// What the run has measured, once all machines that come home are verified at home.
fn results(input: &PlanInput<'_>, standings: &[Standing<'_>], started_at: Option<&Time>) -> Option<Results> {
    let started = started_at?;
    let lost = |standing: &Standing<'_>| standing.status?.recovery_point.as_ref()?.loss_seconds;
    let home: Vec<_> = standings.iter().filter(|standing| !is_set_aside(standing)).collect();
    (!home.is_empty() && home.iter().copied().all(is_verified)).then(|| Results {
        verified_at: Time(input.now),
        rto_seconds: started.0.duration_until(input.now).as_secs(),
        loss_seconds: home.iter().copied().filter_map(lost).max(),
        machines: i32::try_from(home.len()).unwrap_or(i32::MAX),
    })
}

/// The phase that all machines have reached.
fn lowest(standings: &[Standing<'_>]) -> DesiredPhase {
    standings.iter().map(|standing| standing.reached).min().unwrap_or_default()
}

fn counts(standings: &[Standing<'_>]) -> Summary {
    let count = |test: &dyn Fn(&Standing<'_>) -> bool| {
        i32::try_from(standings.iter().filter(|standing| test(standing)).count()).unwrap_or(i32::MAX)
    };
    let total = count(&|_| true);
    let reached = count(&|s| s.arrived);
    Summary {
        done: format!("{reached}/{total}"),
        total,
        reached,
        moving: count(&|s| s.moving && !s.arrived),
        waiting: count(&|s| !s.moving && !s.arrived && !s.stalled),
        stalled: count(&|s| s.stalled),
    }
}

/// What the conditions are about.
struct Seen<'s, 'a> {
    input: &'s PlanInput<'a>,
    standings: &'s [Standing<'a>],
    invalid: Option<&'s str>,
    counts: &'s Summary,
    issues: &'s [Issue],
    run: &'s Run,
}

impl Seen<'_, '_> {
    fn drafts(&self, completed: bool) -> Vec<Draft> {
        let mut drafts = self.readiness(completed);
        for (kind, done) in [
            ("PreflightPassed", "All checks that gate each machine's next step passed."),
            ("Reprotected", "All machines replicate to VMware, or are home."),
            ("FailedBack", "All machines run at home."),
            ("Verified", "All machines are verified at home."),
            ("Committed", "All machines are committed; no copy is left in Azure."),
            ("Protected", "All machines run at home and replicate to Azure."),
        ] {
            drafts.push(of_all(kind, done, self.standings));
        }
        let nothing = "No step up to the desired phase lacks an approval.";
        drafts.push(match unapproved(self.input, lowest(self.standings)) {
            Some((_, message)) => Draft::new("Approved", false, "ApprovalRequired", message),
            None => Draft::new("Approved", true, "NothingToApprove", nothing),
        });
        drafts.push(if self.input.spec.suspend {
            Draft::new("Suspended", true, "Requested", "spec.suspend is true; nothing new starts.")
        } else {
            Draft::new("Suspended", false, "NotRequested", "The plan is not suspended.")
        });
        drafts
    }

    fn readiness(&self, completed: bool) -> Vec<Draft> {
        let Self { input, standings, counts, .. } = *self;
        let desired = input.spec.desired_phase.as_str();
        if input.deleting {
            return deletion::readiness(input, standings, &self.run.cancelled);
        }
        if completed {
            return summary(true, false, false, "Completed", "The plan is complete. A second failback is a new plan.");
        }
        if let Some(why) = self.invalid {
            return summary(false, false, true, "InvalidSpec", why);
        }
        if standings.is_empty() {
            return summary(false, false, true, "NoItems", NO_ITEMS);
        }
        if counts.reached == counts.total {
            let message = format!("All {} machine(s) are {desired}.", counts.total);
            return summary(true, false, false, "PhaseReached", &message);
        }
        if let Some(failed) = self.run.hooks_failed.first() {
            let remedy = waiting::remedy("HookFailed").unwrap_or_default().replace("PLAN", input.name);
            let message = format!("{failed} Remedy: {remedy}{}", self.also_retried());
            return summary(false, false, counts.moving == 0, "HookFailed", &message);
        }
        if let Some(stalled) = standings.iter().find(|standing| standing.stalled && !standing.waits_for_word) {
            let why = stalled
                .status
                .and_then(|status| conditions::find(&status.conditions, "Stalled"))
                .map_or_else(String::new, |condition| format!("{}: {}", condition.reason, condition.message));
            let also = self.also_retried();
            let message =
                format!("{} of {} need a person. {}: {why}{also}", counts.stalled, counts.total, stalled.name);
            return summary(false, false, counts.moving == 0, "ItemStalled", &message);
        }
        self.waiting()
    }

    /// What else a new retry token would let go on: it is a person's word about machines that were found, too.
    fn also_retried(&self) -> String {
        let found =
            |standing: &&Standing<'_>| standing.claim.as_ref().is_some_and(|claim| claim.held_by == STATUS_LOST);
        match self.standings.iter().filter(found).count() {
            0 => String::new(),
            lost => format!(
                " A retry also releases {lost} machine(s) from {STATUS_LOST}, which no record explains: look at them first, or name them in spec.skip."
            ),
        }
    }

    /// What a plan waits for whose machines are not all where it wants them, and none of which needs a person.
    fn waiting(&self) -> Vec<Draft> {
        let Self { input, standings, counts, issues, .. } = *self;
        let desired = input.spec.desired_phase.as_str();
        if counts.moving == 0 {
            let lowest = lowest(standings);
            let gate = ceiling(input, lowest);
            // A gate that lies further on holds nobody yet: what does is told, and nobody opens the gate for nothing.
            if !gate.held_by.is_empty() && gate.up_to <= lowest {
                let never = gate.message == gates::PAST;
                return summary(false, false, never, gate.held_by, &gate.message);
            }
            let missing = |reason| issues.iter().find(|issue| issue.reason == reason).map(|issue| (reason, issue));
            if let Some((reason, issue)) = missing("ItemNotFound").or_else(|| missing("ItemClaimed")) {
                let message = format!("{} ({})", issue.message, issue.items.join(", "));
                return summary(false, false, false, reason, &message);
            }
            if let Some((reason, message)) = standings.iter().filter_map(hold).min_by_key(rank) {
                let done = format!("{} of {} machine(s) are {desired}. {message}", counts.reached, counts.total);
                let stalled = matches!(reason, "WaveTooLarge" | STATUS_LOST) || message == gates::PAST;
                return summary(false, goes_on_by_itself(reason), stalled, reason, &done);
            }
        }
        let waiting = standings.iter().find_map(|standing| {
            let ready =
                conditions::find(&standing.status?.conditions, "Ready").filter(|ready| ready.status != "True")?;
            Some(format!(" {}: {}", standing.name, ready.message))
        });
        let message =
            format!("{} of {} machine(s) are {desired}.{}", counts.reached, counts.total, waiting.unwrap_or_default());
        summary(false, true, false, "Progressing", &message)
    }
}

/// What holds a machine back that is not where the plan wants it.
pub(super) fn hold(standing: &Standing<'_>) -> Option<(&'static str, String)> {
    let claim = standing.claim.as_ref().filter(|claim| !standing.arrived && claim.up_to <= standing.reached)?;
    let reason = HELD_REASONS.into_iter().find(|reason| *reason == claim.held_by)?;
    Some((reason, claim.held_message.clone()))
}

/// Which hold is told of several: those that need a person, then those of hooks, which nothing else shows. An approval
/// that some of the machines wait for comes before what the others wait for: they go on once it is given.
fn rank((reason, message): &(&'static str, String)) -> u8 {
    match *reason {
        STATUS_LOST | "HookFailed" => 0,
        "WaveTooLarge" => 1,
        _ if message == gates::PAST => 1,
        "HookRunning" => 2,
        "ApprovalRequired" => 3,
        _ => 4,
    }
}

pub(super) fn of_hook(reason: &str) -> bool {
    matches!(reason, "HookRunning" | "HookFailed")
}

/// Whether a hold ends without a person.
fn goes_on_by_itself(reason: &str) -> bool {
    !matches!(
        reason,
        STATUS_LOST | "HookFailed" | "WaveTooLarge" | "Cancelled" | "ItemFailed" | "WindowClosed" | "ApprovalRequired"
    )
}

/// True when it is True of every machine; False names how many are missing.
fn of_all(kind: &'static str, done: &str, standings: &[Standing<'_>]) -> Draft {
    let is =
        |standing: &&Standing<'_>| standing.status.is_some_and(|status| conditions::is_true(&status.conditions, kind));
    let there = standings.iter().filter(is).count();
    if standings.is_empty() {
        return Draft::new(kind, Truth::Unknown, "NoItems", "The plan has no machines.");
    }
    if there == standings.len() {
        return Draft::new(kind, true, "AllItems", done);
    }
    let seen = standings.iter().any(|s| s.status.is_some_and(|status| !status.conditions.is_empty()));
    if !seen {
        return Draft::new(kind, Truth::Unknown, "NotObserved", "No machine of the plan has been observed yet.");
    }
    Draft::new(kind, false, "SomeItems", format!("{there} of {} machine(s).", standings.len()))
}
