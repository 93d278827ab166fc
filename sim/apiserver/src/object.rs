//! Kubernetes objects as JSON: read and change fields by JSON pointer, and the few values the server makes itself.
//!
//! Objects stay untyped because the server must keep whatever a schema allows, including fields it knows nothing of.

use serde_json::{Map, Value};
use uuid::Uuid;

/// The fields of one JSON object.
pub(crate) type Fields = Map<String, Value>;

/// Field access for values that are (expected to be) objects.
pub(crate) trait Object {
    /// The string at `pointer`, or "" when it is absent or something else.
    fn text(&self, pointer: &str) -> &str;
    /// The list at `pointer`, or an empty one.
    fn list(&self, pointer: &str) -> &[Value];
    /// Whether `pointer` leads to anything but null.
    fn has(&self, pointer: &str) -> bool;
    /// The object's fields; turns anything else into an empty object first.
    fn fields_mut(&mut self) -> &mut Fields;
    /// `metadata`, created when absent.
    fn meta_mut(&mut self) -> &mut Fields;
    /// Sets `pointer`, creating the objects on the way.
    fn put(&mut self, pointer: &str, value: impl Into<Value>);
    /// Removes what is at `pointer`.
    fn cut(&mut self, pointer: &str) -> Option<Value>;
    /// Copies `pointer` from `source`, or removes it when the source has none.
    fn copy_from(&mut self, pointer: &str, source: &Value);
}

impl Object for Value {
    fn text(&self, pointer: &str) -> &str {
        self.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn has(&self, pointer: &str) -> bool {
        self.pointer(pointer).is_some_and(|v| !v.is_null())
    }

    fn fields_mut(&mut self) -> &mut Fields {
        if !self.is_object() {
            *self = Value::Object(Fields::new());
        }
        match self {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                unreachable!("made an object above")
            }
        }
    }

    fn meta_mut(&mut self) -> &mut Fields {
        self.fields_mut().entry("metadata").or_insert(Value::Null).fields_mut()
    }

    fn put(&mut self, pointer: &str, value: impl Into<Value>) {
        let mut at = self;
        for step in pointer.trim_start_matches('/').split('/') {
            at = at.fields_mut().entry(unescape(step)).or_insert(Value::Null);
        }
        *at = value.into();
    }

    fn cut(&mut self, pointer: &str) -> Option<Value> {
        let (parent, last) = pointer.rsplit_once('/')?;
        self.pointer_mut(parent)?.as_object_mut()?.remove(&unescape(last))
    }

    fn copy_from(&mut self, pointer: &str, source: &Value) {
        match source.pointer(pointer) {
            Some(value) => self.put(pointer, value.clone()),
            None => {
                self.cut(pointer);
            }
        }
    }
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Now, in the second precision of `metav1.Time`.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A new object's uid.
pub(crate) fn new_uid() -> String {
    Uuid::new_v4().to_string()
}

/// The suffix for `generateName`: five characters of an alphabet without vowels and look-alikes, as
/// `k8s.io/apiserver/pkg/storage/names` takes them from `rand.String`.
pub(crate) fn name_suffix() -> String {
    const ALPHABET: [char; 27] = [
        'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'z', '2', '4',
        '5', '6', '7', '8', '9',
    ];
    let random = Uuid::new_v4().into_bytes();
    random.iter().take(5).filter_map(|b| ALPHABET.get(usize::from(*b) % ALPHABET.len())).collect()
}
