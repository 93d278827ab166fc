//! What a plan would do, what would stop it, and what it would wait for.

use std::{collections::BTreeSet, process::ExitCode};

use kube::ResourceExt;
use serde_json::json;

use super::{
    Output, PlanFlags,
    cluster::Cluster,
    gates, manifest,
    outcome::{self, Stop},
    pretty, preview_text, say,
    style::Style,
};
use crate::{
    api::REQUESTED_BY_ANNOTATION,
    core::{
        decide::plan::{PlanInput, spec_hash, stops},
        estimate::Measured,
        jobs::JobsSeen,
        preview::{PreviewInput, preview},
        schedule::load::Load,
    },
};

pub(super) async fn plan(cluster: &Cluster, flags: &PlanFlags, output: Output) -> Result<ExitCode, Stop> {
    let looked = manifest::look(cluster, flags.file.as_deref(), flags.name.as_deref()).await?;
    let plan = &looked.plan;
    let mut spec = plan.spec.clone();
    spec.desired_phase = flags.up_to.unwrap_or(spec.desired_phase);
    let (name, uid) = (plan.name_any(), plan.metadata.uid.clone().unwrap_or_default());
    let status = plan.status.clone().unwrap_or_default();
    let approvals = cluster.approvals(plan).await?;
    let now = cluster.clock.now();
    // What other plans have in use is the controller's to count.
    let measured = Measured::of(looked.items.values());
    let ahead = preview(&PreviewInput {
        uid: &uid,
        spec: &spec,
        items: &looked.items,
        found: &looked.found,
        load: None,
        measured: &measured,
        cancelled: &status.cancelled,
        now,
    });
    let input = PlanInput {
        name: &name,
        uid: &uid,
        generation: plan.metadata.generation,
        spec: &spec,
        spec_hash: &spec_hash(&spec, &looked.found),
        status: &status,
        deleting: plan.metadata.deletion_timestamp.is_some(),
        abandon: None,
        requester: plan.annotations().get(REQUESTED_BY_ANNOTATION).map(String::as_str),
        items: &looked.items,
        declared: &looked.declared,
        load: &Load::of(cluster.limits().await?, &[], &BTreeSet::new()),
        measured: &measured,
        jobs: &JobsSeen::NotYet,
        approvals: &approvals,
        now,
    };
    let (stops, gates) = (stops(&input), gates::gates(&input, &ahead));
    let totals = ahead.totals();
    let stopped = totals.blocked > 0 || !stops.is_empty();
    match output {
        Output::Json => say(&pretty(&json!({
            "plan": name,
            "namespace": cluster.namespace,
            "applied": !uid.is_empty(),
            "totals": totals,
            "gates": gates.iter().map(|gate| &gate.told).collect::<Vec<_>>(),
            "waitsFor": gates.iter().filter_map(|gate| gate.waits_for.as_ref()).collect::<Vec<_>>(),
            "stops": stops.iter().map(|(reason, message)| json!({ "reason": reason, "message": message })).collect::<Vec<_>>(),
            "preview": ahead,
        })))?,
        Output::Text => {
            say(preview_text::render(&name, &ahead, &gates, &stops, Style::of_stdout()).trim_end())?;
        }
    }
    Ok(if stopped { ExitCode::from(outcome::BLOCKED) } else { ExitCode::SUCCESS })
}
