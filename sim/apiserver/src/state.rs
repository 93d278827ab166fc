//! What all requests share, and reading objects out of the store.

use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use serde_json::Value;

use crate::event;
use crate::faults::Faults;
use crate::options::AccessPolicy;
use crate::record::Record;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::schema::defaulting;
use crate::selector;
use crate::store::{Draft, Store, Stored};

/// The server behind all its handles.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) record: Record,
    pub(crate) faults: Faults,
    pub(crate) access: Option<AccessPolicy>,
    /// Tells the saving thread that something changed.
    pub(crate) dirty: Option<SyncSender<()>>,
}

impl Shared {
    /// The object as `resource` shows it.
    pub(crate) fn load(&self, resource: &Resource, stored: &Stored) -> Value {
        let mut json = Vec::with_capacity(stored.json.len() + resource.head.len());
        resource.dress(&stored.json, &mut json);
        // The store holds only what this server serialised.
        let mut object: Value = serde_json::from_slice(&json).unwrap_or_default();
        if resource.stamp != stored.stamp {
            if resource.is_event() {
                event::from_core(&mut object);
            } else {
                defaulting::default(&resource.schema, &mut object);
            }
        }
        object
    }

    /// Appends the object's JSON to `out`, without parsing it where the stored form is already right.
    pub(crate) fn write_json(&self, resource: &Resource, stored: &Stored, out: &mut Vec<u8>) {
        if resource.stamp == stored.stamp {
            resource.dress(&stored.json, out);
        } else {
            out.extend_from_slice(self.load(resource, stored).to_string().as_bytes());
        }
    }

    /// The object's JSON.
    pub(crate) fn json(&self, resource: &Resource, stored: &Stored) -> Bytes {
        let mut out = Vec::with_capacity(stored.json.len() + resource.head.len());
        self.write_json(resource, stored, &mut out);
        out.into()
    }

    /// The object in its stored form.
    pub(crate) fn draft(&self, resource: &Resource, mut value: Value) -> Draft {
        let mut stamp = resource.stamp;
        if resource.is_event() && !resource.group.is_empty() {
            event::to_core(&mut value);
            stamp = 0;
        }
        let index = selector::index(&value, resource);
        Draft { value, stamp, index }
    }

    /// To be called after each write.
    pub(crate) fn changed(&self) {
        if let Some(dirty) = &self.dirty {
            // Full: the saving thread has yet to take an earlier message, and will save this change with it.
            dirty.try_send(()).ok();
        }
    }
}
