"""The chart renders, lints, and yields objects that a server accepts."""

import re
import subprocess
import sys

import helm_python
import kubernetes_validate
import pytest
import yaml
from conftest import CHART, ROOT, documents, of_kind, one, render, render_texts

OLDEST, NEWEST = "1.33", "1.36"


def test_lint(variant):
    report = helm_python.lint(CHART, variant, strict=True, namespace="failback-system")
    worth = [m for m in report["messages"] if m["severity"] > 1]
    assert worth == [] and report["errors"] == []


def test_lint_outside_a_namespace():
    assert helm_python.lint(CHART, strict=True)["errors"] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_fits_its_schema(variant, version):
    for obj in render(variant):
        if obj["kind"] in ("ServiceMonitor", "PodMonitor", "PrometheusRule", "CustomResourceDefinition"):
            continue  # no schema for the first three; the last has a test of its own
        kubernetes_validate.validate(obj, version, strict=True)


def test_the_definitions_fit_their_schema():
    for obj in of_kind(render(), "CustomResourceDefinition"):
        # The package's schema of x-kubernetes-* and of JSON values is narrower than the server's.
        assert obj["spec"]["group"] == "failback.dev" and obj["metadata"]["name"].endswith(".failback.dev")
        for version in obj["spec"]["versions"]:
            assert version["subresources"] == {"status": {}}
            status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
            assert status["default"] == {"observedGeneration": -1}


def test_no_object_is_there_twice(variant):
    names = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in render(variant)]
    assert len(names) == len(set(names))


def test_objects_carry_labels_and_namespaces(variant):
    for obj in render(variant):
        if obj["metadata"]["name"].endswith("-more"):
            continue
        labels = obj["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "failback"
        assert labels["app.kubernetes.io/instance"] == "failback"
        assert labels.get("team") == variant.get("commonLabels", {}).get("team")
        cluster_wide = obj["kind"].startswith(("Cluster", "Custom", "Validating"))
        assert cluster_wide == ("namespace" not in obj["metadata"])


def test_two_releases_share_no_cluster_wide_name():
    second = {"crds": {"install": False}, "userRoles": {"create": False}, "watchNamespaces": ["lab"]}
    a, b = render({"watchNamespaces": ["dr"]}, namespace="dr"), render(second, namespace="lab")
    names = [{(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects} for objects in (a, b)]
    assert names[0] & names[1] == set()


def test_a_namespace_of_the_same_name_does_not_double_it():
    assert one(render(namespace="failback"), "ClusterRole", "-viewer")["metadata"]["name"] == "failback-viewer"


# Pod Security, profile "restricted": what it says of the fields that a pod of ours has or could have.
def test_pod_security_restricted(variant):
    spec = one(render(variant), "Deployment")["spec"]["template"]["spec"]
    for field in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        assert field not in spec
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"].get("runAsUser", 1) != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "initContainers" not in spec and "ephemeralContainers" not in spec
    allowed = {"configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret", "csi", "ephemeral"}
    for volume in spec.get("volumes", []):
        assert set(volume) - {"name"} <= allowed
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context.get("privileged") and "procMount" not in context
        assert all("hostPort" not in port for port in container["ports"])
        assert "httpGet" in container["livenessProbe"] and "host" not in container["livenessProbe"]["httpGet"]


def test_the_environment_is_that_of_the_flags(variant):
    """Every variable that the chart sets is one of src/config.rs, and the chart has a say in each that is for a pod."""
    known = set(re.findall(r'env = "([A-Z_]+)"', (ROOT / "src/config.rs").read_text()))
    container = one(render(variant), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    ours = {entry["name"] for entry in container["env"]} - {"HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    assert ours <= known
    template = (CHART / "templates/deployment.yaml").read_text()
    not_for_pods = {"FAILBACK_KUBECONFIG", "FAILBACK_CLOCK"}
    # OpenTelemetry's standard variables besides the endpoint are extraEnv's.
    not_for_pods |= {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_SDK_DISABLED"}
    assert {name for name in known - not_for_pods if name not in template} == set()


def test_probes_and_the_port_agree(variant):
    container = one(render(variant), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    port = container["ports"][0]
    assert env["FAILBACK_LISTEN"].rsplit(":", 1)[1] == str(port["containerPort"])
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": port["name"]}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}


def test_an_ipv6_address_is_written_as_a_socket_address():
    container = one(render({"controller": {"address": "::"}}), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "FAILBACK_LISTEN", "value": "[::]:8080"} in container["env"]


def test_selectors_select_the_pods(variant):
    objects = render(variant)
    deployment = one(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [o["spec"]["selector"]["matchLabels"] for o in of_kind(objects, "PodDisruptionBudget")]
    selectors += [o["spec"]["podSelector"]["matchLabels"] for o in of_kind(objects, "NetworkPolicy")]
    selectors += [o["spec"]["selector"]["matchLabels"] for o in of_kind(objects, "PodMonitor")]
    selectors += [o["spec"]["selector"] for o in of_kind(objects, "Service")]
    for selector in selectors:
        assert selector.items() <= labels.items()
    for monitor in of_kind(objects, "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= one(objects, "Service")["metadata"]["labels"].items()


def test_the_image():
    def image(values):
        return one(render(values), "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]

    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert image({}) == f"failback:{version}"
    assert image({"image": {"repository": "r/f", "tag": "1"}}) == "r/f:1"
    assert image({"image": {"repository": "r/f", "digest": "sha256:" + "0" * 64}}) == "r/f@sha256:" + "0" * 64


def test_the_versions_agree():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    cargo = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert chart["appVersion"] == cargo
    oldest = re.search(r'features = \["v1_(\d+)"', (ROOT / "Cargo.toml").read_text())[1]
    assert chart["kubeVersion"] == f">=1.{oldest}.0-0"


def test_workload_identity_by_the_webhook():
    objects = render({"azure": {"workloadIdentity": "webhook", "clientId": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22"}})
    pod = one(objects, "Deployment")["spec"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert "volumes" not in pod["spec"]
    account = one(objects, "ServiceAccount")
    assert account["metadata"]["annotations"] == {
        "azure.workload.identity/client-id": "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22"
    }


def test_workload_identity_by_the_chart():
    pod = one(render({"azure": {"workloadIdentity": "projected"}}), "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    source = pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
    assert env["AZURE_FEDERATED_TOKEN_FILE"] == f"{container['volumeMounts'][0]['mountPath']}/{source['path']}"
    assert source["audience"] == "api://AzureADTokenExchange"
    # Empty variables would count as given.
    assert "AZURE_CLIENT_ID" not in env and "AZURE_TENANT_ID" not in env


def test_extra_authorities_come_on_top():
    objects = render({"trust": {"caBundle": "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"}})
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    env = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    assert env["SSL_CERT_DIR"] == pod["containers"][0]["volumeMounts"][0]["mountPath"]
    assert pod["volumes"][0]["configMap"]["name"] == one(objects, "ConfigMap")["metadata"]["name"]
    # The Dockerfile puts the list there.
    assert env["SSL_CERT_FILE"] in (ROOT / "Dockerfile").read_text()


def test_the_network_policy_denies_by_default():
    policy = one(render({"networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["ingress"] == []
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 6443}
    for rule in policy["egress"][1:]:
        for peer in rule["to"]:
            assert "169.254.0.0/16" in peer["ipBlock"]["except"] or peer["ipBlock"]["cidr"] == "::/0"


def test_the_metadata_service_opens_for_a_managed_identity_only():
    values = {"networkPolicy": {"enabled": True}, "azure": {"managedIdentity": True}}
    rule = one(render(values), "NetworkPolicy")["spec"]["egress"][-1]
    assert rule == {"ports": [{"port": 80, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}


@pytest.mark.parametrize(
    "endpoint,port",
    [("http://collector.monitoring:4318", 4318), ("https://collector.example.com", 443), ("http://collector/otlp", 80), ("http://[fd00::1]:4318/", 4318)],
)
def test_the_network_policy_opens_the_way_to_the_collector(endpoint, port):
    values = {"networkPolicy": {"enabled": True}, "tracing": {"otlpEndpoint": endpoint}}
    objects = render(values)
    rule = one(objects, "NetworkPolicy")["spec"]["egress"][-1]
    assert rule["ports"] == [{"port": port, "protocol": "TCP"}] and {"cidr": "::/0", "except": ["fe80::/10"]} in [peer["ipBlock"] for peer in rule["to"]]
    env = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint} in env
    to = [{"podSelector": {"matchLabels": {"app": "collector"}}}]
    values["networkPolicy"] |= {"tracesTo": to, "tracesPort": 14318}
    rule = one(render(values), "NetworkPolicy")["spec"]["egress"][-1]
    assert rule == {"ports": [{"port": 14318, "protocol": "TCP"}], "to": to}


def test_without_a_collector_nothing_is_said_of_one():
    objects = render({"networkPolicy": {"enabled": True}})
    env = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert not any(entry["name"].startswith("OTEL_") for entry in env)
    assert len(one(objects, "NetworkPolicy")["spec"]["egress"]) == 3


def test_definitions_are_kept():
    for crd in of_kind(render(), "CustomResourceDefinition"):
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for crd in of_kind(render({"crds": {"keep": False}}), "CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]
    assert of_kind(render({"crds": {"install": False}}), "CustomResourceDefinition") == []


def test_definitions_are_those_of_the_code():
    """charts/failback/files/crds is a copy of crds/, and is rendered unchanged but for labels and annotations."""
    copies = {path.name: path.read_text() for path in (CHART / "files/crds").glob("*.yaml")}
    originals = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert copies == originals, "run: cp crds/*.yaml charts/failback/files/crds/"
    rendered = {crd["metadata"]["name"]: crd for crd in of_kind(render(), "CustomResourceDefinition")}
    assert len(rendered) == len(copies) == 6
    for text in copies.values():
        [crd] = documents(text)
        assert rendered[crd["metadata"]["name"]]["spec"] == crd["spec"]


@pytest.mark.parametrize("script", ["charts/readme.py", "examples/gitops/argocd/build.py"])
def test_generated_files_are_up_to_date(script):
    done = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_notes_say_what_is_missing():
    def notes(values):
        return render_texts(values)["failback/templates/NOTES.txt"]

    assert "may read no Secret" in notes({}) and "may read no Secret" not in notes({"secretNamespaces": ["dr"]})
    assert "image.repository is not set" in notes({})
    assert "may read no Secret" not in notes({"watchNamespaces": ["dr"]})
    assert "system:serviceaccount:failback-system:failback" in notes({"azure": {"workloadIdentity": "webhook"}})
    assert "policies.approverIdentity is off" in notes({"policies": {"approverIdentity": {"enabled": False}}})
    jobs, anybody = {"jobs": {"namespaces": ["dr", "lab"]}}, {"policies": {"jobAuthors": {"enabled": False}}}
    warning = "policies.jobAuthors is off: whoever may write a plan can run any pod in dr, lab."
    assert warning in notes({**jobs, **anybody})
    assert all("policies.jobAuthors" not in notes(values) for values in (jobs, anybody))
