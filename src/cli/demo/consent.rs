//! The person in the demo: shows what a plan asks consent for and how it is given, and then gives it.

use std::{collections::BTreeSet, time::Duration};

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client, ResourceExt, api::PostParams};

use crate::{
    api::{ApprovalStep, FailbackApproval, FailbackApprovalSpec, FailbackPlan, Reference, ReplicatedItem},
    cli::Failed,
    core::{conditions, schedule::load},
    ports::SharedClock,
};

/// Long enough to read what is asked, on a terminal.
const READING: Duration = Duration::from_secs(3);

/// Who approves.
pub(super) struct Consent {
    client: Client,
    clock: SharedClock,
    /// It gives consent; else it only says how somebody else does.
    gives: bool,
    /// What was told already, by plan, its hash and step.
    told: BTreeSet<(String, String, ApprovalStep)>,
    /// What is to be approved, and when on the wall.
    due: Option<(tokio::time::Instant, FailbackApproval)>,
}

impl Consent {
    pub(super) fn new(client: Client, clock: SharedClock, gives: bool) -> Self {
        Self { client, clock, gives, told: BTreeSet::new(), due: None }
    }

    /// Looks at a plan: what to tell, if it asks for something new.
    pub(super) async fn look(&mut self, plan: &FailbackPlan, terminal: bool) -> Option<String> {
        let status = plan.status.as_ref()?;
        let asks = status.issues.iter().find(|issue| issue.reason == "ApprovalRequired")?;
        let (name, hash) = (plan.name_any(), status.spec_hash.clone()?);
        let step = self.asked(&plan.namespace()?, asks.items.first()?).await?;
        if !self.told.insert((name.clone(), hash.clone(), step)) {
            return None;
        }
        let mut text =
            format!("Plan {name} needs approval of {}, for {} machine(s) so far. ", step.as_str(), asks.count);
        text.push_str(&format!("To approve:\n  failback kubectl approve {name} --step {}", step.as_str()));
        if self.gives {
            let pause = if terminal { READING } else { Duration::ZERO };
            self.due = Some((tokio::time::Instant::now() + pause, self.approval(plan, &hash, step)?));
            text.push_str("\nThe demo now does it for you (--approve false: it waits for yours).");
        }
        Some(text)
    }

    /// The step for which a machine waits: the one that starts from where it is.
    async fn asked(&self, namespace: &str, item: &str) -> Option<ApprovalStep> {
        let items: Api<ReplicatedItem> = Api::namespaced(self.client.clone(), namespace);
        let status = items.get(item).await.ok()?.status?;
        let reached = load::phase_reached(&status);
        let waits = conditions::find(&status.conditions, "Ready")?.reason == "ApprovalRequired";
        ApprovalStep::ALL.into_iter().find(|step| waits && step.ends().0 == reached)
    }

    fn approval(&self, plan: &FailbackPlan, hash: &str, step: ApprovalStep) -> Option<FailbackApproval> {
        let spec = FailbackApprovalSpec {
            plan_ref: Reference { name: plan.name_any() },
            plan_uid: plan.uid()?,
            spec_hash: hash.to_owned(),
            step,
            approver: "you@example.com".to_owned(),
            expires_at: Time(self.clock.now() + SignedDuration::from_hours(24)),
            comment: "Given by the demo.".to_owned(),
        };
        let name = format!("{}-{}-{hash}", plan.name_any(), step.as_str().to_lowercase());
        let mut approval = FailbackApproval::new(&name, spec);
        approval.metadata.namespace = plan.namespace();
        Some(approval)
    }

    /// Waits until something is to be approved, and approves it. Never ends where nothing is.
    pub(super) async fn give(&mut self) -> Result<(), Failed> {
        let Some((at, approval)) = &self.due else { return std::future::pending().await };
        tokio::time::sleep_until(*at).await;
        let namespace = approval.namespace().unwrap_or_default();
        let api: Api<FailbackApproval> = Api::namespaced(self.client.clone(), &namespace);
        let given = api.create(&PostParams::default(), approval).await;
        self.due = None;
        match given {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(Failed::because(format!("the approval could not be given: {error}"))),
            Ok(_) => Ok(()),
        }
    }
}
