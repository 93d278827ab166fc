//! Reviews: what somebody may do, answered by the policy of the embedding program, and who the caller is.

use serde_json::{Value, json};

use crate::call::Call;
use crate::object::{Object, now};
use crate::options::AccessRequest;
use crate::state::Shared;

impl Shared {
    /// The review with its answer.
    pub(crate) fn review(&self, call: &Call, mut review: Value) -> Value {
        if call.resource.kind() == "SelfSubjectReview" {
            let groups = call.user.groups.iter().map(String::as_str).chain(["system:authenticated"]);
            let user = json!({"username": call.user.name, "groups": groups.collect::<Vec<_>>()});
            review.put("/metadata/creationTimestamp", now());
            review.put("/status", json!({"userInfo": user}));
            return review;
        }
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
