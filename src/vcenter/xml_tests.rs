use proptest::prelude::*;

use super::*;

const DOCUMENT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- as captured -->
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body><RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects><obj type="VirtualMachine">vm-62</obj>
<propSet><name>datastore</name><val xsi:type="ArrayOfManagedObjectReference"><ManagedObjectReference type="Datastore" xsi:type="ManagedObjectReference">datastore-59</ManagedObjectReference></val></propSet>
<propSet><name>name</name><val xsi:type="xsd:string">R&amp;D &lt;1&gt; &#x41;&#66; <![CDATA[<raw & ready>]]></val></propSet></objects><empty/></returnval></RetrievePropertiesExResponse></soapenv:Body></soapenv:Envelope>
"#;

#[test]
fn reads_what_vcenter_writes() {
    let document = parse(DOCUMENT.as_bytes()).unwrap();
    assert_eq!(document.name, "Envelope");
    let result = document.at("Body.RetrievePropertiesExResponse.returnval").unwrap();
    let object = result.child("objects").unwrap();
    assert_eq!(object.child("obj").unwrap().moref(), Some(MoRef::new("VirtualMachine", "vm-62")));
    let values: Vec<_> = object.all("propSet").map(|p| p.child("val").unwrap()).collect();
    assert_eq!(values[0].kind(), "ArrayOfManagedObjectReference");
    assert_eq!(values[0].children[0].moref(), Some(MoRef::new("Datastore", "datastore-59")));
    assert_eq!(values[0].text, "", "white space between elements is nobody's text");
    assert_eq!((values[1].kind(), values[1].text.as_str()), ("string", "R&D <1> AB <raw & ready>"));
    assert_eq!(result.child("empty").unwrap(), &Element { name: "empty".into(), ..Element::default() });
}

#[test]
fn scalar_values() {
    let read = |text: &str| parse(format!("<v>{text}</v>").as_bytes()).unwrap();
    for (text, boolean, number) in [
        ("true", Some(true), None),
        (" 0 ", Some(false), Some(0)),
        ("1", Some(true), Some(1)),
        ("17", None, Some(17)),
        ("-1", None, None),
        ("", None, None),
    ] {
        assert_eq!((read(text).boolean(), read(text).number()), (boolean, number), "{text:?}");
    }
    assert_eq!(parse(b"<r type=\"Folder\"/>").unwrap().moref(), None, "a reference to nothing is none");
}

#[test]
fn refuses_with_a_reason() {
    let deep = "<a>".repeat(300) + &"</a>".repeat(300);
    for (document, error) in [
        ("", XmlError::Truncated),
        ("   ", XmlError::Truncated),
        ("<a><b>", XmlError::Truncated),
        ("<a><b", XmlError::Truncated),
        ("<a>&am", XmlError::Truncated),
        ("<a><!-- ", XmlError::Truncated),
        ("<!DOCTYPE a [<!ENTITY b \"bb\">]><a>&b;</a>", XmlError::Doctype),
        (deep.as_str(), XmlError::TooDeep),
        ("<a/><b/>", XmlError::Malformed("a second root element".into())),
        ("<a/>text", XmlError::Malformed("text outside of the root element".into())),
        ("<a>&nbsp;</a>", XmlError::Malformed("unknown entity nbsp".into())),
    ] {
        assert_eq!(parse(document.as_bytes()).unwrap_err(), error, "{document:.60}");
    }
    for malformed in ["<a></b>", "</a>", "<a x=1/>", "<a>&#0;</a>", "<a type='x' type='y'/>", "plain text"] {
        assert!(matches!(parse(malformed.as_bytes()), Err(XmlError::Malformed(_))), "{malformed}");
    }
    assert_eq!(parse(b"<a>\xff</a>"), Err(XmlError::NotUtf8));
    assert_eq!(parse(b"<a>\xe2\x82"), Err(XmlError::Truncated), "cut in the middle of a character");
}

#[test]
fn too_many_elements_and_attributes_are_refused() {
    let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
    assert_eq!(parse(many.as_bytes()), Err(XmlError::TooLarge));
    let attributes = |count: usize| (0..count).map(|at| format!(" a{at}=''")).collect::<String>();
    assert!(parse(format!("<a{}/>", attributes(MAX_ATTRIBUTES)).as_bytes()).is_ok());
    let error = parse(format!("<a{}/>", attributes(MAX_ATTRIBUTES + 1)).as_bytes()).unwrap_err();
    assert!(matches!(&error, XmlError::Malformed(why) if why.contains("more than 32 attributes")), "{error}");
}

fn any_text() -> impl Strategy<Value = String> {
    // What XML 1.0 can carry: no control characters besides white space.
    "[\\t\\n\\r -~äß€😀]{0,20}"
}

fn any_element() -> impl Strategy<Value = Element> {
    let leaf = ("[a-zA-Z][a-zA-Z0-9]{0,8}", any_text(), proptest::option::of("[A-Z][a-z]{1,8}"))
        .prop_map(|(name, text, ref_type)| Element { name, text, ref_type, ..Element::default() });
    leaf.prop_recursive(6, 40, 5, |inner| {
        ("[a-z]{1,8}", proptest::collection::vec(inner, 1..5)).prop_map(|(name, children)| Element {
            name,
            children,
            ..Element::default()
        })
    })
}

fn write(element: &Element) -> String {
    let kind = element.ref_type.as_ref().map(|t| format!(" type=\"{t}\"")).unwrap_or_default();
    let content: String = element.children.iter().map(write).collect();
    format!("<{0}{kind}>{1}{content}</{0}>", element.name, escape(&element.text))
}

proptest! {
    #[test]
    fn what_is_written_is_read(element in any_element()) {
        prop_assert_eq!(parse(write(&element).as_bytes()), Ok(element));
    }

    #[test]
    fn a_cut_document_is_never_taken_for_a_whole_one(element in any_element(), share in 0.0..1.0_f64) {
        let document = write(&element);
        let cut = (document.len() as f64 * share) as usize;
        prop_assert!(parse(&document.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn nor_is_any_cut_of_a_real_one(cut in 0..DOCUMENT.trim_end().len()) {
        prop_assert!(parse(&DOCUMENT.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _outcome = parse(&bytes);
    }

    #[test]
    fn nor_damaged_markup(text in "[<>&;/a-c\"'=!\\[\\]?# -]{0,80}") {
        let _outcome = parse(text.as_bytes());
    }

    #[test]
    fn nor_a_damaged_document(at in 0..DOCUMENT.len(), byte in any::<u8>()) {
        let mut bytes = DOCUMENT.as_bytes().to_vec();
        bytes[at] = byte;
        let _outcome = parse(&bytes);
    }
}
