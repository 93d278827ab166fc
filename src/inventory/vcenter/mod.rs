//! The inventory of one vCenter, followed through one session.

mod interest;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::mpsc;

pub use self::interest::Interest;
use self::interest::{Told, Watchers, take_in, tell_all};
use super::{Key, LATE, Link, Wake, Waker, age, patience, pause};
use crate::{
    core::{
        facts::HomeIdentity,
        join::Inventory,
        observed::{Fact, OnPremisesVm, Power, VCenterAbout},
    },
    ports::{Failure, Reading, Remote, SharedClock, VCenterChange, VirtualCenter},
};

#[derive(Debug)]
struct State {
    link: Link,
    opened: Instant,
    /// When it was heard of last, or the inventory opened.
    heard_at: Timestamp,
    about: Option<VCenterAbout>,
    /// Whether everything was read since the link came up.
    complete: bool,
    /// Whether everything was ever read.
    read: bool,
    inventory: Inventory,
    told: Told,
    watchers: Watchers,
}

/// What a vCenter shows to the objects that describe it.
#[derive(Clone, Debug)]
pub struct VCenterView {
    /// How the connection stands.
    pub link: Link,
    /// Who it is, once connected.
    pub about: Option<VCenterAbout>,
    /// How many VMs the account sees, once everything was read.
    pub virtual_machines: Option<usize>,
}

/// One vCenter, followed for everybody.
pub struct VCenterInventory {
    key: Key,
    port: Arc<dyn VirtualCenter>,
    clock: SharedClock,
    state: Mutex<State>,
    wake: Waker,
}

impl VCenterInventory {
    /// An inventory that knows nothing yet; [`Self::run`] follows.
    pub fn new(key: Key, port: Arc<dyn VirtualCenter>, clock: SharedClock, wake: Waker) -> Self {
        let state = State {
            link: Link::Connecting,
            opened: Instant::now(),
            heard_at: clock.now(),
            about: None,
            complete: false,
            read: false,
            inventory: Inventory::default(),
            told: Told::new(),
            watchers: Watchers::new(),
        };
        Self { key, port, clock, state: Mutex::new(state), wake }
    }

    /// Name of the VCenter object.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// The adapter, for reads right before a call.
    pub fn port(&self) -> Arc<dyn VirtualCenter> {
        Arc::clone(&self.port)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the vCenter shows.
    pub fn view(&self) -> VCenterView {
        let state = self.state();
        VCenterView {
            link: state.link.clone(),
            about: state.about.clone(),
            virtual_machines: state.complete.then(|| state.inventory.vms.len()),
        }
    }

    /// Whether nothing was told yet, neither what there is nor that it cannot be read.
    pub fn is_opening(&self) -> bool {
        self.state().link == Link::Connecting && self.awaits()
    }

    /// Whether its first reading is still to come. One that takes longer than a minute is not waited for.
    pub fn awaits(&self) -> bool {
        let state = self.state();
        !state.read && state.opened.elapsed() < patience(self.clock.as_ref())
    }

    /// How long ago it was heard of last: it tells at least every five minutes that it is there.
    pub fn reading(&self) -> Reading {
        let age = age(self.state().heard_at, self.clock.now());
        Reading { remote: Remote::VCenter, age, stale: age > LATE }
    }

    /// Whether the VM with this managed object id is seen running.
    pub fn vm_runs(&self, moref: &str) -> bool {
        let state = self.state();
        state.complete && state.inventory.vms.get(moref).is_some_and(|vm| vm.power == Some(Power::On))
    }

    /// Says what an object looks at: it is woken when that changes.
    pub fn watch(&self, reader: Wake, interest: Interest) {
        self.state().watchers.insert(reader, interest);
    }

    /// The object is gone, or looks elsewhere.
    pub fn unwatch(&self, reader: &Wake) {
        self.state().watchers.remove(reader);
    }

    /// What is found in the inventory, while it is complete. `find` must be short: it holds changes up.
    pub fn look<T>(&self, find: impl FnOnce(&Inventory) -> T) -> Fact<T> {
        let state = self.state();
        match (&state.link, state.complete) {
            (Link::Up { at }, true) => Fact::seen(find(&state.inventory), *at),
            (link, _) => link.unknown("vCenter's inventory"),
        }
    }

    /// Who this vCenter is, while connected.
    pub fn about(&self) -> Fact<VCenterAbout> {
        let state = self.state();
        match (&state.link, &state.about) {
            (Link::Up { at }, Some(about)) => Fact::seen(about.clone(), *at),
            (link, _) => link.unknown("vCenter"),
        }
    }

    /// The machine with this identity, and the display names of its datastores.
    pub fn find(&self, identity: &HomeIdentity) -> (Fact<OnPremisesVm>, Vec<String>) {
        if identity.is_empty() {
            let why = "The vault names neither a UUID nor a disk of the machine at home.";
            return (self.look(|_| ()).known().map_or_else(Fact::unknown, |()| Fact::unknown(why)), Vec::new());
        }
        let found = self.look(|inventory| {
            let found = identity.find(inventory.vms.values());
            let named = |moref: &String| inventory.datastores.get(moref).map(|datastore| datastore.name.clone());
            let datastores = match &found {
                OnPremisesVm::Found(vm) => vm.datastores.iter().filter_map(named).collect(),
                OnPremisesVm::NotFound | OnPremisesVm::Ambiguous(_) => Vec::new(),
            };
            (found, datastores)
        });
        match found {
            Fact::Seen { value: (vm, datastores), at } => (Fact::seen(vm, at), datastores),
            Fact::Unknown(why) => (Fact::Unknown(why), Vec::new()),
        }
    }

    /// Follows for as long as it is polled. Drop it to stop; [`Self::close`] logs out.
    pub async fn run(&self) {
        let mut failures = 0;
        loop {
            let failure = self.follow(&mut failures).await;
            failures += 1;
            tracing::warn!(vcenter = %self.key.name, namespace = %self.key.namespace, class = failure.class.label(), %failure, "vCenter cannot be followed");
            let wait = pause(failures, &failure, &self.key.name);
            self.went_down(failure);
            tokio::time::sleep(self.clock.wall(wait)).await;
        }
    }

    async fn follow(&self, failures: &mut u32) -> Failure {
        let about = match self.port.about().await {
            Ok(about) => about,
            Err(failure) => return failure,
        };
        self.state().about = Some(about);
        let (sender, mut changes) = mpsc::channel(16);
        let apply = async {
            while let Some(change) = changes.recv().await {
                *failures = 0;
                self.apply(change);
            }
        };
        let (failure, ()) = tokio::join!(self.port.follow(sender), apply);
        failure
    }

    fn apply(&self, change: VCenterChange) {
        let now: Timestamp = self.clock.now();
        let (woken, itself) = {
            let mut state = self.state();
            let came_up = !matches!(state.link, Link::Up { .. });
            state.link = Link::Up { at: now };
            state.heard_at = now;
            match change {
                VCenterChange::All { vms, hosts, datastores } => {
                    tell_all(&mut state.told, &datastores);
                    state.inventory = Inventory {
                        vms: vms.into_iter().map(|vm| (vm.moref.clone(), vm)).collect(),
                        hosts: hosts.into_iter().map(|host| (host.moref.clone(), Arc::new(host))).collect(),
                        datastores: datastores
                            .into_iter()
                            .map(|store| (store.moref.clone(), Arc::new(store)))
                            .collect(),
                    };
                    let first = !state.complete;
                    (state.complete, state.read) = (true, true);
                    (state.watchers.keys().cloned().collect(), first || came_up)
                }
                VCenterChange::Changed { vms, hosts, datastores } => {
                    let State { inventory, told, watchers, .. } = &mut *state;
                    let news = take_in(inventory, told, vms, hosts, datastores);
                    (news.readers(watchers), news.new_vm || came_up)
                }
                VCenterChange::Gone(morefs) => {
                    for moref in morefs {
                        state.inventory.vms.remove(&moref);
                        state.inventory.hosts.remove(&moref);
                        state.inventory.datastores.remove(&moref);
                        state.told.remove(&moref);
                    }
                    (state.watchers.keys().cloned().collect(), true)
                }
                VCenterChange::Alive if came_up => (state.watchers.keys().cloned().collect(), true),
                VCenterChange::Alive => (Vec::new(), false),
            }
        };
        self.tell(woken, itself);
    }

    fn went_down(&self, failure: Failure) {
        let woken = {
            let mut state = self.state();
            let link = Link::Down(failure);
            let news = state.link != link;
            state.link = link;
            state.complete = false;
            if news { state.watchers.keys().cloned().collect() } else { Vec::new() }
        };
        self.tell(woken, true);
    }

    fn tell(&self, readers: Vec<Wake>, itself: bool) {
        let itself = itself.then(|| Wake::VCenter(self.key.clone()));
        for wake in readers.into_iter().chain(itself) {
            if self.wake.send(wake).is_err() {
                tracing::debug!("nobody listens to wake-ups any more");
            }
        }
    }

    /// Logs out.
    pub async fn close(&self) {
        self.port.close().await;
    }
}
