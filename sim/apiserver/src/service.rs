//! The server as a tower service: from an HTTP request to an answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body, Frame};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tower::Service;

use crate::answer::{self, Answer, BodyError, Payload};
use crate::call::{Call, Query, TOKEN, Target, resolve};
use crate::discovery;
use crate::error::{Failure, Outcome};
use crate::faults::Effect;
use crate::openapi;
use crate::protobuf;
use crate::record::RequestRecord;
use crate::state::Shared;

/// The largest body: `MaxRequestBodyBytes` of a real server.
const MAX_BODY: usize = 3 << 20;

/// The body of a response.
pub type ResponseBody = UnsyncBoxBody<Bytes, std::io::Error>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The server for one client; see [`ApiServer::service`](crate::ApiServer::service).
#[derive(Clone)]
pub struct ApiService {
    pub(crate) shared: Arc<Shared>,
    /// `None`: over HTTP, where the User-Agent names the client.
    pub(crate) client: Option<Arc<str>>,
}

impl std::fmt::Debug for ApiService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiService").field("client", &self.client).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let wants_yaml = header(&parts.headers, "accept").trim().starts_with("application/yaml");
            let answer = match read_body(body).await {
                Ok(body) => this.answer(parts, body).await?,
                Err(failure) => refuse(failure),
            };
            Ok(respond(if wants_yaml { as_yaml(answer) } else { answer }))
        })
    }
}

async fn read_body<B>(body: B) -> Outcome<Bytes>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::new(413, "RequestEntityTooLarge", format!("limit is {MAX_BODY}")))
        }
        Err(error) => Err(Failure::bad_request(format!("reading the body: {error}"))),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

fn refuse(failure: Failure) -> Answer {
    if failure.code == 404 && failure.reason.is_empty() {
        return Answer::text(404, "404 page not found\n");
    }
    let retry_after = matches!(failure.code, 429 | 503).then_some(1);
    Answer { retry_after, ..Answer::json(failure.code, &failure.status()) }
}

fn as_yaml(answer: Answer) -> Answer {
    let Payload::Bytes(bytes) = &answer.payload else { return answer };
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match serde_yaml::to_string(&value) {
        Ok(text) if answer.content_type.starts_with("application/json") => {
            Answer { content_type: "application/yaml".to_owned(), payload: Payload::Bytes(text.into()), ..answer }
        }
        Ok(_) | Err(_) => answer,
    }
}

fn respond(answer: Answer) -> Response<ResponseBody> {
    let body: ResponseBody = match answer.payload {
        Payload::Bytes(bytes) => Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync(),
        Payload::Stream(stream) => BodyExt::boxed_unsync(StreamBody::new(stream.map(|chunk| chunk.map(Frame::data)))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(answer.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let mut put = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.append(name, value);
        }
    };
    put("content-type", &answer.content_type);
    put("cache-control", "no-cache, private");
    for warning in &answer.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        put("warning", &format!("299 - \"{quoted}\""));
    }
    if let Some(seconds) = answer.retry_after {
        put("retry-after", &seconds.to_string());
    }
    response
}

impl ApiService {
    async fn answer(&self, parts: Parts, body: Bytes) -> Result<Answer, BodyError> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let segments: Vec<String> = parts
            .uri
            .path()
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let Some(answer) = self.special(&path, header(&parts.headers, "accept")) {
            return Ok(answer);
        }
        let client = self.client_name(&parts.headers);
        let Some(target) = Target::parse(&path) else { return Ok(Answer::text(404, "404 page not found\n")) };
        let resource = match resolve(&target, &self.shared.registry) {
            Ok(resource) => resource,
            Err(failure) => return Ok(refuse(failure)),
        };
        let Some(verb) = target.verb(&parts.method, query.is_true("watch")) else {
            return Ok(refuse(Failure::method_not_allowed()));
        };
        let record = RequestRecord {
            client: client.clone(),
            verb: verb.to_owned(),
            group: resource.group.clone(),
            resource: resource.plural().to_owned(),
            subresource: target.subresource.to_owned(),
            namespace: target.namespace.unwrap_or_default().to_owned(),
            name: target.name.unwrap_or_default().to_owned(),
        };
        let fault = self.shared.faults.take(&record);
        self.shared.record.add(record);
        let manager = manager_name(&parts.headers, &client);
        let call = match Call::new(resource, verb, &target, query, &parts.headers, &manager) {
            Ok(call) => call,
            Err(failure) => return Ok(refuse(failure)),
        };
        self.with_fault(fault, call, &body).await
    }

    async fn with_fault(&self, fault: Option<Effect>, call: Call, body: &[u8]) -> Result<Answer, BodyError> {
        let broken = |what: &str| BodyError::new(std::io::ErrorKind::ConnectionReset, what.to_owned());
        match fault {
            None => Ok(self.carry_out(call, body)),
            Some(Effect::Latency(time)) => {
                tokio::time::sleep(time).await;
                Ok(self.carry_out(call, body))
            }
            Some(Effect::Refuse(code)) => Ok(refuse(injected(code, &call))),
            Some(Effect::Disconnect) => Err(broken("disconnected on request")),
            Some(Effect::LoseAnswer) => {
                self.carry_out(call, body);
                Err(broken("answer lost on request"))
            }
        }
    }

    fn carry_out(&self, call: Call, body: &[u8]) -> Answer {
        self.dispatch(call, body).unwrap_or_else(refuse)
    }

    fn dispatch(&self, call: Call, body: &[u8]) -> Outcome<Answer> {
        let shared = &self.shared;
        if call.resource.only_create && call.verb != "create" {
            return Err(Failure::method_not_allowed());
        }
        if call.subresource == TOKEN {
            return match call.verb {
                "create" => Ok(Answer::json(201, &shared.token_request(&call, decode(&call, body)?)?)),
                _ => Err(Failure::method_not_allowed()),
            };
        }
        if call.subresource == "log" {
            return match call.verb {
                "get" => shared.read_log(&call),
                _ => Err(Failure::method_not_allowed()),
            };
        }
        let written = match call.verb {
            "get" => return shared.read_one(&call),
            "list" => return shared.list(&call),
            "watch" => return shared.watch(call),
            "delete" => {
                let object = shared.delete(&call, &decode(&call, body)?)?;
                return Ok(Answer::json(200, &object));
            }
            "deletecollection" => {
                let (objects, version) = shared.delete_collection(&call, &decode(&call, body)?)?;
                let meta = serde_json::json!({"resourceVersion": version.to_string()});
                return Ok(shared.list_answer(&call, &objects, meta));
            }
            "create" => shared.create(&call, decode(&call, body)?)?,
            "update" => {
                let wanted = decode(&call, body)?;
                shared.update(&call, false, |_| Ok(wanted.clone()))?
            }
            _ => shared.patch(&call, body)?,
        };
        let code = if written.created { 201 } else { 200 };
        Ok(Answer { warnings: written.warnings, ..answer::one(&call, code, &written.object) })
    }

    /// Paths that are not resources.
    fn special(&self, path: &[&str], accept: &str) -> Option<Answer> {
        let resources = || self.shared.registry.all();
        let or_404 = |found: Option<Value>| match found {
            Some(value) => Answer::json(200, &value),
            None => Answer::text(404, "404 page not found\n"),
        };
        let aggregated = accept.contains("APIGroupDiscoveryList");
        Some(match path {
            ["healthz" | "livez" | "readyz", ..] => Answer::text(200, "ok"),
            ["version"] => Answer::json(200, &version()),
            ["api" | "apis"] if aggregated => {
                let version = if accept.contains("v=v2;") || accept.contains("v=v2,") { "v2" } else { "v2beta1" };
                let list = discovery::aggregated(&resources(), path == ["api"], version);
                let content_type =
                    format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
                Answer { content_type, ..Answer::json(200, &list) }
            }
            ["api"] => Answer::json(200, &discovery::core_versions()),
            ["apis"] => Answer::json(200, &discovery::group_list(&resources())),
            ["apis", group] => or_404(discovery::group(&resources(), group)),
            ["api", version] => or_404(discovery::resource_list(&resources(), "", version)),
            ["apis", group, version] => or_404(discovery::resource_list(&resources(), group, version)),
            // kubectl reads the older document for kinds that the newer does not have. It is protobuf, and empty.
            ["openapi", "v2"] => Answer {
                content_type: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf".to_owned(),
                ..Answer::bytes(200, Bytes::new())
            },
            ["openapi", "v3"] => Answer::json(200, &openapi::index(&resources())),
            ["openapi", "v3", "api", version] => or_404(openapi::document(&resources(), "", version)),
            ["openapi", "v3", "apis", group, version] => or_404(openapi::document(&resources(), group, version)),
            _ => return None,
        })
    }

    fn client_name(&self, headers: &HeaderMap) -> String {
        match &self.client {
            Some(client) => client.to_string(),
            None => first_word(header(headers, "user-agent")).unwrap_or("unknown").to_owned(),
        }
    }
}

/// The default field manager is the first word of the User-Agent (`managerOrUserAgent`); in-process clients send none.
fn manager_name(headers: &HeaderMap, client: &str) -> String {
    first_word(header(headers, "user-agent")).unwrap_or(client).to_owned()
}

fn first_word(agent: &str) -> Option<&str> {
    agent.split(['/', ' ']).next().filter(|word| !word.is_empty())
}

fn decode(call: &Call, body: &[u8]) -> Outcome<Value> {
    let unreadable =
        |e: &dyn std::fmt::Display| Failure::bad_request(format!("the object provided is unrecognized: {e}"));
    if body.is_empty() {
        return match call.verb {
            "delete" | "deletecollection" => Ok(Value::Null),
            _ => Err(unreadable(&"the body is empty")),
        };
    }
    match call.content_type.as_str() {
        "" | "application/json" => serde_json::from_slice(body).map_err(|e| unreadable(&e)),
        "application/yaml" => serde_yaml::from_slice(body).map_err(|e| unreadable(&e)),
        "application/vnd.kubernetes.protobuf" => protobuf::decode(body).ok_or_else(|| {
            Failure::unsupported_media(
                "application/json, application/yaml (this server does not read this kind as protobuf: use `kubectl \
                 apply -f` instead of `kubectl create`)",
            )
        }),
        _ => Err(Failure::unsupported_media("application/json, application/yaml")),
    }
}

/// A refusal as the real server would word it.
fn injected(code: u16, call: &Call) -> Failure {
    match code {
        403 => forbidden(call),
        409 => Failure::modified(&call.resource, call.name()),
        410 => Failure::expired("too old resource version"),
        429 => Failure::new(429, "TooManyRequests", "too many requests, please try again later"),
        500 => Failure::new(500, "InternalError", "an error on the server has prevented the request from succeeding"),
        503 => Failure::new(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => Failure::new(504, "Timeout", "the server was unable to return a response in the time allotted"),
        other => Failure::new(other, "", "refused on request"),
    }
}

/// What RBAC says to whom no role gives a right.
fn forbidden(call: &Call) -> Failure {
    let (names, group) = (&call.resource.names.plural, &call.resource.group);
    let of_group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let name = call.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let part = if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
    let place = match &call.namespace {
        Some(namespace) => format!("in the namespace {namespace:?}"),
        None => "at the cluster scope".to_owned(),
    };
    Failure::new(
        403,
        "Forbidden",
        format!(
            "{names}{of_group}{name} is forbidden: User {:?} cannot {} resource \"{names}{part}\" in API group {group:?} {place}",
            call.user.name, call.verb
        ),
    )
}

fn version() -> Value {
    serde_json::json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
    })
}
