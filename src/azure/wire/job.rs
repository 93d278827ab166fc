//! Jobs.

use serde::Deserialize;

use super::lenient::{Many, Part, Text, When};

/// `replicationJobs/{id}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) id: Text,
    pub(crate) name: Text,
    pub(crate) properties: Part<Properties>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Properties {
    pub(crate) scenario_name: Text,
    pub(crate) state: Text,
    pub(crate) state_description: Text,
    pub(crate) start_time: When,
    pub(crate) end_time: When,
    pub(crate) target_object_id: Text,
    pub(crate) target_object_name: Text,
    pub(crate) errors: Many<Part<JobError>>,
    pub(crate) tasks: Many<Part<Task>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) name: Text,
    pub(crate) friendly_name: Text,
    pub(crate) state: Text,
    pub(crate) errors: Many<Part<JobError>>,
    pub(crate) group_task_custom_details: Part<Group>,
}

/// The tasks of a group task: recovery plans have them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) child_tasks: Many<Part<Task>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct JobError {
    pub(crate) service_error_details: Part<ServiceError>,
    pub(crate) provider_error_details: Part<ProviderError>,
    pub(crate) error_level: Text,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceError {
    pub(crate) code: Text,
    pub(crate) message: Text,
    pub(crate) possible_causes: Text,
    pub(crate) recommended_action: Text,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ProviderError {
    pub(crate) error_code: Text,
    pub(crate) error_id: Text,
    pub(crate) error_message: Text,
    pub(crate) possible_causes: Text,
    pub(crate) recommended_action: Text,
}
