//! `kubectl failback`: what a person asks of plans, through the API server alone and with their own rights.
//!
//! The same binary under the name `kubectl-failback` is this plugin; `failback kubectl …` is it without renaming.

mod act;
mod cluster;
mod gates;
mod manifest;
mod outcome;
mod plan;
mod preview_text;
mod status;
mod style;
mod watch;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use serde_json::{Value, json};

use self::{cluster::Cluster, outcome::Stop, style::Style};
use crate::{
    api::{ApprovalStep, DesiredPhase},
    cli::clock::{FastClock, WallClock},
    ports::SharedClock,
};

/// The name under which kubectl finds the plugin.
pub(super) const PROGRAM: &str = "kubectl-failback";

/// View, approve and control failback plans.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, bin_name = "kubectl failback", version, about, after_help = EXIT_CODES)]
pub(crate) struct Program {
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What was typed after `kubectl failback`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Flags {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 it could not be done; 2 wrong usage or invalid file; 3 no such object; 4 not allowed; \
                          5 the plan would be stopped (plan), or needs a person (status --watch).";

/// How the cluster is reached: as kubectl does.
#[derive(Debug, Args)]
struct Access {
    /// Namespace; by default the context's.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig; by default the current one.
    #[arg(long, global = true)]
    context: Option<String>,
    /// Kubeconfig file; by default those that KUBECONFIG names, or ~/.kube/config.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// How the answer is written.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,
    /// Run on the clock of a simulated site, as `failback sim` prints it.
    #[arg(long, env = "FAILBACK_CLOCK", hide = true, global = true, value_parser = FastClock::parse)]
    clock: Option<FastClock>,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object; with --watch, one a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a plan would do, without doing any of it.
    Plan(PlanFlags),
    /// Show where a plan and its machines stand.
    Status(StatusFlags),
    /// Approve a step of a plan.
    Approve(ApproveFlags),
    /// Suspend a plan: nothing new starts; what runs in Azure ends by itself.
    Suspend(Named),
    /// Resume a suspended plan.
    Resume(Named),
    /// Try again what has failed, and release machines from StatusLost.
    Retry(Named),
    /// Undo failbacks that are not committed.
    Cancel(CancelFlags),
    /// Allow a plan to be deleted while machines are failed back but not committed.
    Abandon(AbandonFlags),
}

#[derive(Debug, Args)]
struct Named {
    /// Name of the plan.
    plan: String,
}

#[derive(Debug, Args)]
struct PlanFlags {
    /// Name of a plan in the cluster; or of one in the file, if that holds several.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// File with a plan, and with machines if they are not applied yet; `-` for the standard input.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Look as far ahead as this instead of the plan's desiredPhase.
    #[arg(long, value_parser = desired_phase)]
    up_to: Option<DesiredPhase>,
}

#[derive(Debug, Args)]
struct StatusFlags {
    /// Name of the plan; all plans of the namespace when left out.
    name: Option<String>,
    /// Keep showing until the plan is ready, or needs a person.
    #[arg(short, long)]
    watch: bool,
}

#[derive(Debug, Args)]
struct ApproveFlags {
    /// Name of the plan.
    plan: String,
    /// The step: Reprotect, FailBack, Commit or Protect.
    #[arg(long, value_parser = approval_step)]
    step: ApprovalStep,
    /// How long the approval is valid, such as 4h or 90m.
    #[arg(long, default_value = "4h", value_parser = duration)]
    expires: SignedDuration,
    /// Who approves; by default the name under which you are signed in.
    #[arg(long)]
    approver: Option<String>,
    /// A note for the record.
    #[arg(long, default_value = "")]
    comment: String,
}

#[derive(Debug, Args)]
struct CancelFlags {
    /// Name of the plan.
    plan: String,
    /// A machine (name of its ReplicatedItem); can be given several times. All machines of the plan when left out.
    #[arg(long = "item")]
    items: Vec<String>,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
struct AbandonFlags {
    /// Name of the plan.
    #[arg(required_unless_present = "item")]
    plan: Option<String>,
    /// Name of a machine instead: one that is deleted, and held because the fate of a call is open.
    #[arg(long, conflicts_with = "plan")]
    item: Option<String>,
    /// Do not ask for the name to be typed.
    #[arg(long)]
    yes: bool,
}

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    found.ok_or_else(|| format!("one of {} is expected", names.join(", ")))
}

fn approval_step(text: &str) -> Result<ApprovalStep, String> {
    use ApprovalStep::{Commit, FailBack, Protect, Reprotect};
    one_of(text, &[Reprotect, FailBack, Commit, Protect].map(|step| (step.as_str(), step)))
}

pub(super) fn desired_phase(text: &str) -> Result<DesiredPhase, String> {
    one_of(text, &DesiredPhase::ALL.map(|phase| (phase.as_str(), phase)))
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let expected = "a duration above zero such as 4h, 90m or 1h30m is expected";
    let parsed: SignedDuration = text.parse().map_err(|_| expected.to_owned())?;
    if parsed.is_positive() { Ok(parsed) } else { Err(expected.to_owned()) }
}

/// Runs what was typed. The exit code is the answer; what went wrong stands on the standard error.
pub(crate) async fn run(flags: Flags) -> ExitCode {
    match answer(flags).await {
        Ok(code) => code,
        Err(Stop { code, text }) => {
            eprintln!("error: {text}");
            ExitCode::from(code)
        }
    }
}

async fn answer(flags: Flags) -> Result<ExitCode, Stop> {
    let Flags { access, command } = flags;
    let clock: SharedClock = match access.clock {
        Some(clock) => Arc::new(clock),
        None => Arc::new(WallClock),
    };
    let cluster = Cluster::connect(&access, clock).await?;
    let done = match command {
        Command::Plan(flags) => return plan::plan(&cluster, &flags, access.output).await,
        Command::Status(StatusFlags { name: Some(name), watch: true }) => {
            return watch::until_settled(&cluster, &name, access.output).await;
        }
        Command::Status(StatusFlags { name: None, watch: true }) => {
            return Err(Stop::usage("--watch follows one plan: name it."));
        }
        Command::Status(flags) => return status(&cluster, flags.name.as_deref(), access.output).await,
        Command::Approve(flags) => act::approve(&cluster, &flags).await?,
        Command::Suspend(named) => act::suspend(&cluster, &named.plan, true).await?,
        Command::Resume(named) => act::suspend(&cluster, &named.plan, false).await?,
        Command::Retry(named) => act::retry(&cluster, &named.plan).await?,
        Command::Cancel(flags) => act::cancel(&cluster, &flags).await?,
        Command::Abandon(flags) => act::abandon(&cluster, &flags).await?,
    };
    match access.output {
        Output::Text => say(&done.text)?,
        Output::Json => say(&done.json())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a line. Whoever reads may have read enough.
fn say(text: &str) -> Result<(), Stop> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Stop::failed(format!("the answer could not be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

async fn status(cluster: &Cluster, name: Option<&str>, output: Output) -> Result<ExitCode, Stop> {
    let text = match (name, output) {
        (None, Output::Text) => status::list(&cluster.plans().await?, &cluster.namespace, cluster.clock.now()),
        (None, Output::Json) => {
            let plans = cluster.plans().await?;
            let rows: Vec<Value> = plans
                .iter()
                .map(|plan| json!({ "metadata": { "name": plan.metadata.name }, "status": plan.status }))
                .collect();
            pretty(&json!({ "namespace": cluster.namespace, "plans": rows }))
        }
        (Some(name), _) => {
            let view = status::View::of(&cluster.plan(name).await?, &cluster.items().await?);
            match output {
                Output::Text => view.text(Style::of_stdout(), cluster.clock.now()),
                Output::Json => pretty(&view.json()),
            }
        }
    };
    say(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
