//! Which inventories run: one for each connection object, as long as what it declares stays the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{Key, VCenterInventory, VaultInventory, Wake, Waker};
use crate::ports::{Connect, Failure, Reading, Remote, SharedClock, VCenterConnection, VaultConnection};

struct Running<C, I> {
    connection: C,
    inventory: Arc<I>,
    task: JoinHandle<()>,
}

/// All inventories of the process.
pub struct Registry {
    connect: Arc<dyn Connect>,
    clock: SharedClock,
    wake: Waker,
    vaults: Mutex<HashMap<Key, Running<VaultConnection, VaultInventory>>>,
    vcenters: Mutex<HashMap<Key, Running<VCenterConnection, VCenterInventory>>>,
}

/// What became of a connection.
pub type Connection<I> = Result<Arc<I>, Failure>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// An empty registry. Changes are told to `wake`.
    pub fn new(connect: Arc<dyn Connect>, clock: SharedClock, wake: Waker) -> Self {
        Self { connect, clock, wake, vaults: Mutex::default(), vcenters: Mutex::default() }
    }

    /// The inventory of a vault; started anew when where it is, or how to sign in to it, changed.
    ///
    /// # Errors
    /// When what is declared cannot be an address or a credential.
    pub fn open_vault(&self, key: &Key, connection: VaultConnection) -> Connection<VaultInventory> {
        let mut vaults = lock(&self.vaults);
        let interval = interval_of(&connection);
        if let Some(running) = vaults.get_mut(key)
            && running.connection.is_same_as(&connection)
        {
            if running.connection != connection {
                running.inventory.set_interval(interval);
                running.connection = connection;
                // Its machines are judged by what else is declared.
                self.tell(Wake::VaultOpened(key.clone()));
            }
            return Ok(Arc::clone(&running.inventory));
        }
        if let Some(old) = vaults.remove(key) {
            old.task.abort();
        }
        let port = self.connect.vault(&connection)?;
        let inventory =
            Arc::new(VaultInventory::new(key.clone(), port, Arc::clone(&self.clock), interval, self.wake.clone()));
        let task = {
            let inventory = Arc::clone(&inventory);
            tokio::spawn(async move { inventory.run().await })
        };
        vaults.insert(key.clone(), Running { connection, inventory: Arc::clone(&inventory), task });
        self.tell(Wake::VaultOpened(key.clone()));
        Ok(inventory)
    }

    /// The inventory of a vCenter; started anew when its declaration or its secret changed.
    ///
    /// # Errors
    /// When what is declared cannot be an address or a certificate.
    pub fn open_vcenter(&self, key: &Key, connection: VCenterConnection) -> Connection<VCenterInventory> {
        let mut vcenters = lock(&self.vcenters);
        if let Some(running) = vcenters.get(key)
            && running.connection == connection
        {
            return Ok(Arc::clone(&running.inventory));
        }
        if let Some(old) = vcenters.remove(key) {
            log_out(old);
        }
        let port = self.connect.vcenter(&connection)?;
        let inventory = Arc::new(VCenterInventory::new(key.clone(), port, Arc::clone(&self.clock), self.wake.clone()));
        let task = {
            let inventory = Arc::clone(&inventory);
            tokio::spawn(async move { inventory.run().await })
        };
        vcenters.insert(key.clone(), Running { connection, inventory: Arc::clone(&inventory), task });
        self.tell(Wake::VCenterOpened(key.clone()));
        Ok(inventory)
    }

    fn tell(&self, wake: Wake) {
        if self.wake.send(wake).is_err() {
            tracing::debug!("nobody listens to wake-ups any more");
        }
    }

    /// The inventory of a vault, if it runs.
    pub fn vault(&self, key: &Key) -> Option<Arc<VaultInventory>> {
        lock(&self.vaults).get(key).map(|running| Arc::clone(&running.inventory))
    }

    /// The inventory of a vCenter, if it runs.
    pub fn vcenter(&self, key: &Key) -> Option<Arc<VCenterInventory>> {
        lock(&self.vcenters).get(key).map(|running| Arc::clone(&running.inventory))
    }

    /// How old everything is that was read.
    pub fn readings(&self) -> Vec<Reading> {
        let vaults = lock(&self.vaults).values().map(|running| running.inventory.reading()).collect::<Vec<_>>();
        let vcenters = lock(&self.vcenters);
        vaults.into_iter().chain(vcenters.values().map(|running| running.inventory.reading())).collect()
    }

    /// What is left to call Azure with.
    pub fn budgets(&self) -> Vec<(Remote, &'static str, f64)> {
        self.connect.budgets()
    }

    /// The object is gone.
    pub fn close_vault(&self, key: &Key) {
        if let Some(old) = lock(&self.vaults).remove(key) {
            old.task.abort();
        }
    }

    /// The object is gone.
    pub fn close_vcenter(&self, key: &Key) {
        if let Some(old) = lock(&self.vcenters).remove(key) {
            log_out(old);
        }
    }

    /// An item is gone: nobody looks at its machine any more.
    pub fn unwatch(&self, item: &Key) {
        for running in lock(&self.vaults).values() {
            running.inventory.unwatch(item);
        }
        self.unwatch_vcenters(&Wake::Item(item.clone()));
    }

    /// Whoever it is looks at no vCenter any more.
    pub fn unwatch_vcenters(&self, reader: &Wake) {
        for running in lock(&self.vcenters).values() {
            running.inventory.unwatch(reader);
        }
    }

    /// Stops everything and logs out of every vCenter.
    pub async fn close(&self) {
        for (_, running) in lock(&self.vaults).drain() {
            running.task.abort();
        }
        let vcenters: Vec<_> = lock(&self.vcenters).drain().map(|(_, running)| running).collect();
        for running in vcenters {
            running.task.abort();
            running.inventory.close().await;
        }
    }
}

fn interval_of(connection: &VaultConnection) -> Duration {
    Duration::from_secs(u64::try_from(connection.spec.poll_interval_seconds).unwrap_or(60).max(15))
}

fn log_out(old: Running<VCenterConnection, VCenterInventory>) {
    old.task.abort();
    tokio::spawn(async move { old.inventory.close().await });
}
