//! How a machine that came home is verified before its commit.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{common::CheckResult, job::JobTemplate};

/// What is asked of a machine at home, besides power, identity and Tools, which are always checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSpec {
    /// Probes; each must pass, and go on passing, until the commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub probes: Vec<Probe>,
}

/// One probe: exactly one of `guestIp`, `tcp`, `http` and `job`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.guestIp) ? 1 : 0) + (has(self.tcp) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.job) ? 1 : 0) == 1")
    .message("a probe has exactly one of guestIp, tcp, http and job"))]
#[x_kube(validation = Rule::new("has(self.job) ? self.timeoutSeconds >= 10 : self.timeoutSeconds <= 60")
    .message("timeoutSeconds is at most 60; of a job it is at least 10, and at most 3600"))]
pub struct Probe {
    /// Name of the probe, unique in the list.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The guest's address, as VMware Tools tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_ip: Option<GuestIpProbe>,
    /// A TCP port that accepts connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// An HTTP answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A Job that succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobProbe>,
    /// How long one look may take: at most 60 seconds, and an hour for a Job, where it must be given.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: i32,
    /// How long to wait between two looks.
    #[serde(default = "thirty")]
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: i32,
    /// How many looks in a row must succeed before the probe passes.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 20))]
    pub success_threshold: i32,
    /// How many looks in a row must fail before the probe has failed. One that fails is not passed from the first on.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 20))]
    pub failure_threshold: i32,
}

const fn one() -> i32 {
    1
}

const fn three() -> i32 {
    3
}

const fn five() -> i32 {
    5
}

const fn thirty() -> i32 {
    30
}

/// Which addresses the guest may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestIpProbe {
    /// Addresses, or networks such as `10.1.0.0/16`; one must fit.
    #[schemars(length(min = 1, max = 16), inner(length(min = 2, max = 64)))]
    pub expected: Vec<String>,
}

/// A port that must accept a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.host) || !self.host.matches('(?i)^((::ffff:)?169[.]254[.]|168[.]63[.]129[.]16$|fe[89ab][0-9a-f]:|fd00:ec2::254$)')")
    .message("host must not be a link-local or metadata address"))]
pub struct TcpProbe {
    /// Name or address; by default the guest's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// The port to connect to.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// A Job that must succeed. Each look is a Job of its own, which goes two minutes after its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobProbe {
    /// The Job. Each of its containers gets the machine's facts as environment variables `FAILBACK_…`.
    #[x_kube(merge_strategy = StructMerge::Atomic)]
    pub job_template: JobTemplate,
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheme {
    /// Without TLS.
    #[default]
    #[serde(rename = "http")]
    Http,
    /// With TLS; the certificate is verified.
    #[serde(rename = "https")]
    Https,
}

/// A GET that must be answered as told. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.host) || !self.host.matches('(?i)^((::ffff:)?169[.]254[.]|168[.]63[.]129[.]16$|fe[89ab][0-9a-f]:|fd00:ec2::254$)')")
    .message("host must not be a link-local or metadata address"))]
pub struct HttpProbe {
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Name or address; by default the guest's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9.:-]+$"))]
    pub host: Option<String>,
    /// The port to connect to.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Path and query.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub path: String,
    /// Status of the answer.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub expected_status: i32,
    /// Regular expression that must be found in the first 64 KiB of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub body_match: Option<String>,
    /// Certificates (PEM) to trust instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca_bundle: Option<String>,
}

fn root() -> String {
    "/".to_owned()
}

const fn ok() -> i32 {
    200
}

/// How a probe stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeStatus {
    /// Name of the probe.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How it stands.
    pub result: CheckResult,
    /// What was seen.
    pub message: String,
    /// Looks in a row that succeeded, counted up to the threshold.
    pub successes: i32,
    /// Since when it stands so.
    pub observed_at: Time,
}
