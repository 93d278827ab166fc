//! A job.

use serde_json::Value;

use super::{Odd, decode, health};
use crate::{
    azure::{
        ids::last_segment,
        wire::{
            job::{Job, JobError, Task},
            lenient::{Many, Part, Text},
        },
    },
    core::observed::{Details, HealthError, Job as Observed, JobState, Scenario},
};

/// Reads a job: as an entry of a list, or all of it.
pub(crate) fn observe(value: Value, complete: bool) -> Result<Observed, Odd> {
    let job: Job = decode(value)?;
    let id = job.id.get().and_then(last_segment).or_else(|| job.name.get().and_then(last_segment));
    let id = id.ok_or_else(|| Odd::new(None, "no id"))?;
    let Part::There(properties) = &job.properties else { return Err(Odd::new(Some(id), "no properties")) };
    let mut errors = Vec::new();
    push_errors(&mut errors, &properties.errors);
    push_task_errors(&mut errors, &properties.tasks);
    Ok(Observed {
        id: id.to_owned(),
        scenario: Scenario::from(properties.scenario_name.get().unwrap_or_default()),
        state: state(properties.state.get().unwrap_or_default()),
        state_description: health::said(&properties.state_description),
        target_id: properties.target_object_id.or_empty(),
        target_name: properties.target_object_name.or_empty(),
        started: properties.start_time.0,
        ended: properties.end_time.0,
        current_task: current_task(&properties.tasks),
        errors,
        details: if complete { Details::Read } else { Details::Listed },
    })
}

/// Both spellings occur: `Cancelled` of jobs, `Canceled` of operations. `CompletedWithInformation` is the state of a job
/// (recorded). Other words of an end, of which `PartiallySucceeded` and `Skipped` are known, are judged where it is known
/// what the job was for.
fn state(word: &str) -> JobState {
    match word {
        "NotStarted" => JobState::NotStarted,
        "InProgress" => JobState::InProgress,
        "Succeeded" | "CompletedWithInformation" => JobState::Succeeded,
        "Failed" => JobState::Failed,
        "Cancelled" | "Canceled" => JobState::Cancelled,
        "Suspended" => JobState::Suspended,
        other => JobState::Other(other.to_owned()),
    }
}

/// The first task that runs. Task names are not contractual: for people only.
fn current_task(tasks: &Many<Part<Task>>) -> Option<String> {
    let running =
        tasks.iter().filter_map(Part::get).find(|task| matches!(task.state.get(), Some("InProgress" | "Suspended")))?;
    let name = running.friendly_name.get().or(running.name.get()).map(crate::azure::quote::quote);
    let children = running.group_task_custom_details.get().map(|group| &group.child_tasks);
    match (name, children.and_then(current_task)) {
        (Some(name), Some(child)) => Some(format!("{name}: {child}")),
        (name, child) => name.or(child),
    }
}

fn push_task_errors(all: &mut Vec<HealthError>, tasks: &Many<Part<Task>>) {
    for task in tasks.iter().filter_map(Part::get) {
        push_errors(all, &task.errors);
        if let Some(group) = task.group_task_custom_details.get() {
            push_task_errors(all, &group.child_tasks);
        }
    }
}

/// One entry for the service's error, and one for the provider's where that says something else.
fn push_errors(all: &mut Vec<HealthError>, errors: &Many<Part<JobError>>) {
    for error in errors.iter().filter_map(Part::get) {
        let level = health::said(&error.error_level);
        let service = error.service_error_details.get().map(|service| HealthError {
            code: health::said(&service.code),
            message: health::said(&service.message),
            causes: health::said(&service.possible_causes),
            action: health::said(&service.recommended_action),
            level: level.clone(),
        });
        let provider = error.provider_error_details.get().map(|provider| HealthError {
            code: health::said(first(&provider.error_code, &provider.error_id)),
            message: health::said(&provider.error_message),
            causes: health::said(&provider.possible_causes),
            action: health::said(&provider.recommended_action),
            level: level.clone(),
        });
        let says_more = |inner: &HealthError| service.as_ref().is_none_or(|outer| outer.message != inner.message);
        let provider = provider.filter(says_more);
        for error in service.into_iter().chain(provider) {
            health::push(all, error);
        }
    }
}

/// A code of 0 is none.
fn first<'a>(code: &'a Text, id: &'a Text) -> &'a Text {
    if code.get().is_none_or(|code| code == "0") { id } else { code }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_of_the_job_and_of_its_tasks_are_joined() {
        let service = |code: &str| {
            let details = json!({"code": code, "message": format!("m{code}")});
            json!({"serviceErrorDetails": details, "errorLevel": "Error"})
        };
        let job = observe(
            json!({
                "id": "/Subscriptions/s/replicationJobs/j1",
                "properties": {
                    "scenarioName": "SwitchReplicationGroupProtection", "state": "InProgress",
                    "startTime": "2023-08-26T04:42:59Z", "endTime": "9999-12-31T23:59:59.9999999",
                    "errors": [service("95226"), 7, null],
                    "tasks": [
                        {"friendlyName": "Checks", "state": "Succeeded", "errors": [service("95226"), {
                            "serviceErrorDetails": {"code": 539, "message": "outer"},
                            "providerErrorDetails": {"errorCode": 78093, "errorMessage": "inner"}}]},
                        {"friendlyName": "Group", "state": "InProgress", "groupTaskCustomDetails": {"childTasks": [
                            {"name": "ChildTask", "state": "InProgress", "errors": [service("8061")]}]}},
                    ]
                }
            }),
            true,
        )
        .unwrap();
        assert_eq!(job.id, "j1");
        assert_eq!(job.scenario, Scenario::Reprotect);
        assert_eq!(job.current_task.as_deref(), Some("Group: ChildTask"));
        assert_eq!(job.ended, None);
        assert!(job.in_flight());
        let codes: Vec<_> = job.errors.iter().map(|error| error.code.as_str()).collect();
        assert_eq!(codes, ["95226", "539", "78093", "8061"]);
    }

    #[test]
    fn an_unknown_state_is_not_an_end() {
        let state = |word: &str| observe(json!({"name": "j", "properties": {"state": word}}), false).unwrap();
        assert!(state("Cancelling").in_flight());
        assert!(state("").in_flight());
        assert!(!state("Canceled").in_flight());
        assert_eq!(observe(json!({"properties": {}}), false).unwrap_err().to_string(), "an entry without id: no id");
        assert_eq!(observe(json!({"name": "j"}), false).unwrap_err().to_string(), "j: no properties");
    }

    /// A genuine list has `UpdateMobilityService` in this state, and `tasks` and `errors` empty of every job.
    #[test]
    fn a_job_that_ended_with_remarks_has_ended() {
        let job = |state: &str, end: &str| {
            let properties = json!({"scenarioName": "UpdateMobilityService", "state": state, "endTime": end, "tasks": [], "errors": []});
            observe(json!({"name": "j", "properties": properties}), false).unwrap()
        };
        let (end, none) = ("2021-04-06T07:43:38Z", "0001-01-01T00:00:00");
        let remarked = job("CompletedWithInformation", end);
        assert_eq!((remarked.state, remarked.details), (JobState::Succeeded, Details::Listed));
        for word in ["PartiallySucceeded", "Skipped"] {
            let job = job(word, end);
            assert_eq!((&job.state, job.occupies()), (&JobState::Other(word.to_owned()), false));
        }
        assert!(!job("CompletedInANewWay", end).in_flight(), "an end time is an end");
        assert!(job("CompletedInANewWay", none).in_flight());
    }

    #[test]
    fn the_ends_of_initial_replications_are_not_foreign_operations() {
        for word in ["IrCompletion", "PrimaryIrCompletion", "SecondaryIrCompletion"] {
            let properties = json!({"scenarioName": word, "state": "InProgress"});
            let job = observe(json!({"name": "j", "properties": properties}), false).unwrap();
            assert!(job.in_flight() && !job.occupies(), "{word}");
        }
    }
}
