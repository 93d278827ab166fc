//! `status --watch`: a table that is drawn again on a terminal, lines elsewhere, until the plan is ready or needs a
//! person.

use std::{collections::BTreeMap, io::Write, pin::pin, process::ExitCode, time::Duration};

use futures::StreamExt;
use kube::{
    ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};

use super::{
    Output,
    cluster::Cluster,
    outcome::{BLOCKED, Stop},
    say,
    status::View,
    style::Style,
};
use crate::api::{FailbackPlan, ReplicatedItem};

/// A plan of hundreds of machines changes many times a second; nobody reads faster than this.
const FRAME: Duration = Duration::from_millis(250);

/// What the watches have shown so far.
struct Seen {
    plan: Option<FailbackPlan>,
    /// The plan is in the list that is under way.
    plan_listed: bool,
    items: BTreeMap<String, ReplicatedItem>,
    items_listed: bool,
    changed: bool,
}

pub(super) async fn until_settled(cluster: &Cluster, name: &str, output: Output) -> Result<ExitCode, Stop> {
    let mut seen = Seen {
        plan: Some(cluster.plan(name).await?),
        plan_listed: false,
        items: BTreeMap::new(),
        items_listed: false,
        changed: true,
    };
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut plans = pin!(watcher(cluster.api::<FailbackPlan>(), only).default_backoff());
    let mut items = pin!(watcher(cluster.api::<ReplicatedItem>(), watcher::Config::default()).default_backoff());
    let mut frames = tokio::time::interval(FRAME);
    let mut screen = Screen::new(Style::of_stdout(), output);
    loop {
        tokio::select! {
            Some(event) = plans.next() => plan_event(cluster, &mut seen, event)?,
            Some(event) = items.next() => item_event(cluster, &mut seen, event)?,
            _ = frames.tick() => {
                let Some(plan) = &seen.plan else {
                    return Err(Stop::not_found(format!("plan {name} was deleted.")));
                };
                if !seen.items_listed || !seen.changed {
                    continue;
                }
                let items: Vec<ReplicatedItem> = seen.items.values().cloned().collect();
                let view = View::of(plan, &items);
                screen.show(cluster, &view)?;
                seen.changed = false;
                match view.settled() {
                    Some(true) => return Ok(ExitCode::SUCCESS),
                    Some(false) => return Ok(ExitCode::from(BLOCKED)),
                    None => {}
                }
            }
        }
    }
}

impl Seen {
    fn take_plan(&mut self, event: Event<FailbackPlan>) {
        match event {
            Event::Init => self.plan_listed = false,
            Event::Apply(plan) | Event::InitApply(plan) => (self.plan, self.plan_listed) = (Some(plan), true),
            Event::Delete(_) => self.plan = None,
            // It may have gone while nobody watched: then no event tells it.
            Event::InitDone => self.plan = self.plan.take().filter(|_| self.plan_listed),
        }
        self.changed = true;
    }
}

fn plan_event(cluster: &Cluster, seen: &mut Seen, event: watcher::Result<Event<FailbackPlan>>) -> Result<(), Stop> {
    match event.map_err(|error| fatal(cluster, error)) {
        Ok(event) => seen.take_plan(event),
        Err(fatal) => return fatal.map_or(Ok(()), Err),
    }
    Ok(())
}

fn item_event(cluster: &Cluster, seen: &mut Seen, event: watcher::Result<Event<ReplicatedItem>>) -> Result<(), Stop> {
    match event.map_err(|error| fatal(cluster, error)) {
        Ok(Event::Init) => {
            seen.items.clear();
            seen.items_listed = false;
        }
        Ok(Event::Apply(item) | Event::InitApply(item)) => {
            seen.items.insert(item.name_any(), item);
        }
        Ok(Event::Delete(item)) => {
            seen.items.remove(&item.name_any());
        }
        Ok(Event::InitDone) => seen.items_listed = true,
        Err(fatal) => return fatal.map_or(Ok(()), Err),
    }
    seen.changed = true;
    Ok(())
}

/// What no waiting helps against. A connection that broke comes back by itself.
fn fatal(cluster: &Cluster, error: watcher::Error) -> Option<Stop> {
    let (verb, error) = match error {
        watcher::Error::InitialListFailed(error) => ("list", error),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => ("watch", error),
        watcher::Error::WatchError(status) => ("watch", kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => return None,
    };
    let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
    matches!(code, 401 | 403 | 404).then(|| cluster.asked(verb, PLANS_AND_ITEMS, "").refused(&error))
}

const PLANS_AND_ITEMS: &str = "failbackplans.failback.dev and replicateditems.failback.dev";

struct Screen {
    style: Style,
    output: Output,
    drawn: usize,
    /// What of each line was told.
    told: BTreeMap<String, String>,
}

impl Screen {
    const fn new(style: Style, output: Output) -> Self {
        Self { style, output, drawn: 0, told: BTreeMap::new() }
    }

    fn show(&mut self, cluster: &Cluster, view: &View) -> Result<(), Stop> {
        match self.output {
            Output::Json => say(&view.json().to_string()),
            Output::Text if self.style.terminal => self.draw(&view.text(self.style, cluster.clock.now())),
            Output::Text => self.tell(cluster, view),
        }
    }

    /// Each machine whose line says something new.
    fn tell(&mut self, cluster: &Cluster, view: &View) -> Result<(), Stop> {
        let now = cluster.clock.now();
        let lines = view.lines(self.style, now);
        for (name, line) in lines.iter().filter(|(name, line)| self.told.get(*name) != Some(&line.mark)) {
            say(&format!("{now:.0}  {name}  {}", line.text))?;
        }
        self.told = lines.into_iter().map(|(name, line)| (name, line.mark)).collect();
        Ok(())
    }

    /// Draws over what was drawn before: as many lines as fit, each cut where it would wrap.
    fn draw(&mut self, text: &str) -> Result<(), Stop> {
        let (width, height) = terminal_size::terminal_size().map_or((120, 40), |(w, h)| (w.0.into(), h.0.into()));
        let all: Vec<&str> = text.lines().collect();
        let room = usize::max(height, 4) - 2;
        let mut frame = String::new();
        if self.drawn > 0 {
            frame.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        for line in all.iter().take(room) {
            frame.push_str(&cut(line, width));
            frame.push('\n');
        }
        self.drawn = all.len().min(room);
        if all.len() > room {
            frame.push_str(&format!("and {} more lines; without --watch all are shown\n", all.len() - room));
            self.drawn += 1;
        }
        let mut out = std::io::stdout().lock();
        let written = out.write_all(frame.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| Stop::failed(format!("the answer could not be written: {error}")))
    }
}

/// At most as many characters as the terminal is wide; escape codes take no room.
fn cut(line: &str, width: usize) -> String {
    let (mut shown, mut escaped, mut kept) = (0, false, String::new());
    for c in line.chars() {
        let starts = c == '\x1b';
        let visible = !escaped && !starts;
        if visible && shown == width {
            continue;
        }
        shown += usize::from(visible);
        escaped = starts || escaped && c != 'm';
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::{Seen, cut};
    use crate::api::FailbackPlan;

    #[test]
    fn a_plan_that_goes_while_nobody_watches_is_gone() {
        let plan: FailbackPlan =
            serde_json::from_value(json!({ "metadata": { "name": "web" }, "spec": { "waves": [] } })).unwrap();
        let mut seen = Seen {
            plan: Some(plan.clone()),
            plan_listed: false,
            items: Default::default(),
            items_listed: true,
            changed: false,
        };
        for event in [Event::Init, Event::InitApply(plan), Event::InitDone] {
            seen.take_plan(event);
            assert!(seen.plan.is_some());
        }
        seen.take_plan(Event::Init);
        assert!(seen.plan.is_some(), "a list that begins has told nothing yet");
        seen.take_plan(Event::InitDone);
        assert!(seen.plan.is_none());
    }

    #[test]
    fn lines_are_cut_by_what_is_seen() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("\x1b[31mabcdef\x1b[0m", 4), "\x1b[31mabcd\x1b[0m");
        assert_eq!(cut("äöü", 2), "äö");
    }
}
