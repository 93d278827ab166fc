//! Events. A failed event never fails a reconcile, and never holds it up.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use tracing::Instrument;

use super::write::in_span;
use crate::{core::decide::events::EventDraft, ports::trace};

/// Notes may have 1,024 bytes; the server refuses longer ones.
const NOTE: usize = 1000;

/// Publishes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events of this controller instance.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: "failback".to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Publishes in the background.
    pub fn publish(&self, about: ObjectReference, drafts: Vec<EventDraft>) {
        self.publish_with(about, None, drafts);
    }

    /// The same, with a second object that it is about. Of events that differ in nothing but the note, the recorder sends
    /// the first note again.
    pub fn publish_with(&self, about: ObjectReference, second: Option<ObjectReference>, drafts: Vec<EventDraft>) {
        if drafts.is_empty() {
            return;
        }
        let recorder = self.recorder.clone();
        let publish = async move {
            for draft in drafts {
                let event = Event {
                    type_: if draft.warning { EventType::Warning } else { EventType::Normal },
                    reason: draft.reason.to_owned(),
                    note: Some(clipped(&draft.note)),
                    action: draft.action.to_owned(),
                    secondary: second.clone(),
                };
                let (namespace, name) = (about.namespace.as_deref(), about.name.as_deref());
                let span = trace::write("POST events", namespace.unwrap_or_default(), name.unwrap_or_default());
                if let Err(error) = in_span(span, recorder.publish(&event, &about)).await {
                    tracing::warn!(%error, reason = draft.reason, "an event was not published");
                }
            }
        };
        tokio::spawn(publish.in_current_span());
    }
}

fn clipped(note: &str) -> String {
    let mut end = note.len().min(NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default().to_owned()
}
