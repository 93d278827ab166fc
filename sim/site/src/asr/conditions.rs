//! What a job checks before it changes anything, and the errors that the vendor's troubleshooting articles list for it (protocol reference §5).

use super::JobError;
use crate::scenario::{DatastoreKind, DiskKind, Generation};
use crate::world::{AzurePower, Machine, Reverse, Role, World};

impl World {
    fn machine(&self, index: usize) -> Result<&Machine, Box<JobError>> {
        self.machines
            .get(index)
            .ok_or_else(|| JobError::new("NotFound", "The protected item was not found.", "It was removed.", "None."))
    }

    fn check_vcenter(&self, machine: &Machine) -> Result<(), Box<JobError>> {
        let connected = self
            .fabric_of(machine)
            .and_then(|fabric| self.vcenters.get(fabric.vcenter))
            .is_some_and(|vcenter| vcenter.connected);
        if connected {
            return Ok(());
        }
        Err(JobError::new(
            "VCenterNotConnected",
            format!("The vCenter server of '{}' cannot be reached.", machine.spec.name),
            "The vCenter server is not connected, so that disks cannot be detached and attached.",
            "Make sure that the vCenter server is reachable from the replication infrastructure, then retry.",
        ))
    }

    fn check_azure_vm_runs(&self, machine: &Machine) -> Result<(), Box<JobError>> {
        let here = machine.azure.resource_group.eq_ignore_ascii_case(&self.azure.resource_group);
        if !machine.azure.exists || !here {
            return Err(JobError::new(
                "ResourceNotFound",
                format!(
                    "The virtual machine '{}' was not found in resource group '{}'.",
                    machine.azure.name, self.azure.resource_group
                ),
                "The virtual machine was deleted or moved to another resource group.",
                "A virtual machine that was deleted or moved cannot be failed back.",
            ));
        }
        if machine.azure.power != AzurePower::Running {
            return Err(JobError::new(
                "78093",
                format!("The virtual machine '{}' is not running, hung or unreachable.", machine.azure.name),
                "The virtual machine in Azure is turned off, or its network is not reachable.",
                "Start the virtual machine in Azure, then retry.",
            ));
        }
        Ok(())
    }

    /// The agent must have registered since the last boot.
    pub(super) fn agent_error(&self, index: usize) -> Option<Box<JobError>> {
        let machine = self.machines.get(index)?;
        if machine.agent_registered {
            return None;
        }
        let name = &machine.spec.name;
        Some(match self.generation(index) {
            Generation::Classic => JobError::new(
                "95226",
                format!(
                    "The mobility agent on '{name}' is not installed or is not registered with the configuration server."
                ),
                "The virtual machine cannot reach the configuration server, or the InMage Scout Application service is not running. Registration takes up to 15 minutes after boot.",
                "Wait up to 15 minutes after the virtual machine booted, then retry.",
            ),
            Generation::Modernized => JobError::new(
                "InMageRcmMobilityAgentNotRegistered",
                format!("The mobility agent on '{name}' is not installed or has not registered with the appliance."),
                "The mobility agent has not registered since the virtual machine booted. Registration takes up to 15 minutes and more.",
                "Wait for the registration to finish, then retry.",
            ),
        })
    }

    /// Azure → VMware.
    pub(super) fn check_reprotect(&self, index: usize, reverse: &Reverse) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        self.check_azure_vm_runs(machine)?;
        if let Some(error) = self.agent_error(index) {
            return Err(error);
        }
        self.check_vcenter(machine)?;
        self.check_target(index, reverse)?;
        self.check_datastore(index, reverse)
    }

    fn check_target(&self, index: usize, reverse: &Reverse) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        let classic = self.generation(index) == Generation::Classic;
        let refuse = |code: &str, what: String, action: &str| {
            Err(JobError::new(code, what, "The target of the reprotect is not usable.", action))
        };
        let Some(target) = self.server_of(index, &reverse.target) else {
            return refuse(
                "InvalidParameter",
                "The reprotect agent or master target was not found.".to_owned(),
                "Name one that the fabric lists.",
            );
        };
        if !target.heartbeat || target.health == "Critical" || !target.errors.is_empty() {
            return refuse(
                "ApplianceNotHealthy",
                format!("'{}' is not healthy or sends no heartbeats.", target.name),
                "Resolve its health errors, or name another.",
            );
        }
        if classic {
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
            let drive = target
                .retention
                .iter()
                .any(|volume| volume.name.eq_ignore_ascii_case(&reverse.retention_drive) && volume.free.0 > 0);
            if !drive {
                return refuse(
                    "RetentionDriveNotFound",
                    format!("Retention volume '{}' of '{}' is missing or full.", reverse.retention_drive, target.name),
                    "Add a retention volume; it takes up to 15 minutes to appear.",
                );
            }
            let vcenter = self.fabric_of(machine).and_then(|fabric| self.vcenters.get(fabric.vcenter));
            let snapshots = vcenter
                .and_then(|vcenter| vcenter.vms.get(&vcenter.vm_named(&target.name)?))
                .is_some_and(|vm| !vm.snapshots.is_empty());
            if snapshots {
                return refuse(
                    "MasterTargetHasSnapshots",
                    format!("The virtual machine of master target '{}' has snapshots.", target.name),
                    "Delete its snapshots, then retry.",
                );
            }
        }
        let attached: usize = self
            .machines
            .iter()
            .filter(|m| m.stage.is_reverse() && !m.removed && m.reverse.target.eq_ignore_ascii_case(&target.id))
            .map(|m| m.spec.disks.len())
            .sum();
        if attached + machine.spec.disks.len() > 60 {
            return refuse(
                "TooManyDisks",
                format!("'{}' would have more than 60 disks attached.", target.name),
                "Name another, or wait until disks are detached.",
            );
        }
        Ok(())
    }

    fn check_datastore(&self, index: usize, reverse: &Reverse) -> Result<(), Box<JobError>> {
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
            let rdm_without_disk = vm.disks.len() < machine.spec.disks.iter().filter(|d| !d.added_in_azure).count();
            if rdm_without_disk {
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
        if vcenter.vm_named(&machine.spec.name).is_some() {
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

    /// VMware → Azure: the VM runs at home and its agent has registered.
    pub(super) fn check_protect(&self, index: usize) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        if !self.on_prem(machine).is_some_and(|vm| vm.powered_on) {
            return Err(JobError::new(
                "78093",
                format!("The virtual machine '{}' is not running.", machine.spec.name),
                "It is powered off.",
                "Start it, then retry.",
            ));
        }
        if let Some(error) = self.agent_error(index) {
            return Err(error);
        }
        let healthy = self.fabric_of(machine).is_some_and(|fabric| {
            fabric
                .servers
                .iter()
                .any(|server| server.role != Role::MasterTarget && server.heartbeat && server.health != "Critical")
        });
        if healthy {
            Ok(())
        } else {
            Err(JobError::new(
                "ProcessServerNotHealthy",
                "The process server is not healthy.",
                "No heartbeats arrive.",
                "Resolve its health errors.",
            ))
        }
    }

    /// Failback.
    pub(super) fn check_failback(&self, index: usize) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        self.check_vcenter(machine)?;
        self.check_azure_vm_runs(machine)?;
        let target = self.server_of(index, &machine.reverse.target);
        if target.is_none_or(|target| !target.heartbeat || target.health == "Critical") {
            return Err(JobError::new(
                "ApplianceNotHealthy",
                "The reprotect agent or master target is not healthy.",
                "No heartbeats arrive.",
                "Resolve its health errors, then retry.",
            ));
        }
        if self.on_prem(machine).is_none() {
            return Err(JobError::new(
                "VmNotFound",
                "The virtual machine on-premises was not found.",
                "It was deleted after reprotect.",
                "Reprotect again.",
            ));
        }
        Ok(())
    }

    /// The VM on-premises can be started.
    pub(super) fn check_start(&self, index: usize) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        let startable = machine.vm.and_then(|key| {
            let vcenter = self.vcenters.get(key.vcenter)?;
            let host = vcenter.hosts.get(vcenter.vms.get(&key.vm)?.host)?;
            Some(vcenter.connected && host.connected && !host.maintenance)
        });
        if startable == Some(true) {
            return Ok(());
        }
        Err(JobError::new(
            "8038",
            format!("The virtual machine '{}' failed to start on its host.", machine.spec.name),
            "The host is not connected, in maintenance mode, or short of memory.",
            "Make the host usable, then retry the failover.",
        ))
    }

    /// Failover to Azure.
    pub(super) fn check_failover(&self, index: usize) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        if self.points(machine).is_empty() {
            return Err(JobError::new(
                "RecoveryPointNotFound",
                "There is no recovery point.",
                "Replication has not finished.",
                "Wait for the first recovery point.",
            ));
        }
        Ok(())
    }
}
