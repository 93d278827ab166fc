//! One Recovery Services vault, spoken to over ARM.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use url::Url;

use crate::{
    azure::{
        arm_error::unexpected,
        bodies,
        cloud::{Cloud, is_loopback},
        compute,
        credentials::Credential,
        ids::{self, ArmId},
        observe::{self, Odd},
        paging::{Next, pages},
        pipeline::Arm,
        shared::AzureShared,
        token_request::{TokenRequest, source},
    },
    core::{
        action::{Action, RecoveryPoint},
        failure::{Failure, FailureClass, Remote},
        observed::{AzureVm, Fabric, Fact, Job, KnownVCenter, Policy, RecoveryPointSeen, Replication, Vault},
    },
    ports::{Listing, Permit, SiteRecovery, Submitted},
};

/// The version of the RecoveryServices API that is spoken. Newer stable ones exist; the models of failback are the same
/// since 2022-08-01.
const API_VERSION: &str = "2025-08-01";

/// The version of Microsoft.OffAzure's API that is spoken, where a modernized fabric's vCenters are listed.
const SITE_API_VERSION: &str = "2023-06-06";

/// Jobs are read up to this many, …
const MOST_JOBS: usize = 1000;

/// … and not further back than this: no job of a failback runs for so long.
const OLDEST_JOB: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Which vault, and who we are to it.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    /// The cloud.
    pub cloud: Cloud,
    /// Subscription id.
    pub subscription: String,
    /// Resource group.
    pub resource_group: String,
    /// Name of the vault.
    pub vault: String,
    /// How to sign in.
    pub credential: Credential,
}

/// A vault. Cheap to make: a changed Secret makes a new one.
#[derive(Clone)]
pub struct AzureVault {
    arm: Arm,
    id: ArmId,
}

impl AzureVault {
    /// Checks the configuration; nothing is sent.
    pub fn new(config: AzureConfig, shared: &AzureShared) -> Result<Self, Failure> {
        let AzureConfig { cloud, subscription, resource_group, vault, credential } = config;
        for (what, name) in [("subscription", &subscription), ("resource group", &resource_group), ("vault", &vault)] {
            if !ids::is_name(name) {
                return Err(invalid(format!("{name:?} cannot be the name of a {what}")));
            }
        }
        let id = format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}\
             /providers/Microsoft.RecoveryServices/vaults/{vault}"
        );
        let id = ArmId::parse(&id).ok_or_else(|| invalid(format!("{id:?} is not the id of a vault")))?;
        let endpoints = cloud.endpoints(shared.allow_plain_http)?;
        let away = !is_loopback(&endpoints.authority) || !is_loopback(&endpoints.management);
        let own = match &credential {
            Credential::WorkloadIdentity { .. }
            | Credential::ServiceAccount { .. }
            | Credential::ManagedIdentity { .. } => true,
            Credential::ClientSecret { .. } => false,
        };
        if matches!(cloud, Cloud::Custom { .. }) && own && away && !shared.trust_custom_endpoints {
            return Err(invalid(
                "custom endpoints are trusted with a client secret only: an identity's token could be used elsewhere"
                    .to_owned(),
            ));
        }
        let tokens = source(TokenRequest { shared: shared.clone(), endpoints: endpoints.clone(), credential });
        Ok(Self { arm: Arm { shared: shared.clone(), endpoints, tokens }, id })
    }

    /// A URL below the vault.
    fn below<'a>(&'a self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let base = self.id.segments().iter().map(String::as_str);
        self.arm.endpoints.arm(base.chain(segments), &[("api-version", API_VERSION)])
    }

    fn at<'a>(&'a self, id: &'a ArmId, verb: Option<&'a str>) -> Url {
        let segments = id.segments().iter().map(String::as_str).chain(verb);
        self.arm.endpoints.arm(segments, &[("api-version", API_VERSION)])
    }

    /// The id of an item of this vault; nothing else is read or touched.
    fn own_item(&self, id: &str) -> Result<ArmId, Failure> {
        let item =
            ArmId::parse(id).filter(|item| item.is_within(&self.id) && item.is_of_type("replicationProtectedItems"));
        item.ok_or_else(|| invalid(format!("{id:?} is not a replicated item of this vault")))
    }

    /// A list of the vault, to its end.
    async fn list<T: Send>(
        &self,
        list: &str,
        read: impl FnMut(Value) -> Result<T, Odd> + Send,
    ) -> Result<Listing<T>, Failure> {
        listing(&self.arm, self.below([list]), |_, _| false, read).await
    }

    /// Site recovery's own word on a fabric's vCenters. Whatever keeps it from us is the reason why they are not known.
    async fn vcenters(&self, fabric: &ArmId, details: &Value) -> Result<Listing<KnownVCenter>, Failure> {
        let url = match observe::fabric::vmware_site(details) {
            None => self.at(fabric, Some("replicationvCenters")),
            Some(site) => {
                let id = ArmId::parse(site).filter(|id| id.is_of_type("VMwareSites"));
                let id = id.ok_or_else(|| unexpected("the fabric's VMware site"))?;
                let segments = id.segments().iter().map(String::as_str).chain(["vcenters"]);
                self.arm.endpoints.arm(segments, &[("api-version", SITE_API_VERSION)])
            }
        };
        listing(&self.arm, url, |_, _| false, observe::around::vcenter).await
    }

    /// A fabric as it was read, with its vCenters. What is odd of them is told beside it.
    async fn with_vcenters(&self, id: &ArmId, body: Value, odd: &mut Vec<String>) -> Result<Fabric, Odd> {
        let at = self.arm.shared.clock.now();
        let vcenters = match self.vcenters(id, &body).await {
            Ok(listing) => {
                odd.extend(listing.odd);
                Fact::seen(listing.entries, at)
            }
            Err(failure) => Fact::unknown(format!("The fabric's vCenters cannot be read: {}", failure.message)),
        };
        Ok(Fabric { vcenters, ..observe::fabric::observe(body)? })
    }

    /// A point of this item: one of another machine would bring that one's data home. Its container may be named in
    /// another way than the item's (recorded), hence by the item's name.
    fn own_point(&self, item: &ArmId, id: &str) -> Result<(), Failure> {
        let point = ArmId::parse(id).filter(|point| point.is_within(&self.id) && point.is_of_type("recoveryPoints"));
        let of_item = |point: &ArmId| {
            let item = item.segments().last();
            point.segments().iter().rev().nth(2).zip(item).is_some_and(|(its, item)| its.eq_ignore_ascii_case(item))
        };
        match point {
            Some(point) if of_item(&point) => Ok(()),
            Some(_) | None => Err(invalid(format!("{id:?} is not a recovery point of this item"))),
        }
    }
}

#[async_trait]
impl SiteRecovery for AzureVault {
    async fn vault(&self) -> Result<Vault, Failure> {
        let body = self.arm.read(&self.below([])).await?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = text("id").ok_or_else(|| unexpected("the vault"))?;
        Ok(Vault { id, location: text("location").unwrap_or_default() })
    }

    async fn items(&self) -> Result<Listing<Replication>, Failure> {
        self.list("replicationProtectedItems", |entry| observe::item::observe(entry, false)).await
    }

    async fn item(&self, id: &str) -> Result<Replication, Failure> {
        let item = self.own_item(id)?;
        let body = self.arm.read(&self.at(&item, None)).await?;
        observe::item::observe(body, true).map_err(|odd| unexpected(&odd.to_string()))
    }

    /// Newest first. A list that comes in this order, which is nowhere promised, is read up to some 1,000 jobs, and
    /// not further back than the first page that holds only ended jobs of more than 31 days ago; any other to its end,
    /// since a job that is not seen counts as none. The service's filter is undocumented, so that none is used.
    async fn jobs(&self) -> Result<Listing<Job>, Failure> {
        let since = self.arm.shared.clock.now().checked_sub(OLDEST_JOB).unwrap_or(Timestamp::UNIX_EPOCH);
        let is_old = |job: &Job| !job.in_flight() && job.started.is_some_and(|started| started < since);
        let enough = |listing: &Listing<Job>, before: usize| {
            let page = listing.entries.get(before..).unwrap_or_default();
            let many = listing.entries.len() >= MOST_JOBS;
            (many || (!page.is_empty() && page.iter().all(is_old))) && newest_first(&listing.entries)
        };
        let read = |entry| observe::job::observe(entry, false);
        let mut listing = listing(&self.arm, self.below(["replicationJobs"]), enough, read).await?;
        // Jobs that have not started yet are the newest.
        listing.entries.sort_by_key(|job| std::cmp::Reverse(job.started.unwrap_or(Timestamp::MAX)));
        Ok(listing)
    }

    async fn job(&self, id: &str) -> Result<Job, Failure> {
        if !ids::is_name(id) {
            return Err(invalid(format!("{id:?} is not the id of a job")));
        }
        let body = self.arm.read(&self.below(["replicationJobs", id])).await?;
        observe::job::observe(body, true).map_err(|odd| unexpected(&odd.to_string()))
    }

    /// A LIST shows no components (recorded), so that each VMware fabric is read again by itself. One that cannot be
    /// read now fails the whole: a fabric without its appliances would look as if they were gone. One that cannot be
    /// understood, or is gone since, harms only itself.
    async fn fabrics(&self) -> Result<Listing<Fabric>, Failure> {
        let summaries = self.list("replicationFabrics", Ok).await?;
        let mut listing = Listing { entries: Vec::new(), odd: summaries.odd };
        for summary in summaries.entries {
            let id = summary.get("id").and_then(Value::as_str).and_then(ArmId::parse);
            let fabric = match id.filter(|id| observe::fabric::is_vmware(&summary) && id.is_within(&self.id)) {
                Some(id) => match self.arm.read(&self.at(&id, None)).await {
                    Ok(body) => self.with_vcenters(&id, body, &mut listing.odd).await,
                    Err(failure) if failure.class == FailureClass::NotFound => continue,
                    Err(failure) if failure.class == FailureClass::Invalid => {
                        listing.odd.push(failure.message);
                        continue;
                    }
                    Err(failure) => return Err(failure),
                },
                None => observe::fabric::observe(summary),
            };
            match fabric {
                Ok(fabric) => listing.entries.push(fabric),
                Err(odd) => listing.odd.push(odd.to_string()),
            }
        }
        Ok(listing)
    }

    async fn policies(&self) -> Result<Listing<Policy>, Failure> {
        self.list("replicationPolicies", observe::around::policy).await
    }

    /// Where the list has none, the classic provider towards VMware may still name points in the item itself
    /// (recorded); whether its list has any is not recorded.
    async fn recovery_points(&self, item_id: &str) -> Result<Listing<RecoveryPointSeen>, Failure> {
        let item = self.own_item(item_id)?;
        let url = self.at(&item, Some("recoveryPoints"));
        let mut listing = listing(&self.arm, url, |_, _| false, observe::around::recovery_point).await?;
        if listing.entries.is_empty() {
            match observe::around::consistency_points(self.arm.read(&self.at(&item, None)).await?) {
                Ok(points) => listing.entries = points,
                Err(odd) => listing.odd.push(odd.to_string()),
            }
        }
        listing.entries.sort_by_key(|point| std::cmp::Reverse(point.time));
        Ok(listing)
    }

    async fn locks(&self, azure_vm_id: &str) -> Result<Listing<String>, Failure> {
        compute::locks(&self.arm, &virtual_machine(azure_vm_id)?).await
    }

    async fn azure_vm(&self, id: &str) -> Result<AzureVm, Failure> {
        compute::azure_vm(&self.arm, &virtual_machine(id)?).await
    }

    async fn submit(&self, item_id: &str, action: &Action, permit: Permit<'_>) -> Result<Submitted, Failure> {
        let item = self.own_item(item_id)?;
        if let Action::FailBack { point: RecoveryPoint::Custom(id), .. } = action {
            self.own_point(&item, id)?;
        }
        let request = bodies::request(action)?;
        let url = self.at(&item, Some(request.verb));
        let submitted = self.arm.mutate(&url, request.body.as_ref(), permit).await;
        match &submitted {
            Ok(Submitted { job_id }) => {
                tracing::info!(item = item_id, verb = request.verb, job_id, "accepted by Azure")
            }
            Err(failure) => {
                let class = failure.class.label();
                tracing::warn!(item = item_id, verb = request.verb, class, %failure, "not accepted");
            }
        }
        submitted
    }
}

/// Reads a list, page by page, until there is no more or it is enough. Each odd entry is told.
async fn listing<T: Send>(
    arm: &Arm,
    first: Url,
    mut enough: impl FnMut(&Listing<T>, usize) -> bool + Send,
    mut read: impl FnMut(Value) -> Result<T, Odd> + Send,
) -> Result<Listing<T>, Failure> {
    let mut listing = Listing { entries: Vec::new(), odd: Vec::new() };
    pages(arm, first, |entries| {
        let before = listing.entries.len();
        for entry in entries {
            match read(entry) {
                Ok(entry) => listing.entries.push(entry),
                Err(odd) => listing.odd.push(odd.to_string()),
            }
        }
        if enough(&listing, before) { Next::Enough } else { Next::More }
    })
    .await?;
    Ok(listing)
}

fn newest_first(jobs: &[Job]) -> bool {
    jobs.iter().filter_map(|job| job.started).is_sorted_by(|one, next| one >= next)
}

fn virtual_machine(id: &str) -> Result<ArmId, Failure> {
    let vm = ArmId::parse(id).filter(|id| id.is_of_type("virtualMachines"));
    vm.ok_or_else(|| invalid(format!("{id:?} is not the id of a virtual machine")))
}

fn invalid(why: String) -> Failure {
    Failure::new(Remote::Arm, FailureClass::Invalid, why)
}
