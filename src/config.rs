//! What the controller was started with, validated. All reading of the environment happens here, at the start.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use url::Url;

use crate::cli::clock::FastClock;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of `failback controller`; each has an environment variable of the same meaning.
#[derive(Clone, Debug, Args)]
pub struct ControllerFlags {
    /// Watch these namespaces only, separated by commas; all namespaces by default.
    #[arg(long, env = "FAILBACK_WATCH_NAMESPACES", value_delimiter = ',', value_parser = namespace)]
    pub watch_namespaces: Vec<String>,
    /// How many objects of each kind are worked on at the same time.
    #[arg(long, env = "FAILBACK_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "FAILBACK_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How logs are written.
    #[arg(long, env = "FAILBACK_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Which logs are written, such as `info` or `failback=debug`.
    #[arg(long, env = "FAILBACK_LOG", default_value = "info")]
    pub log: String,
    /// Name of this process in events and in the lease; by default the host's name.
    #[arg(long, env = "FAILBACK_INSTANCE")]
    pub instance: Option<String>,
    /// Namespace of the lease that decides which of several replicas acts.
    #[arg(long, env = "FAILBACK_LEASE_NAMESPACE", default_value = "failback-system")]
    pub lease_namespace: String,
    /// How long the lease lasts without a renewal, in seconds: how soon another replica takes over.
    #[arg(long, env = "FAILBACK_LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(3..=600))]
    pub lease_seconds: u16,
    /// Kubeconfig to use instead of the pod's service account or the usual files.
    #[arg(long, env = "FAILBACK_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Let probes talk to this host itself. For rehearsals only: whoever may write a ReplicatedItem could then look at
    /// what listens beside the controller.
    #[arg(long, hide = true)]
    pub allow_loopback_probes: bool,
    /// Run on the clock of a simulated site: WALL_TIME=SIMULATED_TIME@SPEED, as `failback sim` prints it.
    #[arg(long, env = "FAILBACK_CLOCK", hide = true, value_parser = FastClock::parse)]
    pub clock: Option<FastClock>,
    #[command(flatten)]
    /// Traces.
    pub traces: TraceFlags,
    #[command(flatten)]
    /// Defaults of workload identity.
    pub azure: AzureDefaults,
}

/// Where traces go, by OpenTelemetry's standard variables: nowhere without an endpoint. What else the standard knows
/// (headers, sampler, batches, resource attributes) its own library reads.
#[derive(Clone, Debug, Default, Args)]
pub struct TraceFlags {
    /// Base URL of a collector that takes OTLP as protobuf over HTTP; without, no traces are made.
    #[arg(long = "otlp-endpoint", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub endpoint: Option<String>,
    /// The same for traces alone, as the complete URL.
    #[arg(long = "otlp-traces-endpoint", env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", hide = true)]
    pub traces_endpoint: Option<String>,
    /// The name under which traces are found.
    #[arg(long = "otlp-service-name", env = "OTEL_SERVICE_NAME", default_value = "failback", hide = true)]
    pub service: String,
    /// `true` makes no traces, whatever the endpoint.
    #[arg(long = "otlp-disabled", env = "OTEL_SDK_DISABLED", hide = true)]
    pub disabled: Option<String>,
}

impl TraceFlags {
    /// The complete URL, if traces are wanted.
    ///
    /// # Errors
    /// A sentence that names the value.
    pub fn url(&self) -> Result<Option<Url>, String> {
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let disabled = set(&self.disabled).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let (complete, base) = (set(&self.traces_endpoint), set(&self.endpoint));
        let Some(text) = complete.as_ref().or(base.as_ref()).filter(|_| !disabled) else { return Ok(None) };
        let mut url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| format!("the OTLP endpoint \"{text}\" is not a URL; an example is http://collector:4318"))?;
        if let (None, Ok(mut path)) = (&complete, url.path_segments_mut()) {
            path.pop_if_empty().extend(["v1", "traces"]);
        }
        Ok(Some(url))
    }
}

/// What AKS, Arc or the chart puts into the pod's environment for workload identity.
#[derive(Clone, Debug, Args)]
pub struct AzureDefaults {
    /// Let RecoveryVaults use the controller's own identity (`workloadIdentity`, `managedIdentity`). Without, each
    /// namespace signs in with an identity or a secret of its own.
    #[arg(
        long = "azure-shared-identity",
        env = "FAILBACK_AZURE_SHARED_IDENTITY",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub shared_identity: bool,
    /// Entra tenant.
    #[arg(long = "azure-tenant-id", env = "AZURE_TENANT_ID")]
    pub tenant_id: Option<String>,
    /// Application (client) id.
    #[arg(long = "azure-client-id", env = "AZURE_CLIENT_ID")]
    pub client_id: Option<String>,
    /// File with the federated token.
    #[arg(long = "azure-federated-token-file", env = "AZURE_FEDERATED_TOKEN_FILE")]
    pub federated_token_file: Option<PathBuf>,
}

/// The name of a namespace, as the API server would take it: a misspelt one would be watched in vain.
fn namespace(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let sound =
        (1..=63).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with('-') && !text.ends_with('-');
    if sound { Ok(text.to_owned()) } else { Err(format!("\"{text}\" cannot be the name of a namespace")) }
}

impl Default for AzureDefaults {
    fn default() -> Self {
        Self { shared_identity: true, tenant_id: None, client_id: None, federated_token_file: None }
    }
}

impl ControllerFlags {
    /// The name of this process: what was given, else the host's name, else its process id.
    pub fn instance_name(&self) -> String {
        self.instance
            .clone()
            .or_else(|| std::fs::read_to_string("/etc/hostname").ok().map(|name| name.trim().to_owned()))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("failback-{}", std::process::id()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        flags: ControllerFlags,
    }

    fn typed(words: &[&str]) -> Result<ControllerFlags, String> {
        let words = std::iter::once("controller").chain(words.iter().copied());
        Typed::try_parse_from(words).map(|typed| typed.flags).map_err(|error| error.to_string())
    }

    #[test]
    fn namespaces_are_a_list_of_names() {
        assert_eq!(typed(&["--watch-namespaces", "dr,lab"]).unwrap().watch_namespaces, ["dr", "lab"]);
        assert!(typed(&[]).unwrap().watch_namespaces.is_empty());
        for wrong in ["dr, lab", "Dr", "dr,", "-dr", "a.b", "*"] {
            let told = typed(&[&format!("--watch-namespaces={wrong}")]).unwrap_err();
            assert!(told.contains("cannot be the name of a namespace"), "{told}");
        }
    }

    #[test]
    fn vaults_may_use_the_controllers_identity_unless_told_otherwise() {
        assert!(typed(&[]).unwrap().azure.shared_identity && AzureDefaults::default().shared_identity);
        assert!(!typed(&["--azure-shared-identity", "false"]).unwrap().azure.shared_identity);
    }

    #[test]
    fn traces_go_where_the_standard_says() {
        let url = |words: &[&str]| typed(words).unwrap().traces.url().map(|url| url.map(|url| url.to_string()));
        let below = Ok(Some("http://c:4318/v1/traces".to_owned()));
        assert_eq!(url(&["--otlp-endpoint", "http://c:4318"]), below);
        assert_eq!(url(&["--otlp-endpoint", "http://c:4318/"]), below);
        let whole = ["--otlp-endpoint", "http://c:4318", "--otlp-traces-endpoint", "https://d/x"];
        assert_eq!(url(&whole), Ok(Some("https://d/x".to_owned())));
        assert_eq!(url(&[]), Ok(None));
        assert_eq!(url(&["--otlp-endpoint", ""]), Ok(None));
        assert_eq!(url(&["--otlp-endpoint", "http://c:4318", "--otlp-disabled", "true"]), Ok(None));
        for wrong in ["c:4318", "grpc://c:4317", "http://"] {
            assert!(url(&["--otlp-endpoint", wrong]).unwrap_err().contains("http://collector:4318"), "{wrong}");
        }
    }
}
