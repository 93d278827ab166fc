//! The simulated site's vCenter, over TLS.

use std::time::Duration;

use failback::{
    core::observed::{Host, Power, Tools, VirtualMachine},
    ports::{FailureClass, VCenterChange, VirtualCenter as _},
    vcenter::Trust,
};
use sim_site::{Effect, Fault, Mend, Options, Scenario, SelfSigned, Site as Simulated};
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    Site,
    contract::{self, Following, running},
};

const SCENARIO: &str = "
vcenters:
  - name: vcenter.example.com
    hosts: [{name: esx01, cluster: c1}, {name: esx02, cluster: c1}, {name: esx03}]
    datastores: [{name: ds1}, {name: nfs1, kind: NFS}, {name: local3, hosts: [esx03]}]
    vms:
      - {name: app-1, diskEnableUuid: true}
      - {name: app-2, host: esx02, diskEnableUuid: false, controller: pvscsi}
      - {name: snapped, snapshots: [before, after], poweredOn: false}
      - {name: mapped, disks: [{size: 8GB, kind: rdmPhysical}], poweredOn: false}
      - {name: orphan, withoutConfig: true, poweredOn: false}
      - {name: golden, template: true, poweredOn: false}
";

async fn start(scenario: &str) -> (Site, Simulated) {
    let simulated = Simulated::new(Scenario::from_yaml(scenario).unwrap(), Options::default()).unwrap();
    let tls = SelfSigned::new(&["127.0.0.1", "localhost"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("localhost:{}", listener.local_addr().unwrap().port());
    let (running, until) = oneshot::channel::<()>();
    let serving = simulated.clone();
    tokio::spawn(async move { serving.serve_tls(listener, tls.config, async { drop(until.await) }).await });
    let site = Site {
        server,
        trust: Trust::Ca(tls.pem),
        user: "administrator@vsphere.local".into(),
        password: "simulated-password".into(),
        running: Box::new(running),
    };
    (site, simulated)
}

fn mend(site: &Simulated, change: Mend) {
    let fault = Fault {
        method: None,
        path: None,
        soap: None,
        machine: None,
        skip: 0,
        times: 1,
        effect: Effect::World { change: Box::new(change) },
    };
    site.inject(fault);
}

fn soap(method: &str, effect: Effect) -> Fault {
    Fault { method: None, path: None, soap: Some(method.into()), machine: None, skip: 0, times: 1, effect }
}

#[tokio::test]
async fn simulated_tells_everything_first() {
    let (site, _) = start(SCENARIO).await;
    contract::the_first_message_is_everything(&site).await;
}

#[tokio::test]
async fn simulated_tells_power_changes() {
    let (site, _) = start(SCENARIO).await;
    contract::a_machine_that_is_turned_off_and_on(&site).await;
}

#[tokio::test]
async fn simulated_is_read_past_the_cache() {
    let (site, _) = start(SCENARIO).await;
    contract::a_read_past_the_cache(&site).await;
}

#[tokio::test]
async fn simulated_refuses_a_wrong_password() {
    let (site, simulated) = start(SCENARIO).await;
    contract::a_wrong_password(&site).await;
    assert_eq!(simulated.calls().iter().filter(|call| call.effect).count(), 0);
}

#[tokio::test]
async fn simulated_is_trusted_by_what_the_refusal_shows() {
    let (site, _) = start(SCENARIO).await;
    contract::a_certificate_that_is_not_trusted(&site).await;
}

#[tokio::test]
async fn simulated_is_read_anew_page_by_page() {
    let vms: String = (0..250).map(|n| format!("      - {{name: vm-{n:03}}}\n")).collect();
    // One more is the appliance.
    let (site, _) = start(&format!("vcenters:\n  - name: vcenter.example.com\n    vms:\n{vms}")).await;
    contract::everything_anew_page_by_page(&site, 251).await;
}

#[tokio::test]
async fn simulated_forgets_a_session() {
    let (site, simulated) = start(SCENARIO).await;
    contract::a_session_that_is_lost(&site, async |_| {
        mend(&simulated, Mend { kill_sessions: Some(true), ..Mend::default() });
    })
    .await;
}

#[tokio::test]
async fn simulated_sessions_idle_out_and_recover() {
    let (site, _) = start(&SCENARIO.replace("    hosts:", "    sessionIdleSeconds: 1\n    hosts:")).await;
    let client = site.client();
    let first = client.about().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(client.about().await.unwrap(), first);
    client.close().await;
}

fn named<'a>(vms: &'a [VirtualMachine], name: &str) -> &'a VirtualMachine {
    vms.iter().find(|vm| vm.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn simulated_shows_what_matters_for_failback() {
    let (site, _) = start(SCENARIO).await;
    let mut following = Following::of(site.client());
    let (vms, hosts, datastores) = following.all().await;
    let app = named(&vms, "app-1");
    assert_eq!((app.power, app.tools, app.disk_enable_uuid), (Some(Power::On), Some(Tools::Running), Some(true)));
    assert!(app.ip_address.is_some());
    assert_eq!(app.disks[0].uuid.as_ref().map(String::len), Some(36));
    assert_eq!(named(&vms, "app-2").disk_enable_uuid, Some(false));
    let snapped = named(&vms, "snapped");
    assert_eq!((snapped.snapshots, snapped.disks[0].delta), (Some(2), true));
    assert!(named(&vms, "mapped").disks[0].raw_device);
    assert_eq!(app.disks[0].controller.as_deref(), Some("VirtualLsiLogicSASController"));
    assert_eq!(named(&vms, "app-2").disks[0].controller.as_deref(), Some("ParaVirtualSCSIController"));
    assert!(named(&vms, "golden").template);
    let orphan = named(&vms, "orphan");
    assert_eq!((orphan.bios_uuid.as_deref(), orphan.snapshots, orphan.disk_enable_uuid), (None, None, None));
    assert!(orphan.unreadable.contains(&"config.hardware.device".to_owned()), "{orphan:?}");
    assert!(datastores.iter().any(|d| d.kind.as_deref() == Some("NFS")));
    let cluster = |name: &str| hosts.iter().find(|h| h.name == name).unwrap().cluster.as_deref();
    assert_eq!((cluster("esx01"), cluster("esx03")), (Some("c1"), None));
    let local = datastores.iter().find(|d| d.name == "local3").unwrap();
    let host = |name: &str| hosts.iter().find(|h| h.name == name).unwrap().moref.as_str();
    assert_eq!((local.writable_on(host("esx01")), local.writable_on(host("esx03"))), (Some(false), Some(true)));
    following.client.close().await;
}

#[tokio::test]
async fn simulated_tells_of_hosts_datastores_and_snapshots() {
    let (site, simulated) = start(SCENARIO).await;
    let mut following = Following::of(site.client());
    let vm = named(&following.all().await.0, "app-1").clone();
    let host = |change: Mend| Mend { host: Some("esx01".into()), ..change };
    mend(&simulated, host(Mend { host_maintenance: Some(true), ..Mend::default() }));
    let told = following.find(|_, hosts, _| hosts.iter().any(|h| h.name == "esx01" && h.maintenance == Some(true)));
    told.await;
    let change = Mend { datastore: Some("ds1".into()), datastore_free: Some(4096), ..Mend::default() };
    mend(&simulated, change);
    following.find(|_, _, datastores| datastores.iter().any(|d| d.name == "ds1" && d.free_bytes == Some(4096))).await;
    mend(&simulated, Mend { vm: Some(vm.name.clone()), vm_snapshots: Some(vec!["one".into()]), ..Mend::default() });
    let snapped = following.until(&vm.moref, |vm| vm.snapshots == Some(1)).await;
    assert!(snapped.disks[0].delta);
    mend(&simulated, host(Mend { host_connected: Some(false), ..Mend::default() }));
    let lost = |h: &Host| h.name == "esx01" && h.connection.as_deref() == Some("notResponding");
    following.find(|_, hosts, _| hosts.iter().any(lost)).await;
    // The VMs of a lost host show what they showed before, and that it is stale; they are told of themselves.
    let read = following.client.vm(&vm.moref).await.unwrap().unwrap();
    assert_eq!((&read.name, read.connection.as_deref()), (&vm.name, Some("disconnected")));
    mend(&simulated, host(Mend { host_connected: Some(true), ..Mend::default() }));
    following.until(&vm.moref, |vm| vm.connection.as_deref() == Some("connected")).await;
    mend(&simulated, host(Mend { host_connected: Some(false), ..Mend::default() }));
    let told = following.until(&vm.moref, |vm| vm.connection.as_deref() == Some("disconnected")).await;
    assert_eq!((told.name, told.power), (vm.name, vm.power));
    following.client.close().await;
}

#[tokio::test]
async fn simulated_may_withhold_properties() {
    let scenario =
        SCENARIO.replace("    hosts:", "    deniedProperties: [config.extraConfig, snapshot, datastore]\n    hosts:");
    let (site, _) = start(&scenario).await;
    let mut following = Following::of(site.client());
    let (vms, hosts, _) = following.all().await;
    let vm = running(&vms);
    assert_eq!((vm.disk_enable_uuid, vm.snapshots), (None, None));
    assert_eq!(vm.unreadable, ["config.extraConfig", "snapshot", "datastore"]);
    assert_eq!(hosts[0].unreadable, ["datastore"]);
    let read = following.client.vm(&vm.moref).await.unwrap().unwrap();
    assert_eq!(read.unreadable, vm.unreadable);
    following.client.close().await;
}

#[tokio::test]
async fn simulated_breaks_and_the_client_says_how() {
    let (site, simulated) = start(SCENARIO).await;
    let client = site.client();
    client.about().await.unwrap();
    for (effect, survives, class) in [
        (Effect::ResetBefore, true, None),
        (Effect::ResetAfter, true, None),
        (Effect::CutBody { after_bytes: 40 }, true, None),
        (Effect::Html { status: 502 }, false, Some(FailureClass::Transient)),
        (Effect::Html { status: 200 }, false, Some(FailureClass::Invalid)),
        (Effect::SoapFault { fault: "NotAuthenticated".into() }, true, None),
        (Effect::SoapFault { fault: "NoPermission".into() }, false, Some(FailureClass::Denied)),
    ] {
        simulated.inject(soap("CurrentTime", effect.clone()));
        let outcome = client.about().await;
        assert_eq!((outcome.is_ok(), outcome.err().map(|f| f.class)), (survives, class), "{effect:?}");
    }
    client.close().await;
}

#[tokio::test]
async fn simulated_updates_survive_a_lost_answer() {
    let (site, simulated) = start(SCENARIO).await;
    let mut following = Following::of(site.client());
    let vm = running(&following.all().await.0).clone();
    // The long poll that is pending is not struck; the next one is answered, and the answer is lost.
    simulated.inject(Fault { skip: 0, ..soap("WaitForUpdatesEx", Effect::ResetAfter) });
    for snapshots in 1..=3 {
        let names = (0..snapshots).map(|n| format!("s{n}")).collect();
        mend(&simulated, Mend { vm: Some(vm.name.clone()), vm_snapshots: Some(names), ..Mend::default() });
        following.until(&vm.moref, |vm| vm.snapshots == Some(snapshots)).await;
    }
    following.client.close().await;
}

#[tokio::test]
async fn simulated_follower_stays_through_a_quiet_time() {
    let (site, _) = start(SCENARIO).await;
    // Keepalive and resync every second of the wall.
    let mut following = Following::of(site.client_with(&site.password, site.trust.clone(), 600));
    following.all().await;
    let mut alive = 0;
    while alive < 2 {
        if matches!(following.next().await, VCenterChange::Alive) {
            alive += 1;
        }
    }
    following.client.close().await;
}
