//! Incremental updates: what changed since a client was last told, and the long poll that waits for it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::fault::{Fault, envelope};
use super::inventory::Inventory;
use super::select::{Eye, Read, missing, moref};
use super::session::{Collector, Filter};
use super::value::{MoRef, Val};
use super::xml::{Node, escape};
use crate::site::{Site, State};
use crate::wire::Answer;

/// How long a wait without a limit lasts, in wall time.
const LONGEST: u64 = 600;

/// A wait: what the client asked for.
struct Wait {
    collector: String,
    version: String,
    limit: Option<u64>,
    objects: usize,
    /// WaitForUpdates and CheckForUpdates are the old forms.
    response: &'static str,
}

/// `WaitForUpdatesEx` and its old forms.
pub(crate) async fn wait(site: &Site, vcenter: usize, session: &str, call: &Node) -> Result<Answer, Fault> {
    let reference = call.child("_this").and_then(moref).ok_or_else(|| Fault::invalid_argument("_this"))?;
    let options = call.child("options");
    let number =
        |name: &str| options.and_then(|options| options.text_of(name)).and_then(|text| text.parse::<u64>().ok());
    let (limit, response) = match call.name.as_str() {
        "CheckForUpdates" => (Some(0), "CheckForUpdatesResponse"),
        "WaitForUpdates" => (None, "WaitForUpdatesResponse"),
        _ => (number("maxWaitSeconds"), "WaitForUpdatesExResponse"),
    };
    let wait = Wait {
        collector: reference.id.clone(),
        version: call.text_of("version").unwrap_or_default().to_owned(),
        limit,
        objects: number("maxObjectUpdates").map_or(usize::MAX, |number| number.max(1) as usize),
        response,
    };
    let until = tokio::time::Instant::now() + Duration::from_secs(wait.limit.unwrap_or(LONGEST).min(LONGEST));
    let mut changes = site.changes();
    let mut cancelled = None;
    loop {
        changes.mark_unchanged();
        if let Some(body) = look(&mut site.lock(), vcenter, session, &reference, &wait, &mut cancelled)? {
            return Ok(envelope(200, &body));
        }
        if wait.limit == Some(0) {
            return Ok(nothing(&wait));
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(nothing(&wait)); },
            () = tokio::time::sleep_until(until) => return Ok(nothing(&wait)),
        }
    }
}

fn nothing(wait: &Wait) -> Answer {
    envelope(200, &format!("<{} xmlns=\"urn:vim25\"></{}>", wait.response, wait.response))
}

/// Looks once; tells the body when there is something to tell.
fn look(
    state: &mut State,
    vcenter: usize,
    session: &str,
    reference: &MoRef,
    wait: &Wait,
    cancelled: &mut Option<u64>,
) -> Result<Option<String>, Fault> {
    let State { world, sessions, .. } = state;
    let live = sessions.get(world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    if wait.collector == "propertyCollector" {
        live.collectors.entry("propertyCollector".to_owned()).or_default();
    }
    // Taken out while its filters are compared with the session's views, and put back whatever came of it.
    let Some(mut collector) = live.collectors.remove(&wait.collector) else { return Err(Fault::gone(reference)) };
    let told = tell(state, vcenter, session, &mut collector, wait, cancelled);
    let State { world, sessions, .. } = state;
    if let Some(live) = sessions.get(world, vcenter, session) {
        live.collectors.insert(wait.collector.clone(), collector);
    }
    told
}

fn tell(
    state: &mut State,
    vcenter: usize,
    session: &str,
    collector: &mut Collector,
    wait: &Wait,
    cancelled: &mut Option<u64>,
) -> Result<Option<String>, Fault> {
    if *cancelled.get_or_insert(collector.cancelled) != collector.cancelled {
        return Err(Fault::request_canceled());
    }
    if let Some(again) = check_version(collector, &wait.version)? {
        return Ok(Some(again));
    }
    let State { world, sessions, .. } = state;
    let count = sessions.of(vcenter).len();
    let live = sessions.get(world, vcenter, session).ok_or_else(Fault::not_authenticated)?;
    let inventory = Inventory::new(world, vcenter).ok_or_else(Fault::not_authenticated)?;
    let idle = collector.filters.values().all(|filter| filter.seen == inventory.vcenter.revision && !filter.truncated);
    if idle && !wait.version.is_empty() {
        return Ok(None);
    }
    let eye = Eye { inventory, session: live, sessions: count };
    let mut sets = String::new();
    let mut truncated = false;
    let mut left = wait.objects;
    for (id, filter) in &mut collector.filters {
        let updates = filter_updates(&eye, filter, &mut left)?;
        truncated |= filter.truncated;
        if !updates.is_empty() {
            sets.push_str("<filterSet>");
            Val::Ref(MoRef::new("PropertyFilter", id.clone())).write(&mut sets, "filter", false);
            sets.push_str(&updates);
            sets.push_str("</filterSet>");
        }
    }
    if sets.is_empty() {
        return Ok(None);
    }
    let from = collector.version;
    collector.version += 1;
    let more = if truncated { "<truncated>true</truncated>" } else { "" };
    let body = format!(
        "<{0} xmlns=\"urn:vim25\"><returnval><version>{1}</version>{sets}{more}</returnval></{0}>",
        wait.response, collector.version
    );
    collector.last = Some((from, body.clone()));
    Ok(Some(body))
}

/// "" starts over; the last version goes on; the one before it gets the last answer again; anything else is refused.
fn check_version(collector: &mut Collector, version: &str) -> Result<Option<String>, Fault> {
    if version.is_empty() {
        for filter in collector.filters.values_mut() {
            filter.known.clear();
            filter.seen = 0;
            filter.truncated = false;
        }
        collector.last = None;
        return Ok(None);
    }
    let asked: u64 = version.parse().map_err(|_| Fault::invalid_collector_version())?;
    if asked == collector.version {
        return Ok(None);
    }
    match &collector.last {
        Some((from, body)) if *from == asked && asked != 0 => Ok(Some(body.clone())),
        _ => Err(Fault::invalid_collector_version()),
    }
}

/// The object updates of one filter.
fn filter_updates(eye: &Eye<'_>, filter: &mut Filter, left: &mut usize) -> Result<String, Fault> {
    let specs = std::slice::from_ref(&filter.spec);
    // When the object that the filter hangs on is gone, everything leaves.
    let selected = eye.select(specs).unwrap_or_default();
    let mut out = String::new();
    filter.truncated = false;
    let mut present = HashSet::with_capacity(selected.len());
    for (reference, _) in &selected {
        present.insert(reference.clone());
        let known = filter.known.get(reference);
        let unchanged = known.is_some() && eye.changed(reference).is_some_and(|changed| changed <= filter.seen);
        if unchanged {
            continue;
        }
        if *left == 0 {
            filter.truncated = true;
            continue;
        }
        let Read { values, denied } = eye.values(reference, &filter.spec)?;
        let fresh: HashMap<String, String> =
            values.iter().map(|(path, value)| (path.clone(), value.to_val())).collect();
        let change = match known {
            None => Some(entered(reference, &values, &denied)),
            Some(known) => modified(reference, known, &fresh, &values),
        };
        if let Some(change) = change {
            out.push_str(&change);
            *left -= 1;
        }
        filter.known.insert(reference.clone(), fresh);
    }
    let mut gone: Vec<MoRef> = filter.known.keys().filter(|reference| !present.contains(reference)).cloned().collect();
    gone.sort();
    for reference in gone {
        filter.known.remove(&reference);
        out.push_str("<objectSet><kind>leave</kind>");
        Val::Ref(reference).write(&mut out, "obj", false);
        out.push_str("</objectSet>");
    }
    if !filter.truncated {
        filter.seen = eye.inventory.vcenter.revision;
    }
    Ok(out)
}

fn entered(reference: &MoRef, values: &[(String, Val)], denied: &[String]) -> String {
    let mut out = "<objectSet><kind>enter</kind>".to_owned();
    Val::Ref(reference.clone()).write(&mut out, "obj", false);
    for (path, value) in values {
        assign(&mut out, path, value);
    }
    for path in denied {
        out.push_str(&missing(reference, path));
    }
    out.push_str("</objectSet>");
    out
}

fn assign(out: &mut String, path: &str, value: &Val) {
    out.push_str(&format!("<changeSet><name>{}</name><op>assign</op>", escape(path)));
    value.write(out, "val", true);
    out.push_str("</changeSet>");
}

fn modified(
    reference: &MoRef,
    known: &HashMap<String, String>,
    fresh: &HashMap<String, String>,
    values: &[(String, Val)],
) -> Option<String> {
    let mut changes = String::new();
    for (path, value) in values {
        if known.get(path) != fresh.get(path) {
            assign(&mut changes, path, value);
        }
    }
    let mut unset: Vec<&String> = known.keys().filter(|path| !fresh.contains_key(*path)).collect();
    unset.sort();
    for path in unset {
        // A property that became unset is assigned nothing.
        changes.push_str(&format!("<changeSet><name>{}</name><op>assign</op></changeSet>", escape(path)));
    }
    if changes.is_empty() {
        return None;
    }
    let mut out = "<objectSet><kind>modify</kind>".to_owned();
    Val::Ref(reference.clone()).write(&mut out, "obj", false);
    out.push_str(&changes);
    out.push_str("</objectSet>");
    Some(out)
}
