//! How a server is set up.

use std::path::PathBuf;
use std::sync::Arc;

/// Decides a SubjectAccessReview.
pub type AccessPolicy = Arc<dyn Fn(&AccessRequest) -> bool + Send + Sync>;

/// What a SubjectAccessReview asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRequest {
    /// The user, "" for a self review.
    pub user: String,
    /// `get`, `create`, …
    pub verb: String,
    /// API group.
    pub group: String,
    /// Plural name.
    pub resource: String,
    /// Subresource or "".
    pub subresource: String,
    /// Namespace or "".
    pub namespace: String,
}

/// Options of [`ApiServer::new`](crate::ApiServer::new).
#[derive(Clone, Default)]
pub struct Options {
    /// Keep all objects in this file: it is read at the start, and written shortly after changes and at the end.
    pub state_file: Option<PathBuf>,
    /// How many changes watches can look back; older versions are expired. 0 means 8,192.
    pub watch_log: usize,
    /// How many requests the record holds; older ones leave it. 0 means 100,000.
    pub record_limit: usize,
    /// Answers SubjectAccessReviews and SelfSubjectAccessReviews; without it everything is allowed.
    pub access: Option<AccessPolicy>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("state_file", &self.state_file)
            .field("watch_log", &self.watch_log)
            .field("record_limit", &self.record_limit)
            .field("access", &self.access.is_some())
            .finish()
    }
}
