//! Checks on the on-premises side as the vault knows it: configuration server, appliance, process server, hosts.

use jiff::SignedDuration;

use super::{Check, OVERVIEW, PREPARE, REPROTECT, Verdict, View, judged, vcenter::known_vcenter};
use crate::core::{
    action::Verb,
    location::is_physical,
    observed::{ConfigurationServer, Generation, Health},
    placement::{host_named, process_server},
    stage::Stage,
    target::{self, is_fresh},
};

/// A backup of the configuration server that is older than this is no longer recent.
const RECENT_BACKUP: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) const TARGET_IS_VMWARE: Check = Check {
    name: "TargetIsVMware",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect],
    // A machine that came from VMware never goes to Hyper-V.
    waivable: false,
    early: false,
    holds_when: "The target is vSphere, never Hyper-V.",
    rule: |view| judged(target_is_vmware(view)),
};

fn target_is_vmware(view: &View<'_>) -> Result<Verdict, Verdict> {
    let fabric = view.fabric()?;
    Ok(match fabric.generation {
        Some(_) => Verdict::passed(format!("Fabric \"{}\" is a VMware site.", fabric.name)),
        None => Verdict::failed(
            format!("Fabric \"{}\" is not a VMware site.", fabric.name),
            "None: a machine from VMware comes home to VMware only.",
        ),
    })
}

pub(super) const CONFIGURATION_SERVER_AVAILABLE: Check = Check {
    name: "ConfigurationServerAvailable",
    source: REPROTECT,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "The configuration server is there, its services run, and its heartbeat is fresh.",
    rule: |view| judged(configuration_server_available(view)),
};

fn configuration_server<'a>(view: &View<'a>) -> Result<&'a ConfigurationServer, Verdict> {
    view.fabric()?.configuration_server.as_ref().ok_or_else(|| {
        Verdict::failed(
            "The vault lists no configuration server for the machine's fabric.",
            "Restore it from its backup, with the same IP address. A new one cannot take its place.",
        )
    })
}

fn configuration_server_available(view: &View<'_>) -> Result<Verdict, Verdict> {
    const MEND: &str = "Look at its services and its connection to Azure.";
    let server = configuration_server(view)?;
    if server.service_status.is_empty() {
        return Err(Verdict::unknown(format!("The services of {} are not reported.", server.name), MEND));
    }
    if !server.service_status.eq_ignore_ascii_case("Running") {
        return Ok(Verdict::failed(format!("The services of {} are {}.", server.name, server.service_status), MEND));
    }
    Ok(match server.heartbeat {
        Some(beat) if is_fresh(beat, view.now) => {
            Verdict::passed(format!("{} runs, version {}.", server.name, server.version))
        }
        Some(beat) => Verdict::failed(format!("{} sent its last heartbeat at {beat:.0}.", server.name), MEND),
        None => Verdict::unknown(format!("The vault shows no heartbeat of {}.", server.name), MEND),
    })
}

pub(super) const KNOWN_TO_CONFIGURATION_SERVER: Check = Check {
    name: "KnownToConfigurationServer",
    source: REPROTECT,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "The machine is in the configuration server's database.",
    rule: |view| judged(known_to_configuration_server(view)),
};

/// The vault shows of a classic item what its configuration server reports: `infrastructureVmId` is its own id of the
/// machine (recorded); how one that is not in the database any more shows was never published.
fn known_to_configuration_server(view: &View<'_>) -> Result<Verdict, Verdict> {
    let (server, item) = (configuration_server(view)?, view.item()?);
    if !item.complete {
        return Err(Verdict::unknown("Only the item's summary was read so far.", "Wait for it to be read."));
    }
    let restore = match &server.ip_address {
        Some(address) => {
            format!("Restore the configuration server from its backup, with the same IP address {address}.")
        }
        None => "Restore the configuration server from its backup, with the same IP address.".to_owned(),
    };
    Ok(match item.infrastructure_vm_id.as_deref() {
        Some(id) => Verdict::passed(format!("{} knows the machine as {id}.", server.name)),
        None => Verdict::failed(format!("{} has no id of the machine.", server.name), restore),
    })
}

pub(super) const CONFIGURATION_SERVER_BACKED_UP: Check = Check {
    name: "ConfigurationServerBackedUp",
    source: PREPARE,
    generation: Some(Generation::Classic),
    gates: &[],
    waivable: true,
    early: false,
    holds_when: "The RecoveryVault states when the configuration server was backed up last, and that is less than 30 days ago.",
    rule: |view| judged(configuration_server_backed_up(view)),
};

fn configuration_server_backed_up(view: &View<'_>) -> Result<Verdict, Verdict> {
    const FIELD: &str = "Back it up, and set spec.configurationServerBackedUpAt of the RecoveryVault.";
    let Some(at) = view.facts.configuration_server_backup else {
        return Err(Verdict::unknown("When the configuration server was backed up last is not stated.", FIELD));
    };
    Ok(if at + RECENT_BACKUP >= view.now {
        Verdict::passed(format!("The configuration server was backed up at {at:.0}."))
    } else {
        Verdict::failed(format!("The configuration server was backed up last at {at:.0}."), FIELD)
    })
}

pub(super) const APPLIANCE_HEALTHY: Check = Check {
    name: "ApplianceHealthy",
    source: OVERVIEW,
    generation: Some(Generation::Modernized),
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "Every component of the appliance is healthy, with a fresh heartbeat.",
    rule: |view| judged(view.target().map(|chosen| target::parts(&chosen.target, view.now).into())),
};

pub(super) const PROCESS_SERVER_AVAILABLE: Check = Check {
    name: "ProcessServerAvailable",
    source: REPROTECT,
    generation: None,
    gates: &[Verb::Reprotect, Verb::Protect],
    waivable: true,
    early: false,
    holds_when: "The process server for the direction exists and is healthy. Towards VMware a modernized appliance is its own.",
    rule: |view| judged(process_server_available(view)),
};

fn process_server_available(view: &View<'_>) -> Result<Verdict, Verdict> {
    const MEND: &str = "Look at its health and services, or name another.";
    let verb = if view.stage == Stage::FailedOver { Verb::Reprotect } else { Verb::Protect };
    let target = if verb == Verb::Reprotect { Some(view.target()?) } else { None };
    let server = process_server(&view.machine, verb, target)?;
    match &server.health {
        Health::Normal => {}
        Health::Unclear(_) => {
            return Err(Verdict::unknown(
                format!("The health of process server \"{}\" is {}.", server.name, server.health),
                MEND,
            ));
        }
        Health::Warning | Health::Critical => {
            return Ok(Verdict::failed(
                format!("The health of process server \"{}\" is {}.", server.name, server.health),
                MEND,
            ));
        }
    }
    Ok(match server.heartbeat {
        Some(beat) if is_fresh(beat, view.now) => {
            Verdict::passed(format!("Process server \"{}\" is healthy.", server.name))
        }
        Some(beat) => {
            Verdict::failed(format!("Process server \"{}\" sent its last heartbeat at {beat:.0}.", server.name), MEND)
        }
        None => Verdict::unknown(format!("The vault shows no heartbeat of process server \"{}\".", server.name), MEND),
    })
}

pub(super) const ESX_HOST_DISCOVERED: Check = Check {
    name: "EsxHostDiscovered",
    source: REPROTECT,
    generation: Some(Generation::Classic),
    gates: &[Verb::Reprotect],
    waivable: true,
    early: false,
    holds_when: "For a VM on an ESX host without vCenter, or a physical server: the discovery of the master target's ESX host is complete.",
    rule: |view| judged(esx_host_discovered(view)),
};

/// An ESX host that is asked directly calls itself so; a vCenter manages its hosts. Site recovery's own discovery of what
/// they have may still be under way.
fn esx_host_discovered(view: &View<'_>) -> Result<Verdict, Verdict> {
    let about =
        view.facts.vcenter.known().map_err(|why| Verdict::unknown(why, "See the conditions of the VCenter."))?;
    let standalone = about.full_name.contains("ESX");
    if !standalone && is_physical(view.item()?) != Some(true) {
        return Err(Verdict::Irrelevant);
    }
    let pending = known_vcenter(view, view.item()?, view.fabric()?).and_then(|known| {
        let word = known.discovery.as_deref()?;
        ["pending", "progress"].iter().any(|open| word.to_lowercase().contains(open)).then_some((known, word))
    });
    if let Some((known, word)) = pending {
        return Ok(Verdict::failed(
            format!("Site recovery's discovery of \"{}\" is in the state {word}.", known.address),
            "Wait for the discovery, which takes up to 30 minutes.",
        ));
    }
    let vm = view.target_vm()?;
    let Some(host) = vm.host.as_deref().and_then(|moref| host_named(&view.machine, moref)) else {
        return Err(Verdict::unknown(
            format!("The ESX host of VM {} ({}) is not shown.", vm.name, vm.moref),
            "Give the account of the VCenter the System.Read privilege on the hosts.",
        ));
    };
    Ok(match host.connection.as_deref() {
        Some("connected") if !host.datastores.is_empty() => {
            Verdict::passed(format!("Host {} is connected, with {} datastores.", host.name, host.datastores.len()))
        }
        Some("connected") => Verdict::failed(
            format!("Host {} shows no datastore yet.", host.name),
            "Wait for the discovery, which takes up to 30 minutes.",
        ),
        Some(other) => Verdict::failed(format!("Host {} is {other}.", host.name), "Connect the host."),
        None => Verdict::unknown(format!("Whether host {} is connected is not shown.", host.name), "Connect the host."),
    })
}
