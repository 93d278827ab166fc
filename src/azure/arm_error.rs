//! What an error answer says, whatever its shape: ARM's envelope, the bare object, a string, or a web page.

use http::StatusCode;
use serde_json::Value;

use crate::{
    azure::{
        headers,
        http::Answer,
        quote::{glimpse, identifier, quote},
    },
    core::failure::{Failure, FailureClass, Remote, codes},
};

/// An error in the other side's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArmError {
    /// `error.code`, where there is one.
    pub(crate) code: Option<String>,
    /// One line.
    pub(crate) message: String,
}

impl ArmError {
    /// Reads `{"error":{"code","message","details":[…]}}`, the object without its envelope, or `{"error":"…"}`.
    /// `None` when the body is none of these.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        match body.get("error") {
            Some(Value::String(text)) => Some(Self { code: None, message: quote(text) }),
            Some(error) => Self::read(error),
            None => Self::read(&body),
        }
    }

    fn read(error: &Value) -> Option<Self> {
        let code = word(error, "code").as_deref().and_then(identifier);
        let mut message = word(error, "message").unwrap_or_default();
        // Site recovery's own code and text are in the first detail; the outer ones are often generic.
        let detail = error.get("details").and_then(|details| details.get(0));
        if let Some(detail) = detail {
            for (label, key) in [("", "message"), ("Possible causes: ", "possibleCauses"), ("", "recommendedAction")] {
                let Some(text) = word(detail, key).filter(|text| !text.is_empty() && !message.contains(text)) else {
                    continue;
                };
                message = format!("{message} {label}{text}");
            }
            if let Some(inner) = word(detail, "code").filter(|inner| Some(inner) != code.as_ref()) {
                message = format!("{message} ({inner})");
            }
        }
        let message = quote(&message);
        (code.is_some() || !message.is_empty()).then_some(Self { code, message })
    }
}

/// A string or number under a key, in either case of its first letter (older services answer in PascalCase).
fn word(object: &Value, key: &str) -> Option<String> {
    let mut chars = key.chars();
    let pascal: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    match object.get(key).or_else(|| object.get(&pascal))? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The failure of an answer whose class is already known.
pub(crate) fn failure(class: FailureClass, what: &str, answer: &Answer, fallback_id: &str) -> Failure {
    let error = answer.body.as_ref().ok().and_then(|body| ArmError::parse(body));
    let (code, message) = match error {
        Some(ArmError { code, message }) if !message.is_empty() => {
            let shown = code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
            (code, format!("{what}: HTTP {}: {shown}{message}", answer.status.as_u16()))
        }
        Some(ArmError { code, .. }) => {
            let shown = code.clone().unwrap_or_default();
            (code, format!("{what}: HTTP {}: {shown}", answer.status.as_u16()))
        }
        None => (None, format!("{what}: {}", status_line(answer.status))),
    };
    Failure { class, remote: Remote::Arm, code, message, request_id: id(answer, fallback_id) }
}

/// The failure of an answer that is not what this API speaks.
pub(crate) fn unreadable(class: FailureClass, what: &str, answer: &Answer, fallback_id: &str) -> Failure {
    let status = answer.status.as_u16();
    let message = match &answer.body {
        Err(fault) => format!("{what}: HTTP {status}, but {fault}"),
        Ok(body) if body.is_empty() => format!("{what}: HTTP {status} with an empty body"),
        Ok(body) => format!("{what}: HTTP {status} with an unreadable body: {}", glimpse(body)),
    };
    let request_id = id(answer, fallback_id);
    Failure { class, remote: Remote::Arm, code: Some(codes::UNREADABLE_ANSWER.to_owned()), message, request_id }
}

/// JSON, but not of the object that was asked for.
pub(crate) fn unexpected(what: &str) -> Failure {
    Failure::new(Remote::Arm, FailureClass::Invalid, format!("the answer about {what} cannot be read"))
        .with_code(codes::UNREADABLE_ANSWER)
}

fn id(answer: &Answer, fallback: &str) -> Option<String> {
    headers::request_id(&answer.headers).or_else(|| identifier(fallback))
}

fn status_line(status: StatusCode) -> String {
    format!("HTTP {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(Option<String>, String)> {
        ArmError::parse(text.as_bytes()).map(|error| (error.code, error.message))
    }

    #[test]
    fn errors_are_read_in_every_shape() {
        let code = |code: &str| Some(code.to_owned());
        assert_eq!(
            parse(r#"{"error":{"code":"150016","message":"Another \"x\" is running.\r\nWait."}}"#),
            Some((code("150016"), "Another \"x\" is running. Wait.".into()))
        );
        assert_eq!(
            parse(
                r#"{"error":{"code":"NotFound","message":"Not found.","details":[{"code":"ArmResourceDoesNotExist",
                "message":"The item does not exist.","possibleCauses":"It was removed.",
                "recommendedAction":"Look."}]}}"#
            ),
            Some((
                code("NotFound"),
                "Not found. The item does not exist. Possible causes: It was removed. Look. (ArmResourceDoesNotExist)"
                    .into()
            ))
        );
        assert_eq!(parse(r#"{"code":506,"message":"bad"}"#), Some((code("506"), "bad".into())));
        assert_eq!(parse(r#"{"Code":"A","Message":"b"}"#), Some((code("A"), "b".into())));
        assert_eq!(parse(r#"{"error":"plain"}"#), Some((None, "plain".into())));
        assert_eq!(parse(r#"{"error":{"code":null,"message":null,"details":"odd"}}"#), None);
        for other in ["", "<html>", "[]", "{}", "null", "\"text\"", "{\"error\":"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
