//! A plan with its machines: from the cluster, or from a file joined with what the cluster shows.

use std::{collections::BTreeMap, io::Read, path::Path};

use kube::ResourceExt;
use serde_json::Value;

use super::{cluster::Cluster, outcome::Stop};
use crate::{
    api::{FailbackPlan, ReplicatedItem, ReplicatedItemStatus},
    core::preview::{self, Found},
};

/// What there is to look at.
pub(super) struct Looked {
    /// Without a UID when it is not applied yet.
    pub(super) plan: FailbackPlan,
    /// Machines of the cluster, and those of the file with nothing seen of them.
    pub(super) items: BTreeMap<String, ReplicatedItemStatus>,
    /// What the plan's selectors find among them.
    pub(super) found: Found,
}

pub(super) async fn look(cluster: &Cluster, file: Option<&Path>, name: Option<&str>) -> Result<Looked, Stop> {
    let (plan, declared) = match (file, name) {
        (Some(file), name) => of_file(cluster, file, name).await?,
        (None, Some(name)) => (cluster.plan(name).await?, Vec::new()),
        (None, None) => return Err(Stop::usage("a plan's name or -f FILE is expected.")),
    };
    let mut items: BTreeMap<String, ReplicatedItemStatus> =
        declared.iter().map(|item| (item.name_any(), ReplicatedItemStatus::default())).collect();
    let there = cluster.items().await?;
    let labels = there.iter().chain(&declared).map(|item| (item.name_any(), item.labels().clone())).collect();
    items.extend(there.into_iter().map(|item| (item.name_any(), item.status.unwrap_or_default())));
    let found = preview::found(&plan, &labels);
    Ok(Looked { plan, items, found })
}

async fn of_file(
    cluster: &Cluster,
    file: &Path,
    name: Option<&str>,
) -> Result<(FailbackPlan, Vec<ReplicatedItem>), Stop> {
    let (mut plans, mut items): (Vec<FailbackPlan>, Vec<ReplicatedItem>) = (Vec::new(), Vec::new());
    for (number, document) in documents(file)?.into_iter().enumerate() {
        let place = format!("{}, document {}", file.display(), number + 1);
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
        if !text("/apiVersion").starts_with("failback.dev/") {
            continue;
        }
        if !namespace.is_empty() && namespace != cluster.namespace {
            return Err(Stop::usage(format!(
                "{place}: metadata.namespace is \"{namespace}\"; you look at \"{}\". Give -n {namespace}.",
                cluster.namespace
            )));
        }
        let bad =
            |error: serde_json::Error| Stop::usage(format!("{place} ({kind} {}): {error}", text("/metadata/name")));
        match kind.as_str() {
            "FailbackPlan" => plans.push(serde_json::from_value(document.clone()).map_err(bad)?),
            "ReplicatedItem" => items.push(serde_json::from_value(document.clone()).map_err(bad)?),
            _ => {}
        }
    }
    plans.retain(|plan| name.is_none_or(|name| plan.name_any() == name));
    let names: Vec<String> = plans.iter().map(ResourceExt::name_any).collect();
    let mut plan = match (plans.pop(), names.len()) {
        (Some(plan), 1) => plan,
        (Some(_), _) => {
            let names = names.join(", ");
            return Err(Stop::usage(format!("{} holds several plans: {names}. Name one.", file.display())));
        }
        (None, _) => {
            let named = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
            return Err(Stop::usage(format!("{} holds no FailbackPlan{named}.", file.display())));
        }
    };
    // The plan's own claims are no obstacle to it.
    let applied = cluster.plan_if_there(&plan.name_any()).await?;
    if let Some(applied) = applied {
        // Of a plan that has started, what its selectors had found then.
        (plan.metadata.uid, plan.status) = (applied.metadata.uid, applied.status);
    }
    Ok((plan, items))
}

fn documents(file: &Path) -> Result<Vec<Value>, Stop> {
    let bad = |error: &dyn std::fmt::Display| Stop::usage(format!("{}: {error}", file.display()));
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| bad(&error))?;
        text
    } else {
        std::fs::read_to_string(file).map_err(|error| bad(&error))?
    };
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let value: Value = serde::Deserialize::deserialize(document).map_err(|error: serde_yaml::Error| bad(&error))?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}
