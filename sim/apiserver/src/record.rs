//! The record of requests, from which a test can derive the RBAC rules that a client needs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// One request for a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestRecord {
    /// The name given to [`ApiServer::service`](crate::ApiServer::service), or the User-Agent's first word over HTTP.
    pub client: String,
    /// The verb as RBAC names it: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// API group, "" for core.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// Subresource or "".
    pub subresource: String,
    /// Namespace in the path or "".
    pub namespace: String,
    /// Name in the path or "".
    pub name: String,
}

pub(crate) struct Record {
    requests: Mutex<VecDeque<RequestRecord>>,
    limit: usize,
}

impl Record {
    pub(crate) fn new(limit: usize) -> Record {
        Record { requests: Mutex::default(), limit }
    }

    pub(crate) fn add(&self, request: RequestRecord) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= self.limit {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
