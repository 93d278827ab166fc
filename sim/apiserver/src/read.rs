//! GET and LIST, with paging over a fixed version.
//!
//! Rules: <https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks> and
//! `#resource-versions`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::call::{Call, Form};
use crate::error::{Cause, Failure, Outcome};
use crate::object::Object;
use crate::selector::Selector;
use crate::state::Shared;
use crate::store::{Key, Stored};

impl Shared {
    pub(crate) fn read_one(&self, call: &Call) -> Outcome<Answer> {
        let resource = &call.resource;
        let key = Key::new(call.namespace(), call.name());
        let stored = self.store.get(&resource.shelf, &key).ok_or_else(|| Failure::not_found(resource, call.name()))?;
        if call.form == Form::Full {
            return Ok(Answer::bytes(200, self.json(resource, &stored)));
        }
        Ok(answer::one(call, 200, &self.load(resource, &stored)))
    }

    /// What stands for the log of a pod, of which no container ever ran: its annotation `sim-apiserver/log`. Obeys
    /// `tailLines` and `limitBytes`.
    pub(crate) fn read_log(&self, call: &Call) -> Outcome<Answer> {
        let resource = &call.resource;
        let key = Key::new(call.namespace(), call.name());
        let stored = self.store.get(&resource.shelf, &key).ok_or_else(|| Failure::not_found(resource, call.name()))?;
        let pod = self.load(resource, &stored);
        let log = pod.pointer("/metadata/annotations/sim-apiserver~1log").and_then(Value::as_str).unwrap_or_default();
        let lines: Vec<&str> = log.split_inclusive('\n').collect();
        let last = call.query.get("tailLines").parse().unwrap_or(lines.len());
        let mut text = lines.get(lines.len().saturating_sub(last)..).unwrap_or_default().concat();
        let mut most = call.query.get("limitBytes").parse().unwrap_or(text.len()).min(text.len());
        while !text.is_char_boundary(most) {
            most -= 1;
        }
        text.truncate(most);
        Ok(Answer::text(200, &text))
    }

    pub(crate) fn list(&self, call: &Call) -> Outcome<Answer> {
        let resource = &call.resource;
        let query = &call.query;
        let selector = Selector::parse(query.get("labelSelector"), query.get("fieldSelector"), resource)?;
        let limit: usize = query.get("limit").parse().unwrap_or(0);
        let (objects, version, after) = self.snapshot(call)?;
        let mut selected =
            objects.into_iter().filter(|o| selector.matches(o) && after.as_ref().is_none_or(|after| o.key > *after));
        let page: Vec<Arc<Stored>> =
            if limit == 0 { selected.by_ref().collect() } else { selected.by_ref().take(limit).collect() };
        let rest = selected.count();
        let mut meta = json!({"resourceVersion": version.to_string()});
        if resource.custom && call.form == Form::Full {
            // UnstructuredList always has it.
            meta.put("/continue", "");
        }
        if let (Some(last), true) = (page.last(), rest > 0) {
            meta.put("/continue", token(version, &last.key));
            if selector.is_everything() {
                meta.put("/remainingItemCount", rest);
            }
        }
        Ok(self.list_answer(call, &page, meta))
    }

    /// The objects to list, their version, and the key to continue after.
    fn snapshot(&self, call: &Call) -> Outcome<(Vec<Arc<Stored>>, u64, Option<Key>)> {
        let (shelf, namespace) = (&call.resource.shelf, call.namespace.as_deref());
        let query = &call.query;
        if query.has("continue") && !query.get("continue").is_empty() {
            let (version, after) = parse_token(query.get("continue"))
                .ok_or_else(|| Failure::bad_request("continue key is not valid: unable to parse it"))?;
            let objects = self.store.list_at(shelf, namespace, version).ok_or_else(|| {
                Failure::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a \
                     new list without the continue parameter.",
                )
            })?;
            return Ok((objects, version, Some(after)));
        }
        let asked = parse_version(query.get("resourceVersion"))?;
        let matching = query.get("resourceVersionMatch");
        if !matching.is_empty() && query.get("resourceVersion").is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return Err(list_options_invalid(vec![Cause::forbidden("resourceVersionMatch", why)]));
        }
        let (objects, version) = self.store.list(shelf, namespace);
        if asked > version {
            return Err(too_large(asked, version));
        }
        if matching == "Exact" {
            let objects = self
                .store
                .list_at(shelf, namespace, asked)
                .ok_or_else(|| Failure::expired("The resourceVersion for the provided list is too old."))?;
            return Ok((objects, asked, None));
        }
        Ok((objects, version, None))
    }
}

/// A resourceVersion parameter; 0 when unset.
pub(crate) fn parse_version(text: &str) -> Outcome<u64> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| {
        let cause = Cause::invalid("resourceVersion", format_args!("\"{text}\": strconv.ParseUint: invalid syntax"));
        list_options_invalid(vec![cause])
    })
}

pub(crate) fn list_options_invalid(causes: Vec<Cause>) -> Failure {
    Failure::invalid("meta.k8s.io", "ListOptions", "", causes)
}

/// `storage.NewTooLargeResourceVersionError`.
pub(crate) fn too_large(asked: u64, version: u64) -> Failure {
    Failure::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {version}")).with(
        json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }),
    )
}

fn token(version: u64, last: &Key) -> String {
    let token: Value = json!({"v": "meta.k8s.io/v1", "rv": version, "start": [*last.namespace, *last.name]});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn parse_token(text: &str) -> Option<(u64, Key)> {
    let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let version = token.get("rv")?.as_u64()?;
    Some((version, Key::new(token.text("/start/0"), token.text("/start/1"))))
}
