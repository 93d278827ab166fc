//! The corpus: a few inputs for each target, made of what the simulated site says and of the examples.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use failback::rehearsal::{Rehearsal, Setup, documents, pointed_at_site};

const SCENARIO: &str = include_str!("../../examples/scenarios/one-machine.yaml");
const EXAMPLE: [&str; 3] = [
    include_str!("../../examples/one-machine/connections.yaml"),
    include_str!("../../examples/one-machine/machine.yaml"),
    include_str!("../../examples/one-machine/plan.yaml"),
];

/// What neither the site nor an example says.
const WRITTEN: [(&str, &str, &str); 8] = [
    (
        "vcenter",
        "versions",
        "200\nset-cookie: vmware_soap_session=\"52a-b c\"; Path=/\n\n<namespaces version=\"1.0\"><namespace>\
         <name>urn:vim25</name><version>8.0.3.0</version></namespace></namespaces>",
    ),
    ("vcenter", "overloaded", "503\nretry-after: 18446744073709551615\n\n<html><title>Busy</title></html>"),
    (
        "faults",
        "two",
        "- method: POST\n  path: '*/plannedFailover'\n  times: 2\n  effect: { type: jobFails, code: '8038', message: No host. }\n\
         - effect: { type: world, change: { addLock: keep } }\n",
    ),
    (
        "jobs",
        "template",
        "metadata: { labels: { app: smoke } }\nspec:\n  ttlSecondsAfterFinished: 60\n  template:\n    spec:\n      \
         containers:\n        - { name: main, image: 'busybox:1', env: [{ name: A, value: b }] }\n",
    ),
    (
        "jobs",
        "job-and-pod",
        "status: { conditions: [{ type: Failed, status: 'True', reason: BackoffLimitExceeded, message: No more. }] }\n---\n\
         metadata: { creationTimestamp: 2026-01-01T00:00:00Z }\nstatus:\n  containerStatuses:\n    - name: main\n      \
         image: 'x.invalid/y:1'\n      state: { waiting: { reason: ErrImagePull, message: not found } }\n",
    ),
    (
        "jobs",
        "log",
        "begin\r\npassword=hunter2 Authorization: Bearer abc.def\nGET https://h/p?sig=AAA\n\u{1b}[31mend\n",
    ),
    (
        "probe",
        "page",
        "name: page\nhttp: { scheme: https, port: 8443, path: /health, expectedStatus: 200, bodyMatch: '^(?i)ready\\s+\\w{2,8}$' }\n\n\
         10.1.2.3\n200\ncontent-type: text/plain\n\nReady steady",
    ),
    ("probe", "address", "name: address\nguestIp: { expected: [10.0.0.0/8, 'fd00::/7', 192.0.2.1] }\n\n2001:db8::1\n"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The seeds of a target, and for answers of Azure those that were recorded elsewhere.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = files(&root().join(target));
    if target == "scenario" {
        seeds.extend(files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios")));
    }
    if let ("arm", Some(recorded)) = (target, std::env::var_os("FAILBACK_ASR_DATA")) {
        let recorded = PathBuf::from(recorded);
        for folder in ["recorded", "recorded-classic", "examples"] {
            // Small ones, so that edits meet what matters.
            seeds
                .extend(files(&recorded.join(folder)).into_iter().filter(|seed| seed.len() < 40_000).map(of_recording));
        }
    }
    seeds
}

/// A recording holds request and answer; of the answer only the body goes in.
fn of_recording(file: Vec<u8>) -> Vec<u8> {
    let recording: serde_json::Value = serde_json::from_slice(&file).unwrap_or_default();
    let bodies = ["/response/body", "/responses/200/body", "/body"];
    bodies.iter().find_map(|at| recording.pointer(at)).map_or(file, |body| body.to_string().into_bytes())
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = root().join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// Writes the corpus anew when `FAILBACK_UPDATE` is set.
#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_is_written_when_asked_for() {
    if std::env::var_os("FAILBACK_UPDATE").is_none() {
        return;
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    for (number, cron) in ["0 22 * * 1-5", "*/15 0-6 1,15 JAN-MAR *", "30 4 29 2 *"].iter().enumerate() {
        write("cron", &number.to_string(), cron.as_bytes());
    }
    write("objects", "one-machine", EXAMPLE.join("\n---\n").as_bytes());
    for (target, name, text) in WRITTEN {
        write(target, name, text.as_bytes());
    }
    write("scenario", "one-machine", SCENARIO.as_bytes());
    let certificate = rcgen::generate_simple_self_signed(["vcenter.example.com".to_owned()]).unwrap();
    write("trust", "certificate.der", certificate.cert.der());
    write("trust", "bundle.pem", certificate.cert.pem().as_bytes());
    write("trust", "thumbprint", format!("SHA256:{}", ["AB"; 32].join(":")).as_bytes());
    write("trust", "address", b"https://[fd00::4]:8443/sdk");
    let heard = hear().await;
    for (name, answer) in heard {
        let target = match name.as_str() {
            "POST_token" => "token",
            name if name.starts_with("SOAP_") => "vcenter",
            _ => "arm",
        };
        write(target, &name, &answer);
    }
    let refused = br#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\r\nTrace ID: 1","error_codes":[7000215]}"#;
    write("token", "refused", &[&b"401\nretry-after: 7\n\n"[..], refused].concat());
    let throttled =
        br#"{"error":{"code":"TooManyRequests","message":"Slow down.","details":[{"code":"1","message":"x"}]}}"#;
    write(
        "arm",
        "throttled",
        &[&b"429\nretry-after: Sat, 26 Aug 2023 04:02:00 GMT\ndate: Sat, 26 Aug 2023 04:00:00 GMT\n\n"[..], throttled]
            .concat(),
    );
    write("arm", "continued", br#"{"value":[],"nextLink":"https://management.azure.com/subscriptions/s/x?page=2"}"#);
}

type Heard = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// One answer of each kind, while a machine comes home.
async fn hear() -> BTreeMap<String, Vec<u8>> {
    let rehearsal = Rehearsal::start(&Setup::new(SCENARIO, 600.0)).await.unwrap();
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (client, site, kept) = (reqwest::Client::new(), rehearsal.site_url.clone(), Arc::clone(&heard));
    let pass = move |request: Request| pass(client.clone(), site.clone(), Arc::clone(&kept), request);
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass)).await });
    for manifest in EXAMPLE.iter().flat_map(|text| documents(text).unwrap()) {
        rehearsal.api.apply(pointed_at_site(manifest, &url)).await.unwrap();
    }
    let (stop, controller) = rehearsal.controller().await.unwrap();
    while rehearsal.site.calls().iter().filter(|call| call.effect).count() < 4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    controller.await.unwrap();
    rehearsal.end().await;
    let heard = heard.lock().unwrap();
    heard.clone()
}

async fn pass(client: reqwest::Client, site: String, heard: Heard, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let name = kind(&parts.method, parts.uri.path(), &body);
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = client.request(parts.method, format!("{site}{}", parts.uri)).headers(headers).body(body).send().await;
    let Ok(answer) = answer else { return Response::builder().status(502).body(Body::empty()).unwrap() };
    let mut response = Response::builder().status(answer.status());
    let mut head = format!("{}\n", answer.status().as_u16());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        response = response.header(name, value);
        head.push_str(&format!("{name}: {}\n", value.to_str().unwrap_or_default()));
    }
    let bytes = answer.bytes().await.unwrap_or_default();
    let kept = if name.starts_with("SOAP_") { bytes.to_vec() } else { [head.as_bytes(), b"\n", &bytes].concat() };
    heard.lock().unwrap().entry(name).or_insert(kept);
    response.body(Body::from(bytes)).unwrap()
}

/// `GET_replicationJobs` of a list, `GET_replicationJobs_one` of an object, `SOAP_Login`.
fn kind(method: &http::Method, path: &str, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if let Some((_, call)) = text.split_once("Body><") {
        return format!("SOAP_{}", call.split([' ', '>']).next().unwrap_or_default());
    }
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let [.., before, last] = segments.as_slice() else { return format!("{method}_{path}").replace('/', "_") };
    let is_list = segments.len() % 2 == 1 || method != http::Method::GET;
    let (before, last) = (before.replace("protecteditems", "ProtectedItems"), last.to_string());
    if is_list { format!("{method}_{last}") } else { format!("{method}_{before}_one") }
}
