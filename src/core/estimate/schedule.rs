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
    /// Its calls that need the window, in their order.
    pub calls: Vec<Call>,
    /// Its disks, by the master target that they are attached to until it is committed.
    pub disks: Option<(&'a str, u32)>,
    /// Until it is committed; `None` where the plan does not go so far, and it keeps its disks.
    pub committed_after: Option<i64>,
}

/// A call that is made only while the window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How long after its start the machine is ready for it.
    pub after: i64,
    /// It comes before the machine is verified at home.
    pub verifies: bool,
}

/// What the machines of all waves share.
#[derive(Clone, Copy, Default)]
pub struct Terms<'t> {
    /// How many may be on their way at a time.
    pub limit: Option<usize>,
    /// Disks that master targets have left; those that are not named have enough.
    pub room: Option<&'t BTreeMap<&'t str, u32>>,
    /// When a call that is ready at a time may be made; `None` when never.
    pub opens: Option<&'t dyn Fn(i64) -> Option<i64>>,
}

/// Why it is not known when a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// The window does not open any more when it is ready.
    Window,
    /// Its wave's disks do not fit beside those of others.
    Disks,
    /// It comes after one that does not end.
    Behind,
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
    /// When the last of its calls is made that need the window.
    #[serde(skip)]
    pub last_call: Option<i64>,
    /// When its disks get free.
    #[serde(skip)]
    frees: Option<i64>,
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
    /// The machines that are in none of these, and why.
    pub never: Vec<(&'a str, Never)>,
}

impl Schedule<'_> {
    /// When the last machine ends, in seconds from now.
    pub fn seconds(&self) -> i64 {
        self.runs.iter().map(|run| run.ends).max().unwrap_or_default()
    }
}

/// Lays the machines out.
pub fn schedule<'a>(waves: &[WaveWork<'a>], terms: &Terms<'_>) -> Schedule<'a> {
    let mut site = Site { waves, terms: *terms, standing: vec![Standing::default(); waves.len()], ..Site::default() };
    // Those on their way hold their places from the beginning, whatever the gates say now.
    for (of, wave) in waves.iter().enumerate() {
        let (started, waiting): (Vec<_>, Vec<_>) =
            wave.machines.iter().partition(|work| work.moving || work.seconds <= 0);
        if started.iter().any(|work| work.moving) {
            site.begin(of);
        }
        started.into_iter().for_each(|work| site.start(of, wave, work, 0));
        site.waiting.push(waiting.into_iter().collect());
    }
    site.pass(0);
    while let Some((now, events)) = site.events.pop_first() {
        site.happen(&events);
        site.pass(now);
    }
    let critical = critical(waves, &site.runs);
    let too_many = |of: usize| site.standing.get(of).is_some_and(|wave| wave.too_many_disks);
    let waiting = site.waiting.iter().enumerate().flat_map(|(of, queue)| queue.iter().map(move |work| (of, work.name)));
    let stuck: Vec<_> =
        waiting.map(|(of, name)| (name, if too_many(of) { Never::Disks } else { Never::Behind })).collect();
    site.never.extend(stuck);
    Schedule { runs: site.runs, critical, never: site.never }
}

/// What a run gives free when it comes to a point.
#[derive(Clone, Copy)]
enum Event<'a> {
    Verified(usize),
    Committed(&'a str, u32),
    Ended(usize),
}

#[derive(Clone, Copy, Default)]
struct Standing {
    busy: usize,
    verified: usize,
    begun: bool,
    too_many_disks: bool,
}

#[derive(Default)]
struct Site<'w, 'a> {
    waves: &'w [WaveWork<'a>],
    terms: Terms<'w>,
    standing: Vec<Standing>,
    waiting: Vec<VecDeque<&'w Work<'a>>>,
    events: BTreeMap<i64, Vec<Event<'a>>>,
    held: BTreeMap<&'a str, u32>,
    runs: Vec<Run<'a>>,
    never: Vec<(&'a str, Never)>,
}

impl<'w, 'a> Site<'w, 'a> {
    fn start(&mut self, of: usize, wave: &WaveWork<'a>, work: &Work<'a>, now: i64) {
        if let Some(standing) = self.standing.get_mut(of) {
            standing.busy += 1;
        }
        let (mut waits, mut before, mut last_call) = (0, 0, None);
        for call in &work.calls {
            let ready = now + call.after + waits;
            let Some(made) = self.terms.opens.map_or(Some(ready), |opens| opens(ready)) else {
                // It keeps its place, and its disks, for ever.
                self.never.push((work.name, Never::Window));
                return;
            };
            waits += (made - ready).max(0);
            if call.verifies {
                before = waits;
            }
            last_call = Some(made);
        }
        let (verified, ends) = (now + work.verified_after.max(0) + before, now + work.seconds.max(0) + waits);
        let frees = work.disks.and(work.committed_after).map(|after| now + after.max(0) + waits);
        self.runs.push(Run { item: work.name, wave: wave.name, starts: now, verified, ends, last_call, frees, of });
        self.events.entry(verified).or_default().push(Event::Verified(of));
        if let (Some(frees), Some((target, disks))) = (frees, work.disks) {
            self.events.entry(frees).or_default().push(Event::Committed(target, disks));
        }
        self.events.entry(ends).or_default().push(Event::Ended(of));
    }

    fn happen(&mut self, events: &[Event<'a>]) {
        for event in events {
            match event {
                Event::Verified(of) => self.standing.get_mut(*of).into_iter().for_each(|wave| wave.verified += 1),
                Event::Committed(target, disks) => {
                    self.held.get_mut(target).into_iter().for_each(|held| *held = held.saturating_sub(*disks));
                }
                Event::Ended(of) => self.standing.get_mut(*of).into_iter().for_each(|wave| wave.busy -= 1),
            }
        }
    }

    /// Disks of the wave's machines, by master target.
    fn needs(&self, of: usize) -> BTreeMap<&'a str, u32> {
        let mut needs = BTreeMap::new();
        for (target, disks) in self.waves.get(of).into_iter().flat_map(|wave| &wave.machines).filter_map(|m| m.disks) {
            *needs.entry(target).or_default() += disks;
        }
        needs
    }

    /// A wave begins with the disks of all its machines.
    fn begin(&mut self, of: usize) {
        for (target, disks) in self.needs(of) {
            *self.held.entry(target).or_default() += disks;
        }
        self.standing.get_mut(of).into_iter().for_each(|wave| wave.begun = true);
    }

    fn may_begin(&mut self, of: usize) -> bool {
        let needs = self.needs(of);
        let room = |target: &&str| self.terms.room.and_then(|room| room.get(*target).copied()).unwrap_or(u32::MAX);
        let held = |target: &&str| self.held.get(*target).copied().unwrap_or_default();
        let fits = needs.iter().all(|(target, disks)| held(target).saturating_add(*disks) <= room(target));
        self.standing.get_mut(of).into_iter().for_each(|wave| wave.too_many_disks = !fits);
        if fits {
            self.begin(of);
        }
        fits
    }

    /// Starts as many machines as may start now.
    fn pass(&mut self, now: i64) {
        let waves = self.waves;
        for (of, wave) in waves.iter().enumerate().filter(|(_, wave)| !wave.machines.is_empty()) {
            let settled = |before: &usize| {
                let verified = self.standing.get(*before).map_or(0, |standing| standing.verified);
                waves.get(*before).is_none_or(|before| verified >= before.machines.len())
            };
            let waits = self.waiting.get(of).is_some_and(|queue| !queue.is_empty());
            if !waits || !wave.after.iter().all(settled) {
                continue;
            }
            let standing = self.standing.get(of).copied().unwrap_or_default();
            let everywhere: usize = self.standing.iter().map(|standing| standing.busy).sum();
            let room = self.terms.limit.map_or(usize::MAX, |limit| limit.max(1).saturating_sub(everywhere));
            let places = wave.limit.max(1).saturating_sub(standing.busy).min(room);
            if places == 0 || !standing.begun && !self.may_begin(of) {
                continue;
            }
            for _ in 0..places {
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
        let by_disks = || runs.iter().find(|run| run.frees == Some(first.starts) && run.starts < first.starts);
        let Some(before) = by_gate.or_else(in_wave).or_else(in_plan).or_else(by_disks).cloned() else { break };
        path.insert(0, before);
    }
    path
}
