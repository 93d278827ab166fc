//! Everything that was gathered about one machine, and about what it depends on.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    action::Verb,
    observed::{
        AzureVm, Datastore, Fabric, Fact, Generation, Host, Job, OnPremisesVm, OsFamily, Policy, RecoveryPointSeen,
        Replication, ReprotectTarget, VCenterAbout, VirtualMachine,
    },
    probes::ProbeFact,
    stage::Stage,
};
use crate::api::{Identity, ReplicatedItemSpec, ReplicatedItemStatus};

/// A machine at a moment: what is declared, recorded and observed of it.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// What is declared.
    pub spec: &'a ReplicatedItemSpec,
    /// What was recorded.
    pub status: &'a ReplicatedItemStatus,
    /// What was observed.
    pub facts: &'a ItemFacts,
    /// Where it stands; while a call of ours is open, where that began.
    pub stage: Stage,
    /// The call of ours that is open.
    pub running: Option<Verb>,
    /// The time.
    pub now: Timestamp,
}

/// What is known of one machine at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemFacts {
    /// Its replicated item. `NotFound` in the vault is Unknown with that reason.
    pub replication: Fact<Replication>,
    /// That its vault has not been read for a while: since when, and why. The same words as long as that lasts.
    pub unread: Option<String>,
    /// Another object that describes the same replicated item and goes before this one, as `namespace/name`.
    pub described_by: Option<String>,
    /// The vault's jobs that concern it, newest first.
    pub jobs: Fact<Vec<Job>>,
    /// The failed-over machine.
    pub azure_vm: Fact<AzureVm>,
    /// The vCenter that it comes home to, when this controller is connected.
    pub vcenter: Fact<VCenterAbout>,
    /// The machine at home.
    pub on_premises: Fact<OnPremisesVm>,
    /// Display names of the datastores of the VM at home.
    pub home_datastores: Vec<String>,
    /// The fabric that holds the item, complete.
    pub fabric: Fact<Fabric>,
    /// Name or id of the appliance or master target to come home through, where one is declared.
    pub appliance: Fact<Option<String>>,
    /// What vCenter has around the machine.
    pub site: Fact<SiteFacts>,
    /// Its recovery points, newest first (classic, towards VMware; the modernized service makes one at the failover).
    pub recovery_points: Fact<Vec<RecoveryPointSeen>>,
    /// Names of the resource locks that keep Azure from deleting the failed-over VM.
    pub locks: Fact<Vec<String>>,
    /// The vault's replication policies.
    pub policies: Fact<Vec<Policy>>,
    /// The other members of its consistency group. Empty without a group.
    pub group: Fact<Vec<GroupMember>>,
    /// When the configuration server was backed up last, as declared.
    pub configuration_server_backup: Option<Timestamp>,
    /// What the declared probes say. Empty when none is declared.
    pub probes: Fact<Vec<ProbeFact>>,
}

/// The part of a vCenter's inventory that a machine's way home depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteFacts {
    /// Every datastore.
    pub datastores: Vec<Arc<Datastore>>,
    /// Every host.
    pub hosts: Vec<Arc<Host>>,
    /// The appliances or master targets of the item's fabric, each with its VM.
    pub targets: Vec<TargetFacts>,
    /// VMs of the machine's name other than the one found by its identity.
    pub namesakes: Vec<VirtualMachine>,
}

/// An appliance or master target with its VM in vCenter, and what is attached through it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetFacts {
    /// What the vault shows of it.
    pub target: ReprotectTarget,
    /// Name of the MasterTarget object that describes it, where there is one.
    pub object: Option<String>,
    /// Its VM, by instance or BIOS UUID, else by address or name for a classic one, which shows no UUID.
    pub vm: Fact<OnPremisesVm>,
    /// Disks of other machines that replicate through it.
    pub disks_attached: u32,
    /// Disks that running plans attach before this machine's.
    pub disks_planned: u32,
    /// Disks of this machine that are attached by now.
    pub disks_own: u32,
    /// Most disks that may be attached (60, unless its MasterTarget says less).
    pub disk_limit: u32,
}

impl TargetFacts {
    /// Its VM, when exactly one was found.
    pub fn machine(&self) -> Option<&VirtualMachine> {
        match self.vm.value() {
            Some(OnPremisesVm::Found(vm)) => Some(vm),
            Some(OnPremisesVm::NotFound | OnPremisesVm::Ambiguous(_)) | None => None,
        }
    }
}

/// Another member of a machine's consistency group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupMember {
    /// Friendly name in the vault.
    pub machine: String,
    /// Plan and wave that its ReplicatedItem is claimed for; `None` without one.
    pub claimed: Option<(String, String)>,
    /// OS family.
    pub os: Option<OsFamily>,
    /// Id of the appliance or master target that it replicates through, or is decided to.
    pub target_id: Option<String>,
    /// Whether site recovery offers its failover.
    pub ready: bool,
    /// Its recovery points, newest first.
    pub recovery_points: Fact<Vec<RecoveryPointSeen>>,
}

/// ARM id of an item's machine in Azure: as the vault names it; else as it is declared, since site recovery renames on a
/// clash of names; else as it can only be derived; else as it was known before.
pub fn azure_vm_id(item: Option<&Replication>, declared: Option<&str>, known: Option<&str>) -> Option<String> {
    let told = item.and_then(|item| item.azure_vm_id.as_deref());
    let named = told.filter(|_| item.is_some_and(|item| item.azure_vm_id_named));
    named.or(declared).or(told).or(known).map(ToOwned::to_owned)
}

impl ItemFacts {
    /// Nothing is known, for this reason.
    pub fn unknown(why: &str) -> Self {
        Self {
            replication: Fact::unknown(why),
            unread: None,
            described_by: None,
            jobs: Fact::unknown(why),
            azure_vm: Fact::unknown(why),
            vcenter: Fact::unknown(why),
            on_premises: Fact::unknown(why),
            home_datastores: Vec::new(),
            fabric: Fact::unknown(why),
            appliance: Fact::seen(None, Timestamp::UNIX_EPOCH),
            site: Fact::unknown(why),
            recovery_points: Fact::unknown(why),
            locks: Fact::unknown(why),
            policies: Fact::unknown(why),
            group: Fact::unknown(why),
            configuration_server_backup: None,
            probes: Fact::unknown(why),
        }
    }

    /// The VM at home, when exactly one was found.
    pub fn home_vm(&self) -> Option<&VirtualMachine> {
        match self.on_premises.value() {
            Some(OnPremisesVm::Found(vm)) => Some(vm),
            Some(OnPremisesVm::NotFound | OnPremisesVm::Ambiguous(_)) | None => None,
        }
    }
}

impl ItemFacts {
    /// How many disks the machine has, by the first side that tells.
    pub fn disk_count(&self) -> Option<usize> {
        let replicated = self.replication.value().map(|item| item.disks.len());
        let at_home = || self.home_vm().map(|vm| vm.disks.len());
        let in_azure = || match self.azure_vm.value() {
            Some(AzureVm::Present { disks, .. }) => disks.as_ref().map(Vec::len),
            Some(AzureVm::Absent) | None => None,
        };
        replicated.filter(|n| *n > 0).or_else(|| at_home().filter(|n| *n > 0)).or_else(|| in_azure().filter(|n| *n > 0))
    }

    /// Sum of the disks' sizes in bytes, by the first side that tells all of them.
    pub fn disk_bytes(&self) -> Option<u64> {
        let sum = |sizes: Vec<Option<u64>>| sizes.into_iter().sum::<Option<u64>>().filter(|bytes| *bytes > 0);
        let replicated =
            self.replication.value().map(|item| item.disks.iter().map(|disk| disk.capacity_bytes).collect());
        let at_home = || self.home_vm().map(|vm| vm.disks.iter().map(|disk| disk.capacity_bytes).collect());
        let in_azure = || match self.azure_vm.value() {
            Some(AzureVm::Present { disks, .. }) => {
                disks.as_ref().map(|disks| disks.iter().map(|disk| disk.capacity_bytes).collect())
            }
            Some(AzureVm::Absent) | None => None,
        };
        replicated.and_then(sum).or_else(|| at_home().and_then(sum)).or_else(|| in_azure().and_then(sum))
    }
}

/// Whether what was learned earlier is about the item that is seen now, where one is.
pub(super) fn is_about(known: &Identity, facts: &ItemFacts) -> bool {
    match (facts.replication.value(), &known.item_id) {
        (Some(item), Some(id)) => item.id.eq_ignore_ascii_case(id),
        (Some(_) | None, None) | (None, Some(_)) => true,
    }
}

/// What was learned earlier, as far as it is about this item: an object may name another machine by now.
pub(super) fn learned(item: Option<&Replication>, known: &Identity) -> Identity {
    match (item, &known.item_id) {
        (Some(item), Some(id)) if !item.id.eq_ignore_ascii_case(id) => Identity::default(),
        _ => known.clone(),
    }
}

/// What identifies the VM at home: never its name alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeIdentity {
    /// Instance UUID, lower case.
    pub instance_uuid: Option<String>,
    /// BIOS UUID, lower case.
    pub bios_uuid: Option<String>,
    /// UUIDs of its virtual disks, lower case.
    pub disk_uuids: Vec<String>,
    /// The classic generation names neither the VM nor its disks by UUID.
    pub shape: Option<Shape>,
}

/// A VM's name together with the sizes of all its disks: the weakest mark. What is found by it is known by its UUIDs
/// from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Sizes of its disks in bytes, in ascending order.
    pub disk_bytes: Vec<u64>,
}

impl Shape {
    fn of(item: &Replication) -> Option<Self> {
        let sizes: Option<Vec<u64>> = item.disks.iter().map(|disk| disk.capacity_bytes).collect();
        let mut disk_bytes = sizes.filter(|sizes| !sizes.is_empty())?;
        disk_bytes.sort_unstable();
        // A physical server has had no VM that could bear its name.
        let usable = item.generation == Some(Generation::Classic) && item.physical != Some(true);
        (usable && !item.friendly_name.is_empty()).then(|| Self { name: item.friendly_name.clone(), disk_bytes })
    }

    fn is_named(&self, vm: &VirtualMachine) -> bool {
        vm.name.eq_ignore_ascii_case(&self.name)
    }

    fn matches(&self, vm: &VirtualMachine) -> bool {
        let sizes: Option<Vec<u64>> = vm.disks.iter().map(|disk| disk.capacity_bytes).collect();
        self.is_named(vm)
            && sizes.is_some_and(|mut sizes| {
                sizes.sort_unstable();
                sizes == self.disk_bytes
            })
    }
}

impl HomeIdentity {
    /// What site recovery tells now, completed by what was learned earlier: the provider towards VMware names the
    /// disks but not the VM, the one towards Azure names the VM but not the disks.
    pub fn of(item: Option<&Replication>, known: &Identity) -> Self {
        let known = learned(item, known);
        Self {
            instance_uuid: item.and_then(|item| item.instance_uuid.clone()).or(known.instance_uuid),
            bios_uuid: known.bios_uuid,
            disk_uuids: item
                .map(|item| item.disks.iter().filter_map(|disk| disk.vmdk_uuid.clone()).collect())
                .unwrap_or_default(),
            shape: item.and_then(Shape::of),
        }
    }

    /// Whether there is anything to look for.
    pub fn is_empty(&self) -> bool {
        self.instance_uuid.is_none() && self.bios_uuid.is_none() && self.disk_uuids.is_empty() && self.shape.is_none()
    }

    /// Finds the VM by the strongest mark that is known, and by no weaker one: a clone shares a BIOS UUID, and whatever
    /// has a disk hot-added shares that disk. By disks a VM is ours only if it has all of the item's, and no other.
    /// More than one is ambiguous. So is a template alone: the machine may have been made one, and is neither there nor
    /// gone; and so is a VM of the machine's name whose disks differ, where nothing stronger is known.
    pub fn find<'a>(&self, vms: impl Iterator<Item = &'a VirtualMachine>) -> OnPremisesVm {
        let near: Vec<_> = vms.filter(|vm| self.matches(vm) || self.is_namesake(vm)).collect();
        let (templates, found): (Vec<_>, Vec<_>) =
            near.iter().copied().filter(|vm| self.matches(vm)).partition(|vm| vm.template);
        match (found.as_slice(), templates.as_slice()) {
            ([], []) if near.is_empty() => OnPremisesVm::NotFound,
            ([], []) => OnPremisesVm::Ambiguous(
                near.iter()
                    .map(|vm| format!("{} ({}), whose disks are not the machine's", vm.name, vm.moref))
                    .collect(),
            ),
            ([one], _) => OnPremisesVm::Found(Box::new((*one).clone())),
            ([], templates) => OnPremisesVm::Ambiguous(
                templates.iter().map(|vm| format!("{} ({}), a template", vm.name, vm.moref)).collect(),
            ),
            (many, _) => OnPremisesVm::Ambiguous(many.iter().map(|vm| format!("{} ({})", vm.name, vm.moref)).collect()),
        }
    }

    /// Whether a VM bears the machine's name, where nothing but that and its disks could tell that it is the machine.
    fn is_namesake(&self, vm: &VirtualMachine) -> bool {
        let stronger = self.instance_uuid.is_some() || self.bios_uuid.is_some() || !self.disk_uuids.is_empty();
        !stronger && self.shape.as_ref().is_some_and(|shape| shape.is_named(vm))
    }

    /// Whether this VM is the machine, by the strongest mark that is known.
    pub fn matches(&self, vm: &VirtualMachine) -> bool {
        if self.instance_uuid.is_some() {
            return vm.instance_uuid == self.instance_uuid;
        }
        if self.bios_uuid.is_some() {
            return vm.bios_uuid == self.bios_uuid;
        }
        if self.disk_uuids.is_empty() {
            return self.shape.as_ref().is_some_and(|shape| shape.matches(vm));
        }
        let theirs: Vec<&String> = vm.disks.iter().filter_map(|disk| disk.uuid.as_ref()).collect();
        theirs.len() == vm.disks.len()
            && theirs.len() == self.disk_uuids.len()
            && theirs.iter().all(|uuid| self.disk_uuids.contains(uuid))
    }
}
