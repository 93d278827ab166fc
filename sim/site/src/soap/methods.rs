//! The methods that answer at once.

use super::content;
use super::fault::{Fault, envelope};
use super::inventory::{Inventory, Object, ROOT, folder, task_ref, vm_ref};
use super::properties::Property;
use super::select::{Eye, Page, Spec, moref};
use super::session::{COOKIE, Collector, Filter, View};
use super::value::{MoRef, Val};
use super::xml::Node;
use crate::clock::after;
use crate::site::State;
use crate::wire::Answer;
use crate::world::{Event, Task, TaskState, TaskWork, VmKey, World};

/// Methods that change the world, for the record of calls.
pub(crate) const MUTATING: &[&str] =
    &["PowerOnVM_Task", "PowerOffVM_Task", "ShutdownGuest", "RemoveSnapshot_Task", "RemoveAllSnapshots_Task"];

/// Methods that need no session.
const OPEN: &[&str] = &["RetrieveServiceContent", "Login", "Fetch"];

fn returned(method: &str, value: &Val) -> Answer {
    let mut body = format!("<{method}Response xmlns=\"urn:vim25\">");
    value.write(&mut body, "returnval", false);
    body.push_str(&format!("</{method}Response>"));
    envelope(200, &body)
}

/// Answers a call.
pub(crate) fn answer(state: &mut State, vcenter: usize, session: &str, call: &Node) -> Result<Answer, Fault> {
    let name = call.name.as_str();
    let this = call.child("_this").and_then(moref).ok_or_else(|| Fault::invalid_argument("_this"))?;
    let live = state.sessions.get(&state.world, vcenter, session).is_some();
    if !live && !OPEN.contains(&name) {
        return Err(Fault::not_authenticated());
    }
    match name {
        "RetrieveServiceContent" => {
            let inventory = Inventory::new(&state.world, vcenter).ok_or_else(|| Fault::gone(&this))?;
            Ok(returned(name, &content::content(&inventory)))
        }
        "Login" => login(state, vcenter, call),
        "Fetch" => fetch(state, vcenter, session, &this, call),
        "Logout" => {
            state.sessions.close(session);
            Ok(returned(name, &Val::Unset))
        }
        "CurrentTime" => Ok(returned(name, &Val::Time(state.world.now))),
        "SessionIsActive" => {
            let known = call.text_of("sessionID").unwrap_or_default();
            let active = state.sessions.of(vcenter).iter().any(|session| session.key == known);
            Ok(returned(name, &Val::Bool(active)))
        }
        "FindByUuid" | "FindAllByUuid" => Ok(find_by_uuid(&state.world, vcenter, call)),
        "FindByInventoryPath" => Ok(find_by_path(&state.world, vcenter, call)),
        "FindByIp" | "FindByDnsName" | "FindAllByIp" | "FindAllByDnsName" => {
            Ok(find_by_guest(&state.world, vcenter, call))
        }
        "CreateContainerView" => create_view(state, vcenter, session, call),
        "DestroyView" => {
            let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
            live.views.remove(&this.id).ok_or_else(|| Fault::gone(&this))?;
            Ok(returned(name, &Val::Unset))
        }
        "RetrievePropertiesEx" | "RetrieveProperties" => retrieve(state, vcenter, session, call),
        "ContinueRetrievePropertiesEx" => proceed(state, vcenter, session, call),
        "CancelRetrievePropertiesEx" => {
            let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
            live.pages.remove(call.text_of("token").unwrap_or_default());
            Ok(returned(name, &Val::Unset))
        }
        "CreatePropertyCollector" => {
            let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
            let id = live.object_id();
            live.collectors.insert(id.clone(), Collector::default());
            Ok(returned(name, &Val::Ref(MoRef::new("PropertyCollector", id))))
        }
        "DestroyPropertyCollector" => {
            let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
            live.collectors.remove(&this.id).ok_or_else(|| Fault::gone(&this))?;
            Ok(returned(name, &Val::Unset))
        }
        "CreateFilter" => create_filter(state, vcenter, session, &this, call),
        "DestroyPropertyFilter" => {
            let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
            let removed = live.collectors.values_mut().any(|collector| collector.filters.remove(&this.id).is_some());
            if removed { Ok(returned(name, &Val::Unset)) } else { Err(Fault::gone(&this)) }
        }
        "CancelWaitForUpdates" => {
            let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
            if let Some(collector) = live.collectors.get_mut(&this.id) {
                collector.cancelled += 1;
            }
            // The waiting call notices when it looks again.
            state.world.revision += 1;
            Ok(returned(name, &Val::Unset))
        }
        "PowerOnVM_Task" => task(state, vcenter, &this, name, TaskWork::PowerOn),
        "PowerOffVM_Task" => task(state, vcenter, &this, name, TaskWork::PowerOff),
        "RemoveAllSnapshots_Task" => task(state, vcenter, &this, name, TaskWork::RemoveAllSnapshots),
        "RemoveSnapshot_Task" => {
            let inventory = Inventory::new(&state.world, vcenter).ok_or_else(|| Fault::gone(&this))?;
            let Some(Object::Snapshot(vm, snapshot)) = inventory.find(&this) else { return Err(Fault::gone(&this)) };
            task(state, vcenter, &vm_ref(vm), name, TaskWork::RemoveSnapshot(snapshot))
        }
        "ShutdownGuest" => shutdown_guest(state, vcenter, &this),
        _ => Err(Fault::not_supported(name)),
    }
}

fn login(state: &mut State, vcenter: usize, call: &Node) -> Result<Answer, Fault> {
    let State { world, sessions, .. } = state;
    let of = world.vcenters.get(vcenter).ok_or_else(Fault::invalid_login)?;
    let (user, password) = (
        call.text_of("userName").unwrap_or_default(),
        call.child("password").map(|node| node.text.as_str()).unwrap_or_default(),
    );
    if !user.eq_ignore_ascii_case(&of.user) || password != of.password {
        return Err(Fault::invalid_login());
    }
    let now = world.now;
    let (id, session) = sessions.open(world, vcenter, user);
    let answer = returned("Login", &session.to_val(now));
    Ok(answer.with("set-cookie", format!("{COOKIE}=\"{id}\"; Path=/; HttpOnly; Secure;")))
}

/// How pyvmomi reads a single property. Only the service instance can be read without a session.
fn fetch(state: &mut State, vcenter: usize, session: &str, this: &MoRef, call: &Node) -> Result<Answer, Fault> {
    let prop = call.text_of("prop").unwrap_or_default().to_owned();
    let State { world, sessions, .. } = state;
    if this.kind == "ServiceInstance" && prop == "content" {
        let inventory = Inventory::new(world, vcenter).ok_or_else(|| Fault::gone(this))?;
        return Ok(fetched(&content::content(&inventory)));
    }
    let count = sessions.of(vcenter).len();
    let Some(live) = sessions.get(world, vcenter, session) else {
        // Before login there is no current session.
        return if this.kind == "SessionManager" && prop == "currentSession" {
            Ok(fetched(&Val::Unset))
        } else {
            Err(Fault::not_authenticated())
        };
    };
    let inventory = Inventory::new(world, vcenter).ok_or_else(|| Fault::gone(this))?;
    let eye = Eye { inventory, session: live, sessions: count };
    if inventory.vcenter.denied.contains(&prop) {
        return Err(Fault::named("NoPermission", "Permission to perform this operation was denied."));
    }
    match eye.top(this, &prop)? {
        Property::Value(value) => Ok(fetched(&value)),
        Property::Invalid => Err(Fault::invalid_property(&prop)),
    }
}

fn fetched(value: &Val) -> Answer {
    let mut body = "<FetchResponse xmlns=\"urn:vim25\">".to_owned();
    value.write(&mut body, "returnval", true);
    body.push_str("</FetchResponse>");
    envelope(200, &body)
}

fn find_by_uuid(world: &World, vcenter: usize, call: &Node) -> Answer {
    let uuid = call.text_of("uuid").unwrap_or_default();
    let (instance, vms) = (call.flag("instanceUuid"), call.flag("vmSearch"));
    let mut found: Vec<MoRef> = Vec::new();
    if let Some(of) = world.vcenters.get(vcenter) {
        if vms {
            let matches = of.vms.iter().filter(|(_, vm)| {
                !vm.without_config
                    && if instance {
                        vm.instance_uuid.eq_ignore_ascii_case(uuid)
                    } else {
                        vm.uuid.eq_ignore_ascii_case(uuid)
                    }
            });
            found.extend(matches.map(|(id, _)| vm_ref(*id)));
        } else {
            found.extend(
                of.hosts
                    .iter()
                    .enumerate()
                    .filter(|(_, host)| host.uuid.eq_ignore_ascii_case(uuid))
                    .map(|(index, _)| super::inventory::host_ref(index)),
            );
        }
    }
    if call.name == "FindAllByUuid" {
        returned("FindAllByUuid", &Val::refs(found))
    } else {
        returned("FindByUuid", &found.into_iter().next().map_or(Val::Unset, Val::Ref))
    }
}

fn find_by_guest(world: &World, vcenter: usize, call: &Node) -> Answer {
    let wanted = call.text_of("ip").or_else(|| call.text_of("dnsName")).unwrap_or_default();
    let found: Vec<MoRef> = world
        .vcenters
        .get(vcenter)
        .into_iter()
        .flat_map(|of| &of.vms)
        .filter(|(_, vm)| vm.tools && (vm.ip == wanted || vm.name.eq_ignore_ascii_case(wanted)))
        .map(|(id, _)| vm_ref(*id))
        .collect();
    let name = call.name.as_str();
    if name.starts_with("FindAll") {
        returned(name, &Val::refs(found))
    } else {
        returned(name, &found.into_iter().next().map_or(Val::Unset, Val::Ref))
    }
}

fn find_by_path(world: &World, vcenter: usize, call: &Node) -> Answer {
    let path = call.text_of("inventoryPath").unwrap_or_default();
    let found = Inventory::new(world, vcenter).and_then(|inventory| {
        let mut at = folder(ROOT);
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let object = inventory.find(&at)?;
            at = inventory.children(object).into_iter().find(|child| {
                let name = inventory.find(child).map(|object| inventory.property(object, "name"));
                matches!(name, Some(Property::Value(Val::Text(name))) if name == part.replace("%2f", "/"))
            })?;
        }
        Some(at)
    });
    returned("FindByInventoryPath", &found.map_or(Val::Unset, Val::Ref))
}

fn create_view(state: &mut State, vcenter: usize, session: &str, call: &Node) -> Result<Answer, Fault> {
    let State { world, sessions, .. } = state;
    let container = call.child("container").and_then(moref).ok_or_else(|| Fault::invalid_argument("container"))?;
    let inventory = Inventory::new(world, vcenter).ok_or_else(|| Fault::gone(&container))?;
    let object = inventory.find(&container).ok_or_else(|| Fault::gone(&container))?;
    if matches!(
        object,
        Object::Vm(_) | Object::Datastore(_) | Object::Network(_) | Object::Task(_) | Object::Snapshot(..)
    ) {
        return Err(Fault::invalid_argument("container"));
    }
    let kinds = call.all("type").map(|kind| kind.text.trim().to_owned()).collect();
    let view = View { container, kinds, recursive: call.flag("recursive") };
    let live = sessions.get(world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    let id = live.object_id();
    live.views.insert(id.clone(), view);
    Ok(returned("CreateContainerView", &Val::Ref(MoRef::new("ContainerView", id))))
}

fn retrieve(state: &mut State, vcenter: usize, session: &str, call: &Node) -> Result<Answer, Fault> {
    let State { world, sessions, .. } = state;
    let specs = call.all("specSet").map(Spec::read).collect::<Result<Vec<_>, _>>()?;
    let size = call
        .child("options")
        .and_then(|options| options.text_of("maxObjects"))
        .and_then(|text| text.parse::<usize>().ok());
    if size == Some(0) {
        return Err(Fault::invalid_argument("options.maxObjects"));
    }
    let count = sessions.of(vcenter).len();
    let live = sessions.get(world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    let inventory = Inventory::new(world, vcenter).ok_or_else(Fault::not_authenticated)?;
    let selected = Eye { inventory, session: live, sessions: count }.select(&specs)?;
    let old = call.name == "RetrieveProperties";
    let page = Page { rest: selected, specs, size: size.filter(|_| !old).unwrap_or(usize::MAX) };
    write_page(state, vcenter, session, page, &call.name)
}

fn proceed(state: &mut State, vcenter: usize, session: &str, call: &Node) -> Result<Answer, Fault> {
    let token = call.text_of("token").unwrap_or_default();
    let live = state.sessions.get(&state.world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    // A token serves once.
    let page = live.pages.remove(token).ok_or_else(|| Fault::invalid_argument("token"))?;
    write_page(state, vcenter, session, page, &call.name)
}

fn write_page(state: &mut State, vcenter: usize, session: &str, mut page: Page, method: &str) -> Result<Answer, Fault> {
    let State { world, sessions, .. } = state;
    let count = sessions.of(vcenter).len();
    let later = if page.rest.len() > page.size { page.rest.split_off(page.size) } else { Vec::new() };
    let live = sessions.get(world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    let mut objects = String::new();
    {
        let inventory = Inventory::new(world, vcenter).ok_or_else(Fault::not_authenticated)?;
        let eye = Eye { inventory, session: live, sessions: count };
        for (reference, number) in &page.rest {
            let Some(spec) = page.specs.get(*number) else { continue };
            match eye.object_content(&mut objects, reference, spec) {
                Ok(()) => {}
                // It went away between two pages.
                Err(fault) if fault == Fault::gone(reference) => {}
                Err(fault) => return Err(fault),
            }
        }
    }
    if method == "RetrieveProperties" {
        let body = objects.replace("<objects>", "<returnval>").replace("</objects>", "</returnval>");
        return Ok(envelope(200, &format!("<{method}Response xmlns=\"urn:vim25\">{body}</{method}Response>")));
    }
    if page.rest.is_empty() {
        return Ok(returned(method, &Val::Unset));
    }
    let token = if later.is_empty() {
        String::new()
    } else {
        let token = live.object_id();
        live.pages.insert(token.clone(), Page { rest: later, specs: page.specs, size: page.size });
        format!("<token>{token}</token>")
    };
    Ok(envelope(
        200,
        &format!("<{method}Response xmlns=\"urn:vim25\"><returnval>{token}{objects}</returnval></{method}Response>"),
    ))
}

fn create_filter(state: &mut State, vcenter: usize, session: &str, this: &MoRef, call: &Node) -> Result<Answer, Fault> {
    let State { world, sessions, .. } = state;
    let spec = Spec::read(call.child("spec").ok_or_else(|| Fault::invalid_argument("spec"))?)?;
    let count = sessions.of(vcenter).len();
    let live = sessions.get(world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    let inventory = Inventory::new(world, vcenter).ok_or_else(|| Fault::gone(this))?;
    {
        // A path that a type does not have is refused now, not at the first wait.
        let eye = Eye { inventory, session: live, sessions: count };
        for (reference, _) in eye.select(std::slice::from_ref(&spec))?.iter().take(50) {
            eye.values(reference, &spec)?;
        }
    }
    if this.id == "propertyCollector" {
        live.collectors.entry(this.id.clone()).or_default();
    }
    let id = live.object_id();
    let collector = live.collectors.get_mut(&this.id).ok_or_else(|| Fault::gone(this))?;
    let filter = Filter { spec, known: Default::default(), seen: 0, truncated: false };
    collector.filters.insert(id.clone(), filter);
    Ok(returned("CreateFilter", &Val::Ref(MoRef::new("PropertyFilter", id))))
}

fn vm_key(world: &World, vcenter: usize, this: &MoRef) -> Result<VmKey, Fault> {
    let inventory = Inventory::new(world, vcenter).ok_or_else(|| Fault::gone(this))?;
    match inventory.find(this) {
        Some(Object::Vm(id)) => Ok(inventory.key(id)),
        _ => Err(Fault::gone(this)),
    }
}

fn task(state: &mut State, vcenter: usize, this: &MoRef, method: &str, work: TaskWork) -> Result<Answer, Fault> {
    let world = &mut state.world;
    let key = vm_key(world, vcenter, this)?;
    let (now, length) = (world.now, world.durations.vcenter_task.0);
    let Some(of) = world.vcenters.get_mut(vcenter) else { return Err(Fault::gone(this)) };
    let id = of.next_task;
    of.next_task += 1;
    let changed = of.next_revision();
    of.tasks.insert(
        id,
        Task { work, vm: key.vm, state: TaskState::Running, queued: now, completed: None, fault: None, changed },
    );
    world.queue.put(after(now, length), Event::VCenterTask { vcenter, task: id });
    Ok(returned(method, &Val::Ref(task_ref(id))))
}

fn shutdown_guest(state: &mut State, vcenter: usize, this: &MoRef) -> Result<Answer, Fault> {
    let key = vm_key(&state.world, vcenter, this)?;
    let vm = state.world.vm(key).ok_or_else(|| Fault::gone(this))?;
    if !vm.powered_on {
        return Err(Fault::invalid_power_state("poweredOn", "poweredOff"));
    }
    if !vm.tools {
        return Err(Fault::tools_unavailable());
    }
    task(state, vcenter, this, "ShutdownGuest", TaskWork::PowerOff)?;
    Ok(returned("ShutdownGuest", &Val::Unset))
}
