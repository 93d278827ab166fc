//! What is due to happen. Nothing ticks: the world is brought up to date whenever somebody looks, and a timer sleeps until the next event.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AzurePower, VmKey};

/// Something that happens at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A job's task comes to its end.
    TaskEnds { job: String, task: usize },
    /// The first recovery point of a fresh replication is there.
    FirstPoint { machine: usize, epoch: u32 },
    /// The mobility agent registers after boot number `boot`.
    AgentRegisters { machine: usize, boot: u32 },
    /// VMware Tools run after boot number `boot`.
    ToolsRun { vm: VmKey, boot: u32 },
    /// An Azure VM reaches a power state that a compute call asked for.
    AzurePower { machine: usize, operation: String, power: AzurePower },
    /// A vCenter task ends.
    VCenterTask { vcenter: usize, task: u32 },
}

/// Events in order of their time; those of one instant in the order in which they were put in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queue {
    entries: Vec<(Timestamp, u64, Event)>,
    #[serde(skip)]
    sorted: BTreeMap<(Timestamp, u64), Event>,
    next: u64,
}

impl Queue {
    pub(crate) fn put(&mut self, at: Timestamp, event: Event) {
        self.sorted.insert((at, self.next), event);
        self.next += 1;
    }

    /// The next event, if it is due at `now`.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(Timestamp, Event)> {
        let (&(at, _), _) = self.sorted.first_key_value()?;
        if at > now {
            return None;
        }
        self.sorted.pop_first().map(|((at, _), event)| (at, event))
    }

    /// Grows with each event that is put in.
    pub(crate) fn version(&self) -> u64 {
        self.next
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.sorted.first_key_value().map(|((at, _), _)| *at)
    }

    /// JSON has no keys of two parts, so that a saved world carries a list.
    pub(crate) fn pack(&mut self) {
        self.entries = self.sorted.iter().map(|((at, number), event)| (*at, *number, event.clone())).collect();
    }

    pub(crate) fn unpack(&mut self) {
        self.sorted =
            std::mem::take(&mut self.entries).into_iter().map(|(at, number, event)| ((at, number), event)).collect();
    }
}
