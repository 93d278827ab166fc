//! Storage: objects by resource, one counter of versions, and a log of changes that watches read from.
//!
//! Kubernetes keeps objects in etcd: every write has a revision of its own, writes compare revisions, and old revisions
//! can be read until they are compacted (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use crate::object::Object;

/// The first resourceVersion. Not 1, so that a client asking for version 1 is told that it has expired, as any cluster
/// older than a few minutes would.
const FIRST_VERSION: u64 = 100;

/// Where an object is: its namespace ("" for cluster scope) and name, in the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }
}

/// One version of an object, serialised without `apiVersion` and `kind`.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    pub(crate) version: u64,
    pub(crate) json: Bytes,
    /// The stamp of the resource it was written through.
    pub(crate) stamp: u64,
    /// What selectors look at, so that lists and watches need not parse the object.
    pub(crate) index: Index,
}

/// Labels, and the values of selectable fields by their dotted paths.
#[derive(Debug, Default, Clone)]
pub(crate) struct Index {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) fields: Vec<(String, String)>,
}

/// An object to be written.
pub(crate) struct Draft {
    pub(crate) value: Value,
    pub(crate) stamp: u64,
    pub(crate) index: Index,
}

/// A write of one object: `after` is `None` for a deletion, `before` for a creation.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) shelf: Arc<str>,
    pub(crate) before: Option<Arc<Stored>>,
    pub(crate) after: Option<Arc<Stored>>,
    /// The last state of a deleted object, under the version of its deletion.
    pub(crate) last: Option<Arc<Stored>>,
}

/// The object is not in the state that the write was made for.
#[derive(Debug)]
pub(crate) struct Moved;

/// What [`Store::since`] finds.
pub(crate) enum Since {
    /// Changes after the asked version, and the version now.
    Changes(Vec<Change>, u64),
    /// The log no longer reaches back that far.
    Expired,
}

type Shelf = BTreeMap<Key, Arc<Stored>>;

/// An object and its shelf.
pub(crate) type Placed = (Arc<str>, Arc<Stored>);

struct Inner {
    version: u64,
    /// Changes up to this version have left the log.
    compacted: u64,
    shelves: HashMap<Arc<str>, Shelf>,
    log: VecDeque<Change>,
    log_bytes: usize,
}

/// All objects.
pub(crate) struct Store {
    inner: Mutex<Inner>,
    bell: watch::Sender<u64>,
    log_limit: usize,
    log_bytes_limit: usize,
}

impl Store {
    pub(crate) fn new(log_limit: usize, log_bytes_limit: usize) -> Store {
        let inner = Inner {
            version: FIRST_VERSION,
            compacted: FIRST_VERSION,
            shelves: HashMap::new(),
            log: VecDeque::new(),
            log_bytes: 0,
        };
        Store { inner: Mutex::new(inner), bell: watch::channel(FIRST_VERSION).0, log_limit, log_bytes_limit }
    }

    // A panic while holding the lock leaves complete entries only, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings with the newest version on every write.
    pub(crate) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Rings without a change, for what is not in the store.
    pub(crate) fn ring(&self) {
        self.bell.send_modify(|_| {});
    }

    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    pub(crate) fn get(&self, shelf: &str, key: &Key) -> Option<Arc<Stored>> {
        self.lock().shelves.get(shelf)?.get(key).cloned()
    }

    /// Writes `draft` (or deletes with it as the last state) if the object still has the version `expected`; `None`
    /// expects that there is none.
    pub(crate) fn write(
        &self,
        shelf: &Arc<str>,
        key: &Key,
        expected: Option<u64>,
        draft: Draft,
        delete: bool,
    ) -> Result<Arc<Stored>, Moved> {
        let mut inner = self.lock();
        let before = inner.shelves.get(shelf).and_then(|s| s.get(key)).cloned();
        if before.as_ref().map(|b| b.version) != expected {
            return Err(Moved);
        }
        inner.version += 1;
        let version = inner.version;
        let stored = Arc::new(store(key, version, draft));
        let objects = inner.shelves.entry(shelf.clone()).or_default();
        let (after, last) = if delete {
            objects.remove(key);
            (None, Some(stored.clone()))
        } else {
            objects.insert(key.clone(), stored.clone());
            (Some(stored.clone()), None)
        };
        self.log(&mut inner, Change { version, shelf: shelf.clone(), before, after, last });
        drop(inner);
        self.bell.send_replace(version);
        Ok(stored)
    }

    fn log(&self, inner: &mut Inner, change: Change) {
        inner.log_bytes += weight(&change);
        inner.log.push_back(change);
        while inner.log.len() > self.log_limit || inner.log_bytes > self.log_bytes_limit {
            let Some(oldest) = inner.log.pop_front() else { break };
            inner.log_bytes -= weight(&oldest);
            inner.compacted = oldest.version;
        }
    }

    /// The objects now, and the version of this state.
    pub(crate) fn list(&self, shelf: &str, namespace: Option<&str>) -> (Vec<Arc<Stored>>, u64) {
        let inner = self.lock();
        let objects = inner.shelves.get(shelf).map(|s| select(s, namespace)).unwrap_or_default();
        (objects, inner.version)
    }

    /// The objects as they were at `version`, or `None` when that is compacted.
    pub(crate) fn list_at(&self, shelf: &str, namespace: Option<&str>, version: u64) -> Option<Vec<Arc<Stored>>> {
        let inner = self.lock();
        if version < inner.compacted {
            return None;
        }
        let mut objects: Shelf = inner.shelves.get(shelf).cloned().unwrap_or_default();
        for change in inner.log.iter().rev().take_while(|c| c.version > version).filter(|c| &*c.shelf == shelf) {
            let Some(key) = change.after.as_ref().or(change.last.as_ref()).map(|s| s.key.clone()) else { continue };
            match &change.before {
                Some(before) => objects.insert(key, before.clone()),
                None => objects.remove(&key),
            };
        }
        Some(select(&objects, namespace))
    }

    /// The changes of a shelf after `version`.
    pub(crate) fn since(&self, shelf: &str, version: u64) -> Since {
        let inner = self.lock();
        if version < inner.compacted || version > inner.version {
            return Since::Expired;
        }
        let from = inner.log.partition_point(|c| c.version <= version);
        let changes = inner.log.iter().skip(from).filter(|c| &*c.shelf == shelf).cloned().collect();
        Since::Changes(changes, inner.version)
    }

    /// Whether any object is in `namespace` (of any resource).
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<(Arc<str>, Key)> {
        let inner = self.lock();
        let within = |(shelf, objects): (&Arc<str>, &Shelf)| {
            let of = |o: Arc<Stored>| (shelf.clone(), o.key.clone());
            select(objects, Some(namespace)).into_iter().map(of).collect::<Vec<_>>()
        };
        inner.shelves.iter().flat_map(within).collect()
    }

    /// Forgets the log: every open watch and every older version is expired.
    pub(crate) fn compact(&self) {
        let mut inner = self.lock();
        inner.log.clear();
        inner.log_bytes = 0;
        inner.compacted = inner.version;
    }

    /// Forgets everything, the counter of versions too.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.shelves.clear();
        inner.log.clear();
        inner.log_bytes = 0;
        inner.version = FIRST_VERSION;
        inner.compacted = FIRST_VERSION;
    }

    /// Everything, for the state file.
    pub(crate) fn dump(&self) -> (u64, Vec<Placed>) {
        let inner = self.lock();
        let all = inner.shelves.iter().flat_map(|(shelf, s)| s.values().map(|o| (shelf.clone(), o.clone())));
        (inner.version, all.collect())
    }

    /// Puts back what [`Store::dump`] gave, before the first request.
    pub(crate) fn restore(&self, version: u64, objects: Vec<(Arc<str>, Stored)>) {
        let mut inner = self.lock();
        for (shelf, stored) in objects {
            inner.shelves.entry(shelf).or_default().insert(stored.key.clone(), Arc::new(stored));
        }
        inner.version = version.max(FIRST_VERSION);
        inner.compacted = inner.version;
    }
}

/// About what an entry keeps in memory: the state after the change. The one before is the one after of the object's earlier
/// entry; where that has left the log it comes on top, uncounted, once per object.
fn weight(change: &Change) -> usize {
    change.after.as_ref().or(change.last.as_ref()).map_or(0, |s| s.json.len() + 200)
}

fn select(objects: &Shelf, namespace: Option<&str>) -> Vec<Arc<Stored>> {
    match namespace {
        Some(namespace) => {
            let first = Key::new(namespace, "");
            objects.range(first..).take_while(|(k, _)| &*k.namespace == namespace).map(|(_, o)| o.clone()).collect()
        }
        None => objects.values().cloned().collect(),
    }
}

fn store(key: &Key, version: u64, draft: Draft) -> Stored {
    let Draft { mut value, stamp, index } = draft;
    value.cut("/apiVersion");
    value.cut("/kind");
    value.meta_mut().insert("resourceVersion".to_owned(), version.to_string().into());
    Stored { key: key.clone(), version, json: Bytes::from(value.to_string()), stamp, index }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn draft(n: u64) -> Draft {
        Draft { value: json!({"metadata": {"name": "a"}, "n": n}), stamp: 0, index: Index::default() }
    }

    #[test]
    fn a_write_for_another_state_is_refused() {
        let store = Store::new(10, 1 << 20);
        let (shelf, key): (Arc<str>, Key) = ("x".into(), Key::new("", "a"));
        let first = store.write(&shelf, &key, None, draft(1), false).unwrap();
        assert!(store.write(&shelf, &key, None, draft(2), false).is_err());
        let second = store.write(&shelf, &key, Some(first.version), draft(2), false).unwrap();
        assert!(store.write(&shelf, &key, Some(first.version), draft(3), true).is_err());
        assert_eq!(second.version, first.version + 1);
    }

    #[test]
    fn an_older_version_can_be_listed_until_it_is_compacted() {
        let store = Store::new(2, 1 << 20);
        let (shelf, key): (Arc<str>, Key) = ("x".into(), Key::new("", "a"));
        let first = store.write(&shelf, &key, None, draft(1), false).unwrap();
        let second = store.write(&shelf, &key, Some(first.version), draft(2), false).unwrap();
        let third = store.write(&shelf, &key, Some(second.version), draft(3), true).unwrap();
        assert!(store.list("x", None).0.is_empty());
        assert_eq!(store.list_at("x", None, second.version).unwrap()[0].version, second.version);
        assert_eq!(store.list_at("x", None, first.version).unwrap()[0].version, first.version);
        assert!(store.list_at("x", None, first.version - 1).is_none());
        assert!(matches!(store.since("x", first.version - 1), Since::Expired));
        let Since::Changes(changes, now) = store.since("x", first.version) else { panic!("expired") };
        assert_eq!((changes.len(), now), (2, third.version));
    }
}
