//! SOAP in: a small tree of elements. Attributes and elements are matched by local name, whatever prefix the client chose.

use quick_xml::Reader;
use quick_xml::events::Event;

/// An element.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// `type` without a prefix: the kind of a managed object reference.
    pub(crate) kind: Option<String>,
    /// `xsi:type`, without the prefix of its value.
    pub(crate) xsi_type: Option<String>,
    pub(crate) text: String,
    pub(crate) children: Vec<Node>,
}

impl Node {
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Text of a child.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text_of(name).is_some_and(|text| text == "true" || text == "1")
    }
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Reads a document; the error says what is wrong with it.
pub(crate) fn parse(text: &[u8]) -> Result<Node, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the body is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = vec![Node::default()];
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(element) => open.push(element_of(&element)?),
            Event::Empty(element) => {
                let node = element_of(&element)?;
                if let Some(parent) = open.last_mut() {
                    parent.children.push(node);
                }
            }
            Event::End(_) => {
                let node = open.pop().unwrap_or_default();
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Err("an element is closed that was never opened".to_owned()),
                }
            }
            Event::Text(text) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let name: &str = &reference;
                let text =
                    quick_xml::escape::unescape(&format!("&{name};")).map_err(|error| error.to_string())?.into_owned();
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&text);
                }
            }
            Event::CData(data) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&data);
                }
            }
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
        }
    }
    if open.len() != 1 {
        return Err("the document ends before its elements are closed".to_owned());
    }
    open.pop().and_then(|root| root.children.into_iter().next()).ok_or_else(|| "the document has no element".to_owned())
}

fn element_of(element: &quick_xml::events::BytesStart<'_>) -> Result<Node, String> {
    let mut node = Node { name: local(element.name().as_ref()), ..Node::default() };
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|error| error.to_string())?.into_owned();
        match attribute.key.as_ref() {
            "type" => node.kind = Some(value),
            key if local(key) == "type" => {
                node.xsi_type = Some(value.rsplit(':').next().unwrap_or_default().to_owned())
            }
            _ => {}
        }
    }
    Ok(node)
}

/// The first element of the envelope's body: the method.
pub(crate) fn method_of(envelope: &Node) -> Option<&Node> {
    if envelope.name != "Envelope" {
        return None;
    }
    envelope.child("Body")?.children.first()
}

/// Escapes text for an element or an attribute.
pub(crate) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_morefs_and_subtypes() {
        let text = br#"<e:Envelope xmlns:e="x"><e:Body><CreateFilter xmlns="urn:vim25"><_this type="PropertyCollector">pc</_this>
            <spec xsi:type="vim25:TraversalSpec"><name>a &amp; b</name><skip>true</skip></spec></CreateFilter></e:Body></e:Envelope>"#;
        let node = parse(text).unwrap();
        let method = method_of(&node).unwrap();
        assert_eq!(method.name, "CreateFilter");
        assert_eq!(method.child("_this").unwrap().kind.as_deref(), Some("PropertyCollector"));
        let spec = method.child("spec").unwrap();
        assert_eq!(spec.xsi_type.as_deref(), Some("TraversalSpec"));
        assert_eq!(spec.text_of("name"), Some("a & b"));
        assert!(spec.flag("skip"));
    }

    #[test]
    fn refuses_what_is_not_xml() {
        assert!(parse(b"<a><b></a>").is_err());
        assert!(parse(b"<a>").is_err());
        assert!(parse(b"").is_err());
    }
}
