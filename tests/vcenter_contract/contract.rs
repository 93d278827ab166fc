//! The contract. Each part gets a vCenter of its own with at least two VMs that are on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use failback::{
    core::{
        failure::codes,
        observed::{Datastore, Host, Power, VirtualMachine},
    },
    ports::{Failure, FailureClass, VCenterChange, VirtualCenter as _},
    vcenter::{Trust, VCenterClient},
};
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
    time::timeout,
};

use crate::{Site, hand::Hand};

/// How long news may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An inventory that is being followed.
pub struct Following {
    pub client: Arc<VCenterClient>,
    changes: Receiver<VCenterChange>,
    end: JoinHandle<Failure>,
}

impl Following {
    pub fn of(client: VCenterClient) -> Self {
        let client = Arc::new(client);
        let (sender, changes) = channel(64);
        let follower = Arc::clone(&client);
        Self { client, changes, end: tokio::spawn(async move { follower.follow(sender).await }) }
    }

    pub async fn next(&mut self) -> VCenterChange {
        match timeout(PATIENCE, self.changes.recv()).await.expect("news in time") {
            Some(change) => change,
            None => panic!("following ended: {:?}", (&mut self.end).await),
        }
    }

    pub async fn all(&mut self) -> (Vec<VirtualMachine>, Vec<Host>, Vec<Datastore>) {
        loop {
            if let VCenterChange::All { vms, hosts, datastores } = self.next().await {
                return (vms, hosts, datastores);
            }
        }
    }

    /// The row of a VM as soon as it is told to be as wanted, changed or in a complete reading.
    pub async fn until(&mut self, moref: &str, wanted: impl Fn(&VirtualMachine) -> bool) -> VirtualMachine {
        let mut last = None;
        let told = async {
            loop {
                if let VCenterChange::Changed { vms, .. } | VCenterChange::All { vms, .. } = self.next().await
                    && let Some(vm) = vms.into_iter().find(|vm| vm.moref == moref)
                {
                    if wanted(&vm) {
                        return vm;
                    }
                    last = Some(vm);
                }
            }
        };
        timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("not told of the change; last: {last:?}"))
    }

    /// Waits for news of which this is true.
    pub async fn find(&mut self, wanted: impl Fn(&[VirtualMachine], &[Host], &[Datastore]) -> bool) {
        let told = async {
            loop {
                if let VCenterChange::Changed { vms, hosts, datastores } = self.next().await
                    && wanted(&vms, &hosts, &datastores)
                {
                    return;
                }
            }
        };
        timeout(PATIENCE, told).await.expect("news in time");
    }
}

pub fn running(vms: &[VirtualMachine]) -> &VirtualMachine {
    vms.iter().find(|vm| vm.power == Some(Power::On) && !vm.template).expect("a VM that is on")
}

/// Rows are complete and point at each other.
pub async fn the_first_message_is_everything(site: &Site) {
    let mut following = Following::of(site.client());
    let VCenterChange::All { vms, hosts, datastores } = following.next().await else { panic!("All comes first") };
    assert!(vms.len() >= 2 && !hosts.is_empty() && !datastores.is_empty());
    let known_hosts: BTreeSet<_> = hosts.iter().map(|h| h.moref.as_str()).collect();
    let known_datastores: BTreeSet<_> = datastores.iter().map(|d| d.moref.as_str()).collect();
    let identities: BTreeSet<_> = vms.iter().map(|vm| vm.instance_uuid.as_deref()).collect();
    assert_eq!(identities.len(), vms.len(), "an identity each");
    let vm = running(&vms);
    assert!(!vm.name.is_empty());
    for uuid in [&vm.bios_uuid, &vm.instance_uuid] {
        let uuid = uuid.as_deref().unwrap();
        assert_eq!((uuid.len(), uuid), (36, uuid.to_lowercase().as_str()));
    }
    assert_eq!(vm.connection.as_deref(), Some("connected"));
    assert_eq!(vm.snapshots, Some(0));
    assert_eq!(vm.unreadable, Vec::<String>::new());
    assert!(known_hosts.contains(vm.host.as_deref().unwrap()));
    assert!(!vm.datastores.is_empty() && vm.datastores.iter().all(|d| known_datastores.contains(d.as_str())));
    let disk = vm.disks.first().expect("a disk");
    assert!(disk.capacity_bytes.unwrap() > 0 && !disk.label.is_empty() && !disk.delta && !disk.raw_device);
    assert!(known_datastores.contains(disk.datastore.as_deref().unwrap()));
    assert!(disk.controller.as_deref().is_some_and(|kind| kind.ends_with("Controller")), "{disk:?}");
    assert!(hosts.iter().any(|host| host.cluster.is_none()), "a standalone host");
    assert!(hosts.iter().filter_map(|host| host.cluster.as_deref()).any(|name| !name.starts_with("domain-")));
    for host in &hosts {
        assert!(!host.name.is_empty() && host.maintenance == Some(false) && host.unreadable.is_empty(), "{host:?}");
        assert_eq!(host.connection.as_deref(), Some("connected"));
        assert!(host.datastores.iter().all(|d| known_datastores.contains(d.as_str())));
    }
    for datastore in &datastores {
        assert!(!datastore.name.is_empty() && datastore.kind.is_some() && datastore.accessible == Some(true));
        assert!(datastore.free_bytes <= datastore.capacity_bytes && datastore.capacity_bytes.unwrap() > 0);
        let mounts = datastore.mounts.as_ref().unwrap();
        assert!(!mounts.is_empty() && mounts.iter().all(|m| known_hosts.contains(m.host.as_str()) && m.writable));
    }
    following.client.close().await;
}

pub async fn a_machine_that_is_turned_off_and_on(site: &Site) {
    let mut following = Following::of(site.client());
    let before = running(&following.all().await.0).clone();
    let mut hand = Hand::on(site).await;
    hand.on_vm("PowerOffVM_Task", &before.moref, "").await;
    let off = following.until(&before.moref, |vm| vm.power == Some(Power::Off)).await;
    assert_eq!((off.name, off.disks, off.host), (before.name, before.disks, before.host), "the row is complete");
    let read = following.client.vm(&before.moref).await.unwrap().unwrap();
    assert_eq!((read.power, read.instance_uuid), (Some(Power::Off), before.instance_uuid));
    hand.on_vm("PowerOnVM_Task", &before.moref, "").await;
    following.until(&before.moref, |vm| vm.power == Some(Power::On)).await;
    following.client.close().await;
}

pub async fn a_read_past_the_cache(site: &Site) {
    let client = site.client();
    let about = client.about().await.unwrap();
    assert_eq!(about.instance_uuid.len(), 36);
    assert!(about.version.split('.').count() >= 2 && about.full_name.contains("vCenter"), "{about:?}");
    assert_eq!(client.vm("vm-9999999").await, Ok(None), "positively not there");
    client.close().await;
    assert_eq!(client.vm("vm-9999999").await.unwrap_err().class, FailureClass::Transient);
}

pub async fn a_wrong_password(site: &Site) {
    let client = site.client_with("wrong", site.trust.clone(), 1);
    let failure = client.about().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Unauthenticated, Some("InvalidLogin")));
}

pub async fn a_certificate_that_is_not_trusted(site: &Site) {
    let pinned = Trust::Thumbprint("00".repeat(32));
    let failure = site.client_with(&site.password, pinned, 1).about().await.unwrap_err();
    assert_eq!(failure.code.as_deref(), Some(codes::CERTIFICATE_UNTRUSTED));
    // What the message shows is what a person can then trust.
    let (_, rest) = failure.message.split_once("Its SHA-256 thumbprint is ").unwrap();
    let shown = Trust::Thumbprint(rest.split(',').next().unwrap().to_owned());
    site.client_with(&site.password, shown, 1).about().await.unwrap();
}

/// More machines than fit into a page, read by the resync that comes after a second of this clock.
pub async fn everything_anew_page_by_page(site: &Site, machines: usize) {
    let mut following = Following::of(site.client_with(&site.password, site.trust.clone(), 600));
    let (first, ..) = following.all().await;
    assert_eq!(first.len(), machines);
    let (again, ..) = following.all().await;
    assert_eq!(again, first, "both ways of reading give the same rows");
    following.client.close().await;
}

/// `lose` makes vCenter forget the client's session.
pub async fn a_session_that_is_lost(site: &Site, lose: impl AsyncFnOnce(&VirtualMachine)) {
    let mut following = Following::of(site.client());
    let (vms, ..) = following.all().await;
    let vm = running(&vms).clone();
    lose(&vm).await;
    let (again, ..) = following.all().await;
    assert_eq!(again.len(), vms.len());
    let mut hand = Hand::on(site).await;
    let (method, wanted) = match again.iter().find(|other| other.moref == vm.moref).unwrap().power {
        Some(Power::On) => ("PowerOffVM_Task", Power::Off),
        _ => ("PowerOnVM_Task", Power::On),
    };
    hand.on_vm(method, &vm.moref, "").await;
    following.until(&vm.moref, |vm| vm.power == Some(wanted)).await;
    assert!(following.client.vm(&vm.moref).await.unwrap().is_some());
    following.client.close().await;
}
