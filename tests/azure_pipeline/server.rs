//! A server on loopback that answers by script and misbehaves on request: it closes connections before, during and
//! after an answer, which no HTTP framework would do.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What to do with the next request of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A JSON answer.
    Json(u16, Vec<(&'static str, String)>, Value),
    /// Any answer.
    Text(u16, Vec<(&'static str, String)>, String),
    /// Read the request, close the connection.
    Reset,
    /// Send the head of an answer that announces more bytes than come.
    Cut(u16, Vec<(&'static str, String)>, String),
    /// Announce a body of this size.
    Huge(u64),
    /// No answer for so long.
    Hang(Duration),
}

pub(crate) fn ok(body: Value) -> Reply {
    Reply::Json(200, vec![], body)
}

pub(crate) fn status(status: u16, code: &str) -> Reply {
    Reply::Json(status, vec![], json!({"error": {"code": code, "message": format!("It is {code}.")}}))
}

pub(crate) fn throttle(status: u16, header: &'static str, value: &str) -> Reply {
    let body = json!({"error": {"code": "TooManyRequests", "message": "Slow down."}});
    Reply::Json(status, vec![(header, value.to_owned())], body)
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct State {
    scripts: HashMap<String, VecDeque<Reply>>,
    seen: Vec<Seen>,
    tokens: usize,
}

/// The server. Token requests are granted with `token-1`, `token-2`, … unless scripted otherwise.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { url: format!("http://{}", listener.local_addr().unwrap()), state: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(connection));
            }
        });
        server
    }

    /// Scripts the answers to `METHOD last-segment-of-the-path`. The last one is repeated.
    pub(crate) fn on(&self, kind: &str, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().scripts.insert(kind.to_owned(), replies.into_iter().collect());
    }

    /// All requests so far of a kind.
    pub(crate) fn seen(&self, kind: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|seen| kind_of(seen) == kind).cloned().collect()
    }

    /// All requests to ARM so far.
    pub(crate) fn seen_by_arm(&self) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|seen| seen.target.contains("/subscriptions/")).cloned().collect()
    }

    async fn serve(self, connection: TcpStream) {
        let mut connection = BufReader::new(connection);
        while let Some(seen) = read(&mut connection).await {
            let reply = self.reply(seen);
            let (head, body, close) = match reply {
                Reply::Reset => return,
                Reply::Hang(time) => {
                    tokio::time::sleep(time).await;
                    return;
                }
                Reply::Json(status, headers, body) => {
                    let body = body.to_string();
                    (head(status, &headers, "application/json", body.len() as u64), body, false)
                }
                Reply::Text(status, headers, body) => {
                    (head(status, &headers, "text/html", body.len() as u64), body, false)
                }
                Reply::Cut(status, headers, body) => {
                    (head(status, &headers, "application/json", body.len() as u64 + 100), body, true)
                }
                Reply::Huge(size) => (head(200, &[], "application/json", size), "{".to_owned(), true),
            };
            let sent = connection.get_mut().write_all(format!("{head}{body}").as_bytes()).await;
            if sent.is_err() || close {
                return;
            }
        }
    }

    fn reply(&self, seen: Seen) -> Reply {
        let mut state = self.state.lock().unwrap();
        let kind = kind_of(&seen);
        state.seen.push(seen);
        if let Some(replies) = state.scripts.get_mut(&kind)
            && let Some(last) = replies.back().cloned()
        {
            return if replies.len() > 1 { replies.pop_front().unwrap() } else { last };
        }
        if kind.ends_with(" token") {
            state.tokens += 1;
            let token = format!("token-{}", state.tokens);
            return ok(json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}));
        }
        status(404, "ResourceNotFound")
    }
}

fn kind_of(seen: &Seen) -> String {
    let path = seen.target.split('?').next().unwrap();
    format!("{} {}", seen.method, path.rsplit('/').next().unwrap())
}

fn head(status: u16, headers: &[(&'static str, String)], content_type: &str, length: u64) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head
}

async fn read(connection: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    if connection.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    Some(Seen { method, target, headers, body: String::from_utf8(body).ok()? })
}
