//! Changes of fabrics and their servers, as ASR shows them.

use jiff::Timestamp;

use super::Mend;
use crate::clock::before;
use crate::world::{Fabric, SILENCE, Server, ServerPart, World};

pub(super) fn mend(world: &mut World, change: &Mend) -> Result<(), String> {
    let now = world.now;
    if let Some(name) = &change.fabric {
        let fabric = world.fabrics.iter_mut().find(|fabric| &fabric.friendly == name);
        let fabric = fabric.ok_or_else(|| format!("there is no fabric `{name}`"))?;
        let own = world.vcenters.get(fabric.vcenter).map(|vcenter| vcenter.instance_uuid.clone());
        mend_fabric(fabric, change, own.unwrap_or_default(), now);
    }
    let Some(name) = &change.component else { return Ok(()) };
    let mut found = false;
    for fabric in &mut world.fabrics {
        for server in fabric.servers.iter_mut().filter(|server| &server.name == name) {
            found = true;
            mend_server(server, change, now);
            if let (Some(disks), Some(vcenter)) =
                (change.component_attached_disks, world.vcenters.get_mut(fabric.vcenter))
            {
                server.attached_disks = disks;
                vcenter.attach_foreign_disks(&server.name, disks);
            }
        }
    }
    if found { Ok(()) } else { Err(format!("there is no component `{name}`")) }
}

fn mend_fabric(fabric: &mut Fabric, change: &Mend, own: String, now: Timestamp) {
    if let Some(uuid) = &change.vcenter_known_as {
        fabric.vcenter_known_as = if uuid.is_empty() { own } else { uuid.clone() };
    }
    if let Some(services) = &change.configuration_server_services {
        fabric.cs_services = services.clone();
    }
    if let Some(heartbeat) = change.configuration_server_heartbeat {
        fabric.cs_silent_since = (!heartbeat).then_some(before(now, SILENCE));
    }
    fabric.hyper_v = change.hyper_v.unwrap_or(fabric.hyper_v);
}

fn mend_server(server: &mut Server, change: &Mend, now: Timestamp) {
    if let Some(kind) = &change.part {
        let whole = ServerPart { health: server.health.clone(), silent_since: server.silent_since };
        let part = server.parts.entry(kind.clone()).or_insert(whole);
        if let Some(health) = &change.component_health {
            part.health = health.clone();
        }
        if let Some(heartbeat) = change.component_heartbeat {
            part.silent_since = (!heartbeat).then_some(before(now, SILENCE));
        }
    } else {
        if let Some(health) = &change.component_health {
            server.health = health.clone();
        }
        if let Some(heartbeat) = change.component_heartbeat {
            server.heartbeat = heartbeat;
            server.silent_since = (!heartbeat).then_some(now);
        }
    }
    server.discovered = change.component_discovered.unwrap_or(server.discovered);
    server.os = change.component_os.unwrap_or(server.os);
    if let Some(errors) = &change.component_errors {
        server.errors = errors.clone();
    }
    if let Some(version) = &change.component_version {
        server.version = version.clone();
    }
    if let Some(retention) = &change.component_retention {
        server.retention = retention.clone();
    }
    if let Some(datastores) = &change.component_datastores {
        server.datastores = Some(datastores.clone());
    }
}
