//! When a plan's machines start and end, given its waves and limits: a list scheduler, as the plan itself is one.
//!
//! A machine goes its way in legs, from one resting point to the next. It takes a place only while it moves; at rest it
//! waits for whatever holds its next leg.

use std::collections::BTreeMap;

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

/// A machine's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    /// Name of the ReplicatedItem.
    pub name: &'a str,
    /// It is on its way already, in the first of its legs.
    pub moving: bool,
    /// The legs that are left.
    pub legs: Vec<Leg>,
    /// Its disks, by the master target that they are attached to.
    pub disks: Option<(&'a str, u32)>,
}

/// A machine's way from one resting point to the next, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// At rest before it, with nothing to wait for but the time.
    pub rests: i64,
    /// On its way.
    pub seconds: i64,
    /// Its call is made only while the window is open.
    pub windowed: bool,
    /// It begins once all machines of the wave have come as far.
    pub together: bool,
    /// At its end the machine is verified at home, or as far as the plan goes where that is less.
    pub verifies: bool,
    /// How long after its start the machine's disks are free again.
    pub frees_disks: Option<i64>,
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
}

/// When the machines start and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule<'a> {
    /// All machines that end, in the order of their starts.
    pub runs: Vec<Run<'a>>,
    /// What each waited for the one before, up to the last one to end: to be sooner, begin here. Of a machine, the part of
    /// its way that others waited for.
    pub critical: Vec<Run<'a>>,
    /// The machines that do not end, and why.
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
    let mut site = Site::of(waves, *terms);
    site.pass(0);
    while let Some((now, events)) = site.events.pop_first() {
        events.into_iter().for_each(|event| site.happen(now, event));
        site.pass(now);
    }
    site.told()
}

/// Position of a wave, and of a machine in it.
type At = (usize, usize);
/// A machine's leg, by its position.
type Step = (At, usize);

#[derive(Clone, Copy)]
enum Event {
    /// A machine has ended a leg.
    Ended(At),
    /// A machine at rest is ready for its next leg.
    Ready(At),
    /// A machine's disks are free.
    Freed(At),
    /// The window opens.
    Opens,
}

/// A leg as it was gone.
#[derive(Clone, Copy)]
struct Gone {
    ready: i64,
    starts: i64,
    ends: i64,
    freed: Option<i64>,
}

#[derive(Clone, Default)]
struct Standing {
    busy: usize,
    /// Machines that are not verified yet.
    unverified: usize,
    /// Machines that have not come to the leg yet that all begin together.
    behind: usize,
    begun: bool,
    too_many_disks: bool,
    /// Machines that are ready for their next leg, by position, with the time since which they are.
    ready: BTreeMap<usize, i64>,
    /// Those of them that wait for the others of their wave.
    gathered: BTreeMap<usize, i64>,
    /// The legs that each machine has gone.
    gone: Vec<Vec<Gone>>,
}

struct Site<'w, 'a> {
    waves: &'w [WaveWork<'a>],
    terms: Terms<'w>,
    standing: Vec<Standing>,
    events: BTreeMap<i64, Vec<Event>>,
    held: BTreeMap<&'a str, u32>,
    busy: usize,
}

impl<'w, 'a> Site<'w, 'a> {
    fn of(waves: &'w [WaveWork<'a>], terms: Terms<'w>) -> Self {
        let standing = waves.iter().map(|wave| Standing {
            unverified: wave.machines.iter().filter(|work| work.legs.iter().any(|leg| leg.verifies)).count(),
            behind: wave.machines.iter().filter(|work| work.legs.iter().skip(1).any(|leg| leg.together)).count(),
            gone: vec![Vec::new(); wave.machines.len()],
            ..Standing::default()
        });
        let standing = standing.collect();
        let mut site = Self { waves, terms, standing, events: BTreeMap::new(), held: BTreeMap::new(), busy: 0 };
        // Those on their way hold their places from the beginning, whatever the gates say now.
        for (of, wave) in waves.iter().enumerate() {
            if wave.machines.iter().any(|work| work.moving) {
                site.begin(of);
            }
            for (position, work) in wave.machines.iter().enumerate() {
                match work.legs.first() {
                    Some(_) if work.moving => site.start((of, position), 0, 0),
                    Some(leg) => site.at(leg.rests, Event::Ready((of, position))),
                    None => {}
                }
            }
        }
        site
    }

    fn at(&mut self, time: i64, event: Event) {
        self.events.entry(time.max(0)).or_default().push(event);
    }

    fn work(&self, (of, position): At) -> Option<&'w Work<'a>> {
        self.waves.get(of)?.machines.get(position)
    }

    /// The leg that a machine is on, or that it takes next.
    fn next(&self, at: At) -> Option<Leg> {
        let gone = self.standing.get(at.0)?.gone.get(at.1)?.len();
        self.work(at)?.legs.get(gone).copied()
    }

    fn start(&mut self, at: At, ready: i64, now: i64) {
        let Some(leg) = self.next(at) else { return };
        let (ends, freed) = (now + leg.seconds.max(0), leg.frees_disks.map(|after| now + after.max(0)));
        self.at(ends, Event::Ended(at));
        if let Some(freed) = freed {
            self.at(freed, Event::Freed(at));
        }
        self.busy += 1;
        let Some(standing) = self.standing.get_mut(at.0) else { return };
        standing.busy += 1;
        standing.ready.remove(&at.1);
        standing.gone.get_mut(at.1).into_iter().for_each(|gone| gone.push(Gone { ready, starts: now, ends, freed }));
    }

    fn happen(&mut self, now: i64, event: Event) {
        match event {
            Event::Ready(at) => self.ready(at, now),
            Event::Freed(at) => {
                if let Some((target, disks)) = self.work(at).and_then(|work| work.disks)
                    && let Some(held) = self.held.get_mut(target)
                {
                    *held = held.saturating_sub(disks);
                }
            }
            Event::Ended(at) => self.ended(at, now),
            Event::Opens => {}
        }
    }

    fn ready(&mut self, at: At, now: i64) {
        let together = self.next(at).is_some_and(|leg| leg.together);
        let Some(standing) = self.standing.get_mut(at.0) else { return };
        let waits = together && standing.behind > 0;
        if waits { &mut standing.gathered } else { &mut standing.ready }.insert(at.1, now);
    }

    fn ended(&mut self, at: At, now: i64) {
        let next = self.next(at);
        let (Some(work), Some(standing)) = (self.work(at), self.standing.get_mut(at.0)) else { return };
        let gone = standing.gone.get(at.1).map_or(0, Vec::len);
        standing.busy -= 1;
        standing.unverified -= usize::from(work.legs.get(gone - 1).is_some_and(|leg| leg.verifies));
        standing.behind -= usize::from(next.is_some_and(|leg| leg.together));
        if standing.behind == 0 {
            standing.ready.append(&mut standing.gathered);
        }
        self.busy -= 1;
        match next {
            // Before anybody else takes its place.
            Some(leg) if leg.rests <= 0 => self.ready(at, now),
            Some(leg) => self.at(now + leg.rests, Event::Ready(at)),
            None => {}
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
        if self.standing.get(of).is_some_and(|wave| wave.begun) {
            return true;
        }
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
        let opens = self.terms.opens.map_or(Some(now), |opens| opens(now));
        for (of, wave) in self.waves.iter().enumerate() {
            let verified = |before: &usize| self.standing.get(*before).is_none_or(|wave| wave.unverified == 0);
            if !wave.after.iter().all(verified) {
                continue;
            }
            let mut next = 0;
            while let Some(standing) = self.standing.get(of)
                && self.terms.limit.is_none_or(|limit| self.busy < limit.max(1))
                && standing.busy < wave.limit.max(1)
                && let Some((position, since)) = standing.ready.range(next..).next().map(|(at, since)| (*at, *since))
            {
                next = position + 1;
                let at = (of, position);
                let Some(leg) = self.next(at) else { continue };
                if leg.windowed && opens != Some(now) {
                    // It comes again when the window opens; or never.
                    opens.into_iter().for_each(|opens| self.wake(opens));
                    continue;
                }
                if !self.may_begin(of) {
                    break;
                }
                self.start(at, since, now);
            }
        }
    }

    fn wake(&mut self, opens: i64) {
        let events = self.events.entry(opens).or_default();
        if !events.iter().any(|event| matches!(event, Event::Opens)) {
            events.push(Event::Opens);
        }
    }

    fn told(&self) -> Schedule<'a> {
        let mut told = Schedule { critical: self.critical(), ..Schedule::default() };
        for (of, wave) in self.waves.iter().enumerate() {
            for (position, work) in wave.machines.iter().enumerate() {
                match self.run((of, position)) {
                    Ok(run) => told.runs.push(run),
                    Err(why) => told.never.push((work.name, why)),
                }
            }
        }
        told.runs.sort_by_key(|run| run.starts);
        told
    }

    /// The whole way of a machine, or why it does not come to its end.
    fn run(&self, at: At) -> Result<Run<'a>, Never> {
        let (Some(wave), Some(work), Some(standing)) = (self.waves.get(at.0), self.work(at), self.standing.get(at.0))
        else {
            return Err(Never::Behind);
        };
        let gone = standing.gone.get(at.1).map(Vec::as_slice).unwrap_or_default();
        if let Some(leg) = work.legs.get(gone.len()) {
            return Err(if standing.too_many_disks {
                Never::Disks
            } else if leg.windowed && standing.ready.contains_key(&at.1) {
                Never::Window
            } else {
                Never::Behind
            });
        }
        let legs = || work.legs.iter().zip(gone);
        let starts = gone.first().map_or(0, |leg| leg.starts);
        Ok(Run {
            item: work.name,
            wave: wave.name,
            starts,
            verified: legs().find(|(leg, _)| leg.verifies).map_or(starts, |(_, gone)| gone.ends),
            ends: gone.last().map_or(0, |leg| leg.ends),
            last_call: legs().filter(|(leg, _)| leg.windowed).map(|(_, gone)| gone.starts).max(),
        })
    }

    /// From the last one to end back to one that waited for nobody.
    fn critical(&self) -> Vec<Run<'a>> {
        let mut legs: BTreeMap<Step, Gone> = BTreeMap::new();
        for (of, wave) in self.standing.iter().enumerate() {
            for (position, gone) in
                wave.gone.iter().enumerate().filter(|(position, _)| self.run((of, *position)).is_ok())
            {
                legs.extend(gone.iter().enumerate().map(|(leg, gone)| (((of, position), leg), *gone)));
            }
        }
        let (mut ending, mut freeing): (BTreeMap<i64, Vec<Step>>, BTreeMap<i64, Vec<Step>>) = Default::default();
        for (step, gone) in legs.iter().filter(|(_, gone)| gone.ends > gone.starts) {
            ending.entry(gone.ends).or_default().push(*step);
            gone.freed
                .filter(|at| *at > gone.starts)
                .into_iter()
                .for_each(|at| freeing.entry(at).or_default().push(*step));
        }
        let mut path = Vec::new();
        let Some((mut step, mut until)) =
            legs.iter().max_by_key(|(_, gone)| gone.ends).map(|(step, gone)| (*step, gone.ends))
        else {
            return path;
        };
        // What is waited for began earlier: this ends.
        while let Some(gone) = legs.get(&step) {
            let at = |steps: &BTreeMap<i64, Vec<Step>>| steps.get(&gone.starts).cloned().unwrap_or_default();
            let other =
                (gone.starts > gone.ready).then(|| self.waited_for(step, &at(&ending), &at(&freeing))).flatten();
            let own = step.1.checked_sub(1).map(|leg| (step.0, leg));
            if other.is_some() || own.is_none() {
                let run = self.run(step.0).ok();
                path.extend(run.map(|run| Run { starts: gone.starts, ends: until, ..run }));
                until = gone.starts;
            }
            let Some(before) = other.or(own) else { break };
            step = before;
        }
        path.reverse();
        path
    }

    /// Whose leg a machine waited for, of those that ended, or gave disks free, when it began its own.
    fn waited_for(&self, (at, leg): Step, ended: &[Step], freed: &[Step]) -> Option<Step> {
        let gates = self.waves.get(at.0).map(|wave| wave.after.as_slice()).unwrap_or_default();
        let leg_of = |(at, leg): &Step| self.work(*at).and_then(|work| work.legs.get(*leg));
        let together = leg_of(&(at, leg)).is_some_and(|leg| leg.together);
        let by_gate = |step: &&Step| gates.contains(&step.0.0) && leg_of(step).is_some_and(|leg| leg.verifies);
        let of_wave = |step: &&Step| step.0.0 == at.0;
        let by_wave =
            |step: &&Step| together && of_wave(step) && leg_of(&(step.0, step.1 + 1)).is_some_and(|leg| leg.together);
        let found = ended.iter().find(by_gate).or_else(|| ended.iter().find(by_wave));
        found.or_else(|| ended.iter().find(of_wave)).or_else(|| ended.first()).or_else(|| freed.first()).copied()
    }
}
