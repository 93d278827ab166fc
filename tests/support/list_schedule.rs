//! What a list scheduler makes of the same machines, limits and durations: at each moment at which anything ends or
//! opens, in the order of the list, whatever may start does. It knows everything at once and reacts in no time.

use std::collections::{BTreeMap, BTreeSet};

/// What holds machines back.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of each wave: the positions of the waves before it, and how many of its machines move at a time.
    pub waves: Vec<(Vec<usize>, usize)>,
    /// How many machines of the plan move at a time.
    pub plan: usize,
    /// Calls in flight per vault.
    pub calls: usize,
    /// Power-ons per host.
    pub starts: usize,
    /// Disks per master target.
    pub disks: usize,
    /// Before this no leg of this number begins: windows and approvals.
    pub opens: [i64; 3],
}

/// A machine: where it belongs, and its three legs: reprotect, failback, commit with the protection after it (nothing
/// lies between these two).
#[derive(Clone, Debug)]
pub struct Way {
    /// Position of its wave.
    pub wave: usize,
    /// Its master target.
    pub target: String,
    /// Its disks.
    pub disks: usize,
    /// The host that it comes home to.
    pub host: String,
    /// Its vault.
    pub vault: String,
    /// How long after the begin of its last leg it is committed: its disks are free then.
    pub commit: i64,
    /// Its legs. One that fails has no more than those up to its failure.
    pub legs: Vec<Leg>,
    /// It fails in its last leg, and is set aside.
    pub fails: bool,
}

/// A step, in any unit of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leg {
    /// While its call is in flight.
    pub call: i64,
    /// After that, while it still moves.
    pub rest: i64,
    /// After that, until the next leg may follow, and those who wait for this one.
    pub settles: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    done: usize,
    /// When the call and the leg end, while one runs.
    running: Option<(i64, i64)>,
    /// When the last leg has settled.
    settled: i64,
    /// When its disks are free, once that is known.
    freed: Option<i64>,
}

/// When the last machine ends.
pub fn makespan(limits: &Limits, ways: &[Way]) -> i64 {
    let mut site =
        Site { limits, ways, now: 0, states: vec![State::default(); ways.len()], begun: BTreeSet::new(), ends: 0 };
    loop {
        site.pass();
        let Some(next) = site.next_moment() else { return site.ends };
        site.now = next;
        for (state, way) in site.states.iter_mut().zip(ways) {
            if let Some((_, end)) = state.running.filter(|(_, end)| *end <= next) {
                state.running = None;
                state.settled = end + way.legs[state.done].settles;
                state.done += 1;
            }
        }
    }
}

struct Site<'a> {
    limits: &'a Limits,
    ways: &'a [Way],
    now: i64,
    states: Vec<State>,
    begun: BTreeSet<usize>,
    ends: i64,
}

/// What is in use now.
#[derive(Default)]
struct Use<'a> {
    plan: usize,
    waves: BTreeMap<usize, usize>,
    calls: BTreeMap<&'a str, usize>,
    starts: BTreeMap<&'a str, usize>,
    disks: BTreeMap<&'a str, usize>,
}

impl<'a> Use<'a> {
    fn take(&mut self, way: &'a Way, leg: usize, calling: bool) {
        self.plan += 1;
        *self.waves.entry(way.wave).or_default() += 1;
        *self.calls.entry(&way.vault).or_default() += usize::from(calling);
        *self.starts.entry(&way.host).or_default() += usize::from(leg == 1);
    }
}

impl<'a> Site<'a> {
    /// Starts whatever may start now.
    fn pass(&mut self) {
        let mut used = self.used();
        for index in 0..self.ways.len() {
            if self.may_start(index, &used) && self.has_disks(index, &mut used) {
                let (way, state) = (&self.ways[index], &mut self.states[index]);
                let leg = way.legs[state.done];
                let call = self.now + leg.call;
                state.running = Some((call, call + leg.rest));
                state.freed = (state.done == 2).then_some(self.now + way.commit);
                self.ends = self.ends.max(call + leg.rest);
                used.take(way, state.done, leg.call > 0);
            }
        }
    }

    fn next_moment(&self) -> Option<i64> {
        let of_machines = self.states.iter().flat_map(|state| {
            let (call, end) = state.running.unwrap_or_default();
            [call, end, state.settled, state.freed.unwrap_or_default()]
        });
        of_machines.chain(self.limits.opens).filter(|time| *time > self.now).min()
    }

    fn used(&self) -> Use<'a> {
        let mut used = Use::default();
        for (way, state) in self.ways.iter().zip(&self.states) {
            if let Some((call, _)) = state.running {
                used.take(way, state.done, call > self.now);
            }
            if self.begun.contains(&way.wave) && self.needs_disks(way, state) {
                *used.disks.entry(&way.target).or_default() += way.disks;
            }
        }
        used
    }

    /// A machine of a wave that has begun has its disks until it is committed, or until its reprotect failed for good.
    /// One whose failback failed goes on replicating.
    fn needs_disks(&self, way: &Way, state: &State) -> bool {
        if aside(way, state) { state.done == 2 } else { state.freed.is_none_or(|freed| self.now < freed) }
    }

    fn may_start(&self, index: usize, used: &Use<'_>) -> bool {
        let (way, state, limits) = (&self.ways[index], &self.states[index], self.limits);
        let (before, most) = &limits.waves[way.wave];
        let of = |wave: usize| self.ways.iter().zip(&self.states).filter(move |(way, _)| way.wave == wave);
        let below = |count: Option<&usize>, most: usize| count.copied().unwrap_or_default() < most;
        state.running.is_none()
            && state.done < way.legs.len()
            && self.now >= state.settled.max(limits.opens[state.done])
            && used.plan < limits.plan
            && below(used.waves.get(&way.wave), *most)
            && below(used.calls.get(way.vault.as_str()), limits.calls)
            && (state.done != 1 || below(used.starts.get(way.host.as_str()), limits.starts))
            && (state.done != 1 || of(way.wave).all(|(way, state)| state.done >= 1 || aside(way, state)))
            && before.iter().all(|wave| of(*wave).all(|(way, state)| self.is_verified(way, state)))
    }

    fn is_verified(&self, way: &Way, state: &State) -> bool {
        aside(way, state) || state.done > 2 || state.done == 2 && (state.running.is_some() || self.now >= state.settled)
    }

    /// A wave begins only when the disks of all of its machines fit, and has them then.
    fn has_disks(&mut self, index: usize, used: &mut Use<'a>) -> bool {
        let wave = self.ways[index].wave;
        if self.begun.contains(&wave) {
            return true;
        }
        let mut needs: BTreeMap<&str, usize> = BTreeMap::new();
        for way in self.ways.iter().filter(|way| way.wave == wave) {
            *needs.entry(&way.target).or_default() += way.disks;
        }
        let fits = needs
            .iter()
            .all(|(target, disks)| used.disks.get(target).copied().unwrap_or_default() + disks <= self.limits.disks);
        // Who asks later does not overtake.
        for (target, disks) in needs {
            *used.disks.entry(target).or_default() += disks;
        }
        if fits {
            self.begun.insert(wave);
        }
        fits
    }
}

/// It failed, and its wave goes on without it.
fn aside(way: &Way, state: &State) -> bool {
    way.fails && state.done == way.legs.len()
}
