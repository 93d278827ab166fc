//! Filter specifications: which objects, which properties; and how the result is written.

use std::collections::{BTreeMap, HashSet};

use super::fault::Fault;
use super::inventory::{Inventory, Object, is_a};
use super::properties::Property;
use super::session::{Session, View};
use super::value::{MoRef, Val};
use super::xml::{Node, escape};

/// One filter specification.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spec {
    pub(crate) properties: Vec<PropertySet>,
    pub(crate) objects: Vec<ObjectSet>,
    pub(crate) report_missing: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct PropertySet {
    pub(crate) kind: String,
    pub(crate) all: bool,
    pub(crate) paths: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct ObjectSet {
    pub(crate) object: MoRef,
    pub(crate) skip: bool,
    pub(crate) select: Vec<Select>,
}

/// A traversal, or the name of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Select {
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) skip: bool,
    pub(crate) select: Vec<Select>,
}

/// What is left of a paged retrieval.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) rest: Vec<(MoRef, usize)>,
    pub(crate) specs: Vec<Spec>,
    pub(crate) size: usize,
}

pub(crate) fn moref(node: &Node) -> Option<MoRef> {
    Some(MoRef { kind: node.kind.clone()?, id: node.text.trim().to_owned() })
}

impl Spec {
    pub(crate) fn read(node: &Node) -> Result<Spec, Fault> {
        let mut spec = Spec { report_missing: node.flag("reportMissingObjectsInResults"), ..Spec::default() };
        for set in node.all("propSet") {
            let kind = set.text_of("type").ok_or_else(|| Fault::invalid_argument("specSet.propSet.type"))?.to_owned();
            spec.properties.push(PropertySet {
                kind,
                all: set.flag("all"),
                paths: set.all("pathSet").map(|path| path.text.trim().to_owned()).collect(),
            });
        }
        for set in node.all("objectSet") {
            let object =
                set.child("obj").and_then(moref).ok_or_else(|| Fault::invalid_argument("specSet.objectSet.obj"))?;
            spec.objects.push(ObjectSet {
                object,
                skip: set.flag("skip"),
                select: set.all("selectSet").map(Select::read).collect(),
            });
        }
        if spec.objects.is_empty() {
            return Err(Fault::invalid_argument("specSet.objectSet"));
        }
        Ok(spec)
    }

    /// Paths that apply to a type.
    pub(crate) fn paths(&self, kind: &str) -> (bool, Vec<&str>) {
        let mut all = false;
        let mut paths: Vec<&str> = Vec::new();
        for set in self.properties.iter().filter(|set| is_a(kind, &set.kind)) {
            all |= set.all;
            for path in &set.paths {
                if !paths.contains(&path.as_str()) {
                    paths.push(path);
                }
            }
        }
        (all, paths)
    }

    fn selects(&self, kind: &str) -> bool {
        self.properties.iter().any(|set| is_a(kind, &set.kind))
    }
}

impl Select {
    fn read(node: &Node) -> Select {
        Select {
            name: node.text_of("name").map(str::to_owned),
            kind: node.text_of("type").unwrap_or_default().to_owned(),
            path: node.text_of("path").unwrap_or_default().to_owned(),
            skip: node.flag("skip"),
            select: node.all("selectSet").map(Select::read).collect(),
        }
    }

    fn collect<'a>(&'a self, named: &mut BTreeMap<&'a str, &'a Select>) {
        if let Some(name) = &self.name
            && !self.path.is_empty()
        {
            named.insert(name, self);
        }
        for select in &self.select {
            select.collect(named);
        }
    }
}

/// What was read of an object.
pub(crate) struct Read {
    /// Path and value of each property that is set.
    pub(crate) values: Vec<(String, Val)>,
    /// Paths that may not be read.
    pub(crate) denied: Vec<String>,
}

/// A request's view of one vCenter: the inventory and the session's own objects.
pub(crate) struct Eye<'a> {
    pub(crate) inventory: Inventory<'a>,
    pub(crate) session: &'a Session,
    pub(crate) sessions: usize,
}

impl Eye<'_> {
    /// A top-level property of anything, inventory or session.
    pub(crate) fn top(&self, reference: &MoRef, name: &str) -> Result<Property, Fault> {
        match reference.kind.as_str() {
            "ContainerView" => {
                let view = self.session.views.get(&reference.id).ok_or_else(|| Fault::gone(reference))?;
                Ok(self.of_view(view, name))
            }
            "SessionManager" => Ok(match name {
                "currentSession" => Property::Value(self.session.to_val(self.inventory.world.now)),
                "sessionList" => Property::Value(Val::List(
                    "UserSession",
                    vec![self.session.to_val(self.inventory.world.now); self.sessions.max(1)],
                )),
                "defaultLocale" => Property::Value(Val::text("en")),
                "message" | "messageLocaleList" | "supportedLocaleList" => Property::Value(Val::Unset),
                _ => Property::Invalid,
            }),
            "ServiceInstance" => Ok(match name {
                "content" => Property::Value(super::content::content(&self.inventory)),
                "serverClock" => Property::Value(Val::Time(self.inventory.world.now)),
                "capability" => Property::Value(Val::Data(
                    "Capability",
                    vec![
                        ("provisioningSupported", Val::Bool(true)),
                        ("multiHostSupported", Val::Bool(true)),
                        ("userShellAccessSupported", Val::Bool(false)),
                    ],
                )),
                _ => Property::Invalid,
            }),
            "PropertyCollector" => {
                let of = self.session.collectors.get(&reference.id);
                let filters = of
                    .map(|collector| {
                        collector.filters.keys().map(|id| MoRef::new("PropertyFilter", id.clone())).collect()
                    })
                    .unwrap_or_default();
                Ok(if name == "filter" { Property::Value(Val::refs(filters)) } else { Property::Invalid })
            }
            "ViewManager" => {
                let views = self.session.views.keys().map(|id| MoRef::new("ContainerView", id.clone())).collect();
                Ok(if name == "viewList" { Property::Value(Val::refs(views)) } else { Property::Invalid })
            }
            "TaskManager" => Ok(match name {
                "recentTask" => Property::Value(Val::refs(
                    self.inventory
                        .vcenter
                        .tasks
                        .keys()
                        .rev()
                        .take(16)
                        .map(|id| super::inventory::task_ref(*id))
                        .collect(),
                )),
                "maxCollector" => Property::Value(Val::Int(32)),
                _ => Property::Invalid,
            }),
            _ => {
                let object = self.inventory.find(reference).ok_or_else(|| Fault::gone(reference))?;
                Ok(self.inventory.property(object, name))
            }
        }
    }

    fn of_view(&self, view: &View, name: &str) -> Property {
        Property::Value(match name {
            "view" => Val::refs(self.inventory.view(&view.container, &view.kinds, view.recursive)),
            "container" => Val::Ref(view.container.clone()),
            "type" => Val::List("string", view.kinds.iter().map(|kind| Val::text(kind.clone())).collect()),
            "recursive" => Val::Bool(view.recursive),
            _ => return Property::Invalid,
        })
    }

    /// The objects that a specification selects, each once, with the specification's number.
    pub(crate) fn select(&self, specs: &[Spec]) -> Result<Vec<(MoRef, usize)>, Fault> {
        let mut found = Vec::new();
        for (number, spec) in specs.iter().enumerate() {
            let mut seen = HashSet::new();
            for set in &spec.objects {
                let exists = self.top(&set.object, "name").map(|_| ());
                if let Err(fault) = exists {
                    if spec.report_missing {
                        continue;
                    }
                    return Err(fault);
                }
                let mut named = BTreeMap::new();
                for select in &set.select {
                    select.collect(&mut named);
                }
                if !set.skip && spec.selects(&set.object.kind) && seen.insert(set.object.clone()) {
                    found.push((set.object.clone(), number));
                }
                self.walk(spec, number, &set.object, &set.select, &named, &mut seen, &mut found, &mut HashSet::new())?;
            }
        }
        Ok(found)
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one recursive walk")]
    fn walk(
        &self,
        spec: &Spec,
        number: usize,
        from: &MoRef,
        select: &[Select],
        named: &BTreeMap<&str, &Select>,
        seen: &mut HashSet<MoRef>,
        found: &mut Vec<(MoRef, usize)>,
        walked: &mut HashSet<(MoRef, String, String)>,
    ) -> Result<(), Fault> {
        for step in select {
            let step = match (&step.name, step.path.is_empty()) {
                (Some(name), true) => match named.get(name.as_str()) {
                    Some(known) => known,
                    None => return Err(Fault::invalid_argument("selectSet.name")),
                },
                _ => step,
            };
            if !is_a(&from.kind, &step.kind) || !walked.insert((from.clone(), step.kind.clone(), step.path.clone())) {
                continue;
            }
            for next in self.references(from, &step.path)? {
                if !step.skip && spec.selects(&next.kind) && seen.insert(next.clone()) {
                    found.push((next.clone(), number));
                }
                if !step.select.is_empty() {
                    self.walk(spec, number, &next, &step.select, named, seen, found, walked)?;
                }
            }
        }
        Ok(())
    }

    fn references(&self, from: &MoRef, path: &str) -> Result<Vec<MoRef>, Fault> {
        let mut parts = path.split('.');
        let top = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let Property::Value(value) = self.top(from, top)? else { return Err(Fault::invalid_property(path)) };
        Ok(match value.at(&rest) {
            Some(Val::Ref(reference)) => vec![reference.clone()],
            Some(Val::List(_, items)) => items
                .iter()
                .filter_map(|item| if let Val::Ref(reference) = item { Some(reference.clone()) } else { None })
                .collect(),
            _ => Vec::new(),
        })
    }

    /// The properties of an object: path and value, and the paths that may not be read.
    pub(crate) fn values(&self, reference: &MoRef, spec: &Spec) -> Result<Read, Fault> {
        let (all, paths) = spec.paths(&reference.kind);
        let mut values = Vec::new();
        let mut denied = Vec::new();
        let mut tops: BTreeMap<&str, Val> = BTreeMap::new();
        let wanted: Vec<&str> = if all { ALL.to_vec() } else { paths };
        for path in wanted {
            let refused = self.inventory.vcenter.denied.iter().any(|denied| {
                path == denied || path.strip_prefix(denied.as_str()).is_some_and(|rest| rest.starts_with('.'))
            });
            if refused {
                denied.push(path.to_owned());
                continue;
            }
            let (top, rest) = path.split_once('.').unwrap_or((path, ""));
            if !tops.contains_key(top) {
                match self.top(reference, top)? {
                    Property::Value(value) => {
                        tops.insert(top, value);
                    }
                    Property::Invalid if all => continue,
                    Property::Invalid => return Err(Fault::invalid_property(path)),
                }
            }
            let rest: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('.').collect() };
            if let Some(value) = tops.get(top).and_then(|value| value.at(&rest))
                && *value != Val::Unset
            {
                values.push((path.to_owned(), value.clone()));
            }
        }
        Ok(Read { values, denied })
    }

    /// An `ObjectContent`.
    pub(crate) fn object_content(&self, out: &mut String, reference: &MoRef, spec: &Spec) -> Result<(), Fault> {
        let Read { values, denied } = self.values(reference, spec)?;
        out.push_str("<objects>");
        Val::Ref(reference.clone()).write(out, "obj", false);
        for (path, value) in values {
            out.push_str(&format!("<propSet><name>{}</name>", escape(&path)));
            value.write(out, "val", true);
            out.push_str("</propSet>");
        }
        for path in denied {
            out.push_str(&missing(reference, &path));
        }
        out.push_str("</objects>");
        Ok(())
    }

    /// When an object last changed, for the kinds that keep count.
    pub(crate) fn changed(&self, reference: &MoRef) -> Option<u64> {
        let object = self.inventory.find(reference)?;
        if let Object::Vm(id) = object {
            return self.inventory.vcenter.vms.get(&id).map(|vm| vm.changed);
        }
        if let Object::Task(id) = object {
            self.inventory.vcenter.tasks.get(&id).map(|task| task.changed)
        } else {
            None
        }
    }
}

/// `missingSet` of a property that may not be read.
pub(crate) fn missing(reference: &MoRef, path: &str) -> String {
    let mut object = String::new();
    Val::Ref(reference.clone()).write(&mut object, "object", false);
    format!(
        "<missingSet><path>{}</path><fault><fault xsi:type=\"NoPermission\">{object}<privilegeId>System.Read</privilegeId></fault><localizedMessage>Permission to perform this operation was denied.</localizedMessage></fault></missingSet>",
        escape(path)
    )
}

/// What `all` asks for: every property that any kind has.
const ALL: &[&str] = &[
    "name",
    "parent",
    "overallStatus",
    "childEntity",
    "vmFolder",
    "hostFolder",
    "datastoreFolder",
    "networkFolder",
    "runtime",
    "guest",
    "guestHeartbeatStatus",
    "config",
    "summary",
    "resourcePool",
    "snapshot",
    "rootSnapshot",
    "hardware",
    "datastore",
    "network",
    "vm",
    "host",
    "info",
    "owner",
    "content",
    "currentSession",
    "view",
];
