//! Raising the desired phase step by step; restarts in between.

use std::time::Duration;

use failback::{
    api::{DesiredPhase, ItemPhase},
    core::conditions,
};
use sim_site::{Effect, Fault};

use crate::stage::Stage;

const WALL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_before_it_is_asked_for() {
    let stage = Stage::up_to(DesiredPhase::Assessed, 1200.0).await;
    let expected = [
        (DesiredPhase::Assessed, vec![], ItemPhase::FailedOver),
        (DesiredPhase::Reprotected, vec!["reProtect"], ItemPhase::Reprotected),
        (DesiredPhase::FailedBack, vec!["reProtect", "plannedFailover"], ItemPhase::FailedBack),
        (DesiredPhase::Committed, vec!["reProtect", "plannedFailover", "failoverCommit"], ItemPhase::Committed),
        (
            DesiredPhase::Protected,
            vec!["reProtect", "plannedFailover", "failoverCommit", "reProtect"],
            ItemPhase::Protected,
        ),
    ];
    for (phase, verbs, item_phase) in expected {
        stage.raise(phase).await;
        stage.plan_ready(WALL).await;
        // Twenty simulated minutes more change nothing.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.verbs(), verbs, "at {phase:?}");
        let status = stage.items().get("web-01").await.unwrap().status.unwrap();
        assert_eq!(status.phase, item_phase, "at {phase:?}");
        let plan = stage.plans().get("web").await.unwrap().status.unwrap();
        assert_eq!(plan.phase, phase);
        assert!(conditions::find(&plan.conditions, "Stalled").is_none());
    }
    assert!(!stage.both_ran());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_plan_does_not_go_back() {
    let stage = Stage::up_to(DesiredPhase::Reprotected, 1200.0).await;
    stage.plan_ready(WALL).await;
    let patch = kube::api::Patch::Merge(serde_json::json!({ "spec": { "desiredPhase": "Assessed" } }));
    let refused = stage.plans().patch("web", &Default::default(), &patch).await.unwrap_err();
    assert!(refused.to_string().contains("desiredPhase only advances once the plan has started"), "{refused}");
    stage.end().await;
}

/// The vault's list of jobs has no errors: they are read from the job itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_names_its_error_and_an_agent_that_is_late_is_waited_for() {
    let stage = Stage::up_to(DesiredPhase::Assessed, 600.0).await;
    stage.plan_ready(WALL).await;
    let (code, message) = ("95226".to_owned(), "The agent cannot be reached.".to_owned());
    let effect = Effect::JobFails { code, message, task: None };
    let (method, path) = (Some("POST".to_owned()), Some("*/reProtect".to_owned()));
    let fault = Fault { method, path, soap: None, machine: None, skip: 0, times: 1, effect };
    stage.rehearsal.site.try_inject(fault).unwrap();
    stage.raise(DesiredPhase::Reprotected).await;
    stage.plan_ready(WALL).await;
    let status = stage.items().get("web-01").await.unwrap().status.unwrap();
    let [failed] = status.history.as_slice() else { panic!("{:?}", status.history) };
    assert!(failed.agent_missing && failed.message.contains("The agent cannot be reached (code 95226)"), "{failed:?}");
    assert_eq!(stage.verbs(), ["reProtect", "reProtect"]);
    stage.end().await;
}
