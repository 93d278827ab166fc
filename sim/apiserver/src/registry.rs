//! Which resources are served now: the built-in ones and those of the established CRDs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::builtin;
use crate::resource::Resource;

/// The served resources, replaced as a whole when a CRD changes.
#[derive(Default)]
pub(crate) struct Registry {
    custom: RwLock<BTreeMap<String, Vec<Arc<Resource>>>>,
}

impl Registry {
    /// All served resources.
    pub(crate) fn all(&self) -> Vec<Arc<Resource>> {
        let custom = self.custom.read().unwrap_or_else(PoisonError::into_inner);
        builtin::resources().iter().chain(custom.values().flatten()).cloned().collect()
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let is = |r: &&Arc<Resource>| r.group == group && r.version == version && r.plural() == plural;
        if let Some(builtin) = builtin::resources().iter().find(is) {
            return Some(builtin.clone());
        }
        let custom = self.custom.read().unwrap_or_else(PoisonError::into_inner);
        custom.values().flatten().find(is).cloned()
    }

    /// Some resource that stores on `shelf`.
    pub(crate) fn on_shelf(&self, shelf: &str) -> Option<Arc<Resource>> {
        self.all().into_iter().find(|r| &*r.shelf == shelf)
    }

    /// Serves the versions of the CRD `name`; none removes them.
    pub(crate) fn set(&self, name: &str, resources: Vec<Arc<Resource>>) {
        let mut custom = self.custom.write().unwrap_or_else(PoisonError::into_inner);
        if resources.is_empty() {
            custom.remove(name);
        } else {
            custom.insert(name.to_owned(), resources);
        }
    }

    /// Forgets all custom resources.
    pub(crate) fn clear(&self) {
        self.custom.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The CRD, other than `name`, that has taken one of these names in `group`.
    pub(crate) fn taken(&self, name: &str, group: &str, plural: &str, kind: &str) -> Option<String> {
        let custom = self.custom.read().unwrap_or_else(PoisonError::into_inner);
        let clash = |r: &Arc<Resource>| r.group == group && (r.plural() == plural || r.kind() == kind);
        custom.iter().find(|(of, list)| *of != name && list.iter().any(clash)).map(|(of, _)| of.clone())
    }
}
