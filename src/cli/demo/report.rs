//! What the demo says at its end: when each step was reached, and what was called.

use std::time::Duration;

use kube::{Api, ResourceExt, api::ListParams};

use crate::{api::ReplicatedItem, cli::Failed, core::conditions, rehearsal::Rehearsal};

const STEPS: [&str; 5] = ["Reprotected", "FailedBack", "Verified", "Committed", "Protected"];

/// Prints it.
pub(super) async fn print(rehearsal: &Rehearsal, took: Duration) -> Result<(), Failed> {
    let items: Api<ReplicatedItem> = Api::all(rehearsal.client().await?);
    println!();
    println!("Steps, by the site's clock:");
    for item in items.list(&ListParams::default()).await? {
        let status = item.status.clone().unwrap_or_default();
        println!("  {}", item.name_any());
        for step in STEPS {
            match conditions::find(&status.conditions, step) {
                Some(condition) if condition.status == "True" => {
                    println!("    {step:<12} {:.0}", condition.last_transition_time.0);
                }
                Some(_) | None => println!("    {step:<12} not reached"),
            }
        }
    }
    let calls = rehearsal.site.calls();
    println!("Mutating calls that the site received:");
    for call in &calls {
        let target = call.target.as_deref().unwrap_or("-");
        println!("  {:.0}  {:<16} {target:<16} {}", call.at, call.verb, call.status);
    }
    let world = rehearsal.site.snapshot();
    let both = world
        .get("machines")
        .and_then(serde_json::Value::as_array)
        .is_some_and(|machines| machines.iter().any(|machine| machine.get("bothRunningEver") == Some(&true.into())));
    println!("Both copies of a machine running at the same time: {}", if both { "YES" } else { "never" });
    println!("{} call(s), {:.1} s.", calls.len(), took.as_secs_f64());
    Ok(())
}
