//! The few protobuf bodies that everyday kubectl commands send: `create namespace`, `auth can-i`, `auth whoami`, and `create secret`, since
//! credentials are made with it. Everything else in protobuf is refused; answers are always JSON.
//!
//! Envelope: <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>; field numbers:
//! `generated.proto` of each API.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Field number, name and type.
type Field = (u64, &'static str, Kind);

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Flag,
    TextMap,
    /// Shown as base64.
    BytesMap,
    Message(&'static [Field]),
}

const METADATA: Kind = Kind::Message(&[
    (1, "name", Kind::Text),
    (2, "generateName", Kind::Text),
    (3, "namespace", Kind::Text),
    (11, "labels", Kind::TextMap),
    (12, "annotations", Kind::TextMap),
    (14, "finalizers", Kind::Texts),
]);

const ATTRIBUTES: Kind = Kind::Message(&[
    (1, "namespace", Kind::Text),
    (2, "verb", Kind::Text),
    (3, "group", Kind::Text),
    (4, "version", Kind::Text),
    (5, "resource", Kind::Text),
    (6, "subresource", Kind::Text),
    (7, "name", Kind::Text),
]);

const NON_RESOURCE: Kind = Kind::Message(&[(1, "path", Kind::Text), (2, "verb", Kind::Text)]);

fn fields_of(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" => &[(1, "metadata", METADATA)],
        "Secret" => &[
            (1, "metadata", METADATA),
            (2, "data", Kind::BytesMap),
            (3, "type", Kind::Text),
            (4, "stringData", Kind::TextMap),
            (5, "immutable", Kind::Flag),
        ],
        "SelfSubjectReview" => &[(1, "metadata", METADATA)],
        "SelfSubjectAccessReview" => &[
            (1, "metadata", METADATA),
            (
                2,
                "spec",
                Kind::Message(&[(1, "resourceAttributes", ATTRIBUTES), (2, "nonResourceAttributes", NON_RESOURCE)]),
            ),
        ],
        _ => return None,
    })
}

/// The object in a body, or `None` for kinds that are not read and for what is not protobuf.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let mut raw: &[u8] = &[];
    let (mut version, mut kind) = (String::new(), String::new());
    for (number, wire) in wires(body.strip_prefix(b"k8s\0")?)? {
        match (number, wire) {
            (1, Wire::Bytes(meta)) => {
                for (number, wire) in wires(meta)? {
                    match (number, wire) {
                        (1, Wire::Bytes(text)) => version = lossy(text),
                        (2, Wire::Bytes(text)) => kind = lossy(text),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(object)) => raw = object,
            _ => {}
        }
    }
    let mut object = message(raw, fields_of(&kind)?)?;
    object.insert("apiVersion".to_owned(), version.into());
    object.insert("kind".to_owned(), kind.into());
    Some(Value::Object(object))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn message(bytes: &[u8], fields: &[Field]) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    for (number, wire) in wires(bytes)? {
        let Some((_, name, kind)) = fields.iter().find(|f| f.0 == number) else { continue };
        let name = (*name).to_owned();
        match (wire, kind) {
            (Wire::Number(flag), Kind::Flag) => {
                object.insert(name, (flag != 0).into());
            }
            (Wire::Bytes(text), Kind::Text) if !text.is_empty() => {
                object.insert(name, lossy(text).into());
            }
            (Wire::Bytes(text), Kind::Texts) => {
                object.entry(name).or_insert_with(|| json!([])).as_array_mut()?.push(lossy(text).into());
            }
            (Wire::Bytes(entry), Kind::TextMap | Kind::BytesMap) => {
                let (key, value) = map_entry(entry)?;
                let value = if matches!(kind, Kind::BytesMap) { STANDARD.encode(value) } else { lossy(value) };
                object.entry(name).or_insert_with(|| json!({})).as_object_mut()?.insert(key, value.into());
            }
            (Wire::Bytes(inner), Kind::Message(fields)) => {
                object.insert(name, Value::Object(message(inner, fields)?));
            }
            _ => {}
        }
    }
    Some(object)
}

fn map_entry(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut key, mut value): (String, &[u8]) = (String::new(), &[]);
    for (number, wire) in wires(bytes)? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => key = lossy(text),
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Some((key, value))
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message as they are on the wire.
fn wires(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (inner, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Wire::Bytes(inner)
            }
            1 | 5 => {
                bytes = bytes.get(if tag & 7 == 1 { 8 } else { 4 }..)?;
                Wire::Fixed
            }
            _ => return None,
        };
        found.push((tag >> 3, wire));
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubectl_create_sends() {
        let body = b"k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x1b\n\x11\n\x01x\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x06\n\x01a\x12\x01b\x1a\x00\"\x00";
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "Yg=="}});
        assert_eq!(decode(body), Some(expected));
        assert_eq!(decode(b"k8s\0\n\x07\n\x02v1\x12\x01X"), None);
        assert_eq!(decode(b"{}"), None);
    }
}
