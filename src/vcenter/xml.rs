//! XML as vim25 uses it: an untyped element tree, read with limits, and the few shapes that requests are written in.
//!
//! Namespaces are not resolved: vCenter, ESXi and the simulators bind different prefixes to the same two schemas, and
//! no two elements of vim25 differ by namespace alone.

use quick_xml::{
    Reader,
    errors::IllFormedError,
    events::{BytesRef, BytesStart, Event},
};

/// Snapshot trees and delta chains nest one level each; vSphere allows 32, linked clones more.
const MAX_DEPTH: usize = 256;
/// A page of 100 machines with all their devices holds some 200,000 elements. In memory these take 64 MiB.
const MAX_ELEMENTS: usize = 1 << 19;
/// Of one element. vim25 itself uses fewer than ten.
const MAX_ATTRIBUTES: usize = 32;

/// Why a text is no document of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum XmlError {
    #[error("it ends in the middle")]
    Truncated,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not well-formed: {0}")]
    Malformed(String),
    #[error("it contains a document type declaration")]
    Doctype,
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("it has more than {MAX_ELEMENTS} elements")]
    TooLarge,
}

/// A managed object reference: `type` and `value` in VMware's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MoRef {
    pub(super) kind: String,
    pub(super) id: String,
}

impl MoRef {
    pub(super) fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

/// One element with what vim25 says in it. Names and types are without their prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// `xsi:type`, whatever its prefix.
    pub(super) xsi_type: Option<String>,
    /// The unprefixed `type` attribute, which makes the element a reference to a managed object.
    pub(super) ref_type: Option<String>,
    /// The text, entities resolved. Empty when there are children.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The descendant along a dotted path of names.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |element, name| element.child(name))
    }

    pub(super) fn text_at(&self, path: &str) -> Option<&str> {
        self.at(path).map(|e| e.text.as_str())
    }

    /// The declared type; empty when none was declared.
    pub(super) fn kind(&self) -> &str {
        self.xsi_type.as_deref().unwrap_or_default()
    }

    /// `true` and `1` are the two spellings that XML Schema allows.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.text.trim().parse().ok()
    }

    pub(super) fn moref(&self) -> Option<MoRef> {
        let kind = self.ref_type.as_deref()?;
        (!self.text.is_empty()).then(|| MoRef::new(kind, self.text.as_str()))
    }
}

/// Reads one complete document.
pub(super) fn parse(document: &[u8]) -> Result<Element, XmlError> {
    let text = std::str::from_utf8(document).map_err(|e| match e.error_len() {
        None => XmlError::Truncated,
        Some(_) => XmlError::NotUtf8,
    })?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut tree = Tree::default();
    loop {
        match reader.read_event().map_err(syntax)? {
            Event::Start(start) => tree.open(element(&start)?)?,
            Event::Empty(start) => {
                tree.open(element(&start)?)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(t) => tree.text(&t.xml10_content())?,
            Event::CData(t) => tree.text(&t.xml10_content())?,
            Event::GeneralRef(reference) => tree.text(resolve(&reference)?.encode_utf8(&mut [0; 4]))?,
            Event::DocType(_) => return Err(XmlError::Doctype),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return tree.finish(),
        }
    }
}

/// The elements that are open, innermost last, and the root once it is complete.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, element: Element) -> Result<(), XmlError> {
        self.elements += 1;
        if self.root.is_some() {
            return Err(XmlError::Malformed("a second root element".into()));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(XmlError::TooDeep);
        }
        if self.elements > MAX_ELEMENTS {
            return Err(XmlError::TooLarge);
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), XmlError> {
        let mut element = self.open.pop().ok_or_else(|| XmlError::Malformed("an end tag without a start".into()))?;
        if !element.children.is_empty() {
            element.text = String::new();
            // Most have one or two, and room for four.
            element.children.shrink_to_fit();
        }
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(XmlError::Malformed("text outside of the root element".into())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, XmlError> {
        if self.open.is_empty() { self.root.ok_or(XmlError::Truncated) } else { Err(XmlError::Truncated) }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, XmlError> {
    let mut element = Element { name: start.local_name().into_inner().to_owned(), ..Element::default() };
    // Each is compared with all before it.
    for (count, attribute) in start.attributes().enumerate() {
        if count >= MAX_ATTRIBUTES {
            return Err(XmlError::Malformed(format!("an element with more than {MAX_ATTRIBUTES} attributes")));
        }
        let attribute = attribute.map_err(|e| XmlError::Malformed(e.to_string()))?;
        let (name, prefix) = attribute.key.decompose();
        if name.into_inner() != "type" {
            continue;
        }
        let value = unprefixed(&attribute.value).to_owned();
        *(if prefix.is_some() { &mut element.xsi_type } else { &mut element.ref_type }) = Some(value);
    }
    Ok(element)
}

fn unprefixed(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// The five entities of XML itself and numbers; a document cannot define others, since it cannot have a DTD.
fn resolve(reference: &BytesRef<'_>) -> Result<char, XmlError> {
    if let Some(c) = reference.resolve_char_ref().map_err(syntax)? {
        return Ok(c);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        other => Err(XmlError::Malformed(format!("unknown entity {other}"))),
    }
}

fn syntax(error: quick_xml::Error) -> XmlError {
    match error {
        // What the reader says when the text ends inside of a tag, a comment, a CDATA section or a reference.
        quick_xml::Error::Syntax(_)
        | quick_xml::Error::IllFormed(IllFormedError::MissingEndTag(_) | IllFormedError::UnclosedReference) => {
            XmlError::Truncated
        }
        other @ (quick_xml::Error::Io(_)
        | quick_xml::Error::IllFormed(_)
        | quick_xml::Error::InvalidAttr(_)
        | quick_xml::Error::Encoding(_)
        | quick_xml::Error::Escape(_)
        | quick_xml::Error::Namespace(_)) => XmlError::Malformed(other.to_string()),
    }
}

/// Escapes text for an element or an attribute. A carriage return is written as a reference because a parser would
/// turn it into a line feed, and a password must arrive as it is.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
    out
}

/// `<name>text</name>`
pub(super) fn leaf(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

/// `<name type="VirtualMachine">vm-62</name>`
pub(super) fn reference(name: &str, object: &MoRef) -> String {
    format!("<{name} type=\"{}\">{}</{name}>", escape(&object.kind), escape(&object.id))
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
