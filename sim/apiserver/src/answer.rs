//! Answers: one object or a list in the form that was asked for.

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::{Value, json};

use crate::call::{Call, Form};
use crate::resource::Resource;
use crate::state::Shared;
use crate::store::Stored;
use crate::table;

/// An error that ends a response in the middle.
pub(crate) type BodyError = std::io::Error;

/// What a response carries.
pub(crate) enum Payload {
    Bytes(Bytes),
    Stream(BoxStream<'static, Result<Bytes, BodyError>>),
}

/// A response before it is HTTP.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) content_type: String,
    pub(crate) payload: Payload,
    pub(crate) warnings: Vec<String>,
    pub(crate) retry_after: Option<u64>,
}

impl Answer {
    pub(crate) fn bytes(code: u16, bytes: impl Into<Bytes>) -> Answer {
        Answer {
            code,
            content_type: "application/json".to_owned(),
            payload: Payload::Bytes(bytes.into()),
            warnings: Vec::new(),
            retry_after: None,
        }
    }

    pub(crate) fn json(code: u16, value: &Value) -> Answer {
        Answer::bytes(code, value.to_string())
    }

    pub(crate) fn text(code: u16, text: &str) -> Answer {
        Answer { content_type: "text/plain; charset=utf-8".to_owned(), ..Answer::bytes(code, text.to_owned()) }
    }
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// One object (not yet serialised) in the form of the call.
pub(crate) fn one(call: &Call, code: u16, object: &Value) -> Answer {
    match call.form {
        Form::Full => Answer::json(code, object),
        Form::Metadata => Answer::json(code, &metadata_only(object)),
        Form::Table => {
            let meta = json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
            let include = call.query.get("includeObject");
            Answer::json(code, &table::render(&call.resource, &[object], meta, true, include))
        }
    }
}

impl Shared {
    /// A list of stored objects in the form of the call.
    pub(crate) fn list_answer(&self, call: &Call, objects: &[impl AsRef<Stored>], meta: Value) -> Answer {
        let resource = &call.resource;
        if call.form == Form::Full {
            return Answer::bytes(200, self.full_list(resource, objects, &meta));
        }
        let loaded: Vec<Value> = objects.iter().map(|o| self.load(resource, o.as_ref())).collect();
        if call.form == Form::Table {
            let rows: Vec<&Value> = loaded.iter().collect();
            return Answer::json(200, &table::render(resource, &rows, meta, true, call.query.get("includeObject")));
        }
        let items: Vec<Value> = loaded.iter().map(metadata_only).collect();
        let list = json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items,
        });
        Answer::json(200, &list)
    }

    /// Items of built-in kinds go without type meta, as Go serialises typed lists.
    fn full_list(&self, resource: &Resource, objects: &[impl AsRef<Stored>], meta: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(
            format!(
                "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{meta},\"items\":[",
                json!(resource.names.list_kind),
                json!(resource.api_version())
            )
            .as_bytes(),
        );
        for (index, stored) in objects.iter().map(AsRef::as_ref).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if resource.custom {
                self.write_json(resource, stored, &mut out);
            } else if resource.stamp == stored.stamp {
                out.extend_from_slice(&stored.json);
            } else {
                let mut object = self.load(resource, stored);
                if let Some(fields) = object.as_object_mut() {
                    fields.remove("apiVersion");
                    fields.remove("kind");
                }
                out.extend_from_slice(object.to_string().as_bytes());
            }
        }
        out.extend_from_slice(b"]}");
        out
    }
}
