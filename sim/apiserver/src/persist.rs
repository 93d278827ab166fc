//! The state file: all objects and the version counter, so that a demo can be stopped and continued.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::object::Object;
use crate::state::Shared;
use crate::store::{Index, Key, Stored};

/// Changes are written this long after the last one …
const QUIET: Duration = Duration::from_millis(200);
/// … but not later than this after the first.
const LATEST: Duration = Duration::from_secs(2);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    resource_version: u64,
    objects: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    shelf: String,
    stamp: u64,
    object: Value,
}

/// Where the state is kept.
pub(crate) struct StateFile {
    path: PathBuf,
    /// Held while saving, so that a later save has the later state; false once the last save is done.
    open: Mutex<bool>,
}

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> StateFile {
        StateFile { path, open: Mutex::new(true) }
    }

    /// Saves what is in the store now.
    pub(crate) fn save(&self, shared: &Shared) -> Result<(), Error> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open { write(shared, &self.path) } else { Ok(()) }
    }

    /// Saves for the last time: from now on the file may be another server's.
    pub(crate) fn close(&self, shared: &Shared) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = false;
        self.tell(write(shared, &self.path));
    }

    fn tell(&self, saved: Result<(), Error>) {
        if let Err(error) = saved {
            tracing::warn!(%error, path = %self.path.display(), "the state could not be saved");
        }
    }
}

/// Writes the file as a whole and then puts it in place, so that a crash leaves the old one.
fn write(shared: &Shared, path: &Path) -> Result<(), Error> {
    let (resource_version, objects) = shared.store.dump();
    let entry = |(shelf, stored): (Arc<str>, Arc<Stored>)| {
        let object = serde_json::from_slice(&stored.json).map_err(Error::Format)?;
        Ok(Entry { shelf: shelf.to_string(), stamp: stored.stamp, object })
    };
    let objects = objects.into_iter().map(entry).collect::<Result<_, Error>>()?;
    let json = serde_json::to_vec(&File { resource_version, objects }).map_err(Error::Format)?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let replace = || {
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(&json)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    replace().map_err(Error::State)
}

/// Reads the file into an empty store; false when there is none.
pub(crate) fn load(shared: &Shared, path: &Path) -> Result<bool, Error> {
    let json = match std::fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::State(error)),
    };
    let file: File = serde_json::from_slice(&json).map_err(Error::Format)?;
    let mut objects: Vec<(Arc<str>, Stored)> = Vec::new();
    for Entry { shelf, stamp, object } in file.objects {
        let key = Key::new(object.text("/metadata/namespace"), object.text("/metadata/name"));
        let version = object.text("/metadata/resourceVersion").parse().unwrap_or(file.resource_version);
        let json = Bytes::from(object.to_string());
        objects.push((shelf.into(), Stored { key, version, json, stamp, index: Index::default() }));
    }
    // CRDs first: selectors of custom resources are indexed by what they declare.
    for (_, stored) in objects.iter().filter(|(shelf, _)| &**shelf == crate::crd::SHELF) {
        let crd: Value = serde_json::from_slice(&stored.json).map_err(Error::Format)?;
        shared.registry.set(crd.text("/metadata/name"), crate::crd::resources(&crd));
    }
    for (shelf, stored) in &mut objects {
        if let Some(resource) = shared.registry.on_shelf(shelf) {
            let object: Value = serde_json::from_slice(&stored.json).map_err(Error::Format)?;
            stored.index = crate::selector::index(&object, &resource);
        }
    }
    shared.store.restore(file.resource_version, objects);
    Ok(true)
}

/// Saves on a thread of its own, which sleeps until something changes and ends with the server.
pub(crate) fn save_on_change(shared: Weak<Shared>, file: Arc<StateFile>, changes: Receiver<()>) -> std::io::Result<()> {
    let run = move || {
        while settled(&changes, QUIET, LATEST) {
            let Some(shared) = shared.upgrade() else { return };
            file.tell(file.save(&shared));
        }
    };
    std::thread::Builder::new().name("apiserver-state".to_owned()).spawn(run).map(|_| ())
}

/// Waits for a change and then until there was none for `quiet`, or `latest` has passed; false when the server has ended.
/// All changes so far are in the store by then, and none of them asks for another save.
fn settled(changes: &Receiver<()>, quiet: Duration, latest: Duration) -> bool {
    if changes.recv().is_err() {
        return false;
    }
    let deadline = Instant::now() + latest;
    loop {
        let wait = quiet.min(deadline.saturating_duration_since(Instant::now()));
        match changes.recv_timeout(wait) {
            Ok(()) if !wait.is_zero() => {}
            Ok(()) | Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_burst_is_saved_once_it_is_over_or_at_the_deadline() {
        let (quiet, latest) = (Duration::from_millis(100), Duration::from_millis(400));
        let (dirty, changes) = sync_channel(1);
        let saving = std::thread::spawn(move || {
            let mut saves = 0;
            while settled(&changes, quiet, latest) {
                saves += 1;
            }
            saves
        });
        let start = Instant::now();
        for n in 0..4_000 {
            dirty.try_send(()).ok();
            if n % 4 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let deadlines = start.elapsed().as_millis() / latest.as_millis();
        std::thread::sleep(3 * quiet);
        drop(dirty);
        let saves = saving.join().unwrap();
        assert!((1..=deadlines + 1).contains(&saves), "{saves} saves, {deadlines} deadlines");
        assert!(deadlines > 1, "the burst was too short to show anything");
    }

    #[test]
    fn one_change_is_saved_once() {
        let (dirty, changes) = sync_channel(1);
        dirty.try_send(()).unwrap();
        let start = Instant::now();
        assert!(settled(&changes, Duration::from_millis(50), Duration::from_secs(60)));
        assert!((50..5_000).contains(&start.elapsed().as_millis()));
        drop(dirty);
        assert!(!settled(&changes, Duration::from_millis(50), Duration::from_secs(60)));
    }
}
