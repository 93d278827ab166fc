//! The vCenter where it is stricter than the vendor's own simulator.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod common;

use std::time::{Duration, Instant};

use common::{Running, Vim, between, send, start};
use serde_json::json;

const SITE: &str = "vcenters:\n  - {name: one.example.com, deniedProperties: [config.extraConfig], sessionIdleSeconds: 1800}\n  - {name: two.example.com, user: other, password: secret}\nmachines: [{name: web-01, snapshots: [nightly]}]";

fn view(vim: &str) -> String {
    format!(
        r#"<CreateContainerView xmlns="urn:vim25"><_this type="ViewManager">ViewManager</_this><container type="Folder">group-d1</container><type>{vim}</type><recursive>true</recursive></CreateContainerView>"#
    )
}

fn spec(view: &str, kind: &str, paths: &[&str]) -> String {
    let paths: String = paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
    format!(
        r#"<propSet><type>{kind}</type>{paths}</propSet><objectSet><obj type="ContainerView">{view}</obj><skip>true</skip><selectSet xsi:type="TraversalSpec"><type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet>"#
    )
}

async fn watch(vim: &Vim<'_>, paths: &[&str]) {
    let reply = vim.call(&view("VirtualMachine")).await;
    let view = between(&reply, "<returnval type=\"ContainerView\">", "<").unwrap().to_owned();
    vim.call(&format!(r#"<CreateFilter xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><spec>{}</spec><partialUpdates>false</partialUpdates></CreateFilter>"#, spec(&view, "VirtualMachine", paths))).await;
}

fn wait(version: &str, seconds: u32) -> String {
    format!(
        r#"<WaitForUpdatesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><version>{version}</version><options><maxWaitSeconds>{seconds}</maxWaitSeconds></options></WaitForUpdatesEx>"#
    )
}

fn mend(running: &Running, change: serde_json::Value) {
    running.site.inject(serde_json::from_value(json!({"effect": {"type": "world", "change": change}})).unwrap());
}

#[tokio::test]
async fn nothing_but_the_content_without_a_session() {
    let running = start(SITE, 1.0).await;
    let nobody = Vim { running: &running, cookie: String::new() };
    let content = nobody.call(r#"<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>"#).await;
    assert!(content.contains("<apiType>VirtualCenter</apiType>"), "{content}");
    for call in [
        view("VirtualMachine"),
        r#"<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>"#
            .to_owned(),
        wait("", 0),
    ] {
        let reply = nobody.raw(&call).await;
        assert_eq!(reply.status, 500);
        assert!(reply.text().contains(r#"xsi:type="NotAuthenticated""#), "{}", reply.text());
    }
    let reply = send(running.address, "POST", "/sdk", &[], "<not xml").await.unwrap();
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("<faultcode>ServerFaultCode</faultcode>"), "{}", reply.text());
    let vim = Vim::login(&running).await;
    let reply =
        vim.raw(r#"<RebootGuest xmlns="urn:vim25"><_this type="VirtualMachine">vm-1</_this></RebootGuest>"#).await;
    assert!(reply.status == 500 && reply.text().contains("RebootGuest"));
    let versions = send(running.address, "GET", "/sdk/vimServiceVersions.xml", &[], "").await.unwrap();
    assert!(versions.text().contains("<version>6.5</version>"));
    // Each vCenter has sessions of its own.
    let login = common::envelope(
        r#"<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>other</userName><password>secret</password></Login>"#,
    );
    assert_eq!(send(running.address, "POST", "/vcenters/two.example.com/sdk", &[], login).await.unwrap().status, 200);
    let headers = [("cookie", vim.cookie.as_str())];
    let time = common::envelope(
        r#"<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>"#,
    );
    assert_eq!(
        send(running.address, "POST", "/vcenters/two.example.com/sdk", &headers, time).await.unwrap().status,
        500
    );
}

#[tokio::test]
async fn a_long_poll_wakes_when_the_world_moves_and_only_then() {
    let running = start(SITE, 600.0).await;
    let vim = Vim::login(&running).await;
    watch(&vim, &["name", "runtime.powerState", "guest.toolsRunningStatus"]).await;
    let first = vim.call(&wait("", 5)).await;
    let version = between(&first, "<version>", "<").unwrap().to_owned();
    assert!(first.contains("<kind>enter</kind>"));
    let begin = Instant::now();
    let none = vim.call(&wait(&version, 1)).await;
    assert!(begin.elapsed() >= Duration::from_millis(900) && !none.contains("returnval"), "{none}");
    let site = running.site.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        site.inject(
            serde_json::from_value(
                json!({"effect": {"type": "world", "change": {"machine": "web-01", "onPremRunning": true}}}),
            )
            .unwrap(),
        );
    });
    let begin = Instant::now();
    let on = vim.call(&wait(&version, 30)).await;
    assert!(
        begin.elapsed() < Duration::from_secs(5) && on.contains("poweredOn") && on.contains("<kind>modify</kind>"),
        "{on}"
    );
    // A client that lost the answer asks again from the version before.
    assert_eq!(vim.call(&wait(&version, 0)).await, on);
    let version = between(&on, "<version>", "<").unwrap().to_owned();
    // Tools come back by themselves: the timer wakes the poll.
    let tools = vim.call(&wait(&version, 30)).await;
    assert!(tools.contains("guestToolsRunning"), "{tools}");
    let reply = vim.raw(&wait("99", 0)).await;
    assert!(reply.text().contains("InvalidCollectorVersion"));
    // A VM that is deleted leaves.
    let version = between(&tools, "<version>", "<").unwrap().to_owned();
    mend(&running, json!({"machine": "web-01", "onPremExists": false}));
    assert!(vim.call(&wait(&version, 5)).await.contains("<kind>leave</kind>"));
}

#[tokio::test]
async fn a_waiting_call_is_cancelled_and_dies_with_its_session() {
    let running = start(SITE, 1.0).await;
    let vim = Vim::login(&running).await;
    watch(&vim, &["name"]).await;
    let version = between(&vim.call(&wait("", 5)).await, "<version>", "<").unwrap().to_owned();
    let waiting = wait(&version, 30);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        vim.call(r#"<CancelWaitForUpdates xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this></CancelWaitForUpdates>"#).await
    };
    let (reply, _) = tokio::join!(vim.raw(&waiting), cancel);
    assert!(reply.text().contains("RequestCanceled"), "{}", reply.text());
    let kill = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        mend(&running, json!({"killSessions": true}));
    };
    let (reply, ()) = tokio::join!(vim.raw(&waiting), kill);
    assert!(reply.text().contains("NotAuthenticated"), "{}", reply.text());
}

#[tokio::test]
async fn denied_wrong_and_absent_properties() {
    let running = start(SITE, 1.0).await;
    let vim = Vim::login(&running).await;
    let reply = vim.call(&view("VirtualMachine")).await;
    let view = between(&reply, "<returnval type=\"ContainerView\">", "<").unwrap().to_owned();
    let retrieve = |paths: &[&str]| {
        format!(
            r#"<RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet>{}</specSet><options/></RetrievePropertiesEx>"#,
            spec(&view, "VirtualMachine", paths)
        )
    };
    let reply = vim.call(&retrieve(&["name", "config.extraConfig", "config.hardware.device", "snapshot"])).await;
    assert!(
        reply.contains(r#"<missingSet><path>config.extraConfig</path><fault><fault xsi:type="NoPermission">"#),
        "{reply}"
    );
    assert!(
        reply.contains("<parent xsi:type=\"VirtualDiskFlatVer2BackingInfo\">"),
        "a snapshot makes a delta disk with a parent"
    );
    let reply = vim.raw(&retrieve(&["nonsense"])).await;
    assert!(reply.status == 500 && reply.text().contains("InvalidProperty"), "{}", reply.text());
    let token = r#"<ContinueRetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><token>stale</token></ContinueRetrievePropertiesEx>"#;
    assert!(vim.raw(token).await.text().contains("InvalidArgument"));
}

#[tokio::test]
async fn an_idle_session_expires() {
    let running = start("vcenters: [{name: v, sessionIdleSeconds: 1}]\nmachines: [{name: web-01}]", 1.0).await;
    let vim = Vim::login(&running).await;
    let time = r#"<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>"#;
    vim.call(time).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(vim.raw(time).await.text().contains("NotAuthenticated"));
}
