use super::*;
use crate::{
    core::failure::{Failure, FailureClass, codes},
    vcenter::{collector::Batch, properties},
};

const HTML: &str = "<html><head><title>502 Bad\n Gateway</title></head><body>user=svc password=secret</body></html>";

fn call(method: &'static str) -> Call {
    Call::new(method, &MoRef::new("ServiceInstance", "ServiceInstance"), String::new())
}

fn envelope(body: &str) -> String {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
}

fn fault_body(text: &str, detail: &str) -> String {
    envelope(&format!(
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{text}</faultstring>{detail}</soapenv:Fault>"
    ))
}

fn answer(method: &'static str, status: u16, headers: &HeaderMap, body: &str) -> Result<Element, Failure> {
    read_answer(&call(method), StatusCode::from_u16(status).unwrap(), headers, body.as_bytes())
        .map_err(|e| e.into_failure("vc.example.com"))
}

fn failure(method: &'static str, status: u16, body: &str) -> Failure {
    answer(method, status, &HeaderMap::new(), body).unwrap_err()
}

#[test]
fn an_answer_is_the_response_element() {
    let body = envelope(
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>2026-11-02T10:00:00Z</returnval></CurrentTimeResponse>",
    );
    let response = answer("CurrentTime", 200, &HeaderMap::new(), &body).unwrap();
    assert_eq!(response.text_at("returnval"), Some("2026-11-02T10:00:00Z"));
}

#[test]
fn faults_become_classes() {
    let typed = |kind: &str, inner: &str| {
        format!("<detail><{kind}Fault xmlns=\"urn:vim25\" xsi:type=\"vim:{kind}\">{inner}</{kind}Fault></detail>")
    };
    let table = [
        ("InvalidLogin", FailureClass::Unauthenticated),
        ("PasswordExpired", FailureClass::Unauthenticated),
        ("NoPermission", FailureClass::Denied),
        ("ManagedObjectNotFound", FailureClass::NotFound),
        ("NotAuthenticated", FailureClass::Transient),
        ("InvalidProperty", FailureClass::Invalid),
        ("SystemError", FailureClass::Transient),
        ("ANewFaultOfALaterVersion", FailureClass::Transient),
    ];
    for (kind, class) in table {
        let failure = failure("CurrentTime", 500, &fault_body("what vCenter says", &typed(kind, "")));
        assert_eq!((failure.class, failure.code.as_deref()), (class, Some(kind)), "{kind}");
        assert!(
            failure.message.contains("vc.example.com") && failure.message.contains("what vCenter says"),
            "{failure}"
        );
    }
    let detail =
        typed("NoPermission", "<object type=\"Folder\">group-d1</object><privilegeId>System.View</privilegeId>");
    let denied = failure("CurrentTime", 500, &fault_body("Permission was denied", &detail));
    assert!(denied.message.contains("lacks the privilege System.View on Folder group-d1"), "{denied}");
}

#[test]
fn the_type_of_a_fault_is_found_in_all_spellings() {
    for (detail, kind) in [
        ("<detail><NotAuthenticatedFault xsi:type=\"NotAuthenticated\"/></detail>", "NotAuthenticated"),
        ("<detail><vim25:NotAuthenticatedFault/></detail>", "NotAuthenticated"),
        ("<detail><Fault xsi:type=\"vim25:NotAuthenticated\"/></detail>", "NotAuthenticated"),
        ("<detail/>", "SoapFault"),
        ("", "SoapFault"),
    ] {
        assert_eq!(failure("CurrentTime", 500, &fault_body("", detail)).code.as_deref(), Some(kind), "{detail}");
    }
}

#[test]
fn only_this_very_object_is_gone() {
    let gone = |id: &str| {
        let inner = format!(
            "<detail><ManagedObjectNotFoundFault xsi:type=\"ManagedObjectNotFound\"><obj type=\"VirtualMachine\">{id}</obj></ManagedObjectNotFoundFault></detail>"
        );
        let body = fault_body("has already been deleted", &inner);
        read_answer(
            &call("RetrievePropertiesEx"),
            StatusCode::INTERNAL_SERVER_ERROR,
            &HeaderMap::new(),
            body.as_bytes(),
        )
        .unwrap_err()
        .says_gone(&MoRef::new("VirtualMachine", "vm-1"))
    };
    assert!(gone("vm-1"));
    assert!(!gone("vm-2"));
    assert!(!gone(""));
}

#[test]
fn answers_that_are_not_soap() {
    for (status, body, class, says) in [
        (200, HTML, FailureClass::Invalid, "502 Bad Gateway"),
        (502, HTML, FailureClass::Transient, "HTTP 502 instead of SOAP (502 Bad Gateway)"),
        (500, "oops", FailureClass::Transient, "HTTP 500"),
        (503, "", FailureClass::Transient, "HTTP 503"),
        (404, "", FailureClass::Invalid, "HTTP 404"),
        (302, "", FailureClass::Invalid, "HTTP 302"),
        (407, HTML, FailureClass::Invalid, "HTTP 407"),
        (200, "", FailureClass::Invalid, "ends in the middle"),
        (200, "<soapenv:Envelope><soapenv:Body><CurrentTimeResp", FailureClass::Transient, "cut off"),
        (200, "{\"json\":true}", FailureClass::Invalid, "not well-formed"),
        (200, "<Envelope/>", FailureClass::Invalid, "without a CurrentTimeResponse"),
        (
            200,
            "<Envelope><Body><LoginResponse/></Body></Envelope>",
            FailureClass::Invalid,
            "without a CurrentTimeResponse",
        ),
        (500, "<Envelope><Body><CurrentTimeResponse/></Body></Envelope>", FailureClass::Invalid, "HTTP 500 without"),
    ] {
        let failure = failure("CurrentTime", status, body);
        assert_eq!(
            (failure.class, failure.code.as_deref()),
            (class, Some(codes::UNREADABLE_ANSWER)),
            "{status} {body}"
        );
        assert!(failure.message.contains(says), "{status} {body}: {failure}");
        assert!(!failure.message.contains("secret"), "{failure}");
    }
}

#[test]
fn nothing_of_an_answer_to_a_login_is_quoted() {
    let page = "<html><title>bad request: password=secret</title></html>";
    for status in [200, 400, 500, 502] {
        let failure = failure("Login", status, page);
        assert!(!failure.message.contains("secret"), "{failure}");
    }
}

#[test]
fn an_overloaded_vcenter_is_left_alone_as_long_as_it_asks_and_at_most_an_hour() {
    for (asked, seconds) in [("17", 17), ("3601", 3600), ("18446744073709551615", 3600)] {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(asked));
        let class = answer("CurrentTime", 503, &headers, "").unwrap_err().class;
        assert_eq!(class, FailureClass::Throttled { retry_after: Duration::from_secs(seconds) }, "{asked}");
    }
}

#[test]
fn the_cookie_is_kept_as_it_came() {
    for (set, kept) in [
        ("vmware_soap_session=abc; Path=/; HttpOnly; Secure;", Some("vmware_soap_session=abc")),
        ("vmware_soap_session=\"52a-b c\"; Path=/", Some("vmware_soap_session=\"52a-b c\"")),
        ("other=1; Path=/", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, HeaderValue::from_static("first=1"));
        headers.append(header::SET_COOKIE, HeaderValue::from_str(set).unwrap());
        let cookie = session_cookie(&headers);
        assert_eq!(cookie.as_ref().map(|c| c.to_str().unwrap()), kept, "{set}");
        assert!(cookie.is_none_or(|c| c.is_sensitive()));
    }
}

#[test]
fn an_answer_with_many_more_objects_than_were_asked_for_is_refused() {
    let page = |count: usize| {
        let object = "<objects><obj type=\"VirtualMachine\">vm-1</obj></objects>".repeat(count);
        let updates = object.replace("objects", "objectSet").replace("</obj>", "</obj><kind>enter</kind>");
        let parse = |text: String| xml::parse(text.as_bytes()).unwrap();
        let objects = properties::objects(parse(format!("<returnval>{object}</returnval>")));
        let set = format!("<R><returnval><filterSet>{updates}</filterSet></returnval></R>");
        (objects.map(Iterator::count), Batch::read(parse(set)).map(|batch| batch.updates.len()))
    };
    assert_eq!(page(1000), (Ok(1000), Ok(1000)));
    let refused = VimError::Unreadable("it has 1001 objects, and 100 were asked for".to_owned());
    assert_eq!(page(1001), (Err(refused.clone()), Err(refused)));
}

#[test]
fn arguments_are_escaped() {
    let call =
        Call::new("Login", &MoRef::new("SessionManager", "SessionManager"), xml::leaf("password", "a<b>&\"c\"\r\n"));
    let envelope = call.envelope();
    assert!(envelope.contains("<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this><password>a&lt;b&gt;&amp;&quot;c&quot;&#13;\n</password></Login>"), "{envelope}");
    let read = xml::parse(envelope.as_bytes()).unwrap();
    assert_eq!(read.text_at("Body.Login.password"), Some("a<b>&\"c\"\r\n"));
}
