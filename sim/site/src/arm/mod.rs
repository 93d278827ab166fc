//! Azure Resource Manager's front door: authentication, API versions, scopes; behind it Site Recovery, compute, and a few reads of other providers.

mod bucket;
mod classic_item;
mod compute;
mod context;
mod fabrics;
mod items;
mod jobs;
mod neighbours;
mod plans;
mod policies;
mod rcm_item;
mod refusal;
mod vault;

pub(crate) use bucket::Buckets;
pub(crate) use context::Context;
pub(crate) use items::freeze;
pub(crate) use refusal::Refusal;

use crate::token::{Tokens, Verdict};
use crate::wire::{Answer, Request};
use crate::world::World;

/// API versions of Site Recovery whose shapes the site speaks; the failback models are the same in all of them.
const VERSIONS: &[&str] = &[
    "2021-11-01",
    "2021-12-01",
    "2022-01-01",
    "2022-02-01",
    "2022-03-01",
    "2022-04-01",
    "2022-05-01",
    "2022-08-01",
    "2022-09-10",
    "2022-10-01",
    "2023-01-01",
    "2023-02-01",
    "2023-04-01",
    "2023-06-01",
    "2023-08-01",
    "2024-01-01",
    "2024-02-01",
    "2024-04-01",
    "2024-10-01",
    "2025-01-01",
    "2025-02-01",
    "2025-08-01",
    "2026-02-01",
];

/// Of the vault itself, beyond those that it shares with Site Recovery.
const VAULT_VERSIONS: &[&str] = &[
    "2016-06-01",
    "2020-02-02",
    "2020-10-01",
    "2021-01-01",
    "2021-02-10",
    "2021-03-01",
    "2021-04-01",
    "2021-06-01",
    "2021-07-01",
    "2021-08-01",
];

/// Of virtual machines and their operations.
const COMPUTE_VERSIONS: &[&str] = &[
    "2019-03-01",
    "2019-07-01",
    "2019-12-01",
    "2020-06-01",
    "2020-12-01",
    "2021-03-01",
    "2021-04-01",
    "2021-07-01",
    "2021-11-01",
    "2022-03-01",
    "2022-08-01",
    "2022-11-01",
    "2023-03-01",
    "2023-07-01",
    "2023-09-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-04-01",
];

/// Of the discovery sites of Azure Migrate.
const OFF_AZURE_VERSIONS: &[&str] =
    &["2020-01-01", "2020-07-07", "2023-06-06", "2023-10-01-preview", "2024-05-01-preview"];

/// Of locks.
const LOCK_VERSIONS: &[&str] = &["2015-01-01", "2016-09-01", "2017-04-01", "2020-05-01"];

/// Answers a request under `/subscriptions`.
pub(crate) fn answer(world: &mut World, tokens: &Tokens, buckets: &mut Buckets, request: &Request) -> Answer {
    let result = match buckets.take(world, &request.method) {
        Ok(headers) => authorized(world, tokens, request).and_then(|()| scoped(world, request)).map(|mut answer| {
            answer.headers.extend(headers);
            answer
        }),
        Err(refusal) => Err(refusal),
    };
    let mut answer = result.unwrap_or_else(Refusal::into_answer);
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("server", "Kestrel"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ("x-content-type-options", "nosniff"),
    ] {
        answer.headers.push((name.to_owned(), value.to_owned()));
    }
    if request.method == "GET" && answer.status == 200 {
        answer.headers.push(("vary".to_owned(), "Accept-Encoding".to_owned()));
    }
    if let Some(id) = request.header("x-ms-client-request-id") {
        answer.headers.push(("x-ms-client-request-id".to_owned(), id.to_owned()));
    }
    answer
}

fn authorized(world: &World, tokens: &Tokens, request: &Request) -> Result<(), Refusal> {
    let challenge =
        format!("Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\"", request.base, world.azure.tenant);
    let refuse = |code: &str, message: &str| {
        let mut refusal = Refusal::arm(401, code, message);
        refusal.headers.push(("www-authenticate".to_owned(), challenge.clone()));
        Err(refusal)
    };
    let Some(header) = request.header("authorization") else {
        return refuse("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.");
    };
    let Some(token) = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")) else {
        return refuse(
            "AuthenticationFailedInvalidHeader",
            "Authentication failed. The 'Authorization' header is provided in an invalid format.",
        );
    };
    match tokens.judge(token, world.token_epoch) {
        Verdict::Good => Ok(()),
        Verdict::Expired => {
            refuse("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
        }
        Verdict::Unknown => refuse("InvalidAuthenticationToken", "The access token is invalid."),
    }
}

fn scoped(world: &mut World, request: &Request) -> Result<Answer, Refusal> {
    let path = request.path.trim_end_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let missing = || {
        Refusal::arm(
            404,
            "MissingSubscription",
            "The request did not have a subscription or a valid tenant level resource provider.",
        )
    };
    let (Some(&"subscriptions"), Some(subscription)) = (lower.first(), segments.get(1)) else { return Err(missing()) };
    let version = api_version(request)?;
    if !subscription.eq_ignore_ascii_case(&world.azure.subscription) {
        return Err(Refusal::arm(
            404,
            "SubscriptionNotFound",
            format!("The subscription '{subscription}' could not be found."),
        ));
    }
    let mut context = Context::new(world, request, version)?;
    let of_locks = lower.ends_with(&["providers", "microsoft.authorization", "locks"]);
    if of_locks {
        expect_version(version, "locks", &[LOCK_VERSIONS])?;
    }
    match lower.get(2..).unwrap_or_default() {
        ["resourcegroups", _, "providers", "microsoft.recoveryservices", "vaults", _, ..] => {
            context.expect_group(segments.get(3))?;
            match lower.get(8) {
                _ if of_locks => {}
                Some(_) => expect_version(version, "vaults", &[VERSIONS])?,
                None => expect_version(version, "vaults", &[VAULT_VERSIONS, VERSIONS])?,
            }
            let name = segments.get(7).copied().unwrap_or_default();
            context.enter_vault(name)?;
            vault::answer(&mut context, segments.get(8..).unwrap_or_default(), lower.get(8..).unwrap_or_default())
        }
        ["resourcegroups", _, "providers", "microsoft.compute", "virtualmachines", rest @ ..] if !of_locks => {
            expect_version(version, "virtualMachines", &[COMPUTE_VERSIONS])?;
            let group = segments.get(3).copied().unwrap_or_default();
            compute::virtual_machine(&mut context, group, segments.get(7..).unwrap_or_default(), rest)
        }
        ["providers", "microsoft.compute", "locations", _, "operations", operation] => {
            expect_version(version, "locations/operations", &[COMPUTE_VERSIONS])?;
            compute::operation(&context, operation)
        }
        ["resourcegroups", _, "providers", "microsoft.offazure", "vmwaresites", _, ..] if !of_locks => {
            expect_version(version, "VMwareSites", &[OFF_AZURE_VERSIONS])?;
            context.expect_group(segments.get(3))?;
            neighbours::off_azure(&context, segments.get(7..).unwrap_or_default(), lower.get(7..).unwrap_or_default())
        }
        _ if of_locks => neighbours::locks(&context, &lower),
        ["resourcegroups", group] => {
            context.expect_group(Some(group))?;
            neighbours::resource_group(&context)
        }
        ["resourcegroups", _, "providers", namespace, kind, ..] => Err(Refusal::arm(
            404,
            "InvalidResourceType",
            format!(
                "The resource type '{kind}' could not be found in the namespace '{namespace}' for api version '{version}'."
            ),
        )),
        _ => Err(missing()),
    }
}

fn api_version(request: &Request) -> Result<&str, Refusal> {
    let version = request.query("api-version").filter(|version| !version.is_empty()).ok_or_else(|| {
        Refusal::arm(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    })?;
    let shaped = version.len() >= 10
        && version
            .bytes()
            .take(10)
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() });
    if shaped {
        return Ok(version);
    }
    Err(Refusal::arm(
        400,
        "InvalidApiVersionParameter",
        format!("The api-version '{version}' is invalid. The supported versions are '{}'.", VERSIONS.join(",")),
    ))
}

/// ARM names the supported versions in its refusal.
fn expect_version(version: &str, kind: &str, supported: &[&[&str]]) -> Result<(), Refusal> {
    let supported = supported.concat();
    if supported.contains(&version) {
        return Ok(());
    }
    Err(Refusal::arm(
        400,
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for location '' and API version '{version}' for type '{kind}'. The supported api-versions are '{}'. The supported locations are ''.",
            supported.join(", ")
        ),
    ))
}
