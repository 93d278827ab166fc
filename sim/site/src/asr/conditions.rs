//! What a job checks before it changes anything, and the errors that the vendor's troubleshooting articles list for it (protocol reference §5).

use super::JobError;
use crate::scenario::Generation;
use crate::world::{AzurePower, Machine, Reverse, World};

impl World {
    pub(super) fn machine(&self, index: usize) -> Result<&Machine, Box<JobError>> {
        self.machines
            .get(index)
            .ok_or_else(|| JobError::new("NotFound", "The protected item was not found.", "It was removed.", "None."))
    }

    /// Failback goes to the vCenter that the machine was protected from.
    fn check_original_vcenter(&self, machine: &Machine) -> Result<(), Box<JobError>> {
        let known = self.fabric_of(machine).and_then(|fabric| Some((fabric, self.vcenters.get(fabric.vcenter)?)));
        match known {
            Some((fabric, vcenter)) if !fabric.vcenter_known_as.eq_ignore_ascii_case(&vcenter.instance_uuid) => {
                Err(JobError::new(
                    "VCenterNotFound",
                    format!("The vCenter server that '{}' was protected from was not found.", machine.spec.name),
                    "The vCenter server was replaced by another.",
                    "Fail back to the original vCenter server.",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Classic: the configuration server runs, and has the machine in its database.
    fn check_configuration_server(&self, index: usize) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        let Some(fabric) = self.fabric_of(machine).filter(|fabric| fabric.generation == Generation::Classic) else {
            return Ok(());
        };
        let beats = fabric.cs_silent_since.is_none() && fabric.servers.first().is_some_and(|server| server.heartbeat);
        if !beats || fabric.cs_services != "Running" {
            return Err(JobError::new(
                "ConfigurationServerNotAvailable",
                format!("The configuration server '{}' is not available.", fabric.friendly),
                "Its services do not run, or it is not connected.",
                "Start its services, then retry.",
            ));
        }
        if machine.spec.known_to_configuration_server {
            return Ok(());
        }
        Err(JobError::new(
            "ConfigurationServerUnknownMachine",
            format!("'{}' was not found in the database of the configuration server.", machine.spec.name),
            "The configuration server was installed anew.",
            "Restore the configuration server from its backup, with the same IP address.",
        ))
    }

    /// Windows Server 2008 R2 on a physical server comes back nowhere.
    fn check_os(&self, machine: &Machine) -> Result<(), Box<JobError>> {
        let old = machine.spec.os_name.as_deref().is_some_and(|name| name.contains("2008 R2"));
        if !(old && machine.spec.physical) {
            return Ok(());
        }
        Err(JobError::new(
            "OsNotSupported",
            format!("The operating system of '{}' cannot be failed back from a physical server.", machine.spec.name),
            "It is a physical server with Windows Server 2008 R2.",
            "None.",
        ))
    }

    /// The process server that was named takes the data.
    fn check_process_server(&self, index: usize, id: &str) -> Result<(), Box<JobError>> {
        let usable = self.server_of(index, id).is_some_and(|server| {
            let part = server.parts.get("processServer");
            let beats = part.map_or(server.heartbeat, |part| part.silent_since.is_none());
            beats && part.map_or(&server.health, |part| &part.health) != "Critical"
        });
        if usable {
            return Ok(());
        }
        Err(JobError::new(
            "ProcessServerNotHealthy",
            "The process server is not healthy.",
            "No heartbeats arrive.",
            "Resolve its health errors.",
        ))
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
        self.check_os(machine)?;
        self.check_vcenter(machine)?;
        self.check_original_vcenter(machine)?;
        self.check_configuration_server(index)?;
        if !reverse.process_server.is_empty() {
            self.check_process_server(index, &reverse.process_server)?;
        }
        self.check_target(index, reverse)?;
        self.check_datastore(index, reverse)
    }

    /// VMware → Azure: the VM runs at home and its agent has registered.
    pub(super) fn check_protect(&self, index: usize, process_server: &str) -> Result<(), Box<JobError>> {
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
        self.check_process_server(index, process_server)
    }

    /// Failback.
    pub(super) fn check_failback(&self, index: usize) -> Result<(), Box<JobError>> {
        let machine = self.machine(index)?;
        self.check_vcenter(machine)?;
        self.check_original_vcenter(machine)?;
        self.check_configuration_server(index)?;
        self.check_azure_vm_runs(machine)?;
        let target = self.server_of(index, &machine.reverse.target);
        if target.is_none_or(|target| !self.is_well(target)) {
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
