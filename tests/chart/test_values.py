"""Values that are wrong, or contradict each other, are refused with a sentence that helps."""

import copy

import helm_python
import pytest
from conftest import VARIANTS, chart, render

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----"



def proxied(proxy, ports=(443,)):
    return {"extraEnv": [{"name": "HTTPS_PROXY", "value": proxy}], "networkPolicy": {"enabled": True, "egressPorts": list(ports)}}


CONTRADICTIONS = [
    ({"image": {"tag": "1", "digest": "sha256:" + "0" * 64}}, "image.tag and image.digest are both set"),
    ({"watchNamespaces": ["a", "c"], "secretNamespaces": ["b"]}, 'secretNamespaces has "b", but only a, c is watched'),
    (
        {"watchNamespaces": ["a"], "azure": {"serviceAccountNamespaces": ["b"]}},
        'azure.serviceAccountNamespaces has "b", but only a is watched',
    ),
    ({"azure": {"sharedIdentity": False, "workloadIdentity": "webhook"}}, "an identity that no vault may use"),
    ({"azure": {"sharedIdentity": False, "managedIdentity": True}}, "no vault may use the node's identity"),
    ({"networkPolicy": {"tracesPort": 4318}}, "restrict nothing"),
    ({"networkPolicy": {"enabled": True, "tracesPort": 4318}}, "no traces are sent there"),
    ({"secretNames": ["vcenter"]}, "secretNames is set without secretNamespaces"),
    ({"serviceAccount": {"create": False}}, "serviceAccount.name is empty"),
    ({"serviceAccount": {"create": False, "name": "a", "annotations": {"b": "c"}}}, "annotate your own ServiceAccount"),
    ({"azure": {"clientId": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22"}}, "azure.workloadIdentity is none"),
    (
        {
            "azure": {"workloadIdentity": "webhook", "clientId": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22"},
            "serviceAccount": {"create": False, "name": "a"},
        },
        "put azure.workload.identity/client-id",
    ),
    ({"podDisruptionBudget": {"minAvailable": 1}}, "are both set: Kubernetes takes one"),
    ({"podDisruptionBudget": {"maxUnavailable": None}}, "says nothing"),
    ({"podDisruptionBudget": {"minAvailable": 2, "maxUnavailable": None}}, "could ever be drained"),
    ({"trust": {"caBundle": CERTIFICATE, "configMap": "a"}}, "trust.caBundle and trust.configMap are both set"),
    ({"trust": {"caBundle": "/etc/ca.pem"}}, "has no PEM certificate"),
    ({"metrics": {"serviceMonitor": {"enabled": True}}}, "finds pods through a Service"),
    (
        {"metrics": {"service": {"enabled": True}, "serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
        "read twice",
    ),
    ({"metrics": {"prometheusRule": {"enabled": True}}}, "alerts would lead nowhere"),
    (
        {"metrics": {"prometheusRule": {"enabled": True, "runbookBaseUrl": "https://git.example.com/runbooks"}}},
        "NoLeader would fire for ever",
    ),
    (
        {"networkPolicy": {"enabled": True}, "metrics": {"podMonitor": {"enabled": True}}},
        "Prometheus could not reach the pods",
    ),
    ({"networkPolicy": {"egressCidrs": ["10.0.0.0/8"]}}, "restrict nothing"),
    (
        {"policies": {"requester": {"enabled": True}, "approverIdentity": {"enabled": False}}},
        "anybody can approve in another's name",
    ),
    (
        {"policies": {"requiredApprovals": {"enabled": True, "steps": {"FailBack": None, "Commit": None}}}},
        "names no steps",
    ),
    ({"crds": {"install": False, "keep": False}}, "neither installs nor removes"),
    ({"extraEnv": [{"name": "FAILBACK_LISTEN", "value": "x"}]}, "extraEnv has FAILBACK_LISTEN"),
    ({"extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "x"}]}, "extraEnv has OTEL_EXPORTER_OTLP_ENDPOINT"),
    ({"extraEnv": [{"name": "AZURE_TENANT_ID", "value": "x"}]}, "extraEnv has AZURE_TENANT_ID"),
    ({"extraEnv": [{"name": "NO_PROXY", "value": "a"}, {"name": "NO_PROXY", "value": "b"}]}, "extraEnv has NO_PROXY twice"),
    (proxied("http://proxy.example.com:3128"), "a proxy on port 3128, which is not in networkPolicy.egressPorts"),
    (proxied("http://anna:secret@proxy.example.com/"), "a proxy on port 80, which"),
    ({"azure": {"audience": "api://other"}}, "azure.audience or azure.tokenExpirationSeconds is set"),
    ({"azure": {"workloadIdentity": "webhook", "tokenExpirationSeconds": 7200}}, "azure.workloadIdentity is webhook"),
    (
        {
            "azure": {"workloadIdentity": "webhook", "clientId": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22"},
            "serviceAccount": {"annotations": {"azure.workload.identity/client-id": "7f3d2c52-1c1a-4a6e-9d5c-5b1f0a6e4c11"}},
        },
        "serviceAccount.annotations has azure.workload.identity/client-id",
    ),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable is 0: no node"),
    (
        {"policies": {"requiredApprovals": {"enabled": True}, "approverIdentity": {"enabled": False}}},
        "policies.requiredApprovals is enabled and policies.approverIdentity is not",
    ),
    ({"commonLabels": {"app.kubernetes.io/name": "dr"}}, "commonLabels has app.kubernetes.io/name"),
    ({"podLabels": {"app.kubernetes.io/instance": "dr"}}, "podLabels has app.kubernetes.io/instance"),
    ({"podLabels": {"team": "a"}, "commonLabels": {"team": "b"}}, "podLabels and commonLabels both have team"),
    (
        {"metrics": {"dashboard": {"enabled": True, "labels": {"team": "a"}}}, "commonLabels": {"team": "b"}},
        "metrics.dashboard.labels and commonLabels both have team",
    ),
    (
        {"azure": {"workloadIdentity": "webhook"}, "podLabels": {"azure.workload.identity/use": "false"}},
        "podLabels has azure.workload.identity/use",
    ),
    ({"podAnnotations": {"failback.dev/trust": "x"}}, "podAnnotations has failback.dev/trust"),
]

CONSISTENT = [
    proxied("http://anna:secret@proxy.example.com:443/"),
    proxied("https://proxy.example.com"),
    proxied("proxy.example.com:3128", ports=[443, 3128]),
    {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}]},
    {"azure": {"workloadIdentity": "projected", "audience": "api://other", "tokenExpirationSeconds": 7200}},
    {"podLabels": {"team": "a"}, "commonLabels": {"cost": "b"}},
    {"metrics": {"service": {"enabled": True}, "prometheusRule": {"enabled": True, "runbookBaseUrl": "https://git.example.com/runbooks"}}},
]


@pytest.mark.parametrize("values", CONSISTENT, ids=[str(values)[:60] for values in CONSISTENT])
def test_what_does_not_contradict_renders(values):
    chart().validate_schema(values)
    assert render(values)


@pytest.mark.parametrize("values,sentence", CONTRADICTIONS, ids=[sentence for _, sentence in CONTRADICTIONS])
def test_contradictions(values, sentence):
    chart().validate_schema(values)
    with pytest.raises(helm_python.HelmError) as refusal:
        chart().render(values, name="failback", namespace="failback-system")
    assert sentence in str(refusal.value)


WRONG = [
    {"replica": 2},
    {"replicas": 0},
    {"replicas": "2"},
    {"image": "failback:1"},
    {"image": {"digest": "latest"}},
    {"image": {"repository": "a@sha256:b"}},
    {"image": {"pullPolicy": "Sometimes"}},
    {"watchNamespace": "dr"},
    {"watchNamespaces": "dr"},
    {"watchNamespaces": ["A"]},
    {"watchNamespaces": ["dr", "dr"]},
    {"watchNamespaces": ["*"]},
    {"azure": {"serviceAccountNamespaces": ["*"]}},
    {"tracing": {"otlpEndpoint": "collector:4318"}},
    {"tracing": {"otlpEndpoint": "http://user:password@collector:4318"}},
    {"secretNamespaces": "dr"},
    {"secretNamespaces": ["*"]},
    {"secretNamespaces": ["dr", "dr"]},
    {"controller": {"concurrency": 0}},
    {"controller": {"concurrency": 257}},
    {"controller": {"port": 70000}},
    {"controller": {"logFormat": "yaml"}},
    {"controller": {"leaderElection": False}},
    {"azure": {"workloadIdentity": True}},
    {"azure": {"clientId": "my-app"}},
    {"azure": {"tokenExpirationSeconds": 60}},
    {"runAsUser": 0},
    {"networkPolicy": {"enabled": True, "egressCidrs": ["vcenter.example.com"]}},
    {"networkPolicy": {"egressPorts": []}},
    {"policies": {"requiredApprovals": {"steps": {"Failback": 1}}}},
    {"policies": {"requiredApprovals": {"steps": {"Commit": 0}}}},
    {"policies": {"deletionGuard": {"exemptUsers": ["a'] || true || ['"]}}},
    {"policies": {"inFlightLock": True}},
    {"metrics": {"serviceMonitor": {"interval": "often"}}},
    {"metrics": {"prometheusRule": {"runbookBaseUrl": "docs/runbooks"}}},
    {"extraEnv": [{"value": "nameless"}]},
    {"podLabels": {"a": 1}},
    {"resources": {"limit": {}}},
]


@pytest.mark.parametrize("values", WRONG, ids=[str(values) for values in WRONG])
def test_wrong_values(values):
    with pytest.raises(helm_python.HelmValuesError):
        chart().validate_schema(values)


def test_good_values(variant):
    chart().validate_schema(variant)
    assert render(variant)


def test_a_parent_chart_may_set_globals():
    chart().validate_schema({"global": {"anything": True}})


def test_the_schema_knows_exactly_the_values():
    """Every value has a place in the schema, and the schema names no value that the chart does not have."""
    schema, values = chart().schema, chart().values

    def resolve(part):
        while "$ref" in part:
            target = schema
            for step in part["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            part = target
        return part

    def compare(part, value, path):
        part = resolve(part)
        properties = copy.copy(part.get("properties", {}))
        if not path:
            properties.pop("global")
        if not properties or not isinstance(value, dict):
            return
        assert part["additionalProperties"] is False, path
        if path == ["resources"]:
            return  # handed on as it is
        assert set(properties) == set(value), path
        for key in value:
            compare(properties[key], value[key], [*path, key])

    compare(schema, values, [])


def test_variants_have_names_that_say_something():
    assert all(name == name.lower() for name in VARIANTS)
