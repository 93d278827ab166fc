//! HTTP as every half of the site sees it: a whole request in, an answer out.

mod serve;
mod tls;

use serde_json::Value;

pub(crate) use serve::{serve_plain, serve_tls};
pub use tls::{SelfSigned, TlsError};

/// A request with its body read.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Percent-decoded path.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: bytes::Bytes,
    /// `http://host:port` as the client wrote it: where URLs that are handed out point to.
    pub(crate) base: String,
}

impl Request {
    /// A query parameter; names are compared without case, as ARM does.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What goes out.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body is cut after so many bytes, and the connection closed.
    pub(crate) cut: Option<usize>,
    /// No answer at all: the connection is closed.
    pub(crate) reset: bool,
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), cut: None, reset: false }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        let mut answer = Answer::empty(status);
        answer.headers.push(("content-type".to_owned(), "application/json; charset=utf-8".to_owned()));
        answer.body = body.to_string().into_bytes();
        answer
    }

    pub(crate) fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let mut answer = Answer::empty(status);
        answer.headers.push(("content-type".to_owned(), content_type.to_owned()));
        answer.body = body.into();
        answer
    }

    pub(crate) fn reset() -> Answer {
        Answer { reset: true, ..Answer::empty(0) }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}
