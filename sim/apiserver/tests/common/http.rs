//! Raw requests over a kube client, whatever is behind it.

use std::time::Duration;

use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A request to be sent.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) content_type: String,
    pub(crate) accept: &'static str,
}

pub(crate) fn call(method: &'static str, path: impl Into<String>) -> Call {
    Call { method, path: path.into(), body: None, content_type: JSON.to_owned(), accept: JSON }
}

pub(crate) fn get(path: impl Into<String>) -> Call {
    call("GET", path)
}

pub(crate) fn post(path: impl Into<String>, body: Value) -> Call {
    Call { body: Some(body), ..call("POST", path) }
}

pub(crate) fn put(path: impl Into<String>, body: Value) -> Call {
    Call { body: Some(body), ..call("PUT", path) }
}

pub(crate) fn patch(path: impl Into<String>, body: Value, content_type: &str) -> Call {
    Call { body: Some(body), content_type: content_type.to_owned(), ..call("PATCH", path) }
}

pub(crate) fn delete(path: impl Into<String>) -> Call {
    call("DELETE", path)
}

impl Call {
    pub(crate) fn accept(self, accept: &'static str) -> Call {
        Call { accept, ..self }
    }

    pub(crate) fn with(self, body: Value) -> Call {
        Call { body: Some(body), ..self }
    }

    fn request(self) -> Request<Body> {
        let body = self.body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        Request::builder()
            .method(self.method)
            .uri(self.path)
            .header("accept", self.accept)
            .header("user-agent", "conf/1")
            .header("content-type", self.content_type)
            .body(Body::from(body))
            .unwrap()
    }
}

/// The status code and the body: JSON, or text as a JSON string.
pub(crate) async fn send(client: &Client, call: Call) -> (u16, Value) {
    let response = client.send(call.request()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    (code, body)
}

/// A watch that collects its events in the background until it ends.
pub(crate) struct Watch {
    pub(crate) code: u16,
    events: tokio::task::JoinHandle<Vec<Value>>,
}

impl Watch {
    pub(crate) async fn open(client: &Client, path: &str, accept: &'static str) -> Watch {
        let response = client.send(get(path).accept(accept).request()).await.unwrap();
        let code = response.status().as_u16();
        let mut body = response.into_body().into_data_stream();
        let events = tokio::spawn(async move {
            let mut text = Vec::new();
            while let Some(Ok(chunk)) = body.next().await {
                text.extend_from_slice(&chunk);
            }
            String::from_utf8_lossy(&text).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        });
        Watch { code, events }
    }

    /// The events once the watch has ended.
    pub(crate) async fn events(self) -> Vec<Value> {
        tokio::time::timeout(Duration::from_secs(10), self.events).await.unwrap().unwrap()
    }
}
