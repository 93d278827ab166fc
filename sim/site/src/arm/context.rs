//! One ARM request on its way: the world, what was asked, and the answers that many resources share.

use serde_json::{Value, json};

use super::Refusal;
use crate::wire::{Answer, Request};
use crate::world::World;

pub(crate) struct Context<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) base: &'a str,
    pub(crate) version: &'a str,
    pub(crate) request: &'a Request,
    pub(crate) body: Option<Value>,
    pub(crate) vault: String,
}

impl<'a> Context<'a> {
    /// Reads the body, which must be JSON if there is one.
    pub(super) fn new(world: &'a mut World, request: &'a Request, version: &'a str) -> Result<Context<'a>, Refusal> {
        let body = if request.body.is_empty() || request.method == "GET" {
            None
        } else {
            match serde_json::from_slice(&request.body) {
                Ok(body) => Some(body),
                Err(error) => {
                    return Err(Refusal::arm(
                        400,
                        "InvalidRequestContent",
                        format!("The request content was invalid and could not be deserialized: '{error}'."),
                    ));
                }
            }
        };
        Ok(Context {
            world,
            method: &request.method,
            path: &request.path,
            base: &request.base,
            version,
            request,
            body,
            vault: String::new(),
        })
    }

    pub(super) fn expect_group(&self, group: Option<&&str>) -> Result<(), Refusal> {
        let group = group.copied().unwrap_or_default();
        if group.eq_ignore_ascii_case(&self.world.azure.resource_group) {
            return Ok(());
        }
        Err(Refusal::arm(404, "ResourceGroupNotFound", format!("Resource group '{group}' could not be found.")))
    }

    pub(super) fn enter_vault(&mut self, name: &str) -> Result<(), Refusal> {
        match self.world.vaults.iter().find(|vault| vault.eq_ignore_ascii_case(name)) {
            Some(vault) => {
                self.vault = vault.clone();
                Ok(())
            }
            None => Err(Refusal::arm(
                404,
                "ResourceNotFound",
                format!(
                    "The Resource 'Microsoft.RecoveryServices/vaults/{name}' under resource group '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
                    self.world.azure.resource_group
                ),
            )),
        }
    }

    pub(crate) fn vault_id(&self) -> String {
        self.world.vault_id(&self.vault)
    }

    /// 202 with the headers of the recordings; the operation's id is the job's.
    pub(crate) fn accepted(&self, job: &str) -> Answer {
        let resource = self.world.jobs.get(job).map(|job| job.resource.clone()).unwrap_or_default();
        let signature = match self.world.unknowns.operation_url_lifetime {
            Some(life) => {
                let until = crate::clock::after(self.world.now, life.0).as_second();
                // Real signed URLs carry 3 to 4 KB of query.
                format!("&t={until}&c={}&s={}&h={}", "MIIC".repeat(640), "c2ln".repeat(90), "aGFzaA".repeat(7))
            }
            None => String::new(),
        };
        let query = format!("api-version={}{signature}", self.version);
        let mut answer = Answer::empty(202)
            .with(
                "azure-asyncoperation",
                format!("{}{}/replicationOperationStatus/{job}?{query}", self.base, self.vault_id()),
            )
            .with("location", format!("{}{resource}/operationresults/{job}?{query}", self.base))
            .with("x-ms-request-id", format!("{}/replicationJobs/{job}", self.vault_id()));
        if let Some(seconds) = self.world.azure.retry_after {
            answer = answer.with("retry-after", seconds.to_string());
        }
        answer
    }

    /// Signed operation URLs die.
    pub(crate) fn expect_signature(&self) -> Result<(), Refusal> {
        let Some(until) = self.request.query("t") else { return Ok(()) };
        match until.parse::<i64>() {
            Ok(until) if self.world.unknowns.operation_url_lifetime.is_some() && until < self.world.now.as_second() => {
                Err(Refusal::arm(403, "AuthorizationFailed", "The operation URL has expired."))
            }
            _ => Ok(()),
        }
    }

    /// A page of a list with its `nextLink`.
    pub(crate) fn page<T>(&self, all: &[T], render: impl Fn(&T) -> Value) -> Answer {
        let size = self.world.azure.page_size.max(1);
        let skip: usize = self.request.query("skipToken").and_then(|token| token.parse().ok()).unwrap_or(0);
        let value: Vec<Value> = all.iter().skip(skip).take(size).map(render).collect();
        let next = skip + value.len();
        let next_link = if next < all.len() {
            let filter = self.request.query("$filter").map_or_else(String::new, |filter| {
                format!(
                    "&%24filter={}",
                    percent_encoding::utf8_percent_encode(filter, percent_encoding::NON_ALPHANUMERIC)
                )
            });
            json!(format!("{}{}?api-version={}{filter}&skipToken={next}", self.base, self.path, self.version))
        } else {
            Value::Null
        };
        Answer::json(200, &json!({"value": value, "nextLink": next_link}))
    }
}
