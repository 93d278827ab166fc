//! Machines that go together, and what comes before them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Machines that go together: named, found by their labels, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.items) > 0 || has(self.selector)")
    .message("name machines in items, or find them with selector"))]
#[x_kube(validation = Rule::new("!has(self.dependsOn) || !(self.name in self.dependsOn)")
    .message("a wave cannot depend on itself: take its own name out of dependsOn"))]
pub struct Wave {
    /// Name of the wave, unique in the plan.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Names of ReplicatedItems of this namespace.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub items: Vec<String>,
    /// Finds ReplicatedItems of this namespace by their labels. Once the plan has started, the machines found then are
    /// the wave's for good, and are listed in its status; a plan that finds more than fit there is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// How many machines of the wave may be between two resting points at the same time.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrent: i32,
    /// Names of the waves whose machines must all be verified at home before this one starts. Left out: the wave
    /// before it. An empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 31), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub depends_on: Option<Vec<String>>,
}

const fn default_concurrency() -> i32 {
    10
}

/// Which labels a machine must have: all that are named here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)")
    .message("name at least one label: a selector without any would find every machine of the namespace"))]
pub struct Selector {
    /// Labels with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, LabelValue>,
    /// Demands on the values of labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelDemand>,
}

/// A label's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// A demand on the value of one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
    .message("values go with the operators In and NotIn, and are required there"))]
pub struct LabelDemand {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// What is demanded of it.
    pub operator: LabelOperator,
    /// Values, for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// What is demanded of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether an object with these labels is found.
    pub fn finds(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |key: &String, value: &LabelValue| labels.get(key) == Some(&value.0);
        self.match_labels.iter().all(|(key, value)| has(key, value))
            && self.match_expressions.iter().all(|demand| {
                let value = labels.get(&demand.key);
                let listed = value.is_some_and(|value| demand.values.contains(value));
                match demand.operator {
                    LabelOperator::In => listed,
                    LabelOperator::NotIn => !listed,
                    LabelOperator::Exists => value.is_some(),
                    LabelOperator::DoesNotExist => value.is_none(),
                }
            })
    }
}
