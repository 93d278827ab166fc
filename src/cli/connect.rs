//! Which adapters are behind the ports: the only place that names them.

use std::sync::Arc;

use crate::{
    api::AzureCloud,
    azure::{AzureConfig, AzureShared, AzureVault, Cloud, Credential, HttpOptions, Secret as AzureSecret},
    config::AzureDefaults,
    core::failure::codes,
    ports::{
        CallMeter, Connect, Failure, FailureClass, NamespaceIdentity, Remote, SharedClock, SiteRecovery,
        VCenterConnection, VaultConnection, VirtualCenter,
    },
    vcenter::{Trust, VCenterClient, VCenterConfig},
};

/// Makes adapters for Azure and vCenter.
pub struct Adapters {
    azure: AzureShared,
    defaults: AzureDefaults,
    namespaces: Arc<dyn NamespaceIdentity>,
    clock: SharedClock,
    meter: Arc<dyn CallMeter>,
}

impl Adapters {
    /// Adapters that share one HTTP client and one budget per subscription.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(
        mut defaults: AzureDefaults,
        namespaces: Arc<dyn NamespaceIdentity>,
        clock: SharedClock,
        meter: Arc<dyn CallMeter>,
    ) -> Result<Self, Failure> {
        // The webhook injects empty values where an annotation is missing.
        for value in [&mut defaults.tenant_id, &mut defaults.client_id] {
            value.take_if(|value| value.is_empty());
        }
        let azure = AzureShared::new(Arc::clone(&clock), Arc::clone(&meter), &HttpOptions::default())?;
        Ok(Self { azure, defaults, namespaces, clock, meter })
    }

    fn credential(&self, connection: &VaultConnection) -> Result<Credential, Failure> {
        let declared = &connection.spec.credential;
        let missing = |what: &str| Failure::new(Remote::Entra, FailureClass::Invalid, what.to_owned());
        if let Some(principal) = &declared.client_secret {
            let secret = connection
                .client_secret
                .as_ref()
                .ok_or_else(|| missing("spec.credential.clientSecret: the Secret was not read."))?;
            return Ok(Credential::ClientSecret {
                tenant: principal.tenant_id.clone(),
                client_id: principal.client_id.clone(),
                secret: AzureSecret::new(secret.reveal()),
            });
        }
        if let Some(account) = &declared.service_account {
            return Ok(Credential::ServiceAccount {
                tenant: account.tenant_id.clone(),
                client_id: account.client_id.clone(),
                namespace: connection.namespace.clone(),
                identity: Arc::clone(&self.namespaces),
            });
        }
        if !self.defaults.shared_identity {
            let which = if declared.workload_identity.is_some() { "workloadIdentity" } else { "managedIdentity" };
            let message = format!("spec.credential.{which}: this controller lends nobody an identity of its own.");
            return Err(missing(&message).with_code(codes::SHARED_IDENTITY_OFF));
        }
        if let Some(workload) = &declared.workload_identity {
            let tenant = workload.tenant_id.clone().or_else(|| self.defaults.tenant_id.clone()).ok_or_else(|| {
                missing("spec.credential.workloadIdentity.tenantId: not set, and neither is AZURE_TENANT_ID of the controller.")
            })?;
            let client_id = workload.client_id.clone().or_else(|| self.defaults.client_id.clone()).ok_or_else(|| {
                missing("spec.credential.workloadIdentity.clientId: not set, and neither is AZURE_CLIENT_ID of the controller.")
            })?;
            let token_file = self.defaults.federated_token_file.clone().ok_or_else(|| {
                missing("spec.credential.workloadIdentity: the controller has no AZURE_FEDERATED_TOKEN_FILE; the chart projects it.")
            })?;
            return Ok(Credential::WorkloadIdentity { tenant, client_id, token_file });
        }
        let client_id = declared.managed_identity.as_ref().and_then(|identity| identity.client_id.clone());
        Ok(Credential::ManagedIdentity { client_id })
    }
}

impl Connect for Adapters {
    fn vault(&self, connection: &VaultConnection) -> Result<Arc<dyn SiteRecovery>, Failure> {
        let spec = &connection.spec;
        let cloud = match (spec.cloud, &spec.custom_endpoints) {
            (AzureCloud::Public, _) => Cloud::Public,
            (AzureCloud::USGovernment, _) => Cloud::UsGovernment,
            (AzureCloud::China, _) => Cloud::China,
            (AzureCloud::Custom, Some(endpoints)) => Cloud::Custom {
                authority: endpoints.authority.clone(),
                management: endpoints.resource_manager.clone(),
                audience: None,
            },
            (AzureCloud::Custom, None) => {
                let message = "spec.customEndpoints: required for cloud: Custom.";
                return Err(Failure::new(Remote::Arm, FailureClass::Invalid, message));
            }
        };
        let config = AzureConfig {
            cloud,
            subscription: spec.subscription_id.clone(),
            resource_group: spec.resource_group.clone(),
            vault: spec.vault_name.clone(),
            credential: self.credential(connection)?,
        };
        Ok(Arc::new(AzureVault::new(config, &self.azure)?))
    }

    fn vcenter(&self, connection: &VCenterConnection) -> Result<Arc<dyn VirtualCenter>, Failure> {
        let spec = &connection.spec;
        let trust = match (&spec.ca_bundle, &spec.thumbprint) {
            (Some(pem), _) => Trust::Ca(pem.clone()),
            (None, Some(thumbprint)) => Trust::Thumbprint(thumbprint.clone()),
            (None, None) => Trust::System,
        };
        let config = VCenterConfig {
            server: spec.server.clone(),
            user: connection.user.clone(),
            password: connection.password.clone(),
            trust,
        };
        Ok(Arc::new(VCenterClient::new(config, Arc::clone(&self.clock), Arc::clone(&self.meter))?))
    }

    fn budgets(&self) -> Vec<(Remote, &'static str, f64)> {
        self.azure.budgets_left().into_iter().map(|(class, left)| (Remote::Arm, class, left)).collect()
    }
}
