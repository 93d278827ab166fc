//! The inventory of one vCenter, followed through one session.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Key, LATE, Link, Wake, Waker, age, pause};
use crate::{
    core::{
        facts::HomeIdentity,
        observed::{Datastore, Fact, Host, OnPremisesVm, Power, VCenterAbout, VirtualMachine},
    },
    ports::{Failure, Reading, Remote, SharedClock, VCenterChange, VirtualCenter},
};

#[derive(Debug)]
struct State {
    link: Link,
    /// When it was heard of last, or the inventory opened.
    heard_at: Timestamp,
    about: Option<VCenterAbout>,
    /// Whether everything was read since the link came up.
    complete: bool,
    vms: HashMap<String, VirtualMachine>,
    hosts: HashMap<String, Host>,
    datastores: HashMap<String, Datastore>,
    watchers: HashMap<Key, HomeIdentity>,
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
            heard_at: clock.now(),
            about: None,
            complete: false,
            vms: HashMap::new(),
            hosts: HashMap::new(),
            datastores: HashMap::new(),
            watchers: HashMap::new(),
        };
        Self { key, port, clock, state: Mutex::new(state), wake }
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
            virtual_machines: state.complete.then(|| state.vms.len()),
        }
    }

    /// How long ago it was heard of last: it tells at least every five minutes that it is there.
    pub fn reading(&self) -> Reading {
        let age = age(self.state().heard_at, self.clock.now());
        Reading { remote: Remote::VCenter, age, stale: age > LATE }
    }

    /// Whether the VM with this managed object id is seen running.
    pub fn vm_runs(&self, moref: &str) -> bool {
        let state = self.state();
        state.complete && state.vms.get(moref).is_some_and(|vm| vm.power == Some(Power::On))
    }

    /// Says that an object looks at the machine with this identity.
    pub fn watch(&self, key: &Key, identity: HomeIdentity) {
        self.state().watchers.insert(key.clone(), identity);
    }

    /// The object is gone.
    pub fn unwatch(&self, key: &Key) {
        self.state().watchers.remove(key);
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
        let state = self.state();
        let (Link::Up { at }, true) = (&state.link, state.complete) else {
            return (state.link.unknown("vCenter's inventory"), Vec::new());
        };
        let at = *at;
        if identity.is_empty() {
            let why = "The vault names neither a UUID nor a disk of the machine at home.";
            return (Fact::unknown(why), Vec::new());
        }
        let found = identity.find(state.vms.values());
        let datastores = match &found {
            OnPremisesVm::Found(vm) => vm
                .datastores
                .iter()
                .filter_map(|moref| state.datastores.get(moref).map(|datastore| datastore.name.clone()))
                .collect(),
            OnPremisesVm::NotFound | OnPremisesVm::Ambiguous(_) => Vec::new(),
        };
        (Fact::seen(found, at), datastores)
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
                    state.vms = vms.into_iter().map(|vm| (vm.moref.clone(), vm)).collect();
                    state.hosts = hosts.into_iter().map(|host| (host.moref.clone(), host)).collect();
                    state.datastores = datastores.into_iter().map(|store| (store.moref.clone(), store)).collect();
                    let first = !state.complete;
                    state.complete = true;
                    (state.watchers.keys().cloned().collect(), first || came_up)
                }
                VCenterChange::Changed { vms, hosts, datastores } => {
                    let new = vms.iter().any(|vm| !state.vms.contains_key(&vm.moref));
                    let woken = state
                        .watchers
                        .iter()
                        .filter(|(_, identity)| new || vms.iter().any(|vm| identity.matches(vm)))
                        .map(|(key, _)| key.clone())
                        .collect::<Vec<_>>();
                    state.vms.extend(vms.into_iter().map(|vm| (vm.moref.clone(), vm)));
                    state.hosts.extend(hosts.into_iter().map(|host| (host.moref.clone(), host)));
                    state.datastores.extend(datastores.into_iter().map(|store| (store.moref.clone(), store)));
                    (woken, new || came_up)
                }
                VCenterChange::Gone(morefs) => {
                    for moref in morefs {
                        state.vms.remove(&moref);
                        state.hosts.remove(&moref);
                        state.datastores.remove(&moref);
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

    fn tell(&self, items: Vec<Key>, itself: bool) {
        let itself = itself.then(|| Wake::VCenter(self.key.clone()));
        for wake in items.into_iter().map(Wake::Item).chain(itself) {
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
