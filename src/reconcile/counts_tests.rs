use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn at(hour: i64) -> String {
    format!("2026-03-01T{hour:02}:00:00Z")
}

fn now() -> Timestamp {
    at(20).parse().unwrap()
}

fn item(status: &Value) -> Arc<ReplicatedItem> {
    let object = json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "ReplicatedItem",
        "metadata": {"name": "web-01", "namespace": "dr"},
        "spec": {"vaultRef": {"name": "vault"}, "vcenterRef": {"name": "vcenter"}, "machine": "web-01"},
        "status": status,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn condition(kind: &str, status: &str, reason: &str, hour: i64) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": at(hour)})
}

fn operation(attempt: i32, outcome: &str, job: Option<&str>, ended: Option<i64>) -> Value {
    let mut record = json!({
        "key": format!("plan/FailBack//{attempt}"), "verb": "FailBack", "attempt": attempt, "intendedAt": at(1),
        "outcome": outcome,
    });
    if let Some(job) = job {
        record["jobId"] = job.into();
    }
    if let Some(hour) = ended {
        record["endedAt"] = at(hour).into();
    }
    record
}

/// What a tally was told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Tally for Told {
    fn reconciled(&self, _: &'static str, _: &'static str) {}
    fn operated(&self, _: &'static str, _: &'static str) {}
    fn standing(&self, _: &Standing) {}

    fn ended(&self, verb: &'static str, outcome: &'static str, took: Duration) {
        self.0.lock().unwrap().push(format!("{verb} {outcome} after {} h", took.as_secs() / 3600));
    }

    fn check_lost(&self, check: &str) {
        self.0.lock().unwrap().push(format!("lost {check}"));
    }
}

/// What is told of a machine whose status goes through these.
fn told(statuses: &[Value]) -> Vec<String> {
    let tally = Told::default();
    let statuses: Vec<ReplicatedItemStatus> =
        statuses.iter().map(|status| item(status).status.clone().unwrap()).collect();
    for pair in statuses.windows(2) {
        let [before, after] = pair else { unreachable!() };
        transition(&tally, before, after);
    }
    tally.0.into_inner().unwrap()
}

#[test]
fn an_operation_is_counted_once_when_it_ends() {
    let of = |record: Value| json!({"phase": "Reprotected", "operation": record});
    let life = [
        json!({"phase": "Reprotected"}),
        of(operation(1, "Intended", None, None)),
        of(operation(1, "Submitted", Some("job"), None)),
        of(operation(1, "Failed", Some("job"), Some(4))),
        of(operation(1, "Failed", Some("job"), Some(4))),
        of(operation(2, "Intended", None, None)),
        of(operation(2, "NotMade", None, Some(2))),
        of(operation(3, "Intended", None, None)),
        of(operation(3, "Failed", None, Some(2))),
        of(operation(4, "Submitted", Some("job"), None)),
        json!({"phase": "FailedBack", "operation": operation(4, "Succeeded", Some("job"), Some(9))}),
        json!({"phase": "Committed", "operation": operation(4, "Succeeded", Some("job"), Some(9))}),
    ];
    assert_eq!(told(&life), ["FailBack failed after 3 h", "FailBack succeeded after 8 h"]);
}

#[test]
fn a_check_is_lost_when_it_passed_and_the_machine_stays() {
    let of = |phase: &str, result: &str, waived: bool| {
        let mut check = json!({"name": "AzureVmPresent", "result": result, "message": "", "observedAt": at(1)});
        if waived {
            check["waived"] = "accepted".into();
        }
        json!({"phase": phase, "checks": [check]})
    };
    let lost = ["lost AzureVmPresent"];
    assert_eq!(told(&[of("FailedOver", "Passed", false), of("FailedOver", "Failed", false)]), lost);
    for (from, to) in [
        (of("FailedOver", "Passed", false), of("Reprotected", "Failed", false)),
        (of("FailedOver", "Passed", false), of("FailedOver", "Unknown", false)),
        (of("FailedOver", "Passed", false), of("FailedOver", "Failed", true)),
        (of("FailedOver", "Unknown", false), of("FailedOver", "Failed", false)),
        (of("FailedOver", "Failed", false), of("FailedOver", "Failed", false)),
        (json!({"phase": "FailedOver"}), of("FailedOver", "Failed", false)),
    ] {
        assert_eq!(told(&[from, to]), Vec::<String>::new());
    }
}

fn counted(items: &[Arc<ReplicatedItem>], plans: &[Arc<FailbackPlan>]) -> Standing {
    let mut standing = Standing::default();
    count_items(&mut standing, items, plans, now());
    standing
}

#[test]
fn an_approval_is_missing_since_the_machine_could_use_it() {
    let plan: FailbackPlan = serde_json::from_value(json!({
        "apiVersion": "failback.dev/v1alpha1", "kind": "FailbackPlan",
        "metadata": {"name": "plan", "namespace": "dr", "uid": "u"},
        "spec": {"desiredPhase": "Committed", "waves": []},
        "status": {"conditions": [condition("Approved", "False", "ApprovalRequired", 2)]},
    }))
    .unwrap();
    let waiting = |reason: &str, verified: i64| {
        item(&json!({
            "phase": "FailedBack",
            "claim": {"plan": "plan", "planUid": "u", "upTo": "FailedBack", "heldBy": "ApprovalRequired"},
            "conditions": [condition("Ready", "False", reason, 0), condition("Verified", "True", "Reached", verified)],
        }))
    };
    let plans = [Arc::new(plan)];
    let of = |items: &[Arc<ReplicatedItem>]| counted(items, &plans).unapproved;
    assert_eq!(of(&[waiting("ApprovalRequired", 15), waiting("ApprovalRequired", 17)]), HOUR * 5);
    assert_eq!(of(&[waiting("ApprovalRequired", 1)]), HOUR * 18, "not before the plan asked");
    assert_eq!(of(&[waiting("WaitingForSoak", 1)]), Duration::ZERO);
    assert_eq!(of(&[waiting("ApprovalRequired", 23)]), Duration::ZERO, "a clock that was set back");
}

#[test]
fn a_machine_is_uncommitted_from_the_failback_to_the_commit() {
    let home =
        |phase: &str| item(&json!({"phase": phase, "conditions": [condition("FailedBack", "True", "Reached", 5)]}));
    assert_eq!(counted(&[home("FailedBack")], &[]).uncommitted, HOUR * 15);
    assert_eq!(counted(&[home("Committed")], &[]).uncommitted, Duration::ZERO);
}

#[test]
fn machines_are_counted_by_phase_reason_and_check() {
    let check = |waived: bool| {
        let mut check = json!({"name": "DisksUnchanged", "result": "Failed", "message": "", "observedAt": at(1)});
        if waived {
            check["waived"] = "accepted".into();
        }
        check
    };
    let items = [
        item(&json!({"phase": "FailedOver", "conditions": [condition("Ready", "False", "NotClaimed", 1)],
            "checks": [check(false)]})),
        item(&json!({"checks": [check(true)]})),
    ];
    let standing = counted(&items, &[]);
    let reasons = [(ItemPhase::FailedOver, "NotClaimed".to_owned()), (ItemPhase::Unknown, "NotObserved".to_owned())];
    assert_eq!(standing.items, reasons);
    let name = || "DisksUnchanged".to_owned();
    assert_eq!(standing.checks, [((name(), Some(CheckResult::Failed)), 1), ((name(), None), 1)].into());
}

#[test]
fn disks_count_from_the_reprotect_to_the_commit() {
    let target = |name: &str, id: &str| {
        let object = json!({
            "apiVersion": "failback.dev/v1alpha1", "kind": "MasterTarget",
            "metadata": {"name": name, "namespace": "dr"},
            "spec": {"vaultRef": {"name": "vault"}, "appliance": name},
            "status": {"id": id, "conditions": [condition("Healthy", "True", "Normal", 1)]},
        });
        Arc::new(serde_json::from_value::<MasterTarget>(object).unwrap())
    };
    let through = |id: &str, phase: &str, claimed: bool| {
        let mut status = json!({"phase": phase, "disks": 10,
            "target": {"appliance": "a", "applianceId": id, "datastore": "d"}});
        if claimed {
            status["claim"] = json!({"plan": "plan", "planUid": "u", "upTo": "Reprotected"});
        }
        item(&status)
    };
    let items = [
        through("A-1", "Reprotecting", true),
        through("a-1", "FailedBack", true),
        through("a-1", "FailedOver", true),
        through("a-1", "FailedOver", false),
        through("a-1", "Committed", true),
        through("b-1", "Reprotected", false),
        through("c-1", "Reprotected", false),
    ];
    let mut standing = Standing::default();
    count_targets(&mut standing, &[target("a", "a-1"), target("b", "b-1")], &items);
    assert_eq!(standing.disks, MasterTargetDisks { attached: 30, planned: 10, fewest_free: Some(30) });
    assert_eq!(standing.master_targets, [("True".to_owned(), 2)].into());
}
