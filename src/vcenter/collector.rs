//! A property collector of our own over views of all VMs, hosts and datastores, waiting for updates.
//!
//! All of it lives and dies with the session that made it.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{
    error::VimError,
    properties::{self, Object, PAGE},
    session::{Live, Session},
    soap::Call,
    xml::{Element, MoRef, leaf, reference},
};

/// How long vCenter may hold an answer back when nothing changes. Proxies on the way often cut a silent connection
/// after 60 s.
const LONG_POLL: Duration = Duration::from_secs(50);
/// How much longer than that to wait for the answer.
const GRACE: Duration = Duration::from_secs(30);

/// What happened to an object of the views.
#[derive(Debug)]
pub(super) enum Update {
    /// It is new to us, with all its properties.
    Enter(Object),
    /// These of its properties changed.
    Modify(Object),
    /// It is gone from the views.
    Leave(MoRef),
}

/// One answer of the collector.
#[derive(Debug, Default)]
pub(super) struct Batch {
    version: Option<String>,
    pub(super) updates: Vec<Update>,
    /// There is more, ask again at once.
    pub(super) truncated: bool,
}

pub(super) struct Collector {
    pub(super) live: Arc<Live>,
    collector: MoRef,
    views: Vec<MoRef>,
    version: String,
}

impl Collector {
    pub(super) async fn open(session: &Session, live: Arc<Live>) -> Result<Self, VimError> {
        let content = &live.content;
        let mut views = Vec::new();
        for wanted in properties::ALL {
            let arguments =
                reference("container", &content.root_folder) + &leaf("type", wanted.kind) + &leaf("recursive", "true");
            let answer =
                session.read(&live, Call::new("CreateContainerView", &content.view_manager, arguments)).await?;
            views.push(created(&answer)?);
        }
        let call = Call::new("CreatePropertyCollector", &content.property_collector, String::new());
        let collector = created(&session.read(&live, call).await?)?;
        // Without partial updates a change always carries the whole property that was asked for, which is what a row
        // is updated from.
        let spec = properties::spec_of_views(&views);
        let arguments = format!("<spec>{spec}</spec><partialUpdates>false</partialUpdates>");
        session.read(&live, Call::new("CreateFilter", &collector, arguments)).await?;
        Ok(Self { live, collector, views, version: String::new() })
    }

    /// Asks for what there is already, without waiting. The first time that is everything.
    pub(super) async fn ask(&self, session: &Session) -> Result<Batch, VimError> {
        self.wait(session, Duration::ZERO).await
    }

    /// Waits for something to change; an empty batch when nothing did.
    pub(super) async fn long_poll(&self, session: &Session) -> Result<Batch, VimError> {
        self.wait(session, LONG_POLL).await
    }

    async fn wait(&self, session: &Session, longest: Duration) -> Result<Batch, VimError> {
        let arguments = format!(
            "{}<options><maxWaitSeconds>{}</maxWaitSeconds><maxObjectUpdates>{PAGE}</maxObjectUpdates></options>",
            leaf("version", &self.version),
            longest.as_secs()
        );
        let call = Call::new("WaitForUpdatesEx", &self.collector, arguments).within(longest + GRACE);
        match session.read_outside_limit(&self.live, &call).await {
            Ok(answer) => Batch::read(answer),
            // Our own `cancel`, seen from the other side.
            Err(error) if error.is_fault("RequestCanceled") => Ok(Batch::default()),
            Err(error) => Err(error),
        }
    }

    /// Acknowledges a batch: the next question asks for what came after it.
    pub(super) fn advance(&mut self, batch: &mut Batch) {
        if let Some(version) = batch.version.take() {
            self.version = version;
        }
    }

    /// Makes a pending [`Self::long_poll`] return.
    pub(super) async fn cancel(&self, session: &Session) -> Result<(), VimError> {
        session.read(&self.live, Call::new("CancelWaitForUpdates", &self.collector, String::new())).await.map(drop)
    }

    /// Reads everything that the views show, past the collector.
    pub(super) async fn read_all(&self, session: &Session, each: impl FnMut(Object)) -> Result<(), VimError> {
        properties::retrieve(session, &self.live, &properties::spec_of_views(&self.views), each).await
    }

    /// Frees what vCenter holds for us, as far as it still can be reached.
    pub(super) async fn dispose(self, session: &Session) {
        let seconds = Duration::from_secs(5);
        let collector = Call::new("DestroyPropertyCollector", &self.collector, String::new()).within(seconds);
        let views = self.views.iter().map(|view| Call::new("DestroyView", view, String::new()).within(seconds));
        for call in std::iter::once(collector).chain(views) {
            match session.read(&self.live, call).await {
                // What is gone already needs no more care.
                Ok(_) | Err(VimError::Fault(_)) => {}
                Err(error) => {
                    debug!(server = session.server(), %error, "vCenter keeps views of ours until the session ends");
                    return;
                }
            }
        }
    }
}

impl Batch {
    pub(super) fn read(answer: Element) -> Result<Self, VimError> {
        // No result means that nothing changed in the time that was given.
        let Some(set) = answer.children.into_iter().find(|c| c.name == "returnval") else { return Ok(Self::default()) };
        let version = set.text_at("version").map(str::to_owned);
        let truncated = set.child("truncated").and_then(Element::boolean).unwrap_or(false);
        let filters = set.children.into_iter().filter(|c| c.name == "filterSet");
        let objects: Vec<Element> = filters.flat_map(|f| f.children).filter(|c| c.name == "objectSet").collect();
        properties::bounded(objects.len())?;
        Ok(Self { version, truncated, updates: objects.into_iter().filter_map(update).collect() })
    }
}

fn update(element: Element) -> Option<Update> {
    let kind = element.text_at("kind")?.to_owned();
    let object = Object::read(element)?;
    match kind.as_str() {
        "enter" => Some(Update::Enter(object)),
        "modify" => Some(Update::Modify(object)),
        "leave" => Some(Update::Leave(object.reference)),
        _ => None,
    }
}

fn created(answer: &Element) -> Result<MoRef, VimError> {
    let made = answer.child("returnval").and_then(Element::moref);
    made.ok_or_else(|| VimError::Unreadable(format!("a {} without a reference", answer.name)))
}
