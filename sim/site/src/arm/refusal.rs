//! ARM errors: those of the front door, and those of Site Recovery with their details.

use serde_json::{Value, json};

use crate::wire::Answer;

/// A refusal with ARM's error body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Site Recovery puts its own code into a detail and a status word into the outer code (recorded: NotFound / ArmResourceDoesNotExist).
    pub(crate) detail: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Refusal {
    /// ARM's own.
    pub(crate) fn arm(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.into(), detail: None, headers: Vec::new() }
    }

    /// Site Recovery's.
    pub(crate) fn asr(status: u16, code: &str, detail: &str, message: impl Into<String>) -> Refusal {
        Refusal { detail: Some(detail.to_owned()), ..Refusal::arm(status, code, message) }
    }

    pub(crate) fn invalid_input(message: impl Into<String>) -> Refusal {
        Refusal::asr(400, "BadRequest", "InvalidParameter", message)
    }

    pub(crate) fn unknown_item(name: &str) -> Refusal {
        Refusal::asr(404, "NotFound", "ArmResourceDoesNotExist", format!("The resource '{name}' does not exist."))
    }

    /// A path that no resource type has.
    pub(crate) fn no_such_type() -> Refusal {
        Refusal::arm(
            404,
            "InvalidResourceType",
            "The resource type could not be found in the namespace 'Microsoft.RecoveryServices' for the given api version.",
        )
    }

    pub(crate) fn into_answer(self) -> Answer {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(detail) = &self.detail
            && let Some(error) = error.as_object_mut()
        {
            let details: Value = json!([{
                "code": detail, "message": self.message, "possibleCauses": Value::Null, "recommendedAction": Value::Null,
                "clientRequestId": Value::Null, "activityId": Value::Null, "target": Value::Null,
            }]);
            error.insert("details".to_owned(), details);
        }
        let mut answer = Answer::json(self.status, &json!({"error": error}));
        answer.headers.extend(self.headers);
        answer
    }
}
