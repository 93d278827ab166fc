//! SOAP faults.

use super::value::{MoRef, Val};
use crate::wire::Answer;

/// A fault: its type, its message, its fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    kind: &'static str,
    other: Option<String>,
    message: String,
    fields: Vec<(&'static str, Val)>,
}

impl Fault {
    fn new(kind: &'static str, message: impl Into<String>) -> Fault {
        Fault { kind, other: None, message: message.into(), fields: Vec::new() }
    }

    pub(crate) fn not_authenticated() -> Fault {
        let mut fault = Fault::new("NotAuthenticated", "The session is not authenticated.");
        fault.fields = vec![
            ("object", Val::Ref(MoRef::new("Folder", super::inventory::ROOT))),
            ("privilegeId", Val::text("System.View")),
        ];
        fault
    }

    pub(crate) fn invalid_login() -> Fault {
        Fault::new("InvalidLogin", "Cannot complete login due to an incorrect user name or password.")
    }

    pub(crate) fn gone(reference: &MoRef) -> Fault {
        let mut fault = Fault::new(
            "ManagedObjectNotFound",
            format!(
                "The object 'vim.{}:{}' has already been deleted or has not been completely created",
                reference.kind, reference.id
            ),
        );
        fault.fields = vec![("obj", Val::Ref(reference.clone()))];
        fault
    }

    pub(crate) fn invalid_property(name: &str) -> Fault {
        let mut fault = Fault::new("InvalidProperty", "");
        fault.fields = vec![("name", Val::text(name))];
        fault
    }

    pub(crate) fn invalid_collector_version() -> Fault {
        Fault::new("InvalidCollectorVersion", "")
    }

    pub(crate) fn request_canceled() -> Fault {
        Fault::new("RequestCanceled", "The task was canceled by a user.")
    }

    pub(crate) fn invalid_argument(property: &str) -> Fault {
        let mut fault = Fault::new("InvalidArgument", format!("A specified parameter was not correct: {property}"));
        fault.fields = vec![("invalidProperty", Val::text(property))];
        fault
    }

    pub(crate) fn invalid_power_state(requested: &str, existing: &str) -> Fault {
        let state = |state: &str| Val::Enum("VirtualMachinePowerState", state.to_owned());
        let mut fault = Fault::new(
            "InvalidPowerState",
            format!("The attempted operation cannot be performed in the current state ({existing})."),
        );
        fault.fields = vec![("requestedState", state(requested)), ("existingState", state(existing))];
        fault
    }

    pub(crate) fn tools_unavailable() -> Fault {
        Fault::new(
            "ToolsUnavailable",
            "Cannot complete operation because VMware Tools is not running in this virtual machine.",
        )
    }

    pub(crate) fn not_supported(method: &str) -> Fault {
        Fault::new("InvalidRequest", format!("Unable to resolve WSDL method name {method}"))
    }

    pub(crate) fn malformed(what: &str) -> Fault {
        Fault::new("InvalidRequest", format!("XML document cannot be read: {what}"))
    }

    /// A type that a test named.
    pub(crate) fn named(kind: &str, message: &str) -> Fault {
        match kind {
            "NotAuthenticated" => Fault::not_authenticated(),
            "InvalidLogin" => Fault::invalid_login(),
            "InvalidCollectorVersion" => Fault::invalid_collector_version(),
            _ => Fault { other: Some(kind.to_owned()), ..Fault::new("RuntimeFault", message) },
        }
    }

    pub(crate) fn into_answer(self) -> Answer {
        let kind = self.other.as_deref().unwrap_or(self.kind).to_owned();
        let mut detail = format!("<{kind}Fault xmlns=\"urn:vim25\" xsi:type=\"{kind}\">");
        for (name, value) in &self.fields {
            value.write(&mut detail, name, false);
        }
        detail.push_str(&format!("</{kind}Fault>"));
        let body = format!(
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>{}</faultstring><detail>{detail}</detail></soapenv:Fault>",
            super::xml::escape(&self.message)
        );
        envelope(500, &body)
    }
}

/// Wraps a body.
pub(crate) fn envelope(status: u16, body: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\" xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n{body}\n</soapenv:Body>\n</soapenv:Envelope>"
    );
    Answer::text(status, "text/xml; charset=utf-8", text).with("cache-control", "no-cache")
}
