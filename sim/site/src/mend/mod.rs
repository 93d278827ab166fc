//! A change of the world's facts, to break it or to mend it: which ones there are. What each does is told next door.

mod machines;
mod onprem;
mod servers;

use serde::{Deserialize, Serialize};

use crate::scenario::{DatastoreKind, Os, ResourceLock, RetentionVolume};
use crate::world::World;

/// A change of the world's facts, to break it or to mend it. Each absent field is left alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Mend {
    /// The machine that the machine fields below are about.
    pub machine: Option<String>,
    /// The mobility agent is registered.
    pub agent_registered: Option<bool>,
    /// The mobility agent never registers.
    pub agent_never: Option<bool>,
    /// The Azure VM exists.
    pub azure_vm_exists: Option<bool>,
    /// The Azure VM runs.
    pub azure_vm_running: Option<bool>,
    /// The Azure VM was moved to this resource group; that of the vault moves it back.
    pub azure_vm_moved_to: Option<String>,
    /// The on-premises VM is powered on.
    pub on_prem_running: Option<bool>,
    /// The on-premises VM exists.
    pub on_prem_exists: Option<bool>,
    /// VMware Tools run in the on-premises VM.
    pub tools_running: Option<bool>,
    /// The item's replication health: Normal, Warning or Critical.
    pub replication_health: Option<String>,
    /// A disk of so many bytes was added in Azure.
    pub disk_added_in_azure: Option<u64>,
    /// The disks that were added in Azure are removed.
    pub added_disks_removed: Option<bool>,
    /// Migration was completed; false takes that back.
    pub migrated: Option<bool>,
    /// The item has recovery points.
    pub recovery_points: Option<bool>,
    /// The configuration server knows the machine (classic).
    pub known_to_configuration_server: Option<bool>,
    /// The OS as the vendor words it; empty: the usual one.
    pub os_name: Option<String>,
    /// Its consistency group; empty: none.
    pub group: Option<String>,
    /// The disk of this number, from 0, is detached from the on-premises VM.
    pub disk_detached: Option<usize>,
    /// The disk of this number is attached to it again.
    pub disk_attached: Option<usize>,
    /// The vCenter that the vCenter fields below are about; absent: the first.
    pub vcenter: Option<String>,
    /// ASR and its appliances reach vCenter.
    pub vcenter_connected: Option<bool>,
    /// `discoveryStatus` of it (classic).
    pub vcenter_discovery: Option<String>,
    /// All its sessions die now.
    pub kill_sessions: Option<bool>,
    /// A host of that vCenter, for the host fields and `addVm`.
    pub host: Option<String>,
    /// The host is connected.
    pub host_connected: Option<bool>,
    /// The host is in maintenance mode.
    pub host_maintenance: Option<bool>,
    /// A datastore of that vCenter, for the datastore fields.
    pub datastore: Option<String>,
    /// Its free bytes.
    pub datastore_free: Option<u64>,
    /// It can be reached.
    pub datastore_accessible: Option<bool>,
    /// It is mounted read-only.
    pub datastore_read_only: Option<bool>,
    /// The hosts that mount it.
    pub datastore_hosts: Option<Vec<String>>,
    /// What it is made of.
    pub datastore_kind: Option<DatastoreKind>,
    /// A VM of that vCenter, for the VM fields (master targets too).
    pub vm: Option<String>,
    /// Snapshots of that VM, by name, oldest first.
    pub vm_snapshots: Option<Vec<String>>,
    /// Its SCSI controller: `lsilogic`, `lsisas` or `pvscsi`.
    pub vm_controller: Option<String>,
    /// Its `disk.EnableUUID`.
    pub vm_disk_enable_uuid: Option<bool>,
    /// A VM of this name appears on `host` (absent: the first), powered off and without disks.
    pub add_vm: Option<String>,
    /// The VM of this name, which replicates nothing, goes away.
    pub remove_vm: Option<String>,
    /// The fabric that the fabric fields below are about.
    pub fabric: Option<String>,
    /// Instance UUID by which ASR knows its vCenter; empty: that of the vCenter.
    pub vcenter_known_as: Option<String>,
    /// `csServiceStatus` of its configuration server.
    pub configuration_server_services: Option<String>,
    /// The configuration server's own heartbeats arrive; false: the last came two hours ago.
    pub configuration_server_heartbeat: Option<bool>,
    /// It is a Hyper-V site.
    pub hyper_v: Option<bool>,
    /// An appliance, process server or master target, for the component fields.
    pub component: Option<String>,
    /// One component of the appliance alone, such as `rcmProxy`, for health and heartbeat.
    pub part: Option<String>,
    /// Its health: Normal, Warning or Critical.
    pub component_health: Option<String>,
    /// Its heartbeats arrive. False: they end now; of a `part`: the last came two hours ago.
    pub component_heartbeat: Option<bool>,
    /// It is listed among those that a reprotect can name.
    pub component_discovered: Option<bool>,
    /// Texts of its health errors (master targets).
    pub component_errors: Option<Vec<String>>,
    /// Its version.
    pub component_version: Option<String>,
    /// Its OS family (master targets).
    pub component_os: Option<Os>,
    /// Its retention volumes (master targets).
    pub component_retention: Option<Vec<RetentionVolume>>,
    /// The datastores that it was found to see.
    pub component_datastores: Option<Vec<String>>,
    /// Disks that others have attached to its VM.
    pub component_attached_disks: Option<usize>,
    /// Put a CanNotDelete lock of this name on the resource group.
    pub add_lock: Option<String>,
    /// Take the lock of this name away.
    pub remove_lock: Option<String>,
    /// All access tokens that were handed out are void.
    pub expire_tokens: Option<bool>,
    /// The client secret changes.
    pub client_secret: Option<String>,
    /// Stuck jobs go on.
    pub release_jobs: Option<bool>,
    /// Disarm all faults.
    pub clear_faults: Option<bool>,
}

/// Changes the world's facts.
pub(crate) fn mend(world: &mut World, change: &Mend) -> Result<(), String> {
    if let Some(name) = &change.machine {
        let index = world.machine_named(name).ok_or_else(|| format!("there is no machine `{name}`"))?;
        machines::mend(world, index, change)?;
    }
    let vcenter = match &change.vcenter {
        None => 0,
        Some(name) => world
            .vcenters
            .iter()
            .position(|vcenter| &vcenter.name == name)
            .ok_or_else(|| format!("there is no vCenter `{name}`"))?,
    };
    onprem::mend(world, vcenter, change)?;
    servers::mend(world, change)?;
    if let Some(name) = &change.add_lock {
        let lock = ResourceLock { name: name.clone(), level: "CanNotDelete".to_owned(), vm: None, subscription: false };
        world.locks.push(lock);
    }
    if let Some(name) = &change.remove_lock {
        world.locks.retain(|lock| &lock.name != name);
    }
    if change.expire_tokens == Some(true) {
        world.token_epoch += 1;
    }
    if let Some(secret) = &change.client_secret {
        world.azure.client_secret = secret.clone();
    }
    if change.release_jobs == Some(true) {
        let stuck: Vec<String> =
            world.jobs.values().filter(|job| job.stuck_at.is_some()).map(|job| job.id.clone()).collect();
        for id in stuck {
            world.release_job(&id);
        }
    }
    if change.clear_faults == Some(true) {
        world.faults.armed.clear();
    }
    world.revision += 1;
    Ok(())
}
