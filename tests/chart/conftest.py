"""What the tests share: the chart rendered by Helm's own engine, and tools that may be missing."""

import functools
import json
import os
import pathlib
import shutil

import helm_python
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "failback"


class Loader(yaml.CSafeLoader):
    """YAML that refuses a key which is there twice, as Kubernetes does."""


def unique_mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(twice)}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, unique_mapping)


def documents(text):
    return [doc for doc in yaml.load_all(text, Loader) if doc is not None]


@functools.cache
def chart():
    return helm_python.Chart.load(CHART)


@functools.cache
def _render(values, name, namespace):
    values = json.loads(values)
    chart().validate_schema(values)
    return chart().render(values, name=name, namespace=namespace)


def render_texts(values=None, name="failback", namespace="failback-system"):
    return _render(json.dumps(values or {}), name, namespace)


def render(values=None, name="failback", namespace="failback-system"):
    """Every rendered object."""
    texts = render_texts(values, name, namespace)
    return [doc for path, text in sorted(texts.items()) if path.endswith(".yaml") for doc in documents(text)]


def of_kind(objects, kind):
    return [obj for obj in objects if obj["kind"] == kind]


def one(objects, kind, ends=""):
    found = [obj for obj in of_kind(objects, kind) if obj["metadata"]["name"].endswith(ends)]
    assert len(found) == 1, f"{len(found)} of {kind} *{ends}"
    return found[0]


def needs(path_or_name, what):
    """Skips, visibly, where a tool is missing."""
    found = shutil.which(str(path_or_name)) or (path_or_name if os.access(path_or_name, os.X_OK) else None)
    if found is None:
        message = f"{what} is missing"
        if os.environ.get("FAILBACK_REQUIRE_TOOLS"):
            pytest.fail(message)
        pytest.skip(message)
    return str(found)


# Every variant that the documentation names, and those that switch something on.
VARIANTS = {
    "defaults": {},
    "one-namespace": {"watchNamespaces": ["dr"]},
    "one-namespace-named-secrets": {"watchNamespaces": ["dr"], "secretNames": ["vcenter", "azure"]},
    "two-namespaces": {"watchNamespaces": ["dr", "lab"], "secretNamespaces": ["lab"], "azure": {"serviceAccountNamespaces": ["dr"]}},
    "namespace-identities": {"azure": {"sharedIdentity": False, "serviceAccountNamespaces": ["dr", "lab"]}},
    "traces": {
        "tracing": {"otlpEndpoint": "http://collector.monitoring:4318"},
        "networkPolicy": {"enabled": True, "tracesTo": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
    },
    "secret-namespaces": {"secretNamespaces": ["dr", "lab"]},
    "jobs": {"jobs": {"namespaces": ["dr", "lab"]}},
    "digest": {"image": {"repository": "images.example.com/failback", "digest": "sha256:" + "a" * 64}},
    "tag": {"image": {"tag": "1.2.3", "pullPolicy": "Always"}, "imagePullSecrets": ["registry"]},
    "aks": {
        "azure": {
            "workloadIdentity": "webhook",
            "clientId": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22",
            "tenantId": "7f3d2c52-1c1a-4a6e-9d5c-5b1f0a6e4c11",
        }
    },
    "projected": {
        "azure": {
            "workloadIdentity": "projected",
            "clientId": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22",
            "tenantId": "7f3d2c52-1c1a-4a6e-9d5c-5b1f0a6e4c11",
        }
    },
    "own-service-account": {"serviceAccount": {"create": False, "name": "dr-operator"}},
    "trust": {"trust": {"caBundle": "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"}},
    "trust-config-map": {"trust": {"configMap": "corporate-roots"}},
    "network": {"networkPolicy": {"enabled": True}},
    "network-narrow": {
        "azure": {"managedIdentity": True},
        "networkPolicy": {
            "enabled": True,
            "egressCidrs": ["10.0.0.0/8", "fd00::/8"],
            "apiServerCidrs": ["10.0.0.1/32"],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        },
    },
    "service-monitor": {
        "metrics": {"service": {"enabled": True}, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}
    },
    "pod-monitor": {"metrics": {"podMonitor": {"enabled": True}}},
    "alerts": {
        "metrics": {
            "podMonitor": {"enabled": True},
            "prometheusRule": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "runbookBaseUrl": "https://git.example.com/dr/failback/docs/runbooks/",
            },
            "dashboard": {"enabled": True, "labels": {"grafana_folder": "dr"}},
        }
    },
    "all-policies": {
        "policies": {
            "requester": {"enabled": True},
            "requiredApprovals": {"enabled": True, "steps": {"Commit": 2}},
            "deletionGuard": {"enabled": True},
        }
    },
    "all-policies-one-namespace": {
        "watchNamespaces": ["dr"],
        "policies": {"requester": {"enabled": True}, "requiredApprovals": {"enabled": True}, "deletionGuard": {"enabled": True}},
    },
    "no-policies": {
        "policies": {
            "approverIdentity": {"enabled": False}, "inFlightLock": {"enabled": False}, "jobAuthors": {"enabled": False},
        }
    },
    "second-release": {"crds": {"install": False}, "userRoles": {"create": False}, "watchNamespaces": ["lab"]},
    "no-aggregation": {"userRoles": {"aggregate": False}},
    "crds-not-kept": {"crds": {"keep": False}},
    "placement": {
        "priorityClassName": "important",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}]}}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
                                       "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "failback"}}}],
        "podDisruptionBudget": {"maxUnavailable": None, "minAvailable": 1},
        "runAsUser": None,
        "replicas": 3,
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
        "commonLabels": {"team": "dr"},
        "podLabels": {"tier": "operators"},
        "podAnnotations": {"example.com/owner": "dr"},
        "controller": {"address": "::", "port": 9090, "logFormat": "text", "concurrency": 1},
    },
    "names": {"fullnameOverride": "dr-failback"},
    "extra-objects": {
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}, "data": {"a": "b"}}
        ]
    },
}


@pytest.fixture(params=sorted(VARIANTS))
def variant(request):
    return VARIANTS[request.param]
