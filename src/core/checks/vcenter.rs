//! Checks on vCenter.

use super::{Check, OVERVIEW, PREPARE, Verdict, View, judged};
use crate::core::{
    action::Verb,
    observed::{Fabric, KnownVCenter, OnPremisesVm, Replication},
    target::is_fresh,
};

pub(super) const ORIGINAL_VCENTER: Check = Check {
    name: "OriginalVCenter",
    source: OVERVIEW,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    // In another vCenter the original VM could be started beside the one that came home.
    waivable: false,
    early: false,
    holds_when: "The connected vCenter is the one that the machine was protected from, by UUIDs and never by host names.",
    rule: |view| judged(original_vcenter(view)),
};

/// The vCenter's own UUID decides where site recovery tells it. Else something must be seen in this vCenter that only the
/// original one can have: the machine's VM, or the master target that the configuration server has there.
fn original_vcenter(view: &View<'_>) -> Result<Verdict, Verdict> {
    const SEE: &str = "See the conditions of the VCenter; name the original one in spec.vcenterRef.";
    let item = view.item()?;
    let about = view.facts.vcenter.known().map_err(|why| Verdict::unknown(why, SEE))?;
    let known = known_vcenter(view, item, view.fabric()?);
    if let Some((known, uuid)) = known.and_then(|known| Some((known, known.instance_uuid.as_deref()?))) {
        return Ok(if uuid.eq_ignore_ascii_case(&about.instance_uuid) {
            Verdict::passed(format!("vCenter {uuid} is \"{}\", which the machine was protected from.", known.address))
        } else {
            Verdict::failed(
                format!(
                    "The connected vCenter is {}; the machine was protected from {uuid} (\"{}\").",
                    about.instance_uuid, known.address
                ),
                "Name the original vCenter in spec.vcenterRef.",
            )
        });
    }
    if let Some(OnPremisesVm::Found(vm)) = view.facts.on_premises.value() {
        return Ok(Verdict::passed(format!(
            "vCenter {} has the machine's VM {} ({}).",
            about.instance_uuid, vm.name, vm.moref
        )));
    }
    let vcenters = view.fabric()?.vcenters.value().map(Vec::as_slice).unwrap_or_default();
    if let ([only], Ok(vm)) = (vcenters, view.target_vm()) {
        return Ok(Verdict::passed(format!(
            "\"{}\" is the only vCenter that site recovery knows here, and {} runs in the connected one.",
            only.address, vm.name
        )));
    }
    Err(Verdict::unknown(
        format!(
            "Nothing shows whether vCenter {} is the original one: site recovery does not tell its UUID.",
            about.instance_uuid
        ),
        SEE,
    ))
}

/// The machine's vCenter as site recovery knows it: by its name there, else the target's, else the only one.
pub(super) fn known_vcenter<'a>(view: &View<'_>, item: &Replication, fabric: &'a Fabric) -> Option<&'a KnownVCenter> {
    let vcenters = fabric.vcenters.value()?;
    let of_target = view.placement.target.as_ref().ok().and_then(|chosen| chosen.target.target.vcenter_name.as_deref());
    let name = item.vcenter_name.as_deref().or(of_target);
    match (name, vcenters.as_slice()) {
        (Some(name), _) => vcenters.iter().find(|known| {
            known.name.eq_ignore_ascii_case(name)
                || known.infrastructure_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(name))
        }),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

pub(super) const VCENTER_CONNECTED: Check = Check {
    name: "VCenterConnected",
    source: PREPARE,
    generation: None,
    gates: &[Verb::Reprotect, Verb::FailBack],
    waivable: true,
    early: false,
    holds_when: "vCenter is connected, as site recovery sees it and as this controller sees it; otherwise detaching and re-attaching disks fails.",
    rule: |view| judged(vcenter_connected(view)),
};

fn vcenter_connected(view: &View<'_>) -> Result<Verdict, Verdict> {
    const MEND: &str =
        "Look at the vCenter's connection on the appliance or configuration server: address, account, certificate.";
    let about =
        view.facts.vcenter.known().map_err(|why| Verdict::unknown(why, "See the conditions of the VCenter."))?;
    let fabric = view.fabric()?;
    fabric.vcenters.known().map_err(|why| Verdict::unknown(why, "See the RecoveryVault's conditions."))?;
    let Some(known) = known_vcenter(view, view.item()?, fabric) else {
        return Err(Verdict::unknown("Site recovery does not show the machine's vCenter.", MEND));
    };
    if let Some(error) = known.health_errors.first() {
        let saw = format!("Site recovery reports of vCenter \"{}\": {}.", known.address, error.in_a_line());
        return Ok(Verdict::failed(saw, MEND));
    }
    let word = known.discovery.as_deref().unwrap_or_default().to_lowercase();
    if ["fail", "error", "disconnect"].iter().any(|bad| word.contains(bad)) {
        return Ok(Verdict::failed(
            format!("Site recovery's discovery of vCenter \"{}\" is in the state {word}.", known.address),
            MEND,
        ));
    }
    if let Some(beat) = known.heartbeat.filter(|beat| !is_fresh(*beat, view.now)) {
        return Ok(Verdict::failed(
            format!("Site recovery heard from vCenter \"{}\" last at {beat:.0}.", known.address),
            MEND,
        ));
    }
    Ok(Verdict::passed(format!(
        "Connected to vCenter {} ({}); site recovery reports no error of \"{}\".",
        about.instance_uuid, about.version, known.address
    )))
}
