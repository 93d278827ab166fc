//! Objects that do not parse: they are told so in their own status, and harm nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, error_boundary::InvalidObject},
};
use serde_json::{Value, json};

use super::write::in_time;
use crate::{api::FINALIZER, core::backoff, ports::SharedClock};

/// A field manager of its own: what the others wrote, the journal above all, stays theirs and stays there.
const MANAGER: &str = "failback-malformed";
/// The reason of its conditions.
const REASON: &str = "Malformed";

/// Tells malformed objects of one kind.
pub(super) struct Malformed {
    teller: Arc<Teller>,
}

struct Teller {
    client: Client,
    resource: ApiResource,
    clock: SharedClock,
    /// What each object is to be told, by UID, whether that is written or under way: our own write comes back through the
    /// watch, and must not tell it again.
    wanted: Mutex<HashMap<String, Word>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// It cannot be read: of which generation, and why.
    Odd(Option<i64>, String),
    /// It can be read again.
    Mended,
}

/// An object, by what does not change of it.
#[derive(Clone)]
struct Name {
    namespace: String,
    name: String,
    uid: String,
}

impl Name {
    fn of(meta: &ObjectMeta) -> Option<Self> {
        Some(Self { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? })
    }
}

impl Malformed {
    pub(super) fn new(client: Client, resource: ApiResource, clock: SharedClock) -> Self {
        Self { teller: Arc::new(Teller { client, resource, clock, wanted: Mutex::default() }) }
    }

    /// Writes the conditions in the background, once for each generation.
    pub(super) fn tell(&self, invalid: &InvalidObject) {
        let meta = &invalid.metadata;
        let Some(name) = Name::of(meta) else { return };
        let message = message(&self.teller.resource, &name, meta, &invalid.error.to_string());
        self.teller.begin(name, Word::Odd(meta.generation, message));
    }

    /// The object can be read. What was told of it is taken back, whichever process told it: an older version may have
    /// known less, and is gone.
    pub(super) fn mended(&self, meta: &ObjectMeta) {
        let told = meta.managed_fields.iter().flatten().any(|entry| entry.manager.as_deref() == Some(MANAGER));
        match Name::of(meta) {
            Some(name) if told => self.teller.begin(name, Word::Mended),
            Some(name) => self.gone(&name.uid),
            None => {}
        }
    }

    /// The object is gone, or nothing of ours is in its status.
    pub(super) fn gone(&self, uid: &str) {
        self.teller.wanted().remove(uid);
    }
}

impl Drop for Malformed {
    fn drop(&mut self) {
        // Who still tries to write has nothing to tell any more: another process may lead.
        self.teller.wanted().clear();
    }
}

fn message(resource: &ApiResource, name: &Name, meta: &ObjectMeta, error: &str) -> String {
    let mut message = format!(
        "The object cannot be read: {error}. Remedy: apply it again as the CustomResourceDefinition of this version says."
    );
    let held = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if held && meta.deletion_timestamp.is_some() {
        let Name { namespace, name, .. } = name;
        message.push_str(&format!(
            " It is deleted, and held by the finalizer {FINALIZER}, since a call of it may be open. Once you have looked in the portal that none is, let it go: kubectl patch {}.{} {name} -n {namespace} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'",
            resource.plural, resource.group
        ));
    }
    message
}

impl Teller {
    fn wanted(&self) -> MutexGuard<'_, HashMap<String, Word>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it in the background, unless that is done or under way.
    fn begin(self: &Arc<Self>, name: Name, word: Word) {
        if self.wanted().insert(name.uid.clone(), word.clone()).as_ref() == Some(&word) {
            return;
        }
        if let Word::Odd(_, message) = &word {
            tracing::warn!(kind = %self.resource.kind, name = %name.name, namespace = %name.namespace, %message, "an object cannot be read");
        }
        let teller = Arc::clone(self);
        tokio::spawn(async move { teller.keep_on(&name, &word).await });
    }

    /// Tries until it is written, or something else is to be told.
    async fn keep_on(&self, name: &Name, word: &Word) {
        let mut failures = 0;
        while self.wanted().get(&name.uid) == Some(word) {
            let error = match self.write(name, word).await {
                Ok(()) => return,
                Err(kube::Error::Api(status)) if status.code == 404 => return,
                Err(error) => error,
            };
            failures += 1;
            tracing::warn!(%error, name = %name.name, namespace = %name.namespace, "the status of a malformed object was not written; trying again");
            let wait = backoff::exponential(failures, Duration::from_secs(1), Duration::from_secs(300));
            tokio::time::sleep(backoff::jittered(wait, &name.uid)).await;
        }
    }

    async fn write(&self, name: &Name, word: &Word) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &name.namespace, &self.resource);
        let mut body = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": { "name": name.name },
        });
        // Who applies nothing owns nothing; an empty status would still be owned.
        if let (Word::Odd(generation, _), Some(fields)) = (word, body.as_object_mut()) {
            let status = json!({ "observedGeneration": generation, "conditions": self.conditions(word) });
            fields.insert("status".to_owned(), status);
        }
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&body);
        let apply = || in_time(api.patch_status(&name.name, &params, &patch));
        match apply().await {
            Ok(written) if *word == Word::Mended && is_told(&written) => self.replace(&api, name, word).await,
            Ok(_) => Ok(()),
            // An object that does not fit its definition cannot be applied to: its fields have no types. Nor can what
            // was told be let go of where another manager holds the key of such a condition: a part of it would stay.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422 | 500) => {
                self.replace(&api, name, word).await?;
                if *word == Word::Mended {
                    // Nothing is told any more; without this, our name stays beside what others hold too.
                    drop(apply().await);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The same by a merge patch, which replaces the list as a whole: what others wrote into it is kept.
    async fn replace(&self, api: &Api<DynamicObject>, name: &Name, word: &Word) -> Result<(), kube::Error> {
        let object = in_time(api.get(&name.name)).await?;
        let ours = |condition: &Value| {
            let is = |kind: &str| condition["type"] == kind;
            is("Ready") || is("Stalled") || is("Reconciling")
        };
        let stays = |condition: &Value| match word {
            Word::Odd(..) => !ours(condition),
            Word::Mended => condition["reason"] != REASON,
        };
        let mut conditions = conditions_of(&object);
        conditions.retain(stays);
        conditions.extend(self.conditions(word));
        let body = json!({
            "metadata": { "resourceVersion": object.resource_version() },
            "status": { "conditions": conditions },
        });
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        in_time(api.patch_status(&name.name, &params, &Patch::Merge(&body))).await.map(drop)
    }

    fn conditions(&self, word: &Word) -> Vec<Value> {
        let Word::Odd(generation, message) = word else { return Vec::new() };
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": REASON, "message": message,
                "lastTransitionTime": Time(self.clock.now()), "observedGeneration": generation
            })
        };
        vec![condition("Ready", "False"), condition("Stalled", "True")]
    }
}

fn conditions_of(object: &DynamicObject) -> Vec<Value> {
    object.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is_told(object: &DynamicObject) -> bool {
    conditions_of(object).iter().any(|condition| condition["reason"] == REASON)
}
