//! What `docs/` tells of metrics and reasons is what the code says. The chart's tests compare alerts and dashboard with
//! the table of metrics.
#![cfg(feature = "operator")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

mod resources;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
    time::Duration,
};

use failback::{
    core::{
        action::Verb,
        decide::connection::{LinkState, drafts},
        failure::{Failure, FailureClass, codes},
        waiting::REASONS,
    },
    observability::metrics::Metrics,
    ports::{CallMeter, MasterTargetDisks, Remote, Standing, Tally},
};

const CLASSES: [FailureClass; 8] = [
    FailureClass::Transient,
    FailureClass::Throttled { retry_after: Duration::ZERO },
    FailureClass::Conflict,
    FailureClass::NotFound,
    FailureClass::Unauthenticated,
    FailureClass::Denied,
    FailureClass::Invalid,
    FailureClass::Lost,
];

/// Compares a checked-in file with what the code says, or writes it.
fn same(path: &str, expected: impl FnOnce(&str) -> String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let found = fs::read_to_string(&file).unwrap_or_default();
    let expected = expected(&found);
    if env::var_os("FAILBACK_UPDATE").is_some() {
        fs::write(&file, &expected).unwrap();
        return;
    }
    assert!(found == expected, "{path} is not what the code says; run this test with FAILBACK_UPDATE=1");
}

/// A family as the exposition shows it.
#[derive(Default)]
struct Shown {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Everything that has a label value of its own only once it happened.
fn all_at_work() -> Metrics {
    let metrics = Metrics::new();
    let kinds = ["RecoveryVault", "VCenter", "MasterTarget", "ReplicatedItem", "FailbackPlan", "FailbackApproval"];
    for kind in kinds {
        for outcome in ["ok", "conflict", "forbidden", "gone", "kubernetes", "malformed", "panic"] {
            metrics.reconciled(kind, outcome);
        }
    }
    for verb in Verb::ALL {
        for outcome in CLASSES.map(FailureClass::label).into_iter().chain(["submitted"]) {
            metrics.operated(verb.as_str(), outcome);
        }
        for outcome in ["succeeded", "failed"] {
            metrics.ended(verb.as_str(), outcome, Duration::from_hours(1));
        }
    }
    for remote in [Remote::Entra, Remote::Arm, Remote::VCenter] {
        metrics.called(remote, 200, Duration::from_secs(1));
    }
    metrics.standing(&Standing {
        budgets: vec![(Remote::Arm, "read", 1.0), (Remote::Arm, "write", 1.0)],
        disks: MasterTargetDisks { fewest_free: Some(60), ..MasterTargetDisks::default() },
        ..Standing::default()
    });
    metrics
}

fn read(text: &str) -> BTreeMap<String, Shown> {
    let mut shown = BTreeMap::<String, Shown>::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            shown.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            shown.get_mut(name).unwrap().kind = kind.to_owned();
        } else if let Some((name, rest)) = line.split_once('{') {
            let family = shown.iter_mut().rev().find(|(family, _)| name.starts_with(family.as_str())).unwrap().1;
            let labels = rest.split_once('}').unwrap().0;
            for (label, value) in labels.split(',').map(|pair| pair.split_once('=').unwrap()) {
                family.labels.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
            }
        }
    }
    shown
}

/// The values of a label where they are few; where they are many, the page that lists them.
fn values(label: &str, values: &BTreeSet<String>) -> String {
    match label {
        "check" => "see [checks](checks.md)".to_owned(),
        "waiting_on" => {
            "see [reasons](reasons.md); and `PhaseReached`, `Observed`, `Calling`, `Recording`, `NotObserved`, `Other`"
                .to_owned()
        }
        "phase" => "see [phases](phases.md)".to_owned(),
        "code" => "the HTTP status, or 0 without an answer".to_owned(),
        _ => values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "),
    }
}

fn page(shown: &BTreeMap<String, Shown>) -> String {
    let mut text = "# Metrics\n\n<!-- Generated from the code: `FAILBACK_UPDATE=1 cargo nextest run --test docs` -->\n\n\
        Served at `/metrics` by every replica. Labels are closed sets: no name of a machine, a vault or a namespace is \
        one, and\na label value that nothing has shows as 0. Gauges are counted from what the leader has cached, every ten \
        seconds, so\nthat a restart changes none of them; a replica that waits for the lease shows them as 0. [Alerts and \
        runbooks](runbooks/README.md)\nare made of these.\n\n| metric | type | what it shows |\n|---|---|---|\n"
        .to_owned();
    for (name, family) in shown {
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        writeln!(text, "| `{name}{suffix}` | {} | {} |", family.kind, family.help).unwrap();
    }
    text.push_str("\n## Labels\n\n| metric | label | values |\n|---|---|---|\n");
    for (name, family) in shown {
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        for (label, seen) in family.labels.iter().filter(|(label, _)| *label != "le") {
            writeln!(text, "| `{name}{suffix}` | `{label}` | {} |", values(label, seen)).unwrap();
        }
    }
    text
}

#[test]
fn the_metrics_are_documented() {
    let shown = read(&all_at_work().text());
    assert!(shown.len() > 20, "the exposition was not understood");
    for (name, family) in &shown {
        assert!(name.starts_with("failback_") && !family.help.is_empty(), "{name}: {}", family.help);
    }
    same("docs/metrics.md", |_| page(&shown));
}

#[test]
fn what_machines_wait_for_is_explained() {
    same("docs/troubleshooting.md", |found| {
        let (head, rest) = found.split_once("<!-- generated: reasons -->\n").unwrap();
        let (_, tail) = rest.split_once("<!-- end of what is generated -->\n").unwrap();
        let mut table = "| reason | what it means | what to do |\n|---|---|---|\n".to_owned();
        for (reason, meaning, remedy, stalls) in REASONS {
            assert!(!stalls || !remedy.starts_with("None"), "{reason} waits for a person, who is not told what to do");
            let reason = if stalls { format!("**`{reason}`**") } else { format!("`{reason}`") };
            writeln!(table, "| {reason} | {meaning} | {remedy} |").unwrap();
        }
        format!("{head}<!-- generated: reasons -->\n{table}<!-- end of what is generated -->\n{tail}")
    });
}

#[test]
fn what_connections_say_is_explained() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md")).unwrap();
    let failed = |class, code: &str| LinkState::Down(Failure::new(Remote::Arm, class, "").with_code(code));
    let mut states = vec![LinkState::Connecting, LinkState::Up, LinkState::NoSecret(String::new())];
    states.extend(CLASSES.map(|class| failed(class, "")));
    states.extend(codes::ALL.map(|code| failed(FailureClass::Transient, code)));
    for draft in states.iter().flat_map(drafts) {
        assert!(page.contains(&format!("| `{}` |", draft.reason)), "{} is not explained", draft.reason);
    }
}

/// Reasons of a plan's own that no machine has, of its condition `Ready` and of the rows of `status.issues`.
#[test]
fn what_plans_say_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let plans = page.split_once("\n## Plans\n").unwrap().1;
    let code = fs::read_to_string(root.join("src/core/decide/plan/issues.rs")).unwrap();
    let markers = ["rows.add(\"", "of_names(\"", "reason: \""];
    let words = markers.iter().flat_map(|marker| code.split(marker).skip(1)).filter_map(|rest| rest.split('"').next());
    let own: BTreeSet<_> = words.filter(|word| REASONS.iter().all(|row| row.0 != *word)).collect();
    assert!(own.contains("ItemClaimed") && own.len() > 4, "{own:?}");
    for reason in own {
        assert!(plans.contains(&format!("`{reason}`")), "{reason} is not explained");
    }
}

/// What alerts and dashboard ask for by a label value is there before anything happened, or its absence reads as
/// "no data" and its first event as none.
#[test]
fn what_alerts_look_at_is_there_from_the_start() {
    let fresh = Metrics::new().text();
    for line in [
        "failback_waiting{waiting_on=\"OperationOutcomeUnknown\"} 0",
        "failback_waiting{waiting_on=\"ApprovalRequired\"} 0",
        "failback_connections{api=\"vcenter\",reason=\"CredentialsRejected\"} 0",
        "failback_master_targets{state=\"Unhealthy\"} 0",
        "failback_checks_lost_total{check=\"AzureVmPresent\"} 0",
        "failback_checks{check=\"AzureVmPresent\",result=\"Failed\"} 0",
        "failback_inventories_stale{api=\"arm\"} 0",
        "failback_stalled{kind=\"ReplicatedItem\"} 0",
        "failback_throttled_total{api=\"arm\"} 0",
        "failback_approval_pending_seconds 0.0",
        "failback_uncommitted_seconds 0.0",
        "failback_both_copies_running 0",
        "failback_leader 0",
    ] {
        assert!(fresh.lines().any(|found| found == line), "{line} in\n{fresh}");
    }
}
