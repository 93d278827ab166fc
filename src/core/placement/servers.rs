//! The process server that receives the data.

use crate::core::{
    action::Verb,
    facts::{Machine, TargetFacts},
    observed::{Generation, ProcessServer},
    refusal::Refusal,
};

/// The process server of a direction: declared, else the one that the machine uses, else the only one. Towards VMware
/// a modernized appliance is its own.
///
/// # Errors
/// Why there is none.
pub(in crate::core) fn process_server<'a>(
    machine: &Machine<'a>,
    verb: Verb,
    target: Option<&TargetFacts>,
) -> Result<&'a ProcessServer, Refusal> {
    let item = machine.facts.replication.known()?;
    let fabric = machine.facts.fabric.known()?;
    let classic = item.generation == Some(Generation::Classic);
    let home = verb == Verb::Reprotect;
    let (field, declared) = if home {
        ("spec.processServer", machine.spec.process_server.as_deref().filter(|_| classic))
    } else {
        ("spec.reprotection.processServer", machine.spec.reprotection.process_server.as_deref())
    };
    let by = |wanted: &str| {
        let is_it = |server: &&ProcessServer| {
            server.name.eq_ignore_ascii_case(wanted) || server.id.eq_ignore_ascii_case(wanted)
        };
        fabric.process_servers.iter().find(is_it)
    };
    let names: Vec<_> = fabric.process_servers.iter().map(|server| server.name.as_str()).collect();
    if let Some(wanted) = declared {
        return by(wanted).ok_or_else(|| Refusal::missing(field, "process server", wanted, &names));
    }
    let used = match (classic, home) {
        (true, _) => item.process_server_id.as_deref(),
        (false, true) => target.map(|target| target.target.id.as_str()),
        (false, false) => item.appliance_id.as_deref(),
    };
    if let Some(server) = used.and_then(by) {
        return Ok(server);
    }
    match fabric.process_servers.as_slice() {
        [only] => Ok(only),
        [] => Err(Refusal::refused(
            format!("Fabric \"{}\" has no process server.", fabric.name),
            "Register one, and wait for its discovery.",
        )),
        _ => Err(Refusal::refused(
            format!("{field}: fabric \"{}\" has several process servers: {}.", fabric.name, names.join(", ")),
            format!("Name one in {field}."),
        )),
    }
}
