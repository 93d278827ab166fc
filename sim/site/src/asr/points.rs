//! Recovery points. They are not stored: which ones exist follows from when replication ran, so that ten thousand idle machines cost nothing.

use jiff::{SignedDuration, Timestamp};

use crate::clock::before;
use crate::world::{Machine, Stage, World, stable_id};

/// A recovery point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) app_consistent: bool,
    /// The same instant exists for every member of the machine's group.
    pub(crate) multi_vm: bool,
}

impl World {
    /// The recovery points of a machine, newest first. A modernized failback lists none: the service makes its own (protocol reference §7).
    pub(crate) fn points(&self, machine: &Machine) -> Vec<Point> {
        self.newest_points(machine, 512)
    }

    /// The newest one alone: lists show it of every item.
    pub(crate) fn newest_point(&self, machine: &Machine) -> Option<Point> {
        self.newest_points(machine, 1).into_iter().next()
    }

    fn newest_points(&self, machine: &Machine, most: usize) -> Vec<Point> {
        let classic =
            self.fabric_of(machine).is_some_and(|fabric| fabric.generation == crate::scenario::Generation::Classic);
        match machine.stage {
            Stage::ForwardInitial | Stage::ForwardPointPending | Stage::ReverseInitial => return Vec::new(),
            Stage::ReverseProtected | Stage::FailedBack | Stage::FailedBackCommitted if !classic => return Vec::new(),
            Stage::ForwardProtected
            | Stage::FailedOver
            | Stage::FailedOverCommitted
            | Stage::ReverseProtected
            | Stage::FailedBack
            | Stage::FailedBackCommitted
            | Stage::Migrated => {}
        }
        if !machine.has_points {
            return Vec::new();
        }
        let until = machine.points_until.unwrap_or(self.now);
        let oldest = before(until, self.durations.point_retention.0).max(machine.points_from);
        let mut points = self.series(machine, (oldest, until), self.durations.crash_point_every.0, false, most);
        points.extend(self.series(machine, (oldest, until), self.durations.app_point_every.0, true, most));
        // What made the item Protected was its first point.
        if machine.points_from >= oldest && machine.points_from <= until {
            let id = stable_id("point", &format!("{}/{}/first", machine.item, machine.epoch));
            points.push(Point { id, at: machine.points_from, app_consistent: false, multi_vm: false });
        }
        points.sort_by(|a, b| b.at.cmp(&a.at).then(a.app_consistent.cmp(&b.app_consistent)));
        points
    }

    /// Points at a fixed beat. Members of a group share the beat, so that their app-consistent points are common; a single
    /// machine's beat has an offset of its own.
    fn series(
        &self,
        machine: &Machine,
        (from, until): (Timestamp, Timestamp),
        every: SignedDuration,
        app_consistent: bool,
        most: usize,
    ) -> Vec<Point> {
        let beat = every.as_secs();
        if beat <= 0 {
            return Vec::new();
        }
        let owner = machine.spec.group.as_deref().unwrap_or(&machine.spec.name);
        let offset = owner.bytes().map(i64::from).sum::<i64>() % beat.min(97);
        let newest = (until.as_second() - offset).div_euclid(beat) * beat + offset;
        let mut points = Vec::new();
        let mut second = newest;
        while second >= from.as_second() && points.len() < most {
            if let Ok(at) = Timestamp::from_second(second) {
                let id = stable_id("point", &format!("{}/{}/{second}/{app_consistent}", machine.item, machine.epoch));
                points.push(Point { id, at, app_consistent, multi_vm: machine.spec.group.is_some() && app_consistent });
            }
            second -= beat;
        }
        points
    }

    /// ARM id of a point. Its container segment is `cloud_…`, whatever the item's own is (recorded).
    pub(crate) fn point_id(&self, machine: &Machine, point: &str) -> String {
        let Some(fabric) = self.fabric_of(machine) else { return String::new() };
        format!(
            "{}/replicationProtectionContainers/cloud_{}/replicationProtectedItems/{}/recoveryPoints/{point}",
            self.fabric_id(fabric),
            fabric.internal_id,
            machine.item
        )
    }
}
