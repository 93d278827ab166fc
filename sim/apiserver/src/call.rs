//! One request, taken apart: what it asks for, of which resource, and how the answer shall look.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::error::{Failure, Outcome};
use crate::registry::Registry;
use crate::resource::Resource;

/// Query parameters.
#[derive(Debug, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(query: &str) -> Query {
        let decode = |s: &str| percent_decode_str(&s.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
        Query(pairs.map(|(k, v)| (decode(k), decode(v))).collect())
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }
}

/// The shape of the answer, from the Accept header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Full,
    Table,
    /// PartialObjectMetadata.
    Metadata,
}

/// `fieldValidation`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Strictness {
    Ignore,
    Warn,
    Strict,
}

/// A request for a resource.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) resource: Arc<Resource>,
    pub(crate) verb: &'static str,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    /// "", "status", [`TOKEN`], or "log" of a pod.
    pub(crate) subresource: String,
    pub(crate) query: Query,
    pub(crate) form: Form,
    pub(crate) strictness: Strictness,
    pub(crate) dry_run: bool,
    /// The field manager of the write.
    pub(crate) manager: String,
    /// Who asks.
    pub(crate) user: User,
    /// The body's media type, without parameters.
    pub(crate) content_type: String,
}

/// The subresource that gives a ServiceAccount's token.
pub(crate) const TOKEN: &str = "token";

/// Who asks. Nobody signs in here, and everybody may do everything: the name is an administrator's, or the one that is
/// impersonated, as with `kubectl --as`.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl Default for User {
    fn default() -> User {
        User { name: "kubernetes-admin".to_owned(), groups: vec!["system:masters".to_owned()] }
    }
}

impl User {
    fn of(headers: &HeaderMap) -> User {
        let texts = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
        };
        match texts("impersonate-user").pop() {
            Some(name) => User { name, groups: texts("impersonate-group") },
            None => User::default(),
        }
    }
}

/// Where a path leads.
pub(crate) struct Target<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) plural: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) subresource: &'a str,
}

impl<'a> Target<'a> {
    /// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
    pub(crate) fn parse(segments: &[&'a str]) -> Option<Target<'a>> {
        let (group, version, rest) = match segments {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, plural, name, subresource) = match rest {
            ["namespaces", name, sub @ ("status" | "finalize")] => (None, "namespaces", Some(*name), *sub),
            ["namespaces", ns, plural, name, sub] => (Some(*ns), *plural, Some(*name), *sub),
            ["namespaces", ns, plural, name] => (Some(*ns), *plural, Some(*name), ""),
            ["namespaces", ns, plural] => (Some(*ns), *plural, None, ""),
            [plural, name, sub] => (None, *plural, Some(*name), *sub),
            [plural, name] => (None, *plural, Some(*name), ""),
            [plural] => (None, *plural, None, ""),
            _ => return None,
        };
        Some(Target { group, version, namespace, plural, name, subresource })
    }

    /// The verb of RBAC for this method.
    pub(crate) fn verb(&self, method: &Method, watch: bool) -> Option<&'static str> {
        match (method.as_str(), self.name) {
            ("GET", Some(_)) => Some("get"),
            ("GET", None) if watch => Some("watch"),
            ("GET", None) => Some("list"),
            ("POST", None) => Some("create"),
            ("POST", Some(_)) if self.subresource == TOKEN => Some("create"),
            ("PUT", Some(_)) => Some("update"),
            ("PATCH", Some(_)) => Some("patch"),
            ("DELETE", Some(_)) => Some("delete"),
            ("DELETE", None) => Some("deletecollection"),
            _ => None,
        }
    }
}

/// The resource of a target, if the path makes sense for it.
pub(crate) fn resolve(target: &Target<'_>, registry: &Registry) -> Outcome<Arc<Resource>> {
    let unknown = || Failure::new(404, "", "404 page not found");
    let resource = registry.find(target.group, target.version, target.plural).ok_or_else(unknown)?;
    let in_scope = resource.namespaced || target.namespace.is_none();
    let placed = !resource.namespaced || target.name.is_none() || target.namespace.is_some();
    if !in_scope || !placed {
        return Err(unknown());
    }
    match target.subresource {
        "" => Ok(resource),
        "status" if resource.status => Ok(resource),
        TOKEN if resource.has_tokens() => Ok(resource),
        "log" if resource.is("", "pods") => Ok(resource),
        // What a custom resource does not declare is not found as an object, what a built-in lacks not as a path.
        _ if resource.custom => Err(Failure::not_found(&resource, target.name.unwrap_or_default())),
        _ => Err(Failure::new(404, "NotFound", "the server could not find the requested resource")),
    }
}

impl Call {
    pub(crate) fn new(
        resource: Arc<Resource>,
        verb: &'static str,
        target: &Target<'_>,
        query: Query,
        headers: &HeaderMap,
        client: &str,
    ) -> Outcome<Call> {
        let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let accept = header("accept");
        let form = if accept.contains("as=Table") {
            Form::Table
        } else if accept.contains("as=PartialObjectMetadata") {
            Form::Metadata
        } else {
            Form::Full
        };
        let strictness = match query.get("fieldValidation") {
            "Ignore" => Strictness::Ignore,
            "Strict" => Strictness::Strict,
            _ => Strictness::Warn,
        };
        let dry_run = match query.get("dryRun") {
            "" => false,
            "All" => true,
            other => return Err(Failure::bad_request(format!("invalid dryRun: {other}; supported values: \"All\""))),
        };
        let manager = match query.get("fieldManager") {
            "" => client.to_owned(),
            manager => manager.to_owned(),
        };
        let media = |value: &str| value.split(';').next().unwrap_or_default().trim().to_owned();
        Ok(Call {
            content_type: media(header("content-type")),
            resource,
            verb,
            namespace: target.namespace.map(str::to_owned),
            name: target.name.map(str::to_owned),
            subresource: target.subresource.to_owned(),
            query,
            form,
            strictness,
            dry_run,
            manager,
            user: User::of(headers),
        })
    }

    /// The namespace of the request, "" at cluster scope.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// The name in the path; "" for collections.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}
