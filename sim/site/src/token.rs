//! Entra's token endpoint and the instance metadata service. Tokens live by the wall clock: a client's HTTP stack knows no simulated one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::wire::{Answer, Request};
use crate::world::World;

/// Tokens that were handed out.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: HashMap<String, (Instant, u64)>,
    count: u64,
}

/// What a token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Expired,
    Unknown,
}

impl Tokens {
    pub(crate) fn judge(&self, token: &str, epoch: u64) -> Verdict {
        match self.issued.get(token) {
            None => Verdict::Unknown,
            Some((until, of)) if *of != epoch || Instant::now() >= *until => Verdict::Expired,
            Some(_) => Verdict::Good,
        }
    }

    /// A token in the shape of a JWT; its signature is worth nothing.
    fn issue(&mut self, world: &World) -> (String, u64) {
        let life = u64::try_from(world.azure.token_lifetime.0.as_secs()).unwrap_or(0).max(1);
        let now = Instant::now();
        // Expired tokens are remembered for a while, so that they are refused as expired.
        if self.issued.len() > 1_000 {
            self.issued.retain(|_, (until, _)| *until > now);
        }
        self.count += 1;
        let issued = jiff::Timestamp::now().as_second();
        let payload = json!({"aud": "https://management.azure.com/", "tid": world.azure.tenant, "appid": world.azure.client_id, "iat": issued, "exp": issued + life as i64, "jti": self.count});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(&json!({"typ": "JWT", "alg": "RS256"})),
            part(&payload),
            URL_SAFE_NO_PAD.encode("simulated")
        );
        self.issued.insert(token.clone(), (now + Duration::from_secs(life), world.token_epoch));
        (token, life)
    }
}

/// An error as Entra words it: the message carries the AADSTS number, ids, and line breaks.
fn refuse(world: &mut World, status: u16, error: &str, number: u64, message: &str) -> Answer {
    let (trace, correlation) = (world.fresh_id(), world.fresh_id());
    let at = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    Answer::json(
        status,
        &json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {message}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {at}"),
            "error_codes": [number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        }),
    )
}

/// Whether a federated credential of the client fits the assertion; Entra's number and words where none does.
fn federated_as(world: &World, client: &str, assertion: &str) -> Result<(), (u64, String)> {
    let credentials = &world.azure.federated_credentials;
    if credentials.is_empty() {
        return Ok(());
    }
    let claims = assertion.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Claims = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if claims.exp <= jiff::Timestamp::now().as_second() {
        return Err((700_024, "Client assertion is not within its valid time range.".to_owned()));
    }
    let refused = |number, what: &str, presented: &str| {
        let check = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation";
        let message = format!(
            "No matching federated identity record found for presented assertion {what} '{presented}'. {check}"
        );
        Err((number, message))
    };
    let of_client = credentials.iter().filter(|known| known.client_id.eq_ignore_ascii_case(client));
    let of_subject: Vec<_> = of_client.filter(|known| known.subject == claims.sub).collect();
    if of_subject.is_empty() {
        return refused(700_213, "subject", &claims.sub);
    }
    if !of_subject.iter().any(|known| claims.aud.contains(&known.audience)) {
        return refused(700_212, "audience", &claims.aud.join(" "));
    }
    Ok(())
}

/// What is looked at of a token of another issuer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims {
    sub: String,
    aud: Vec<String>,
    exp: i64,
}

/// `POST /{tenant}/oauth2/v2.0/token`.
pub(crate) fn token(world: &mut World, tokens: &mut Tokens, request: &Request) -> Answer {
    if request.method != "POST" {
        return refuse(
            world,
            400,
            "invalid_request",
            900_561,
            "The endpoint only accepts POST requests. Received a GET request.",
        );
    }
    let tenant = request.path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    let form: HashMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if !tenant.eq_ignore_ascii_case(&world.azure.tenant) {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
        );
        return refuse(world, 400, "invalid_request", 90_002, &message);
    }
    for name in ["grant_type", "client_id", "scope"] {
        if field(name).is_none() {
            return refuse(
                world,
                400,
                "invalid_request",
                900_144,
                &format!("The request body must contain the following parameter: '{name}'."),
            );
        }
    }
    if field("grant_type") != Some("client_credentials") {
        let grant = field("grant_type").unwrap_or_default().to_owned();
        return refuse(
            world,
            400,
            "unsupported_grant_type",
            70_003,
            &format!("The app requested an unsupported grant type '{grant}'."),
        );
    }
    if field("scope").is_some_and(|scope| !scope.split(' ').any(|part| part.ends_with("/.default"))) {
        let scope = field("scope").unwrap_or_default().to_owned();
        return refuse(
            world,
            400,
            "invalid_scope",
            70_011,
            &format!(
                "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
            ),
        );
    }
    let client = field("client_id").unwrap_or_default();
    let federated = world.azure.federated_credentials.iter().any(|known| known.client_id.eq_ignore_ascii_case(client));
    if !client.eq_ignore_ascii_case(&world.azure.client_id) && !federated {
        let message = format!(
            "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
        );
        return refuse(world, 400, "unauthorized_client", 700_016, &message);
    }
    match (field("client_secret"), field("client_assertion")) {
        (Some(secret), _)
            if secret == world.azure.client_secret && client.eq_ignore_ascii_case(&world.azure.client_id) => {}
        (Some(_), _) => {
            let message = format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
            );
            return refuse(world, 401, "invalid_client", 7_000_215, &message);
        }
        (None, Some(assertion)) => {
            let typed =
                field("client_assertion_type") == Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            if !typed || assertion.split('.').count() != 3 {
                return refuse(world, 401, "invalid_client", 50_027, "JWT token is invalid or malformed.");
            }
            if let Err((number, message)) = federated_as(world, client, assertion) {
                return refuse(world, 401, "invalid_client", number, &message);
            }
        }
        (None, None) => {
            return refuse(
                world,
                401,
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            );
        }
    }
    let (token, life) = tokens.issue(world);
    Answer::json(
        200,
        &json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}),
    )
    .with("cache-control", "no-store, no-cache")
}

/// `GET /metadata/identity/oauth2/token`; its numbers are strings.
pub(crate) fn metadata(world: &mut World, tokens: &mut Tokens, request: &Request) -> Answer {
    if !request.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Answer::json(
            400,
            &json!({"error": "invalid_request", "error_description": "Required metadata header not specified"}),
        );
    }
    let (Some(_), Some(resource)) = (request.query("api-version"), request.query("resource")) else {
        return Answer::json(
            400,
            &json!({"error": "invalid_request", "error_description": "Required query variable 'resource' or 'api-version' is missing"}),
        );
    };
    if let Some(client) = request.query("client_id")
        && !client.eq_ignore_ascii_case(&world.azure.client_id)
    {
        return Answer::json(400, &json!({"error": "invalid_request", "error_description": "Identity not found"}));
    }
    let resource = resource.to_owned();
    let (token, life) = tokens.issue(world);
    let now = jiff::Timestamp::now().as_second();
    Answer::json(
        200,
        &json!({"access_token": token, "client_id": world.azure.client_id, "expires_in": life.to_string(), "expires_on": (now + life as i64).to_string(),
            "ext_expires_in": life.to_string(), "not_before": now.to_string(), "resource": resource, "token_type": "Bearer"}),
    )
}
