//! The property collector's vocabulary: what is asked of which objects, and objects with their properties as answered.

use super::{
    error::VimError,
    session::{Live, Session},
    soap::Call,
    xml::{self, Element, MoRef, leaf},
};

/// Objects per answer. A thousand machines with their devices at once took 111 MB here, pages of a hundred 11 MB.
pub(super) const PAGE: usize = 100;
/// An answer has as many objects as were asked for, or fewer. One with ten times as many is refused: each takes its
/// place for good.
const MOST_AT_ONCE: usize = 10 * PAGE;
/// More pages than any vCenter has: it may hold 45,000 machines and 2,500 hosts.
const MOST_PAGES: usize = 2000;

/// The properties of one kind of object that rows are made of, in the order in which they are applied.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: &'static str,
    pub(super) paths: &'static [&'static str],
}

pub(super) const VM: Wanted = Wanted {
    kind: "VirtualMachine",
    paths: &[
        "name",
        "runtime.connectionState",
        "runtime.powerState",
        "runtime.host",
        "config.uuid",
        "config.instanceUuid",
        "config.template",
        "config.hardware.device",
        "config.extraConfig",
        "guest.toolsRunningStatus",
        "guest.ipAddress",
        "snapshot",
        "datastore",
    ],
};

pub(super) const HOST: Wanted = Wanted {
    kind: "HostSystem",
    paths: &["name", "runtime.connectionState", "runtime.inMaintenanceMode", "datastore", "parent"],
};

pub(super) const DATASTORE: Wanted = Wanted {
    kind: "Datastore",
    paths: &["name", "summary.type", "summary.accessible", "summary.freeSpace", "summary.capacity", "host"],
};

/// Clusters are read for their names alone, which hosts are shown with.
pub(super) const CLUSTER: Wanted = Wanted { kind: "ClusterComputeResource", paths: &["name"] };

pub(super) const ALL: [&Wanted; 4] = [&VM, &HOST, &DATASTORE, &CLUSTER];

/// What a read or an update says of one property.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    Value(&'a Element),
    /// It has no value now. vCenter leaves such properties out of an answer.
    Unset,
    /// `missingSet`: the account may not read it, or the server does not know it.
    Unreadable,
}

/// One object with all its wanted properties, or with those that changed.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) reference: MoRef,
    /// `None`: it has no value any more.
    pub(super) values: Vec<(String, Option<Element>)>,
    pub(super) missing: Vec<String>,
}

impl Object {
    /// From `ObjectContent` (`RetrievePropertiesEx`) or `ObjectUpdate` (`WaitForUpdatesEx`): they differ in names only.
    pub(super) fn read(element: Element) -> Option<Self> {
        let reference = element.child("obj")?.moref()?;
        let (mut values, mut missing) = (Vec::new(), Vec::new());
        for part in element.children {
            match part.name.as_str() {
                "propSet" | "changeSet" => values.extend(property(part)),
                "missingSet" => missing.extend(part.text_at("path").map(str::to_owned)),
                _ => {}
            }
        }
        Some(Self { reference, values, missing })
    }

    /// In a complete object, what is said of a path; saying nothing means that it has no value.
    pub(super) fn told(&self, path: &str) -> Told<'_> {
        match self.values.iter().find(|(name, _)| name == path) {
            Some((_, Some(value))) => Told::Value(value),
            Some((_, None)) => Told::Unset,
            None if self.missing.iter().any(|m| m == path) => Told::Unreadable,
            None => Told::Unset,
        }
    }
}

/// `DynamicProperty` or `PropertyChange`; the operations `remove` and `indirectRemove` take the value away.
fn property(mut part: Element) -> Option<(String, Option<Element>)> {
    let name = part.text_at("name")?.to_owned();
    let removed = part.text_at("op").is_some_and(|op| matches!(op, "remove" | "indirectRemove"));
    let value = part.children.iter_mut().find(|c| c.name == "val").map(std::mem::take);
    Some((name, value.filter(|_| !removed)))
}

/// `PropertyFilterSpec` content for everything that the views show. A traversal's name is optional, and would have to be
/// another for each view: it is left out.
pub(super) fn spec_of_views(views: &[MoRef]) -> String {
    let properties: String = ALL.into_iter().map(property_spec).collect();
    let objects: String = views
        .iter()
        .map(|view| {
            format!(
                "<objectSet>{}<skip>true</skip><selectSet xsi:type=\"TraversalSpec\">{}<path>view</path>\
                 <skip>false</skip></selectSet></objectSet>",
                xml::reference("obj", view),
                leaf("type", &view.kind)
            )
        })
        .collect();
    properties + &objects
}

/// The same for objects given one by one.
pub(super) fn spec_of_objects(objects: &[MoRef]) -> String {
    let kinds = ALL.into_iter().filter(|w| objects.iter().any(|o| o.kind == w.kind));
    let properties: String = kinds.map(property_spec).collect();
    let objects: String =
        objects.iter().map(|o| format!("<objectSet>{}</objectSet>", xml::reference("obj", o))).collect();
    properties + &objects
}

fn property_spec(wanted: &Wanted) -> String {
    let paths: String = wanted.paths.iter().map(|path| leaf("pathSet", path)).collect();
    format!("<propSet>{}{paths}</propSet>", leaf("type", wanted.kind))
}

/// The objects of a page.
pub(super) fn objects(page: Element) -> Result<impl Iterator<Item = Object>, VimError> {
    let objects: Vec<Element> = page.children.into_iter().filter(|c| c.name == "objects").collect();
    bounded(objects.len())?;
    Ok(objects.into_iter().filter_map(Object::read))
}

/// Whether an answer may have so many objects.
pub(super) fn bounded(count: usize) -> Result<(), VimError> {
    let too_many = || VimError::Unreadable(format!("it has {count} objects, and {PAGE} were asked for"));
    (count <= MOST_AT_ONCE).then_some(()).ok_or_else(too_many)
}

/// Reads everything that a specification selects, page by page; each page is handed over before the next is read.
pub(super) async fn retrieve(
    session: &Session,
    live: &Live,
    spec: &str,
    mut each: impl FnMut(Object),
) -> Result<(), VimError> {
    let collector = &live.content.property_collector;
    let arguments = format!("<specSet>{spec}</specSet><options><maxObjects>{PAGE}</maxObjects></options>");
    let mut call = Call::new("RetrievePropertiesEx", collector, arguments);
    for _ in 0..MOST_PAGES {
        let answer = session.read(live, call).await?;
        // No result at all means that nothing was selected.
        let Some(page) = answer.children.into_iter().find(|c| c.name == "returnval") else { return Ok(()) };
        let token = page.text_at("token").map(str::to_owned);
        objects(page)?.for_each(&mut each);
        let Some(token) = token else { return Ok(()) };
        call = Call::new("ContinueRetrievePropertiesEx", collector, leaf("token", &token));
    }
    Err(VimError::Unreadable(format!("its list of objects does not end within {MOST_PAGES} pages")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_traversals_of_a_specification_have_one_name() {
        let view = |id: &str| MoRef { kind: "ContainerView".to_owned(), id: id.to_owned() };
        let spec = spec_of_views(&[view("view-1"), view("view-2")]);
        assert_eq!(spec.matches("<path>view</path>").count(), 2, "{spec}");
        assert!(!spec.contains("<name>"), "{spec}");
    }
}
