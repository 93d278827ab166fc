//! vCenter's SOAP API: stricter than the vendor's own simulator where that one is known to be lax.

mod content;
mod devices;
mod fault;
mod inventory;
mod machines;
mod methods;
mod properties;
mod select;
mod session;
mod updates;
mod value;
mod xml;

use serde_json::{Value, json};

pub(crate) use session::Sessions;

use crate::site::Site;
use crate::wire::{Answer, Request};
use crate::world::World;
use fault::Fault;

/// The vCenter part of a path: its index and what follows `/sdk`.
fn vcenter_of(world: &World, path: &str) -> Option<(usize, String)> {
    if let Some(rest) = path.strip_prefix("/sdk") {
        return Some((0, rest.to_owned()));
    }
    let (name, rest) = path.strip_prefix("/vcenters/")?.split_once('/')?;
    let rest = rest.strip_prefix("sdk")?;
    let index = world.vcenters.iter().position(|vcenter| vcenter.name.eq_ignore_ascii_case(name))?;
    Some((index, rest.to_owned()))
}

/// Whether a request is for a vCenter.
pub(crate) fn is_soap(request: &Request) -> bool {
    request.path == "/sdk" || request.path.starts_with("/sdk/") || request.path.starts_with("/vcenters/")
}

/// The SOAP method of a request.
pub(crate) fn method(request: &Request) -> Option<String> {
    if request.method != "POST" {
        return None;
    }
    let envelope = xml::parse(&request.body).ok()?;
    xml::method_of(&envelope).map(|call| call.name.clone())
}

/// A fault that a test asked for.
pub(crate) fn fault_answer(kind: &str, message: &str) -> Answer {
    Fault::named(kind, message).into_answer()
}

/// Answers a request to a vCenter.
pub(crate) async fn answer(site: &Site, request: &Request) -> Answer {
    let found = { vcenter_of(&site.lock().world, &request.path) };
    let Some((vcenter, rest)) = found else { return Answer::text(404, "text/plain", "there is no such vCenter") };
    match (request.method.as_str(), rest.as_str()) {
        ("GET", "/vimServiceVersions.xml") => {
            let version =
                site.lock().world.vcenters.get(vcenter).map(|vcenter| vcenter.version.clone()).unwrap_or_default();
            Answer::text(200, "text/xml", content::versions(&version))
        }
        ("POST", "" | "/" | "/vimService") => call(site, vcenter, request).await,
        _ => Answer::text(404, "text/plain", "not found"),
    }
}

async fn call(site: &Site, vcenter: usize, request: &Request) -> Answer {
    let envelope = match xml::parse(&request.body) {
        Ok(envelope) => envelope,
        Err(error) => return Fault::malformed(&error).into_answer(),
    };
    let Some(call) = xml::method_of(&envelope) else { return Fault::malformed("no method in the body").into_answer() };
    let session = session::cookie(request).unwrap_or_default();
    let result = match call.name.as_str() {
        "WaitForUpdatesEx" | "WaitForUpdates" | "CheckForUpdates" => updates::wait(site, vcenter, &session, call).await,
        _ => methods::answer(&mut site.lock(), vcenter, &session, call),
    };
    result.unwrap_or_else(Fault::into_answer)
}

/// For the record of calls: the VM and the arguments of a mutating method.
pub(crate) fn mutation(world: &World, request: &Request, method: &str) -> Option<(Option<String>, Value)> {
    if !methods::MUTATING.contains(&method) {
        return None;
    }
    let (vcenter, _) = vcenter_of(world, &request.path)?;
    let envelope = xml::parse(&request.body).ok()?;
    let call = xml::method_of(&envelope)?;
    let this = call.child("_this")?;
    let id: Option<u32> = this.text.trim().split('-').nth(1).and_then(|number| number.parse().ok());
    let name = id.and_then(|id| world.vcenters.get(vcenter)?.vms.get(&id)).map(|vm| vm.name.clone());
    let arguments: serde_json::Map<String, Value> =
        call.children.iter().map(|child| (child.name.clone(), json!(child.text.trim()))).collect();
    Some((name, Value::Object(arguments)))
}
