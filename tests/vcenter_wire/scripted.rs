//! A SOAP server on loopback that answers by a script, and breaks connections when told to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

/// A request as far as a script cares.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method's element name; `GET` for the probe.
    pub method: String,
    /// The whole body.
    pub body: String,
    /// The cookie header.
    pub cookie: Option<String>,
}

impl Seen {
    /// The text of the first element of this name.
    pub fn text(&self, element: &str) -> Option<&str> {
        let start = self.body.find(&format!("<{element}>"))? + element.len() + 2;
        self.body[start..].split('<').next()
    }
}

/// What to do with a request.
pub enum Reply {
    /// Status, further header lines, body.
    Http(u16, String, String),
    /// Reset the connection without an answer.
    Reset,
    /// Announce a longer body than is sent, then close.
    Cut(String),
    /// Never answer.
    Silence,
    /// Answer `RequestCanceled` once told to.
    Held(Arc<Notify>),
}

impl Reply {
    /// A SOAP response.
    pub fn soap(method: &str, content: &str) -> Self {
        Self::Http(
            200,
            String::new(),
            envelope(&format!("<{method}Response xmlns=\"urn:vim25\">{content}</{method}Response>")),
        )
    }

    /// A SOAP fault.
    pub fn fault(kind: &str, inner: &str) -> Self {
        let detail = format!("<detail><{kind}Fault xsi:type=\"{kind}\">{inner}</{kind}Fault></detail>");
        let fault = format!(
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{kind} it is</faultstring>{detail}</soapenv:Fault>"
        );
        Self::Http(500, String::new(), envelope(&fault))
    }
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server; it ends with the test's runtime.
pub struct Scripted {
    /// `127.0.0.1:port`
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Scripted {
    /// Starts one; with an acceptor it speaks TLS.
    pub async fn start(tls: Option<TlsAcceptor>, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, tls) = (Arc::clone(&script), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => {
                            // Closing with unread data in sight is what makes a reset of it.
                            stream.set_zero_linger().unwrap();
                            serve(stream, &*script, &log).await;
                        }
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &*script, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// How often a method was called.
    pub fn count(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|s| s.method == method).count()
    }

    /// All requests of a method.
    pub fn requests(&self, method: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|s| s.method == method).cloned().collect()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: &Script, log: &Mutex<Vec<Seen>>) {
    let mut pending = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut pending).await {
        log.lock().unwrap().push(seen.clone());
        let mut reply = script(&seen);
        if let Reply::Held(until) = &reply {
            until.notified().await;
            reply = Reply::fault("RequestCanceled", "");
        }
        let answer = match reply {
            Reply::Http(status, headers, body) => {
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
            }
            Reply::Cut(body) => {
                let answer = format!("HTTP/1.1 200 x\r\ncontent-length: {}\r\n\r\n{body}", body.len() + 100);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
            }
            Reply::Reset => return,
            Reply::Silence | Reply::Held(_) => return std::future::pending().await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, pending: &mut Vec<u8>) -> Option<Seen> {
    loop {
        let text = String::from_utf8_lossy(pending).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|l| l.split_once(':'));
                lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned())
            };
            let length: usize = header("content-length").map_or(0, |v| v.parse().unwrap());
            if body.len() >= length {
                let (body, cookie) = (body[..length].to_owned(), header("cookie"));
                pending.drain(..head.len() + 4 + length);
                return Some(Seen { method: method_of(head, &body), body, cookie });
            }
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk).await {
            // A TLS handshake: every web server answers it like this.
            Ok(_) if chunk[0] == 0x16 => {
                pending.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            }
            Ok(n) if n > 0 => pending.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

fn method_of(head: &str, body: &str) -> String {
    if head.starts_with("GET") {
        return "GET".to_owned();
    }
    let after = body.split("Body><").nth(1).unwrap_or_default();
    after.split([' ', '>']).next().unwrap_or_default().to_owned()
}

/// A small vCenter: sessions that can be ended, one VM, a collector that replays batches and then holds the poll.
#[derive(Default)]
pub struct World {
    /// Sessions given out so far; only the newest is valid.
    pub sessions: AtomicUsize,
    /// Set to end the newest session.
    pub ended: AtomicUsize,
    /// Whether the password is accepted.
    pub refuse: std::sync::atomic::AtomicBool,
    /// Ends the long poll that is held.
    pub cancelled: Arc<Notify>,
    /// What the long polls answer, in order; then they are held.
    pub batches: Mutex<VecDeque<Reply>>,
    /// Answers given instead of the usual ones, by method.
    pub instead: Mutex<Vec<(String, Reply)>>,
}

impl World {
    /// Answers as this method for once.
    pub fn once(&self, method: &str, reply: Reply) {
        self.instead.lock().unwrap().push((method.to_owned(), reply));
    }

    /// Adds an answer to the long polls.
    pub fn batch(&self, version: u32, updates: &str) {
        let result = format!("<returnval><version>{version}</version><filterSet>{updates}</filterSet></returnval>");
        self.batches.lock().unwrap().push_back(Reply::soap("WaitForUpdatesEx", &result));
    }

    /// Ends the session that is open now.
    pub fn end_session(&self) {
        self.ended.store(self.sessions.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn is_live(&self, seen: &Seen) -> bool {
        let n = self.sessions.load(Ordering::SeqCst);
        n > self.ended.load(Ordering::SeqCst)
            && seen.cookie.as_deref() == Some(&format!("vmware_soap_session=\"s {n}\""))
    }

    /// The script.
    pub fn answer(&self, seen: &Seen) -> Reply {
        let mut instead = self.instead.lock().unwrap();
        if let Some(at) = instead.iter().position(|(method, _)| *method == seen.method) {
            return instead.remove(at).1;
        }
        drop(instead);
        match seen.method.as_str() {
            "GET" => Reply::Http(
                200,
                String::new(),
                "<namespaces version=\"1.0\"><namespace><name>urn:vim25</name><version>7.0</version></namespace></namespaces>".into(),
            ),
            "RetrieveServiceContent" => Reply::soap("RetrieveServiceContent", CONTENT),
            "Login" if self.refuse.load(Ordering::SeqCst) => Reply::fault("InvalidLogin", ""),
            "Login" => {
                let n = self.sessions.fetch_add(1, Ordering::SeqCst) + 1;
                let Reply::Http(status, _, body) = Reply::soap("Login", "<returnval><key>k</key></returnval>") else { unreachable!() };
                Reply::Http(status, format!("set-cookie: vmware_soap_session=\"s {n}\"; Path=/; HttpOnly\r\n"), body)
            }
            _ if !self.is_live(seen) => Reply::fault("NotAuthenticated", ""),
            "CreateContainerView" => Reply::soap("CreateContainerView", "<returnval type=\"ContainerView\">view-1</returnval>"),
            "CreatePropertyCollector" => Reply::soap("CreatePropertyCollector", "<returnval type=\"PropertyCollector\">pc-1</returnval>"),
            "CreateFilter" => Reply::soap("CreateFilter", "<returnval type=\"PropertyFilter\">filter-1</returnval>"),
            "WaitForUpdatesEx" if seen.text("version") == Some("") => Reply::soap(
                "WaitForUpdatesEx",
                &format!("<returnval><version>1</version><filterSet>{}</filterSet></returnval>", vm("enter", "changeSet", "poweredOn")),
            ),
            "WaitForUpdatesEx" => self.batches.lock().unwrap().pop_front().unwrap_or_else(|| Reply::Held(Arc::clone(&self.cancelled))),
            "CancelWaitForUpdates" => {
                self.cancelled.notify_waiters();
                Reply::soap("CancelWaitForUpdates", "")
            }
            "RetrievePropertiesEx" => {
                let content = vm("", "propSet", "poweredOn").replace("objectSet>", "objects>");
                Reply::soap("RetrievePropertiesEx", &format!("<returnval>{content}</returnval>"))
            }
            "CurrentTime" => Reply::soap("CurrentTime", "<returnval>2026-11-02T10:00:00Z</returnval>"),
            other => Reply::soap(other, ""),
        }
    }
}

/// The one VM as an update or as an object.
pub fn vm(kind: &str, property: &str, power: &str) -> String {
    format!(
        "<objectSet><kind>{kind}</kind><obj type=\"VirtualMachine\">vm-1</obj>\
         <{property}><name>name</name><op>assign</op><val>web</val></{property}>\
         <{property}><name>runtime.connectionState</name><op>assign</op><val>connected</val></{property}>\
         <{property}><name>runtime.powerState</name><op>assign</op><val>{power}</val></{property}></objectSet>"
    )
}

/// An update of its power state alone.
pub fn powered(power: &str) -> String {
    format!(
        "<objectSet><kind>modify</kind><obj type=\"VirtualMachine\">vm-1</obj>\
         <changeSet><name>runtime.powerState</name><op>assign</op><val>{power}</val></changeSet></objectSet>"
    )
}

const CONTENT: &str = "<returnval><rootFolder type=\"Folder\">group-d1</rootFolder>\
<propertyCollector type=\"PropertyCollector\">propertyCollector</propertyCollector>\
<viewManager type=\"ViewManager\">ViewManager</viewManager>\
<about><fullName>VMware vCenter Server 7.0.3</fullName><version>7.0.3</version><instanceUuid>AAAA-BBBB</instanceUuid></about>\
<sessionManager type=\"SessionManager\">SessionManager</sessionManager></returnval>";

/// A TLS acceptor with a self-signed certificate for `localhost`, and that certificate as PEM and DER.
pub fn self_signed() -> (TlsAcceptor, String, Vec<u8>) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 5, 6);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate.pem(), certificate.der().to_vec())
}

/// A listener that hangs up on everyone.
pub async fn hang_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop::<TcpStream>(stream);
        }
    });
    address
}
