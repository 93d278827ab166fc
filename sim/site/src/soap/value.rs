//! SOAP out: vim25 values and how they are written.

use jiff::Timestamp;

use super::xml::escape;

/// A managed object reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MoRef {
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl MoRef {
    pub(crate) fn new(kind: &str, id: impl Into<String>) -> MoRef {
        MoRef { kind: kind.to_owned(), id: id.into() }
    }
}

/// A value of vim25.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Val {
    /// Unset: not written at all.
    Unset,
    Bool(bool),
    Short(i16),
    Int(i32),
    Long(i64),
    Text(String),
    Time(Timestamp),
    /// An enumeration: its type and its word.
    Enum(&'static str, String),
    Ref(MoRef),
    /// A data object: its type and its fields.
    Data(&'static str, Vec<(&'static str, Val)>),
    /// A list of elements of this type.
    List(&'static str, Vec<Val>),
}

impl Val {
    pub(crate) fn text(text: impl Into<String>) -> Val {
        Val::Text(text.into())
    }

    pub(crate) fn refs(refs: Vec<MoRef>) -> Val {
        Val::List("ManagedObjectReference", refs.into_iter().map(Val::Ref).collect())
    }

    pub(crate) fn optional(text: Option<String>) -> Val {
        text.map_or(Val::Unset, Val::Text)
    }

    /// Follows a path below this value.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Val> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        match self {
            Val::Data(_, fields) => fields.iter().find(|(name, _)| name == first).and_then(|(_, value)| value.at(rest)),
            Val::Unset
            | Val::Bool(_)
            | Val::Short(_)
            | Val::Int(_)
            | Val::Long(_)
            | Val::Text(_)
            | Val::Time(_)
            | Val::Enum(..)
            | Val::Ref(_)
            | Val::List(..) => None,
        }
    }

    fn xsi(&self) -> String {
        match self {
            Val::Unset => String::new(),
            Val::Bool(_) => "xsd:boolean".to_owned(),
            Val::Short(_) => "xsd:short".to_owned(),
            Val::Int(_) => "xsd:int".to_owned(),
            Val::Long(_) => "xsd:long".to_owned(),
            Val::Text(_) => "xsd:string".to_owned(),
            Val::Time(_) => "xsd:dateTime".to_owned(),
            Val::Enum(kind, _) => (*kind).to_owned(),
            Val::Ref(_) => "ManagedObjectReference".to_owned(),
            Val::Data(kind, _) => (*kind).to_owned(),
            Val::List(element, _) => match *element {
                "string" => "ArrayOfString".to_owned(),
                other => format!("ArrayOf{other}"),
            },
        }
    }

    /// Writes the value as an element. `any`: the element is declared as anyType, so that its type must be said.
    pub(crate) fn write(&self, out: &mut String, name: &str, any: bool) {
        let text = match self {
            Val::Unset => return,
            Val::Bool(value) => value.to_string(),
            Val::Short(value) => value.to_string(),
            Val::Int(value) => value.to_string(),
            Val::Long(value) => value.to_string(),
            Val::Text(value) | Val::Enum(_, value) => escape(value),
            Val::Time(value) => value.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            Val::Ref(reference) => {
                let typed = if any { " xsi:type=\"ManagedObjectReference\"" } else { "" };
                out.push_str(&format!(
                    "<{name} type=\"{}\"{typed}>{}</{name}>",
                    escape(&reference.kind),
                    escape(&reference.id)
                ));
                return;
            }
            Val::Data(kind, fields) => {
                out.push_str(&format!("<{name} xsi:type=\"{kind}\">"));
                for (field, value) in fields {
                    // Keys and values of options are anyType.
                    value.write(out, field, *kind == "OptionValue" && *field == "value");
                }
                out.push_str(&format!("</{name}>"));
                return;
            }
            Val::List(element, items) => {
                if any {
                    out.push_str(&format!("<{name} xsi:type=\"{}\">", self.xsi()));
                    for item in items {
                        item.write(out, element, false);
                    }
                    out.push_str(&format!("</{name}>"));
                } else {
                    for item in items {
                        item.write(out, name, false);
                    }
                }
                return;
            }
        };
        let typed = if any { format!(" xsi:type=\"{}\"", self.xsi()) } else { String::new() };
        out.push_str(&format!("<{name}{typed}>{text}</{name}>"));
    }

    /// The value as a `val` element, also used to tell whether it changed.
    pub(crate) fn to_val(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "val", true);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_arrays_at_the_top_and_repeated_below() {
        let list = Val::refs(vec![MoRef::new("Datastore", "datastore-59")]);
        assert_eq!(
            list.to_val(),
            "<val xsi:type=\"ArrayOfManagedObjectReference\"><ManagedObjectReference type=\"Datastore\">datastore-59</ManagedObjectReference></val>"
        );
        let data = Val::Data(
            "GuestNicInfo",
            vec![("ipAddress", Val::List("string", vec![Val::text("10.0.0.1"), Val::text("10.0.0.2")]))],
        );
        assert_eq!(
            data.to_val(),
            "<val xsi:type=\"GuestNicInfo\"><ipAddress>10.0.0.1</ipAddress><ipAddress>10.0.0.2</ipAddress></val>"
        );
        assert_eq!(Val::Unset.to_val(), "");
    }
}
