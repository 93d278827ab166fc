//! The state file: all objects and the version counter, so that a demo can be stopped and continued.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::object::Object;
use crate::state::Shared;
use crate::store::{Index, Key, Stored};

/// Changes are written this long after the last one.
const QUIET: Duration = Duration::from_millis(200);
/// … but not later than this many quiet periods after the first.
const MAX_DELAYS: u32 = 10;

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

/// Writes the file as a whole and then puts it in place, so that a crash leaves the old one.
pub(crate) fn save(shared: &Shared, path: &Path) -> Result<(), Error> {
    let (resource_version, objects) = shared.store.dump();
    let entry = |(shelf, stored): (Arc<str>, Arc<Stored>)| {
        let object = serde_json::from_slice(&stored.json).map_err(Error::Format)?;
        Ok(Entry { shelf: shelf.to_string(), stamp: stored.stamp, object })
    };
    let objects = objects.into_iter().map(entry).collect::<Result<_, Error>>()?;
    let json = serde_json::to_vec(&File { resource_version, objects }).map_err(Error::Format)?;
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    std::fs::write(&unfinished, json).map_err(Error::State)?;
    std::fs::rename(&unfinished, path).map_err(Error::State)
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
pub(crate) fn save_on_change(shared: Weak<Shared>, path: PathBuf, changes: Receiver<()>) -> std::io::Result<()> {
    let run = move || {
        while changes.recv().is_ok() {
            for _ in 0..MAX_DELAYS {
                match changes.recv_timeout(QUIET) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            let Some(shared) = shared.upgrade() else { return };
            if let Err(error) = save(&shared, &path) {
                tracing::warn!(%error, path = %path.display(), "the state could not be saved");
            }
        }
    };
    std::thread::Builder::new().name("apiserver-state".to_owned()).spawn(run).map(|_| ())
}
