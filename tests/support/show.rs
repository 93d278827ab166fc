//! Decisions as text: short enough for a table, complete enough to be judged.

use failback::{
    api::{OperationRecord, ReplicatedItemStatus},
    core::decide::{Next, item::ItemDecision},
};

/// What is done next, in a few words.
pub fn next(next: &Next) -> String {
    match next {
        Next::Act(guarded, record) => format!("CALL {} #{}", guarded.action.verb(), record.attempt),
        Next::Again => "look again".to_owned(),
        Next::Wait(on, _) => format!("wait: {}", on.reason()),
        Next::Done => "done".to_owned(),
    }
}

/// A record of the journal, without its times.
pub fn record(record: &OperationRecord) -> String {
    let mut text = format!("{} #{} {:?}", record.verb, record.attempt, record.outcome);
    if let Some(job) = &record.job_id {
        text.push_str(&format!(" {}{job}", if record.adopted { "adopted " } else { "" }));
    }
    text
}

/// The conditions that are True, then with a question mark those that are Unknown.
pub fn conditions(status: &ReplicatedItemStatus) -> String {
    let of =
        |wanted: &'static str| status.conditions.iter().filter(move |c| c.status == wanted).map(|c| c.type_.clone());
    of("True").chain(of("Unknown").map(|kind| format!("{kind}?"))).collect::<Vec<_>>().join(" ")
}

/// One line for a cell of the matrix. `before` tells whether the journal changed.
pub fn cell(before: &ReplicatedItemStatus, decision: &ItemDecision) -> String {
    let mut line = format!("{:?} | {}", decision.status.phase, next(&decision.next));
    if decision.status.operation != before.operation
        && let Some(written) = &decision.status.operation
    {
        line.push_str(&format!(" | journal: {}", record(written)));
    }
    format!("{line} | {}", conditions(&decision.status))
}
