//! Whether a machine can come home where a reprotect says: through this master target or appliance, into this datastore.

use super::JobError;
use crate::scenario::{DatastoreKind, DiskKind, Generation};
use crate::world::{Machine, Reverse, Server, Stage, World};

fn refuse(code: &str, what: String, action: &str) -> Result<(), Box<JobError>> {
    Err(JobError::new(code, what, "The target of the reprotect is not usable.", action))
}

/// `9.62.0.0` as numbers; what is none counts as 0.
fn version(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

impl World {
    fn through<'a>(&'a self, server: &'a Server) -> impl Iterator<Item = &'a Machine> {
        self.machines.iter().filter(|machine| {
            let attached = machine.stage.is_reverse() && machine.stage != Stage::FailedBackCommitted;
            attached && !machine.removed && machine.reverse.target.eq_ignore_ascii_case(&server.id)
        })
    }

    /// Disks attached to a server's VM, those of others included.
    pub(crate) fn disks_through(&self, server: &Server) -> usize {
        server.attached_disks + self.through(server).map(|machine| machine.spec.disks.len()).sum::<usize>()
    }

    /// It has no error and reports, with all its parts.
    pub(super) fn is_well(&self, server: &Server) -> bool {
        let part = |part: &crate::world::ServerPart| part.silent_since.is_none() && part.health != "Critical";
        server.heartbeat && server.health != "Critical" && server.errors.is_empty() && server.parts.values().all(part)
    }

    fn check_master_target(&self, machine: &Machine, target: &Server, drive: &str) -> Result<(), Box<JobError>> {
        let newest = self.fabric_of(machine).map(|fabric| version(&fabric.cs_version));
        if newest.is_some_and(|newest| version(&target.version) > newest) {
            return refuse(
                "MasterTargetVersionNotSupported",
                format!("Master target '{}' is newer than its configuration server.", target.name),
                "Upgrade the configuration server.",
            );
        }
        if target.os != machine.spec.os {
            return refuse(
                "MasterTargetOsMismatch",
                format!(
                    "Master target '{}' is not of the operating system family of '{}'.",
                    target.name, machine.spec.name
                ),
                "Name a master target of the same family.",
            );
        }
        let usable = target.retention.iter().any(|volume| volume.name.eq_ignore_ascii_case(drive) && volume.free.0 > 0);
        if !usable {
            return refuse(
                "RetentionDriveNotFound",
                format!("Retention volume '{}' of '{}' is missing or full.", drive, target.name),
                "Add a retention volume; it takes up to 15 minutes to appear.",
            );
        }
        let vcenter = self.fabric_of(machine).and_then(|fabric| self.vcenters.get(fabric.vcenter));
        let vm = vcenter.and_then(|vcenter| vcenter.vms.get(&vcenter.vm_named(&target.name)?));
        if vm.is_some_and(|vm| !vm.snapshots.is_empty()) {
            return refuse(
                "MasterTargetHasSnapshots",
                format!("The virtual machine of master target '{}' has snapshots.", target.name),
                "Delete its snapshots, then retry.",
            );
        }
        if vm.is_some_and(|vm| vm.controller.eq_ignore_ascii_case("pvscsi") || !vm.disk_enable_uuid) {
            return refuse(
                "MasterTargetHardwareNotSupported",
                format!(
                    "The virtual machine of master target '{}' has a PVSCSI controller, or disk.EnableUUID is not TRUE.",
                    target.name
                ),
                "Use LSI Logic, and set disk.EnableUUID to TRUE.",
            );
        }
        Ok(())
    }

    pub(super) fn check_target(&self, index: usize, reverse: &Reverse) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        let classic = self.generation(index) == Generation::Classic;
        let Some(target) = self.server_of(index, &reverse.target) else {
            return refuse(
                "InvalidParameter",
                "The reprotect agent or master target was not found.".to_owned(),
                "Name one that the fabric lists.",
            );
        };
        if !self.is_well(target) {
            return refuse(
                "ApplianceNotHealthy",
                format!("'{}' is not healthy or sends no heartbeats.", target.name),
                "Resolve its health errors, or name another.",
            );
        }
        if classic {
            self.check_master_target(machine, target, &reverse.retention_drive)?;
        }
        if self.disks_through(target) + machine.spec.disks.len() > 60 {
            return refuse(
                "TooManyDisks",
                format!("'{}' would have more than 60 disks attached.", target.name),
                "Name another, or wait until disks are detached.",
            );
        }
        Ok(())
    }

    pub(super) fn check_datastore(&self, index: usize, reverse: &Reverse) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        let classic = self.generation(index) == Generation::Classic;
        let Some(vcenter) = self.fabric_of(machine).and_then(|fabric| self.vcenters.get(fabric.vcenter)) else {
            return Ok(());
        };
        let Some(target) = self.server_of(index, &reverse.target) else { return Ok(()) };
        let visible = match &target.datastores {
            Some(names) => names.clone(),
            None => vcenter.writable_on(target.host),
        };
        let original = self.on_prem(machine);
        // Original location uses the VM's own datastore, whatever was named.
        let wanted = match original {
            Some(vm) => vcenter.datastores.get(vm.datastore).map(|d| d.name.clone()).unwrap_or_default(),
            None => reverse.datastore.clone(),
        };
        let found = vcenter
            .datastore_named(&wanted)
            .and_then(|at| vcenter.datastores.get(at))
            .filter(|d| d.accessible && !d.read_only && visible.contains(&d.name));
        let Some(datastore) = found else {
            return Err(JobError::new(
                "8061",
                format!("The datastore '{wanted}' is not accessible from the ESXi host of '{}'.", target.name),
                "The host of the master target or appliance does not mount the datastore, or may not write to it.",
                "Give the host access to the datastore, or choose another.",
            ));
        };
        if let Some(vm) = original {
            if vm.attached().count() < machine.spec.disks.iter().filter(|d| !d.added_in_azure).count() {
                return Err(JobError::new(
                    "DiskNotAttached",
                    "A disk of the original virtual machine is not attached.",
                    "RDM and vSAN disks must exist and be attached.",
                    "Attach the disk, then retry.",
                ));
            }
            return Ok(());
        }
        if classic && datastore.kind != DatastoreKind::Vmfs {
            return Err(JobError::new(
                "DatastoreTypeNotSupported",
                format!("The datastore '{wanted}' is not VMFS."),
                "An alternate location recovery makes new VMDKs, on VMFS only.",
                "Choose a VMFS datastore.",
            ));
        }
        if classic && machine.spec.disks.iter().any(|disk| disk.kind != DiskKind::Vmdk) && !machine.spec.physical {
            return Err(JobError::new(
                "RdmNotSupported",
                "RDM disks cannot be failed back to an alternate location.",
                "The original virtual machine is gone.",
                "None.",
            ));
        }
        if vcenter.vms.values().any(|vm| vm.name == machine.spec.name && vm.host == target.host) {
            return Err(JobError::new(
                "78052",
                format!("A virtual machine named '{}' is already on the target host.", machine.spec.name),
                "The name is taken.",
                "Rename that virtual machine, or choose another host.",
            ));
        }
        if datastore.free < machine.total_bytes() {
            return Err(JobError::new(
                "InsufficientDiskSpace",
                format!("The datastore '{wanted}' has too little free space."),
                "The disks of the virtual machine do not fit.",
                "Free space, or choose another datastore.",
            ));
        }
        Ok(())
    }
}
