//! When a plan's machines start and end, given its waves and limits: a list scheduler, as the plan itself is one.

use std::collections::{BTreeMap, VecDeque};

/// Machines that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveWork<'a> {
    /// Name of the wave.
    pub name: &'a str,
    /// Positions of the waves whose machines must be verified before.
    pub after: Vec<usize>,
    /// How many of its machines may be on their way at a time.
    pub limit: usize,
    /// Its machines, in their order.
    pub machines: Vec<Work<'a>>,
}

/// A machine's way, in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    /// Name of the ReplicatedItem.
    pub name: &'a str,
    /// It is on its way already.
    pub moving: bool,
    /// Until it is verified at home, or as far as the plan goes where that is less.
    pub verified_after: i64,
    /// Until it is where the plan wants it.
    pub seconds: i64,
}

/// When a machine starts and ends, in seconds from now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run<'a> {
    /// Name of the ReplicatedItem.
    pub item: &'a str,
    /// Name of its wave.
    pub wave: &'a str,
    /// When it starts.
    pub starts: i64,
    /// When it is verified at home, or as far as the plan goes.
    pub verified: i64,
    /// When it is where the plan wants it.
    pub ends: i64,
    #[serde(skip)]
    of: usize,
}

/// When the machines start and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule<'a> {
    /// All machines, in the order of their starts.
    pub runs: Vec<Run<'a>>,
    /// The machines that each waited for the one before, up to the last one to end: to be sooner, begin here.
    pub critical: Vec<Run<'a>>,
}

impl Schedule<'_> {
    /// When the last machine ends, in seconds from now.
    pub fn seconds(&self) -> i64 {
        self.runs.iter().map(|run| run.ends).max().unwrap_or_default()
    }
}

/// Lays the machines out. `limit` holds over all waves.
pub fn schedule<'a>(waves: &[WaveWork<'a>], limit: Option<usize>) -> Schedule<'a> {
    let mut site = Site { waves, limit, standing: vec![Standing::default(); waves.len()], ..Site::default() };
    // Those on their way hold their places from the beginning, whatever the gates say now.
    for (of, wave) in waves.iter().enumerate() {
        let (started, waiting): (Vec<_>, Vec<_>) =
            wave.machines.iter().partition(|work| work.moving || work.seconds <= 0);
        started.into_iter().for_each(|work| site.start(of, wave, work, 0));
        site.waiting.push(waiting.into_iter().collect());
    }
    site.pass(0);
    while let Some((now, events)) = site.events.pop_first() {
        site.happen(&events);
        site.pass(now);
    }
    let critical = critical(waves, &site.runs);
    Schedule { runs: site.runs, critical }
}

/// What a run gives free when it comes to a point.
#[derive(Clone, Copy)]
enum Event {
    Verified(usize),
    Ended(usize),
}

#[derive(Clone, Copy, Default)]
struct Standing {
    busy: usize,
    verified: usize,
}

#[derive(Default)]
struct Site<'w, 'a> {
    waves: &'w [WaveWork<'a>],
    limit: Option<usize>,
    standing: Vec<Standing>,
    waiting: Vec<VecDeque<&'w Work<'a>>>,
    events: BTreeMap<i64, Vec<Event>>,
    runs: Vec<Run<'a>>,
}

impl<'w, 'a> Site<'w, 'a> {
    fn start(&mut self, of: usize, wave: &WaveWork<'a>, work: &Work<'a>, now: i64) {
        let (verified, ends) = (now + work.verified_after.max(0), now + work.seconds.max(0));
        self.runs.push(Run { item: work.name, wave: wave.name, starts: now, verified, ends, of });
        self.events.entry(verified).or_default().push(Event::Verified(of));
        self.events.entry(ends).or_default().push(Event::Ended(of));
        if let Some(standing) = self.standing.get_mut(of) {
            standing.busy += 1;
        }
    }

    fn happen(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Verified(of) => self.standing.get_mut(*of).into_iter().for_each(|wave| wave.verified += 1),
                Event::Ended(of) => self.standing.get_mut(*of).into_iter().for_each(|wave| wave.busy -= 1),
            }
        }
    }

    /// Starts as many machines as may start now.
    fn pass(&mut self, now: i64) {
        let waves = self.waves;
        for (of, wave) in waves.iter().enumerate().filter(|(_, wave)| !wave.machines.is_empty()) {
            let settled = |before: &usize| {
                let verified = self.standing.get(*before).map_or(0, |standing| standing.verified);
                waves.get(*before).is_none_or(|before| verified >= before.machines.len())
            };
            if !wave.after.iter().all(settled) {
                continue;
            }
            let busy = self.standing.get(of).map_or(0, |standing| standing.busy);
            let everywhere: usize = self.standing.iter().map(|standing| standing.busy).sum();
            let room = self.limit.map_or(usize::MAX, |limit| limit.max(1).saturating_sub(everywhere));
            for _ in 0..wave.limit.max(1).saturating_sub(busy).min(room) {
                let Some(work) = self.waiting.get_mut(of).and_then(VecDeque::pop_front) else { break };
                self.start(of, wave, work, now);
            }
        }
    }
}

/// From the last one to end back to one that waited for nobody.
fn critical<'a>(waves: &[WaveWork<'a>], runs: &[Run<'a>]) -> Vec<Run<'a>> {
    let mut path: Vec<Run<'a>> = runs.iter().max_by_key(|run| run.ends).cloned().into_iter().collect();
    // Gates form no cycle, and a place comes free only after its run began: this ends.
    while let Some(first) = path.first().filter(|run| run.starts > 0) {
        let gates = waves.get(first.of).map(|wave| wave.after.as_slice()).unwrap_or_default();
        let by_gate = runs.iter().find(|run| gates.contains(&run.of) && run.verified == first.starts);
        let frees = |run: &&Run<'_>| run.ends == first.starts && run.ends > run.starts;
        let in_wave = || runs.iter().filter(frees).find(|run| run.of == first.of);
        let in_plan = || runs.iter().find(frees);
        let Some(before) = by_gate.or_else(in_wave).or_else(in_plan).cloned() else { break };
        path.insert(0, before);
    }
    path
}
