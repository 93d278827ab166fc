//! The cluster, as the caller may see it.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
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
    api::{FailbackApproval, FailbackApprovalSpec, FailbackPlan, MasterTarget, ReplicatedItem},
    core::schedule::load::Limits,
    ports::SharedClock,
};

pub(super) const PLANS: &str = "failbackplans.failback.dev";
pub(super) const ITEMS: &str = "replicateditems.failback.dev";
const TARGETS: &str = "mastertargets.failback.dev";
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

    /// What each master target carries, where one is declared. Whose status does not say yet which it is counts as one
    /// that carries what all do.
    pub(super) async fn limits(&self) -> Result<Limits, Stop> {
        let targets: Vec<MasterTarget> = self.list(TARGETS).await?;
        let of = |target: &MasterTarget| Some((target.status.as_ref()?.id.clone()?, target.spec.disk_limit(), 0));
        Ok(Limits::declared(targets.iter().filter_map(of)))
    }

    /// The approvals that name a plan. None names one that is not applied.
    pub(super) async fn approvals(&self, plan: &FailbackPlan) -> Result<Vec<FailbackApprovalSpec>, Stop> {
        if plan.spec.approvals.is_empty() || plan.metadata.uid.is_none() {
            return Ok(Vec::new());
        }
        let all: Vec<FailbackApproval> = self.list(APPROVALS).await?;
        let name = plan.name_any();
        let names_it = |approval: &FailbackApproval| {
            approval.spec.plan_ref.name == name && approval.metadata.deletion_timestamp.is_none()
        };
        Ok(all.into_iter().filter(names_it).map(|approval| approval.spec).collect())
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
