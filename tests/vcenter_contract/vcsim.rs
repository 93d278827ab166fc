//! VMware's own simulator, from Debian's packages. Skipped, with a word, where they are not installed.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use failback::{core::observed::Power, ports::VirtualCenter as _, vcenter::Trust};
use tokio::time::sleep;

use crate::{
    Site,
    contract::{self, Following, running},
    hand::Hand,
};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vcsim/main.go");
const GOPATH: &str = "/usr/share/gocode";
const PASSWORD: &str = "Secret & <1>";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It would end with its standard input, but only after all long polls.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The program, built once for all tests; `None` where Debian's packages are missing.
fn program() -> Option<PathBuf> {
    let library = Path::new(GOPATH).join("src/github.com/vmware/govmomi/simulator");
    let go = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if !library.is_dir() || !go.is_ok_and(|status| status.success()) {
        // Past the test harness, which keeps what `eprintln!` says of a test that passes.
        let hint = "SKIPPED: needs the Debian packages golang-go and golang-github-vmware-govmomi-dev\n";
        std::io::stderr().write_all(hint.as_bytes()).unwrap();
        return None;
    }
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vcsim");
    fs::create_dir_all(&scratch).unwrap();
    let program = scratch.join("vcsim");
    let lock = File::create(scratch.join("lock")).unwrap();
    lock.lock().unwrap();
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if modified(&program) < modified(Path::new(SOURCE)) {
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&program).arg(SOURCE);
        build.env("GO111MODULE", "off").env("GOPATH", GOPATH).env("GOCACHE", scratch.join("cache")).env("GOFLAGS", "");
        assert!(build.status().unwrap().success(), "vcsim does not build");
    }
    Some(program)
}

fn start(options: &[&str]) -> Option<Site> {
    let program = program()?;
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let files = program.with_file_name(format!("tls-{}", std::process::id()));
    fs::create_dir_all(&files).unwrap();
    let (pem, key_pem) = (files.join("cert.pem"), files.join("key.pem"));
    fs::write(&pem, certificate.pem()).unwrap();
    fs::write(&key_pem, key.serialize_pem()).unwrap();
    let mut command = Command::new(program);
    command
        .arg("-cert")
        .arg(&pem)
        .arg("-key")
        .arg(&key_pem)
        .args(["-user", "svc", "-password", PASSWORD])
        .args(options);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut server).unwrap();
    fs::remove_dir_all(files).unwrap();
    Some(Site {
        server: server.trim().to_owned(),
        trust: Trust::Ca(certificate.pem()),
        user: "svc".into(),
        password: PASSWORD.into(),
        running: Box::new(Running(child)),
    })
}

#[tokio::test]
async fn vcsim_tells_everything_first() {
    let Some(site) = start(&[]) else { return };
    contract::the_first_message_is_everything(&site).await;
}

#[tokio::test]
async fn vcsim_tells_power_changes() {
    let Some(site) = start(&[]) else { return };
    contract::a_machine_that_is_turned_off_and_on(&site).await;
}

#[tokio::test]
async fn vcsim_is_read_past_the_cache() {
    let Some(site) = start(&[]) else { return };
    contract::a_read_past_the_cache(&site).await;
}

#[tokio::test]
async fn vcsim_refuses_a_wrong_password() {
    let Some(site) = start(&[]) else { return };
    contract::a_wrong_password(&site).await;
}

#[tokio::test]
async fn vcsim_is_trusted_by_what_the_refusal_shows() {
    let Some(site) = start(&[]) else { return };
    contract::a_certificate_that_is_not_trusted(&site).await;
}

#[tokio::test]
async fn vcsim_is_read_anew_page_by_page() {
    let Some(site) = start(&["-vms", "130"]) else { return };
    contract::everything_anew_page_by_page(&site, 260).await;
}

/// Its sessions idle out in the middle of a long poll; the power change ends the poll, and the next finds out.
#[tokio::test]
async fn vcsim_forgets_a_session() {
    let Some(site) = start(&["-session-idle", "2s"]) else { return };
    contract::a_session_that_is_lost(&site, async |vm| {
        sleep(Duration::from_secs(5)).await;
        Hand::on(&site).await.on_vm("PowerOffVM_Task", &vm.moref, "").await;
    })
    .await;
}

#[tokio::test]
async fn vcsim_tells_snapshots_settings_and_departures() {
    let Some(site) = start(&[]) else { return };
    let mut following = Following::of(site.client());
    let vm = running(&following.all().await.0).clone();
    let mut hand = Hand::on(&site).await;
    let snapshot = "<name>before</name><memory>false</memory><quiesce>false</quiesce>";
    hand.on_vm("CreateSnapshot_Task", &vm.moref, snapshot).await;
    following.until(&vm.moref, |vm| vm.snapshots == Some(1)).await;
    hand.on_vm("RemoveAllSnapshots_Task", &vm.moref, "").await;
    following.until(&vm.moref, |vm| vm.snapshots == Some(0)).await;
    let setting = "<spec xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\">\
                   <extraConfig><key>disk.EnableUUID</key><value xsi:type=\"xsd:string\">TRUE</value></extraConfig></spec>";
    hand.on_vm("ReconfigVM_Task", &vm.moref, setting).await;
    // It keeps this to itself until it is asked.
    assert_eq!(following.client.vm(&vm.moref).await.unwrap().unwrap().disk_enable_uuid, Some(true));
    hand.on_vm("PowerOffVM_Task", &vm.moref, "").await;
    following.until(&vm.moref, |vm| vm.power == Some(Power::Off)).await;
    hand.on_vm("Destroy_Task", &vm.moref, "").await;
    loop {
        if let failback::ports::VCenterChange::Gone(gone) = following.next().await {
            assert_eq!(gone, std::slice::from_ref(&vm.moref));
            break;
        }
    }
    assert_eq!(following.client.vm(&vm.moref).await, Ok(None));
}
