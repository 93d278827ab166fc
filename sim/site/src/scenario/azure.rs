//! The Azure side: identifiers, credentials, throttling.

use serde::{Deserialize, Serialize};

use super::Span;

/// Identifiers and credentials on the Azure side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Azure {
    /// Entra tenant id.
    pub tenant: String,
    /// Client id of the principal that gets tokens by secret, by federated assertion, or as managed identity.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Federated credentials: who may sign in with a token of another issuer instead of a secret. With none, every token
    /// in the shape of a JWT is taken for `client_id`'s.
    pub federated_credentials: Vec<FederatedCredential>,
    /// Subscription id.
    pub subscription: String,
    /// Resource group of the vault and of the failed-over VMs.
    pub resource_group: String,
    /// Region.
    pub location: String,
    /// The vault that fabrics lie in unless they name another.
    pub vault: String,
    /// Life of an access token, in wall time (a client's HTTP stack knows no simulated clock).
    pub token_lifetime: Span,
    /// Real token buckets with the documented headers. Absent: the recorded remaining-reads header and no throttling.
    pub throttling: Option<TokenBuckets>,
    /// `Retry-After` in seconds on 202 answers; the recordings have none.
    pub retry_after: Option<u64>,
    /// Resource locks at the start.
    pub locks: Vec<ResourceLock>,
    /// Items in one page of a list.
    pub page_size: usize,
}

impl Default for Azure {
    fn default() -> Azure {
        Azure {
            tenant: "7f3d2c52-1c1a-4a6e-9d5c-5b1f0a6e4c11".to_owned(),
            client_id: "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22".to_owned(),
            client_secret: "simulated-secret".to_owned(),
            federated_credentials: Vec::new(),
            subscription: "3c9f5d1e-62b7-4d0a-8e21-9a4b7d6f1c33".to_owned(),
            resource_group: "recovery-rg".to_owned(),
            location: "westeurope".to_owned(),
            vault: "recovery-vault".to_owned(),
            token_lifetime: Span::seconds(3599),
            throttling: None,
            retry_after: None,
            locks: Vec::new(),
            page_size: 100,
        }
    }
}

/// Whom Entra takes for a client, by the subject and audience of a token. Signatures are not checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// The client that it belongs to; several clients reach the same vault.
    pub client_id: String,
    /// Subject, such as `system:serviceaccount:NAMESPACE:NAME`. Case matters.
    pub subject: String,
    /// Audience.
    #[serde(default = "token_exchange")]
    pub audience: String,
}

fn token_exchange() -> String {
    "api://AzureADTokenExchange".to_owned()
}

/// ARM's token buckets, per principal and subscription, refilled on the site's clock (the wall's, when that stands still): reads 250 refilled at 25/s, writes and deletes 200 at 10/s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TokenBuckets {
    /// Size of the bucket of reads.
    pub reads: f64,
    /// Reads given back each second.
    pub reads_per_second: f64,
    /// Size of the bucket of writes.
    pub writes: f64,
    /// Writes given back each second.
    pub writes_per_second: f64,
    /// Size of the bucket of deletes.
    pub deletes: f64,
    /// Deletes given back each second.
    pub deletes_per_second: f64,
}

impl Default for TokenBuckets {
    fn default() -> TokenBuckets {
        TokenBuckets {
            reads: 250.0,
            reads_per_second: 25.0,
            writes: 200.0,
            writes_per_second: 10.0,
            deletes: 200.0,
            deletes_per_second: 10.0,
        }
    }
}

/// A management lock. A `CanNotDelete` or `ReadOnly` lock that covers a failed-over VM makes commit fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceLock {
    /// Name of the lock.
    pub name: String,
    /// `CanNotDelete` or `ReadOnly`.
    #[serde(default = "can_not_delete")]
    pub level: String,
    /// Azure VM that it covers. Absent: the whole resource group.
    #[serde(default)]
    pub vm: Option<String>,
    /// It lies on the subscription.
    #[serde(default)]
    pub subscription: bool,
}

fn can_not_delete() -> String {
    "CanNotDelete".to_owned()
}
