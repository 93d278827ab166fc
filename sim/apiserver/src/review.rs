//! SubjectAccessReview and SelfSubjectAccessReview, answered by the policy of the embedding program.

use serde_json::{Value, json};

use crate::object::Object;
use crate::options::AccessRequest;
use crate::state::Shared;

impl Shared {
    /// The review with its answer.
    pub(crate) fn review(&self, mut review: Value) -> Value {
        let attribute = |name: &str| review.text(&format!("/spec/resourceAttributes/{name}")).to_owned();
        let request = AccessRequest {
            user: review.text("/spec/user").to_owned(),
            verb: attribute("verb"),
            group: attribute("group"),
            resource: attribute("resource"),
            subresource: attribute("subresource"),
            namespace: attribute("namespace"),
        };
        let allowed = self.access.as_ref().is_none_or(|policy| policy(&request));
        review.put("/status", json!({"allowed": allowed}));
        review
    }
}
