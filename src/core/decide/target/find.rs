//! Which component of a vault a MasterTarget describes, or why that cannot be.

use crate::{
    api::{MasterTargetSpec, TargetKind},
    core::{
        join::listed,
        nearest::did_you_mean,
        observed::{ConfigurationServer, Fabric, Generation, ReprotectTarget},
    },
};

/// The component that a MasterTarget describes.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// What it is.
    pub kind: TargetKind,
    /// What the vault shows of it.
    pub target: ReprotectTarget,
    /// The configuration server that it belongs to (classic).
    pub server: Option<ConfigurationServer>,
}

/// Why there is no such component: only a change of the object, or of the vault, helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Reason of the conditions.
    pub reason: &'static str,
    /// The field, its value, and what to set instead.
    pub message: String,
}

/// The generation whose vaults have components of this kind.
pub const fn generation(kind: TargetKind) -> Generation {
    match kind {
        TargetKind::Appliance => Generation::Modernized,
        TargetKind::MasterTargetServer => Generation::Classic,
    }
}

const fn other(kind: TargetKind) -> TargetKind {
    match kind {
        TargetKind::Appliance => TargetKind::MasterTargetServer,
        TargetKind::MasterTargetServer => TargetKind::Appliance,
    }
}

/// Finds it by name or id, among all fabrics of the vault.
///
/// # Errors
/// When there is none, or several bear the name.
pub fn find(spec: &MasterTargetSpec, fabrics: &[Fabric]) -> Result<Described, Missing> {
    let Some((kind, wanted)) = spec.component() else {
        let message = "spec: set exactly one of appliance and masterTargetServer.".to_owned();
        return Err(Missing { reason: "InvalidSpec", message });
    };
    let bears =
        |target: &ReprotectTarget| target.name.eq_ignore_ascii_case(wanted) || target.id.eq_ignore_ascii_case(wanted);
    let named: Vec<_> = of_kind(fabrics, kind).filter(|(_, target)| bears(target)).collect();
    match named.as_slice() {
        [(fabric, target)] => {
            Ok(Described { kind, target: (*target).clone(), server: fabric.configuration_server.clone() })
        }
        [] => Err(missing(kind, wanted, fabrics, of_kind(fabrics, other(kind)).any(|(_, target)| bears(target)))),
        many => {
            let ids = listed(many.iter().map(|(_, target)| target.id.as_str()));
            let (field, noun) = (kind.field(), kind.noun());
            let message = format!(
                "{field}: the vault has {} {noun}s named \"{wanted}\"; give the id of the one that is meant: {ids}.",
                many.len()
            );
            Err(Missing { reason: "AmbiguousName", message })
        }
    }
}

fn of_kind(fabrics: &[Fabric], kind: TargetKind) -> impl Iterator<Item = (&Fabric, &ReprotectTarget)> {
    fabrics
        .iter()
        .filter(move |fabric| fabric.generation == Some(generation(kind)))
        .flat_map(|fabric| fabric.targets.iter().map(move |target| (fabric, target)))
}

fn missing(kind: TargetKind, wanted: &str, fabrics: &[Fabric], is_of_other_kind: bool) -> Missing {
    let (field, noun) = (kind.field(), kind.noun());
    let (instead, others) = (other(kind).field(), other(kind).noun());
    if is_of_other_kind {
        let message =
            format!("{field}: \"{wanted}\" is no {noun} but a {others} of the vault: name it in {instead} instead.");
        return Missing { reason: "WrongKind", message };
    }
    let has = |kind| fabrics.iter().any(|fabric| fabric.generation == Some(generation(kind)));
    if !has(kind) && has(other(kind)) {
        let names = listed(of_kind(fabrics, other(kind)).map(|(_, target)| target.name.as_str()));
        let message = format!(
            "{field}: the vault is of the {} generation, which has no {noun}s; its {others}s, for {instead}: {names}.",
            match generation(other(kind)) {
                Generation::Classic => "classic",
                Generation::Modernized => "modernized",
            }
        );
        return Missing { reason: "WrongGeneration", message };
    }
    let names = || of_kind(fabrics, kind).map(|(_, target)| target.name.as_str());
    let reason = match kind {
        TargetKind::Appliance => "ApplianceNotFound",
        TargetKind::MasterTargetServer => "MasterTargetNotFound",
    };
    let message = format!(
        "{field}: the vault has no {noun} \"{wanted}\"; it has: {}.{}",
        listed(names()),
        did_you_mean(wanted, names())
    );
    Missing { reason, message }
}
