//! TokenRequest: tokens of ServiceAccounts, in the shape of a JWT. Their signature is worth nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::{Cause, Failure, Outcome};
use crate::object::{Object, new_uid};
use crate::state::Shared;
use crate::store::Key;

/// Who issues the tokens, and for whom when nobody is named: the service in front of a real server.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The least and the most seconds that `ValidateTokenRequest` lets through, and what is given to who asks for none.
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
const DEFAULT: i64 = 3600;

impl Shared {
    /// POST to `serviceaccounts/NAME/token`: the request with its token.
    pub(crate) fn token_request(&self, call: &Call, mut request: Value) -> Outcome<Value> {
        let resource = &call.resource;
        let key = Key::new(call.namespace(), call.name());
        let stored = self.store.get(&resource.shelf, &key).ok_or_else(|| Failure::not_found(resource, call.name()))?;
        let account = self.load(resource, &stored);
        let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(DEFAULT);
        let refused = |why: &str| {
            let cause = Cause::invalid("spec.expirationSeconds", format_args!("{seconds}: {why}"));
            Failure::invalid("authentication.k8s.io", "TokenRequest", call.name(), vec![cause])
        };
        if seconds < SHORTEST {
            return Err(refused("may not specify a duration less than 10 minutes"));
        }
        if seconds > LONGEST {
            return Err(refused("may not specify a duration larger than 2^32 seconds"));
        }
        let audiences = match request.list("/spec/audiences") {
            [] => vec![Value::from(ISSUER)],
            named => named.to_vec(),
        };
        let now = jiff::Timestamp::now();
        let expires = now.as_second() + seconds;
        let claims = json!({
            "aud": audiences, "exp": expires, "iat": now.as_second(), "nbf": now.as_second(), "iss": ISSUER,
            "jti": new_uid(),
            "kubernetes.io": {
                "namespace": call.namespace(),
                "serviceaccount": {"name": call.name(), "uid": account.text("/metadata/uid")},
            },
            "sub": format!("system:serviceaccount:{}:{}", call.namespace(), call.name()),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(&json!({"alg": "RS256", "kid": "embedded"})),
            part(&claims),
            URL_SAFE_NO_PAD.encode("unsigned")
        );
        let until = jiff::Timestamp::from_second(expires).map_or_else(|_| String::new(), |at| at.to_string());
        request.put("/kind", "TokenRequest");
        request.put("/apiVersion", "authentication.k8s.io/v1");
        request.put("/metadata", json!({"name": call.name(), "namespace": call.namespace()}));
        request.put("/spec/audiences", Value::from(audiences));
        request.put("/spec/expirationSeconds", seconds);
        request.put("/status", json!({"token": token, "expirationTimestamp": until}));
        Ok(request)
    }
}
