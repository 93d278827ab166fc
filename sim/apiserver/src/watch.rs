//! WATCH: the changes after a version, as they happen.
//!
//! Rules: <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>, "Watch bookmarks"
//! and "Streaming lists". The stream reads from the store's log at the speed of its client and holds nothing itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use crate::answer::{Answer, BodyError, Payload, metadata_only};
use crate::call::{Call, Form};
use crate::error::{Cause, Failure, Outcome};
use crate::faults::WatchFault;
use crate::object::Object;
use crate::read::{list_options_invalid, parse_version};
use crate::selector::Selector;
use crate::state::Shared;
use crate::store::{Change, Since, Store, Stored};
use crate::table;

/// How often an idle watch that allows it gets a bookmark.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The real server picks between 30 and 60 minutes.
const DEFAULT_TIMEOUT: u64 = 1800;

impl Shared {
    pub(crate) fn watch(self: &Arc<Self>, call: Call) -> Outcome<Answer> {
        let query = &call.query;
        let selector = Selector::parse(query.get("labelSelector"), query.get("fieldSelector"), &call.resource)?;
        let bookmarks = query.is_true("allowWatchBookmarks");
        let streaming = query.is_true("sendInitialEvents");
        check_options(&call, streaming, bookmarks)?;
        let asked = parse_version(query.get("resourceVersion"))?;
        let initial = streaming || asked == 0 && query.get("sendInitialEvents") != "false";
        let timeout = query.get("timeoutSeconds").parse().ok().filter(|s| *s > 0).unwrap_or(DEFAULT_TIMEOUT);
        let mut watching = Watching {
            bell: self.store.bell(),
            faults: self.faults.watches(),
            shared: self.clone(),
            selector,
            version: asked,
            end: Instant::now() + Duration::from_secs(timeout),
            next_bookmark: bookmarks.then(|| Instant::now() + BOOKMARK_EVERY),
            columns_sent: false,
            out: Vec::new(),
            state: State::Open,
            call,
        };
        watching.faults.mark_unchanged();
        if initial {
            watching.send_initial(streaming);
        }
        let answer = Answer::bytes(200, Bytes::new());
        Ok(Answer { payload: Payload::Stream(watching.into_stream()), ..answer })
    }
}

fn check_options(call: &Call, streaming: bool, bookmarks: bool) -> Outcome<()> {
    let mut causes = Vec::new();
    if call.query.has("sendInitialEvents") && call.query.get("resourceVersionMatch") != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(Cause::forbidden("resourceVersionMatch", why));
    }
    if streaming && !bookmarks {
        let why = "sendInitialEvents requires setting allowWatchBookmarks to true";
        causes.push(Cause::forbidden("allowWatchBookmarks", why));
    }
    if causes.is_empty() { Ok(()) } else { Err(list_options_invalid(causes)) }
}

#[derive(PartialEq)]
enum State {
    Open,
    /// What is in `out` is the last.
    Ending,
    /// The connection breaks.
    Broken,
    Done,
}

/// An open watch.
struct Watching {
    shared: Arc<Shared>,
    call: Call,
    selector: Selector,
    bell: Receiver<u64>,
    faults: Receiver<WatchFault>,
    /// Everything up to here has been sent.
    version: u64,
    end: Instant,
    next_bookmark: Option<Instant>,
    /// Only the first event of a table watch carries the column definitions.
    columns_sent: bool,
    out: Vec<u8>,
    state: State,
}

impl Watching {
    fn into_stream(self) -> BoxStream<'static, Result<Bytes, BodyError>> {
        stream::unfold(self, |mut watching| async move {
            let chunk = watching.next_chunk().await?;
            Some((chunk, watching))
        })
        .boxed()
    }

    async fn next_chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        loop {
            if !self.out.is_empty() {
                return Some(Ok(std::mem::take(&mut self.out).into()));
            }
            match self.state {
                State::Open => {}
                State::Broken => {
                    self.state = State::Done;
                    return Some(Err(BodyError::new(std::io::ErrorKind::ConnectionReset, "watch broken on request")));
                }
                State::Ending | State::Done => return None,
            }
            // Marked before reading, so that a write in between rings again.
            self.bell.borrow_and_update();
            self.read_log();
            if self.out.is_empty() && self.state == State::Open {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        let until = self.next_bookmark.map_or(self.end, |b| b.min(self.end));
        tokio::select! {
            // The server itself holds the other ends.
            _ = self.bell.changed() => {}
            _ = self.faults.changed() => {
                let fault = *self.faults.borrow_and_update();
                self.strike(fault);
            }
            () = tokio::time::sleep_until(until) => {
                if self.next_bookmark.is_some() {
                    self.bookmark(false);
                    self.next_bookmark = Some(Instant::now() + BOOKMARK_EVERY);
                }
                if Instant::now() >= self.end {
                    self.state = State::Ending;
                }
            }
        }
    }

    fn strike(&mut self, fault: WatchFault) {
        match fault {
            WatchFault::None => {}
            WatchFault::Break => self.state = State::Broken,
            WatchFault::End => self.state = State::Ending,
            WatchFault::Expire => self.expire(),
        }
    }

    fn expire(&mut self) {
        let failure = Failure::expired(format!("too old resource version: {}", self.version));
        self.send("ERROR", &failure.status());
        self.state = State::Ending;
    }

    fn send(&mut self, kind: &str, object: &Value) {
        self.out.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").as_bytes());
    }

    fn send_initial(&mut self, streaming: bool) {
        let (objects, version) = self.shared.store.list(&self.call.resource.shelf, self.call.namespace.as_deref());
        for stored in objects.iter().filter(|o| self.selector.matches(o)).cloned().collect::<Vec<_>>() {
            self.send_object("ADDED", &stored);
        }
        self.version = version;
        if streaming {
            self.bookmark(true);
        }
    }

    fn read_log(&mut self) {
        let resource = self.call.resource.clone();
        match self.shared.store.since(&resource.shelf, self.version) {
            Since::Expired => self.expire(),
            Since::Changes(changes, now) => {
                for change in &changes {
                    self.send_change(change);
                }
                self.version = now;
            }
        }
        // The watches of a CRD end with it.
        if resource.custom && self.shared.registry.find(&resource.group, &resource.version, resource.plural()).is_none()
        {
            self.state = State::Ending;
        }
    }

    /// A change is an addition or a deletion for a watch whose selector the object enters or leaves.
    fn send_change(&mut self, change: &Change) {
        let passes = |o: &Option<Arc<Stored>>| o.as_ref().filter(|o| self.sees(o)).cloned();
        match (passes(&change.before), passes(&change.after)) {
            (None, None) => {}
            (None, Some(now)) => self.send_object("ADDED", &now),
            (Some(_), Some(now)) => self.send_object("MODIFIED", &now),
            (Some(before), None) => match &change.last {
                Some(last) => self.send_object("DELETED", &last.clone()),
                None => {
                    let mut object = self.shared.load(&self.call.resource, &before);
                    object.put("/metadata/resourceVersion", change.version.to_string());
                    let shown = self.shown(&object);
                    self.send("DELETED", &shown);
                }
            },
        }
    }

    fn sees(&self, object: &Stored) -> bool {
        self.call.namespace.as_deref().is_none_or(|ns| ns == &*object.key.namespace) && self.selector.matches(object)
    }

    fn send_object(&mut self, kind: &str, stored: &Stored) {
        if self.call.form == Form::Full {
            self.out.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
            self.shared.write_json(&self.call.resource, stored, &mut self.out);
            self.out.extend_from_slice(b"}\n");
        } else {
            let object = self.shared.load(&self.call.resource, stored);
            let shown = self.shown(&object);
            self.send(kind, &shown);
        }
    }

    fn shown(&mut self, object: &Value) -> Value {
        match self.call.form {
            Form::Full => object.clone(),
            Form::Metadata => metadata_only(object),
            Form::Table => {
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                let meta = json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
                let include = self.call.query.get("includeObject");
                table::render(&self.call.resource, &[object], meta, columns, include)
            }
        }
    }

    fn bookmark(&mut self, end_of_initial: bool) {
        let (version, kind) = match self.call.form {
            Form::Full => (self.call.resource.api_version(), self.call.resource.kind().to_owned()),
            Form::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
            Form::Table => ("meta.k8s.io/v1".to_owned(), "Table".to_owned()),
        };
        let mut object = json!({
            "kind": kind, "apiVersion": version,
            "metadata": {"resourceVersion": self.version.to_string(), "creationTimestamp": null},
        });
        if end_of_initial {
            object.put("/metadata/annotations", json!({"k8s.io/initial-events-end": "true"}));
        }
        self.send("BOOKMARK", &object);
    }
}

// The stream is polled by the connection; it must not borrow the store across an await.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Watching>();
    is_send::<Store>();
};
