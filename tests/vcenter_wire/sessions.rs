use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use failback::{
    core::failure::codes,
    ports::{CallMeter, Failure, FailureClass, Remote, VirtualCenter as _},
    vcenter::Trust,
};

use crate::{
    client, metered, plain,
    scripted::{Reply, Scripted, World, hang_up},
};

async fn world() -> (Arc<World>, Scripted) {
    let world = Arc::new(World::default());
    let script = Arc::clone(&world);
    let server = Scripted::start(None, move |seen| script.answer(seen)).await;
    (world, server)
}

#[tokio::test]
async fn the_first_call_logs_in_and_the_last_logs_out() {
    let (_, server) = world().await;
    let client = plain(&server);
    assert_eq!(server.count("GET"), 0, "nothing is sent before the first call");
    let about = client.about().await.unwrap();
    assert_eq!((about.instance_uuid.as_str(), about.version.as_str()), ("aaaa-bbbb", "7.0.3"));
    let login = &server.requests("Login")[0];
    assert_eq!(login.text("userName"), Some("svc-failback@vsphere.local"));
    assert_eq!(login.text("password"), Some("p&amp;ss&lt;word&gt;"));
    client.about().await.unwrap();
    assert_eq!((server.count("GET"), server.count("Login"), server.count("CurrentTime")), (1, 1, 2));
    client.close().await;
    assert_eq!(server.requests("Logout")[0].cookie.as_deref(), Some("vmware_soap_session=\"s 1\""));
    let failure = client.about().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!(server.count("Login"), 1, "a closed client never comes back");
}

#[tokio::test]
async fn many_callers_share_one_login() {
    let (world, server) = world().await;
    let client = Arc::new(plain(&server));
    let call_all = || async {
        let calls = (0..20).map(|_| {
            tokio::spawn({
                let client = Arc::clone(&client);
                async move { client.vm("vm-1").await }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap().unwrap().unwrap().name, "web");
        }
    };
    call_all().await;
    assert_eq!(server.count("Login"), 1);
    world.end_session();
    call_all().await;
    assert_eq!(server.count("Login"), 2, "one expiry, one login");
}

#[tokio::test]
async fn a_refused_login_is_not_repeated() {
    let (world, server) = world().await;
    world.refuse.store(true, Ordering::SeqCst);
    let client = Arc::new(plain(&server));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let client = Arc::clone(&client);
                async move { client.vm("vm-1").await }
            })
        })
        .collect();
    for call in calls {
        let failure = call.await.unwrap().unwrap_err();
        assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Unauthenticated, Some("InvalidLogin")));
        assert!(!failure.message.contains("p&ss"), "{failure}");
    }
    let (sender, _receiver) = tokio::sync::mpsc::channel(1);
    assert_eq!(client.follow(sender).await.class, FailureClass::Unauthenticated);
    assert_eq!(server.count("Login"), 1);
}

#[tokio::test]
async fn a_refused_login_is_tried_again_after_three_minutes() {
    let (world, server) = world().await;
    world.refuse.store(true, Ordering::SeqCst);
    // Three minutes of this clock are half a second on the wall.
    let client = client(&format!("http://{}", server.address), Trust::System, 360);
    assert!(client.about().await.is_err());
    world.refuse.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.about().await.unwrap_err().class, FailureClass::Unauthenticated);
    tokio::time::sleep(Duration::from_millis(400)).await;
    client.about().await.unwrap();
    assert_eq!(server.count("Login"), 2);
}

#[tokio::test]
async fn a_session_that_does_not_hold_is_no_reason_to_go_on_forever() {
    let (world, server) = world().await;
    for _ in 0..20 {
        world.once("RetrievePropertiesEx", Reply::fault("NotAuthenticated", ""));
    }
    let failure = plain(&server).vm("vm-1").await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Transient, Some("NotAuthenticated")));
    assert_eq!(server.count("Login"), 2);
}

#[tokio::test]
async fn only_a_definite_answer_means_gone() {
    let (world, server) = world().await;
    let client = plain(&server);
    let gone = |id: &str| Reply::fault("ManagedObjectNotFound", &format!("<obj type=\"VirtualMachine\">{id}</obj>"));
    world.once("RetrievePropertiesEx", gone("vm-1"));
    assert_eq!(client.vm("vm-1").await, Ok(None));
    world.once("RetrievePropertiesEx", gone("vm-2"));
    assert_eq!(client.vm("vm-1").await.unwrap_err().class, FailureClass::NotFound);
    world.once("RetrievePropertiesEx", Reply::soap("RetrievePropertiesEx", ""));
    assert_eq!(client.vm("vm-1").await.unwrap_err().class, FailureClass::Invalid);
}

async fn failing(method: &str, replies: Vec<Reply>) -> (Result<(), Failure>, usize) {
    let (world, server) = world().await;
    let client = plain(&server);
    client.about().await.unwrap();
    replies.into_iter().for_each(|reply| world.once(method, reply));
    let outcome = client.vm("vm-1").await.map(drop);
    (outcome, server.count(method))
}

#[tokio::test]
async fn reads_are_repeated_once_when_the_connection_breaks() {
    assert_eq!(failing("RetrievePropertiesEx", vec![Reply::Reset]).await, (Ok(()), 2));
    assert_eq!(failing("RetrievePropertiesEx", vec![Reply::Cut("<soapenv:Env".into())]).await, (Ok(()), 2));
    let (outcome, calls) = failing("RetrievePropertiesEx", (0..5).map(|_| Reply::Reset).collect()).await;
    assert_eq!((outcome.unwrap_err().class, calls), (FailureClass::Transient, 2));
}

#[tokio::test]
async fn other_trouble_is_reported_at_once() {
    let html = || "<html><head><title>Service Unavailable</title></head></html>".to_owned();
    for (reply, class, code) in [
        (Reply::Http(503, String::new(), html()), FailureClass::Transient, codes::UNREADABLE_ANSWER),
        (
            Reply::Http(503, "retry-after: 30\r\n".into(), html()),
            FailureClass::Throttled { retry_after: Duration::from_secs(30) },
            codes::UNREADABLE_ANSWER,
        ),
        (Reply::Http(200, String::new(), html()), FailureClass::Invalid, codes::UNREADABLE_ANSWER),
        (
            Reply::Http(302, "location: http://127.0.0.1:1/\r\n".into(), String::new()),
            FailureClass::Invalid,
            codes::UNREADABLE_ANSWER,
        ),
        (Reply::fault("NoPermission", ""), FailureClass::Denied, "NoPermission"),
    ] {
        let (outcome, calls) = failing("RetrievePropertiesEx", vec![reply]).await;
        let failure = outcome.unwrap_err();
        assert_eq!((failure.class, failure.code.as_deref(), calls), (class, Some(code), 1), "{failure}");
    }
}

#[tokio::test]
async fn no_password_goes_to_what_is_no_vcenter() {
    for reply in [
        Reply::Http(200, String::new(), "<html><title>Router login</title></html>".into()),
        Reply::Http(404, String::new(), String::new()),
        Reply::Http(200, String::new(), "<namespaces><namespace><name>urn:sms</name></namespace></namespaces>".into()),
    ] {
        let (world, server) = world().await;
        world.once("GET", reply);
        let failure = plain(&server).about().await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Invalid, Some(codes::UNREADABLE_ANSWER)));
        assert_eq!(server.count("Login"), 0);
    }
}

#[tokio::test]
async fn a_login_whose_answer_was_lost_is_not_repeated() {
    let (world, server) = world().await;
    world.once("Login", Reply::Reset);
    let failure = plain(&server).about().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!(server.count("Login"), 1);
}

#[tokio::test]
async fn nobody_there() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = client(&unused.to_string(), Trust::System, 1).about().await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Transient, Some(codes::UNREACHABLE)));
    assert!(failure.message.contains(&unused.to_string()), "{failure}");
    let failure = client(&hang_up().await, Trust::System, 1).about().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient, "{failure}");
}

#[derive(Default)]
struct Calls(Mutex<Vec<u16>>);

impl CallMeter for Calls {
    fn called(&self, remote: Remote, code: u16, _: Duration) {
        assert_eq!(remote, Remote::VCenter);
        self.0.lock().unwrap().push(code);
    }

    fn throttled(&self, _: Remote) {}
}

#[tokio::test]
async fn calls_are_metered() {
    let (world, server) = world().await;
    let calls = Arc::new(Calls::default());
    let meter: Arc<dyn CallMeter> = Arc::<Calls>::clone(&calls);
    let client = metered(&format!("http://{}", server.address), Trust::System, 1, meter);
    world.once("CurrentTime", Reply::Reset);
    client.about().await.unwrap();
    // Probe, service content, login, a reset, the same again.
    assert_eq!(*calls.0.lock().unwrap(), [200, 200, 200, 0, 200]);
}

#[test]
fn nothing_shows_the_password() {
    let config = failback::vcenter::VCenterConfig {
        server: "vc.example.com".into(),
        user: "svc".into(),
        password: failback::ports::Secret::new("hunter2"),
        trust: Trust::System,
    };
    assert!(!format!("{config:?}").contains("hunter2"));
}
