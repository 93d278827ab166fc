//! The verbs of a replicated item: what their bodies must say, when they are allowed, which job they start.

use serde_json::Value;

use super::{Work, allowed_operations, instance_type};
use crate::arm::Refusal;
use crate::scenario::{ConcurrentOperation, Generation};
use crate::world::{Reverse, Role, Stage, World};

/// A body's `properties`, read with ARM's messages for what is missing.
struct Body<'a> {
    properties: Option<&'a Value>,
}

impl<'a> Body<'a> {
    fn new(body: Option<&'a Value>) -> Body<'a> {
        Body { properties: body.and_then(|body| body.get("properties")) }
    }

    fn details(&self) -> Result<&'a Value, Refusal> {
        self.properties
            .and_then(|p| p.get("providerSpecificDetails"))
            .filter(|details| details.is_object())
            .ok_or_else(|| Refusal::invalid_input("The request body is missing 'properties.providerSpecificDetails'."))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.properties.and_then(|p| p.get(name)).and_then(Value::as_str)
    }
}

fn text<'a>(details: &'a Value, name: &str) -> Option<&'a str> {
    details.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn required(details: &Value, name: &str) -> Result<String, Refusal> {
    text(details, name).map(str::to_owned).ok_or_else(|| {
        Refusal::invalid_input(format!("The required property 'providerSpecificDetails.{name}' is missing or empty."))
    })
}

/// String booleans: "true"/"false", as the specification has them; an article of the vendor's sends a JSON bool.
fn flag(details: &Value, name: &str) -> bool {
    match details.get(name) {
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        Some(Value::Bool(value)) => *value,
        _ => false,
    }
}

impl World {
    /// Checks a verb and starts its job.
    pub(crate) fn item_verb(
        &mut self,
        index: usize,
        verb: &str,
        body: Option<&Value>,
        call: (&str, &str),
    ) -> Result<String, Refusal> {
        let (work, operation) = self.item_work(index, verb, body)?;
        let busy = self.machines.get(index).and_then(|machine| machine.operation.clone());
        if let Some(job) = busy {
            let name = self.machines.get(index).map(|machine| machine.spec.name.clone()).unwrap_or_default();
            let scenario = self.jobs.get(&job).map_or("None", |job| job.work.scenario().0);
            let message = format!(
                "Another operation '{scenario}' (job '{job}') is in progress on '{name}'. Wait for it to finish, then retry."
            );
            return match self.unknowns.concurrent_operation {
                ConcurrentOperation::Conflict => Err(Refusal::asr(409, "Conflict", "OperationInProgress", message)),
                ConcurrentOperation::BadRequest => Err(Refusal::asr(400, "BadRequest", "OperationInProgress", message)),
                ConcurrentOperation::FailedJob => Ok(self.start_refused_job(index, work, message)),
            };
        }
        if let Some(operation) = operation {
            let allowed = self.item_allows(index);
            if !allowed.contains(&operation) {
                let state = self
                    .machines
                    .get(index)
                    .map(|m| super::protection_state(self.generation(index), m, &self.unknowns).0)
                    .unwrap_or_default();
                return Err(Refusal::asr(
                    400,
                    "BadRequest",
                    "OperationNotAllowed",
                    format!(
                        "The operation '{operation}' is not allowed on the protected item in its current state '{state}'. Allowed operations: {}.",
                        allowed.join(", ")
                    ),
                ));
            }
        }
        if let Work::Reprotect(_) | Work::Protect { .. } = work
            && self.unknowns.refuse_unregistered_agent
            && let Some(error) = self.agent_error(index)
        {
            return Err(Refusal::asr(400, "BadRequest", &error.code, error.message.clone()));
        }
        Ok(self.start_item_job(index, work, None, Some(call)))
    }

    /// `PUT` of an item: replication of a machine that has none is enabled.
    pub(crate) fn enable(
        &mut self,
        fabric: usize,
        item: &str,
        body: Option<&Value>,
        call: (&str, &str),
    ) -> Result<String, Refusal> {
        let reader = Body::new(body);
        let details = reader.details()?;
        let policy = reader.text("policyId").unwrap_or_default().to_owned();
        let wanted = text(details, "targetVmName").unwrap_or_default();
        let found = self.machines.iter().position(|machine| {
            machine.removed && machine.fabric == fabric && machine.spec.name.eq_ignore_ascii_case(wanted)
        });
        let index =
            found.ok_or_else(|| Refusal::invalid_input(format!("There is no machine '{wanted}' to protect.")))?;
        self.expect_policy(index, &policy)?;
        if let Some(server) = text(details, "processServerId") {
            self.expect_server(index, server, "processServerId")?;
        }
        if let Some(machine) = self.machines.get_mut(index) {
            machine.removed = false;
            machine.stage = Stage::ForwardInitial;
            machine.item = item.to_owned();
            machine.policy = policy.clone();
            machine.forward_policy = policy;
            machine.epoch += 1;
        }
        self.by_item.insert(World::item_key(fabric, item), index);
        Ok(self.start_item_job(index, Work::Enable, None, Some(call)))
    }

    /// A job that fails at once: one of the ways in which the service might answer a conflict.
    fn start_refused_job(&mut self, index: usize, work: Work, message: String) -> String {
        let busy = self.machines.get(index).and_then(|machine| machine.operation.clone());
        let id = self.start_item_job(index, work, None, None);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.errors.push(*super::JobError::new(
                "OperationInProgress",
                message,
                "Another operation is in progress.",
                "Wait for it to finish.",
            ));
        }
        self.end_job(&id, super::JobState::Failed);
        if let Some(machine) = self.machines.get_mut(index) {
            machine.operation = busy;
        }
        id
    }

    /// What an item allows, test failover and its cleanup included.
    pub(crate) fn item_allows(&self, index: usize) -> Vec<&str> {
        let Some(machine) = self.machines.get(index) else { return Vec::new() };
        let mut allowed = allowed_operations(self.generation(index), machine, &self.unknowns);
        if machine.test_failover == "WaitingForCompletion" {
            allowed.retain(|operation| *operation != "TestFailover");
            allowed.push("TestFailoverCleanup");
        }
        allowed
    }

    fn item_work(
        &self,
        index: usize,
        verb: &str,
        body: Option<&Value>,
    ) -> Result<(Work, Option<&'static str>), Refusal> {
        let Some(machine) = self.machines.get(index) else { return Err(Refusal::unknown_item("")) };
        let reader = Body::new(body);
        let lower = verb.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "reprotect" => (self.reprotect_work(index, &reader)?, Some("SwitchProtection")),
            "plannedfailover" => {
                let details = reader.details()?;
                self.expect_instance(details, &["InMageRcmFailback"], index)?;
                let point = required(details, "recoveryPointType")?;
                if !matches!(point.as_str(), "ApplicationConsistent" | "CrashConsistent") {
                    return Err(Refusal::invalid_input(format!(
                        "'{point}' is not a valid value of 'recoveryPointType'. Valid values: ApplicationConsistent, CrashConsistent."
                    )));
                }
                (Work::PlannedFailover { point }, Some("PlannedFailover"))
            }
            "unplannedfailover" => (self.unplanned_work(index, &reader)?, Some("UnplannedFailover")),
            "failovercommit" => (Work::Commit, Some("Commit")),
            "failovercancel" => (Work::Cancel, Some("CancelFailover")),
            "testfailover" => {
                reader.details()?;
                (Work::TestFailover, Some("TestFailover"))
            }
            "testfailovercleanup" => (Work::TestFailoverCleanup, Some("TestFailoverCleanup")),
            "applyrecoverypoint" => {
                let point = reader
                    .text("recoveryPointId")
                    .ok_or_else(|| Refusal::invalid_input("The required property 'recoveryPointId' is missing."))?;
                let known = self.points(machine).iter().any(|known| point.to_ascii_lowercase().ends_with(&known.id));
                if !known {
                    return Err(Refusal::asr(
                        400,
                        "BadRequest",
                        "RecoveryPointNotFound",
                        "The recovery point was not found.",
                    ));
                }
                (Work::ChangePoint { point: point.to_owned() }, Some("ChangePit"))
            }
            "repairreplication" => (Work::Resynchronize, None),
            "completemigration" => (Work::CompleteMigration, Some("CompleteMigration")),
            // Accepted whatever is listed: the recording removes an item between planned failover and commit.
            "remove" => (Work::Remove, None),
            _ => return Err(Refusal::no_such_type()),
        })
    }

    fn expect_instance(&self, details: &Value, wanted: &[&str], index: usize) -> Result<String, Refusal> {
        let given = required(details, "instanceType")?;
        if wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(&given)) {
            return Ok(given);
        }
        let is = self.machines.get(index).map_or("", |machine| instance_type(self.generation(index), machine.stage));
        Err(Refusal::asr(
            400,
            "BadRequest",
            "506",
            format!(
                "The ReplicationProviderInput of type '{given}' is invalid for the parameters: the item is of type '{is}', expected {}.",
                wanted.join(" or ")
            ),
        ))
    }

    fn direction(reader: &Body<'_>, wanted: &str) -> Result<(), Refusal> {
        match reader.text("failoverDirection") {
            Some(given) if given.eq_ignore_ascii_case(wanted) => Ok(()),
            Some(given) => Err(Refusal::invalid_input(format!(
                "The failover direction '{given}' is not valid for the current state of the protected item; expected '{wanted}'."
            ))),
            None => Err(Refusal::invalid_input("The required property 'failoverDirection' is missing.")),
        }
    }

    /// The current provider decides the direction. Modernized bodies carry the current provider's type, classic ones that of the provider wanted (§1.2, §1.3).
    fn reprotect_work(&self, index: usize, reader: &Body<'_>) -> Result<Work, Refusal> {
        let Some(machine) = self.machines.get(index) else { return Err(Refusal::unknown_item("")) };
        let details = reader.details()?;
        let reverse_now = machine.stage.is_reverse();
        match (self.generation(index), reverse_now) {
            (Generation::Modernized, false) => {
                self.expect_instance(details, &["InMageRcm"], index)?;
                Self::direction(reader, "RecoveryToPrimary")?;
                let target = required(details, "reprotectAgentId")?;
                self.expect_server(index, &target, "reprotectAgentId")?;
                let policy = match text(details, "policyId") {
                    Some(policy) => policy.to_owned(),
                    None => self.policy_id(index, "crashconsistency-policy-failback"),
                };
                self.expect_policy(index, &policy)?;
                Ok(Work::Reprotect(Reverse {
                    target,
                    process_server: String::new(),
                    datastore: required(details, "datastoreName")?,
                    log_storage: required(details, "logStorageAccountId")?,
                    policy,
                    retention_drive: String::new(),
                }))
            }
            (Generation::Modernized, true) => {
                self.expect_instance(details, &["InMageRcmFailback"], index)?;
                Self::direction(reader, "PrimaryToRecovery")?;
                let process_server = required(details, "processServerId")?;
                self.expect_server(index, &process_server, "processServerId")?;
                let policy = required(details, "policyId")?;
                self.expect_policy(index, &policy)?;
                Ok(Work::Protect { policy, process_server })
            }
            (Generation::Classic, false) => {
                self.expect_instance(details, &["InMage"], index)?;
                Self::direction(reader, "RecoveryToPrimary")?;
                let target = required(details, "masterTargetId")?;
                self.expect_server(index, &target, "masterTargetId")?;
                let process_server = required(details, "processServerId")?;
                self.expect_server(index, &process_server, "processServerId")?;
                let policy = required(details, "profileId")?;
                self.expect_policy(index, &policy)?;
                Ok(Work::Reprotect(Reverse {
                    target,
                    process_server,
                    datastore: text(details, "datastoreName").unwrap_or_default().to_owned(),
                    log_storage: String::new(),
                    policy,
                    retention_drive: required(details, "retentionDrive")?,
                }))
            }
            (Generation::Classic, true) => {
                self.expect_instance(details, &["InMageAzureV2"], index)?;
                Self::direction(reader, "RecoveryToPrimary")?;
                let process_server = text(details, "processServerId")
                    .or_else(|| text(details, "masterTargetId"))
                    .unwrap_or_default()
                    .to_owned();
                self.expect_server(index, &process_server, "processServerId")?;
                let policy = text(details, "policyId").map_or_else(|| machine.forward_policy.clone(), str::to_owned);
                self.expect_policy(index, &policy)?;
                Ok(Work::Protect { policy, process_server })
            }
        }
    }

    fn unplanned_work(&self, index: usize, reader: &Body<'_>) -> Result<Work, Refusal> {
        let Some(machine) = self.machines.get(index) else { return Err(Refusal::unknown_item("")) };
        let details = reader.details()?;
        let is = instance_type(self.generation(index), machine.stage);
        // A modernized failback is a planned failover: the state check refuses this one, not the type check.
        self.expect_instance(details, &[is], index)?;
        if is == "InMageRcmFailback" {
            return Ok(Work::UnplannedFailover { shutdown: false, point: None });
        }
        Self::direction(reader, "PrimaryToRecovery")?;
        if is == "InMage" {
            let kind = required(details, "recoveryPointType")?;
            let point = match kind.as_str() {
                "LatestTime" | "LatestTag" => Some(kind),
                "Custom" => Some(self.expect_point(index, &required(details, "recoveryPointId")?)?),
                _ => {
                    return Err(Refusal::invalid_input(format!(
                        "'{kind}' is not a valid value of 'recoveryPointType'. Valid values: LatestTime, LatestTag, Custom."
                    )));
                }
            };
            return Ok(Work::ClassicFailback { point });
        }
        let point = match text(details, "recoveryPointId") {
            Some(id) => Some(self.expect_point(index, id)?),
            None => None,
        };
        let shutdown = flag(details, "performShutdown")
            || reader.text("sourceSiteOperations").is_some_and(|wish| wish.eq_ignore_ascii_case("Required"));
        Ok(Work::UnplannedFailover { shutdown, point })
    }

    fn expect_point(&self, index: usize, id: &str) -> Result<String, Refusal> {
        let known = self.machines.get(index).is_some_and(|machine| {
            self.points(machine).iter().any(|point| id.to_ascii_lowercase().ends_with(&point.id))
        });
        if known {
            Ok(id.to_owned())
        } else {
            Err(Refusal::asr(
                400,
                "BadRequest",
                "RecoveryPointNotFound",
                format!("The recovery point '{id}' was not found."),
            ))
        }
    }

    fn expect_server(&self, index: usize, id: &str, property: &str) -> Result<(), Refusal> {
        let known = self.server_of(index, id).is_some_and(|server| {
            property != "processServerId" || server.role != Role::MasterTarget || !server.name.is_empty()
        });
        if known {
            Ok(())
        } else {
            Err(Refusal::asr(
                400,
                "BadRequest",
                "InvalidParameter",
                format!("The value '{id}' of '{property}' does not name a server of the fabric."),
            ))
        }
    }

    fn policy_id(&self, index: usize, name: &str) -> String {
        let vault = self
            .machines
            .get(index)
            .and_then(|machine| self.fabric_of(machine))
            .map(|fabric| fabric.vault.clone())
            .unwrap_or_default();
        format!("{}/replicationPolicies/{name}", self.vault_id(&vault))
    }

    fn expect_policy(&self, index: usize, id: &str) -> Result<(), Refusal> {
        let name = id.rsplit('/').next().unwrap_or_default();
        let known = self
            .machines
            .get(index)
            .and_then(|machine| self.fabric_of(machine))
            .is_some_and(|fabric| self.policy(&fabric.vault, name).is_some());
        if known && id.contains('/') {
            Ok(())
        } else {
            Err(Refusal::asr(400, "BadRequest", "InvalidParameter", format!("The policy '{id}' was not found.")))
        }
    }
}
