use std::{sync::Arc, time::Duration};

use failback::{
    core::observed::Power,
    ports::{Failure, FailureClass, VCenterChange, VirtualCenter as _},
    vcenter::Trust,
};
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    client,
    scripted::{Reply, Scripted, World, powered, vm},
};

struct Followed {
    world: Arc<World>,
    server: Arc<Scripted>,
    changes: Receiver<VCenterChange>,
    end: JoinHandle<Failure>,
}

async fn follow(speed: u32, prepare: impl FnOnce(&World)) -> Followed {
    let world = Arc::new(World::default());
    prepare(&world);
    let script = Arc::clone(&world);
    let server = Arc::new(Scripted::start(None, move |seen| script.answer(seen)).await);
    let client = client(&format!("http://{}", server.address), Trust::System, speed);
    let (sender, changes) = channel(16);
    let end = tokio::spawn(async move { client.follow(sender).await });
    Followed { world, server, changes, end }
}

impl Followed {
    async fn next(&mut self) -> VCenterChange {
        timeout(Duration::from_secs(10), self.changes.recv()).await.expect("a message in time").expect("a message")
    }

    async fn all(&mut self) -> Option<Power> {
        match self.next().await {
            VCenterChange::All { vms, .. } => vms[0].power,
            other => panic!("{other:?}"),
        }
    }

    async fn changed(&mut self) -> (String, Option<Power>) {
        match self.next().await {
            VCenterChange::Changed { vms, .. } => (vms[0].name.clone(), vms[0].power),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn all_first_then_what_changes() {
    let mut followed = follow(1, |world| {
        world.batch(2, &powered("poweredOff"));
        world.batch(3, &powered("poweredOff"));
        world.batch(4, "<objectSet><kind>leave</kind><obj type=\"VirtualMachine\">vm-1</obj></objectSet>");
        world.batches.lock().unwrap().push_back(Reply::soap("WaitForUpdatesEx", ""));
    })
    .await;
    assert_eq!(followed.all().await, Some(Power::On));
    assert_eq!(followed.changed().await, ("web".to_owned(), Some(Power::Off)));
    assert!(matches!(followed.next().await, VCenterChange::Alive), "the same once more changes nothing");
    assert!(matches!(followed.next().await, VCenterChange::Gone(ids) if ids == ["vm-1"]));
    assert!(matches!(followed.next().await, VCenterChange::Alive));
    let versions: Vec<_> =
        followed.server.requests("WaitForUpdatesEx").iter().map(|s| s.text("version").unwrap().to_owned()).collect();
    assert_eq!(versions[..5], ["", "1", "2", "3", "4"]);
    let filter = &followed.server.requests("CreateFilter")[0].body;
    assert!(filter.contains("<partialUpdates>false</partialUpdates>"), "{filter}");
}

#[tokio::test]
async fn the_first_fill_comes_in_pages() {
    let page = |version: u32, truncated: bool, id: &str| {
        let vm = vm("enter", "changeSet", "poweredOn").replace("vm-1", id);
        Reply::soap(
            "WaitForUpdatesEx",
            &format!(
                "<returnval><version>{version}</version><filterSet>{vm}</filterSet><truncated>{truncated}</truncated></returnval>"
            ),
        )
    };
    let mut followed = follow(1, |world| {
        world.once("WaitForUpdatesEx", page(1, true, "vm-1"));
        world.once("WaitForUpdatesEx", page(2, true, "vm-2"));
        world.once("WaitForUpdatesEx", page(3, false, "vm-3"));
    })
    .await;
    let VCenterChange::All { vms, .. } = followed.next().await else { panic!() };
    assert_eq!(vms.iter().map(|vm| vm.moref.as_str()).collect::<Vec<_>>(), ["vm-1", "vm-2", "vm-3"]);
}

#[tokio::test]
async fn a_partial_update_that_cannot_be_merged_is_read_again() {
    let nested = "<objectSet><kind>modify</kind><obj type=\"VirtualMachine\">vm-1</obj><changeSet><name>config.hardware.device[2000].backing</name><op>assign</op><val/></changeSet></objectSet>";
    let unknown = vm("modify", "changeSet", "poweredOff").replace("vm-1", "vm-404");
    let mut followed = follow(1, |world| {
        world.once(
            "RetrievePropertiesEx",
            Reply::fault("ManagedObjectNotFound", "<obj type=\"VirtualMachine\">vm-404</obj>"),
        );
        let off = vm("", "propSet", "poweredOff").replace("objectSet>", "objects>");
        world.once(
            "RetrievePropertiesEx",
            Reply::soap("RetrievePropertiesEx", &format!("<returnval>{off}</returnval>")),
        );
        world.batch(2, &format!("{nested}{unknown}"));
    })
    .await;
    followed.all().await;
    assert_eq!(followed.changed().await, ("web".to_owned(), Some(Power::Off)));
    assert_eq!(followed.server.count("RetrievePropertiesEx"), 2, "once for both, once without the one that is gone");
}

#[tokio::test]
async fn everything_is_rebuilt_after_the_session_was_lost() {
    for lost in [
        || Reply::fault("NotAuthenticated", ""),
        || Reply::fault("ManagedObjectNotFound", "<obj type=\"PropertyCollector\">pc-1</obj>"),
        || Reply::fault("InvalidCollectorVersion", ""),
    ] {
        let mut followed = follow(1, |world| world.batches.lock().unwrap().push_back(lost())).await;
        followed.all().await;
        followed.world.batch(2, &powered("poweredOff"));
        assert_eq!(followed.all().await, Some(Power::On), "everything anew");
        assert_eq!(followed.changed().await.1, Some(Power::Off));
        assert_eq!(followed.server.count("CreateContainerView"), 8);
        assert_eq!(followed.server.count("CreatePropertyCollector"), 2);
    }
}

#[tokio::test]
async fn an_expired_session_is_replaced_by_one_login() {
    let mut followed = follow(1, |world| world.batch(2, &powered("poweredOff"))).await;
    followed.all().await;
    followed.changed().await;
    // The poll that is pending now stays silent, so let a new follower find the session gone.
    followed.end.abort();
    let mut followed =
        follow(1, |world| world.batches.lock().unwrap().push_back(Reply::fault("NotAuthenticated", ""))).await;
    followed.all().await;
    followed.all().await;
    assert_eq!(followed.server.count("Login"), 2);
}

#[tokio::test]
async fn what_cannot_be_rebuilt_ends_it() {
    let mut followed = follow(1, |world| {
        for _ in 0..20 {
            world.once("CreateContainerView", Reply::fault("NotAuthenticated", ""));
        }
    })
    .await;
    let failure = timeout(Duration::from_secs(10), &mut followed.end).await.unwrap().unwrap();
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(followed.server.count("Login") <= 5, "{}", followed.server.count("Login"));
}

#[tokio::test]
async fn a_password_that_was_changed_meanwhile_ends_it() {
    let mut followed = follow(1, |_| {}).await;
    followed.all().await;
    followed.world.refuse.store(true, std::sync::atomic::Ordering::SeqCst);
    followed.end.abort();
    let mut followed = follow(1, |world| {
        world.batches.lock().unwrap().push_back(Reply::fault("NotAuthenticated", ""));
        world.once("Login", Reply::Http(200, "set-cookie: vmware_soap_session=\"s 1\"\r\n".into(), login()));
        world.sessions.store(1, std::sync::atomic::Ordering::SeqCst);
        world.refuse.store(true, std::sync::atomic::Ordering::SeqCst);
    })
    .await;
    followed.all().await;
    let failure = timeout(Duration::from_secs(10), &mut followed.end).await.unwrap().unwrap();
    assert_eq!(failure.class, FailureClass::Unauthenticated);
    assert_eq!(followed.server.count("Login"), 2);
}

fn login() -> String {
    let Reply::Http(_, _, body) = Reply::soap("Login", "<returnval><key>k</key></returnval>") else { unreachable!() };
    body
}

#[tokio::test]
async fn it_ends_when_nobody_listens_and_cleans_up() {
    let mut followed = follow(1, |_| {}).await;
    followed.all().await;
    drop(followed.changes);
    let failure = timeout(Duration::from_secs(10), followed.end).await.unwrap().unwrap();
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!((followed.server.count("DestroyPropertyCollector"), followed.server.count("DestroyView")), (1, 4));
}

#[tokio::test]
async fn accelerated_time_resyncs_sooner_and_keeps_the_long_poll() {
    // Ten minutes of this clock are a second.
    let mut followed = follow(600, |_| {}).await;
    followed.all().await;
    let (mut resyncs, mut signs_of_life) = (0, 0);
    while resyncs < 3 || signs_of_life < 2 {
        match followed.next().await {
            VCenterChange::All { vms, .. } => {
                assert_eq!(vms.len(), 1);
                resyncs += 1;
            }
            VCenterChange::Alive => signs_of_life += 1,
            other => panic!("{other:?}"),
        }
    }
    let polls = followed.server.requests("WaitForUpdatesEx");
    assert!(polls.len() <= resyncs + 2, "the long poll is interrupted for a resync only");
    assert!(polls.iter().skip(1).all(|poll| poll.text("maxWaitSeconds") == Some("50")));
    assert!(polls.iter().skip(1).all(|poll| poll.text("version") == Some("1")));
    assert_eq!(followed.server.count("Login"), 1);
}

#[tokio::test]
async fn a_poll_that_never_answers_does_not_keep_everything_from_being_read_anew() {
    let mut followed = follow(600, |world| world.batches.lock().unwrap().push_back(Reply::Silence)).await;
    followed.all().await;
    let resync = async { while !matches!(followed.changes.recv().await.unwrap(), VCenterChange::All { .. }) {} };
    timeout(Duration::from_secs(20), resync).await.unwrap();
}
