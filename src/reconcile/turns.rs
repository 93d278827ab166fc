//! How many machines are worked on at the same time, so that those of one vault or vCenter never hold up the others'.
//!
//! Looking at a machine costs a few milliseconds and is limited for all together. A step reads Azure and vCenter anew
//! and calls: beside a vCenter that hangs it takes as long as its timeouts. So it takes no place among the looks, and is
//! limited by connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::inventory::Key;

/// A place; it is free again when this is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

/// A vault and a vCenter.
type Connections = (Key, Key);

/// The places of looks, and those of steps by connection.
pub(super) struct Turns {
    most: usize,
    looks: Arc<Semaphore>,
    /// `None` once the process stops.
    steps: Mutex<Option<HashMap<Connections, Arc<Semaphore>>>>,
}

impl Turns {
    /// So many looks at the same time, and as many steps by connection.
    pub(super) fn of(most: u16) -> Self {
        let most = usize::from(most.max(1));
        Self { most, looks: Arc::new(Semaphore::new(most)), steps: Mutex::new(Some(HashMap::new())) }
    }

    /// Waits for a place to look; `None` when the process stops.
    pub(super) async fn look(&self) -> Option<Turn> {
        Arc::clone(&self.looks).acquire_owned().await.ok()
    }

    /// Waits for a place for a step; `None` when the process stops.
    pub(super) async fn step(&self, vault: Key, vcenter: Key) -> Option<Turn> {
        let places = {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            let steps = steps.as_mut()?;
            // Kept while somebody is in, or waits.
            steps.retain(|_, places| Arc::strong_count(places) > 1 || places.available_permits() < self.most);
            Arc::clone(steps.entry((vault, vcenter)).or_insert_with(|| Arc::new(Semaphore::new(self.most))))
        };
        places.acquire_owned().await.ok()
    }

    /// Nobody begins a step any more; those that have begun go on.
    pub(super) fn close(&self) {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner).take();
        steps.into_iter().flatten().for_each(|(_, places)| places.close());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "default".to_owned(), name: name.to_owned() }
    }

    fn step(turns: &Turns, vcenter: &str) -> Option<Option<Turn>> {
        turns.step(key("vault"), key(vcenter)).now_or_never()
    }

    #[test]
    fn steps_that_hang_hold_up_neither_looks_nor_steps_elsewhere() {
        let turns = Turns::of(2);
        let hanging: Vec<_> = (0..2).map(|_| step(&turns, "hangs").flatten().unwrap()).collect();
        assert!(step(&turns, "hangs").is_none(), "all places of this connection are taken");
        assert!(step(&turns, "answers").flatten().is_some());
        assert!(turns.look().now_or_never().flatten().is_some());
        drop(hanging);
        assert!(step(&turns, "hangs").flatten().is_some());
    }

    #[test]
    fn nobody_who_waits_begins_once_the_process_stops() {
        let turns = Turns::of(1);
        let first = step(&turns, "one").flatten().unwrap();
        let mut waiting = Box::pin(turns.step(key("vault"), key("one")));
        assert!(waiting.as_mut().now_or_never().is_none());
        turns.close();
        assert!(waiting.now_or_never().flatten().is_none() && step(&turns, "two").flatten().is_none());
        drop(first);
    }
}
