//! What the demo shows while it runs: a table that is drawn again on a terminal, lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
};

use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::consent::Consent;
use crate::{
    api::{FailbackPlan, ReplicatedItem},
    cli::Failed,
    core::conditions,
    ports::SharedClock,
};

/// One machine's line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    wave: String,
    phase: String,
    runs_in: String,
    progress: String,
    doing: String,
}

/// Shows machines until every plan is ready; what plans ask consent for is shown, and given if that is the demo's part.
pub(super) async fn until_ready(client: Client, clock: &SharedClock, mut consent: Consent) -> Result<(), Failed> {
    let items = watcher(Api::<ReplicatedItem>::all(client.clone()), watcher::Config::default());
    let plans = watcher(Api::<FailbackPlan>::all(client), watcher::Config::default());
    let mut items = std::pin::pin!(items.default_backoff().applied_objects());
    let mut plans = std::pin::pin!(plans.default_backoff().applied_objects());
    let mut screen = Screen::new(SharedClock::clone(clock));
    let mut standing: BTreeMap<String, bool> = BTreeMap::new();
    loop {
        tokio::select! {
            Some(Ok(item)) = items.next() => screen.show(&item.name_any(), row(&item)),
            given = consent.give() => given?,
            Some(Ok(plan)) = plans.next() => {
                screen.order(&plan);
                if let Some(text) = consent.look(&plan, screen.terminal).await {
                    screen.tell(&text);
                }
                let status = plan.status.clone().unwrap_or_default();
                let current = status.observed_generation == plan.metadata.generation;
                let ready = current && conditions::is_true(&status.conditions, "Ready");
                standing.insert(plan.name_any(), ready);
                if !standing.is_empty() && standing.values().all(|ready| *ready) {
                    screen.end();
                    return Ok(());
                }
            }
        }
    }
}

fn row(item: &ReplicatedItem) -> Row {
    let status = item.status.clone().unwrap_or_default();
    let ready = conditions::find(&status.conditions, "Ready");
    Row {
        wave: status.claim.map(|claim| claim.wave).unwrap_or_default(),
        phase: format!("{:?}", status.phase),
        runs_in: status.runs_in.unwrap_or_default(),
        progress: status.progress.map(|progress| progress.text).unwrap_or_default(),
        doing: ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
    }
}

/// More rows would not fit on a usual terminal, and could not be drawn over.
const MOST: usize = 20;

struct Screen {
    clock: SharedClock,
    began: Timestamp,
    rows: BTreeMap<String, Row>,
    /// Waves in their order: machines are shown in it.
    waves: Vec<String>,
    drawn: usize,
    terminal: bool,
}

impl Screen {
    fn new(clock: SharedClock) -> Self {
        let began = clock.now();
        Self {
            clock,
            began,
            rows: BTreeMap::new(),
            waves: Vec::new(),
            drawn: 0,
            terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Takes in the order of a plan's waves.
    fn order(&mut self, plan: &FailbackPlan) {
        for wave in &plan.spec.waves {
            if !self.waves.contains(&wave.name) {
                self.waves.push(wave.name.clone());
            }
        }
    }

    /// Says something; the table is drawn again below it.
    fn tell(&mut self, text: &str) {
        println!("\n{text}\n");
        self.drawn = 0;
    }

    fn show(&mut self, name: &str, row: Row) {
        if self.rows.get(name) == Some(&row) {
            return;
        }
        if self.terminal {
            self.rows.insert(name.to_owned(), row);
            self.draw();
            return;
        }
        let moved = self.rows.get(name).is_none_or(|before| before.phase != row.phase || before.doing != row.doing);
        if moved {
            let Row { wave, phase, runs_in, doing, .. } = &row;
            println!("{}  {wave:<12} {name:<16} {phase:<13} {runs_in:<7} {doing}", self.elapsed());
        }
        self.rows.insert(name.to_owned(), row);
    }

    /// Simulated time since the start.
    fn elapsed(&self) -> String {
        let seconds = self.began.duration_until(self.clock.now()).as_secs().max(0);
        format!("{:>3}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    fn draw(&mut self) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        text.push_str(&format!(
            "\x1b[2K{:<12} {:<16} {:<13} {:<8} {:<28} {}\n",
            "WAVE", "MACHINE", "PHASE", "RUNS IN", "DOING", "PROGRESS"
        ));
        let place = |row: &Row| self.waves.iter().position(|wave| *wave == row.wave);
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(_, row)| place(row));
        for (name, row) in rows.into_iter().take(MOST) {
            text.push_str(&format!(
                "\x1b[2K{:<12} {name:<16} {:<13} {:<8} {:<28} {}\n",
                row.wave, row.phase, row.runs_in, row.doing, row.progress
            ));
        }
        let more = self.rows.len().saturating_sub(MOST);
        let more = if more == 0 { String::new() } else { format!(", and {more} more machines") };
        text.push_str(&format!("\x1b[2K{} since the start, by the site's clock{more}\n", self.elapsed()));
        self.drawn = self.rows.len().min(MOST) + 2;
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.terminal = false;
        }
    }

    fn end(&mut self) {
        if self.terminal {
            self.draw();
        }
    }
}
