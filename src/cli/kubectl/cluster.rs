//! The cluster, as the caller may see it.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use k8s_openapi::{api::authentication::v1::SelfSubjectReview, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;

use super::{
    Access,
    outcome::{Asked, Stop},
};
use crate::{
    api::{
        ApprovalStep, FailbackApproval, FailbackPlan, FailbackPlanSpec, REQUESTED_BY_ANNOTATION, ReplicatedItem, Window,
    },
    core::{
        action::Verb,
        decide::plan::{Asked as PlanAsked, spec_hash, why_invalid},
        preview::Found,
    },
    ports::SharedClock,
};

pub(super) const PLANS: &str = "failbackplans.failback.dev";
const ITEMS: &str = "replicateditems.failback.dev";
pub(super) const APPROVALS: &str = "failbackapprovals.failback.dev";
const VIEWER: &str = "failback-viewer";

/// A connection with the caller's own rights.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) clock: SharedClock,
}

impl Cluster {
    pub(super) async fn connect(access: &Access, clock: SharedClock) -> Result<Self, Stop> {
        let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
        let bad = |error: &dyn std::error::Error| Stop::failed(format!("the kubeconfig cannot be used: {error}"));
        let file = access.kubeconfig.as_ref();
        let mut config = match file.map_or_else(Kubeconfig::read, Kubeconfig::read_from) {
            Ok(read) => Config::from_custom_kubeconfig(read, &options).await.map_err(|error| bad(&error))?,
            // In a pod there is no file, and a service account instead.
            Err(error) if access.kubeconfig.is_none() && access.context.is_none() => {
                Config::incluster().map_err(|_| bad(&error))?
            }
            Err(error) => return Err(bad(&error)),
        };
        let namespace = access.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        // Its own retries go on for minutes; a person tries again when they like.
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(10));
        let client = Client::try_from(config).map_err(|error| bad(&error))?;
        Ok(Self { client, namespace, clock })
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn asked<'a>(&'a self, verb: &'static str, resource: &'static str, name: &'a str) -> Asked<'a> {
        Asked { verb, resource, namespace: &self.namespace, name, role: VIEWER }
    }

    async fn list<K>(&self, resource: &'static str) -> Result<Vec<K>, Stop>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let listed = self.api::<K>().list(&ListParams::default()).await;
        Ok(listed.map_err(|error| self.asked("list", resource, "").refused(&error))?.items)
    }

    pub(super) async fn plan(&self, name: &str) -> Result<FailbackPlan, Stop> {
        self.api().get(name).await.map_err(|error| self.asked("get", PLANS, name).refused(&error))
    }

    /// A plan that may not be there.
    pub(super) async fn plan_if_there(&self, name: &str) -> Result<Option<FailbackPlan>, Stop> {
        self.api().get_opt(name).await.map_err(|error| self.asked("get", PLANS, name).refused(&error))
    }

    pub(super) async fn plans(&self) -> Result<Vec<FailbackPlan>, Stop> {
        self.list(PLANS).await
    }

    pub(super) async fn items(&self) -> Result<Vec<ReplicatedItem>, Stop> {
        self.list(ITEMS).await
    }

    /// What people hold a plan back by, or have to consent to.
    pub(super) async fn gates(
        &self,
        plan: &FailbackPlan,
        spec: &FailbackPlanSpec,
        found: &Found,
    ) -> Result<Vec<String>, Stop> {
        let mut gates = Vec::new();
        if spec.suspend {
            gates.push("The plan is suspended: nothing new starts.".to_owned());
        }
        if spec.dry_run {
            gates.push("The plan is a dry run: no call is made.".to_owned());
        }
        if let Some(window) = &spec.window {
            gates.push(told(window));
        }
        if spec.approvals.is_empty() {
            return Ok(gates);
        }
        let uid = plan.metadata.uid.as_deref().unwrap_or_default();
        let requester = plan.annotations().get(REQUESTED_BY_ANNOTATION).map(String::as_str);
        let asked = PlanAsked { uid, spec, spec_hash: &spec_hash(spec, found), requester };
        let approvals: Vec<FailbackApproval> = if uid.is_empty() { Vec::new() } else { self.list(APPROVALS).await? };
        let now = self.clock.now();
        let ahead =
            |step: &ApprovalStep| Verb::parse(step.as_str()).is_some_and(|verb| verb.leads_to() <= spec.desired_phase);
        for demanded in spec.approvals.iter().filter(|demanded| ahead(&demanded.step)) {
            let counts = approvals.iter().map(|approval| &approval.spec).filter(|approval| {
                approval.plan_ref.name == plan.name_any()
                    && approval.step == demanded.step
                    && why_invalid(approval, &asked, now).is_none()
            });
            let approvers: BTreeSet<&str> = counts.map(|approval| approval.approver.as_str()).collect();
            let step = demanded.step.as_str();
            let others = if demanded.forbid_requester { " by others than who asked for the plan" } else { "" };
            gates.push(format!("{step} needs {} approval(s){others}; {} given.", demanded.count, approvers.len()));
        }
        Ok(gates)
    }

    /// The name under which the caller is signed in.
    pub(super) async fn whoami(&self) -> Result<String, Stop> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
        let user = review.ok().and_then(|review| review.status?.user_info?.username);
        user.ok_or_else(|| {
            Stop::usage("the API server does not tell under which name you are signed in: give it with --approver.")
        })
    }
}

/// When steps start that need the window.
fn told(window: &Window) -> String {
    let zone = &window.time_zone;
    let often = window.cron.as_ref().map(|cron| {
        let minutes = window.duration_minutes.unwrap_or_default();
        format!("at \"{cron}\" ({zone}), for {minutes} minutes each")
    });
    let once = || {
        let at = |time: &Option<Time>| time.as_ref().map_or("any time".to_owned(), |time| format!("{:.0}", time.0));
        format!("from {} to {}", at(&window.start), at(&window.end))
    };
    format!("FailBack and Commit start in the window alone: {}.", often.unwrap_or_else(once))
}
