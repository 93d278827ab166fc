"""What an installation does when things are missing, and when the leader dies."""

import socket
import time
import urllib.error
import urllib.request

from conftest import render
from live import Stage, until
from rbac import Roles


def ready(controller):
    """What /readyz says; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{controller.port}/readyz", timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def with_port(stage, pod):
    """A controller that serves on a port that a test knows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = stage.controller(pod, f"127.0.0.1:{port}")
    controller.port = port
    return controller


def test_without_definitions_a_pod_is_not_ready_and_says_what_to_apply(tmp_path):
    with Stage(tmp_path, {}, definitions=False) as stage:
        controller = with_port(stage, "pod-1")
        until("an answer", lambda: ready(controller) == 503)
        until("a log line", lambda: "apply the files of crds/" in controller.log.read_text())
        assert controller.process.poll() is None
        stage.define()
        until("the lease", lambda: '"message":"leading"' in controller.log.read_text())


def test_the_leader_is_ready_once_it_has_listed_everything(tmp_path):
    with Stage(tmp_path, {}) as stage:
        controller = with_port(stage, "pod-1")
        until("the lease", lambda: '"message":"leading"' in controller.log.read_text())
        until("ready", lambda: ready(controller) == 200, 5)


def test_without_the_right_to_read_a_secret_a_condition_says_so(tmp_path):
    with Stage(tmp_path, {}) as stage:
        controller = with_port(stage, "pod-1")
        stage.apply_example()
        path = "/apis/failback.dev/v1alpha1/namespaces/default/vcenters/vcenter"

        def said():
            conditions = stage.server.call("GET", path).get("status", {}).get("conditions", [])
            return next((c["message"] for c in conditions if c["type"] == "Ready" and c["status"] == "False" and "Secret" in c["message"]), None)

        message = until("a condition", said)
        assert 'must not read Secret "vcenter"' in message and "secretNamespaces" in message
        assert ("get", "", "secrets", "default", "vcenter") in stage.proxy.denied
        assert controller.process.poll() is None


def without(stage, resource, verbs):
    """Takes rights away, as a person does who edits a role."""
    for _, rule in stage.proxy.roles.rules:
        if resource in rule["resources"]:
            rest = {**rule, "resources": [other for other in rule["resources"] if other != resource]}
            stage.proxy.roles.rules.append(("", rest))
            rule["verbs"] = [verb for verb in rule["verbs"] if verb not in verbs]
            rule["resources"] = [resource]


def metrics(controller):
    """What it counts; nothing while it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{controller.port}/metrics", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.URLError:
        return ""


def test_without_the_right_to_list_a_kind_the_pod_is_not_ready_and_says_which(tmp_path):
    with Stage(tmp_path, {}) as stage:
        without(stage, "mastertargets", ["list"])
        controller = with_port(stage, "pod-1")
        until("a log line", lambda: "may not list or watch this kind" in controller.log.read_text())
        assert '"kind":"MasterTarget"' in controller.log.read_text()
        until("the count", lambda: 'failback_watches_failing{kind="MasterTarget"} 1' in metrics(controller))
        time.sleep(3)
        assert ready(controller) == 503 and controller.process.poll() is None
        # The right is given: no restart is needed.
        stage.proxy.roles = Roles(render({}))
        until("ready", lambda: ready(controller) == 200, 60)
        assert 'failback_watches_failing{kind="MasterTarget"} 0' in metrics(controller)


def test_without_the_right_to_write_a_status_it_is_counted_and_logged(tmp_path):
    with Stage(tmp_path, {"secretNamespaces": ["default"]}) as stage:
        without(stage, "vcenters/status", ["patch"])
        controller = with_port(stage, "pod-1")
        stage.apply_example()
        counted = 'failback_reconcile_total{kind="VCenter",outcome="forbidden"}'
        until("the count", lambda: counted in metrics(controller))
        until("a log line", lambda: "a permission is missing" in controller.log.read_text())
        # The rest goes on.
        stage.until_phase("Protected")
        assert controller.process.poll() is None


def test_without_definitions_a_controller_of_some_namespaces_is_not_ready_either(tmp_path):
    with Stage(tmp_path, {"watchNamespaces": ["default"]}, definitions=False) as stage:
        controller = with_port(stage, "pod-1")
        until("a log line", lambda: "apply the files of crds/" in controller.log.read_text())
        assert ready(controller) == 503 and controller.process.poll() is None
        stage.define()
        until("ready", lambda: ready(controller) == 200, 120)


def test_the_leader_is_killed_and_the_other_takes_over(tmp_path):
    with Stage(tmp_path, {"secretNamespaces": ["default"]}) as stage:
        pods = {"pod-1": with_port(stage, "pod-1"), "pod-2": with_port(stage, "pod-2")}

        def leads(pod):
            return '"message":"leading"' in pod.log.read_text()

        until("one to lead", lambda: any(leads(pod) for pod in pods.values()))
        def holder():
            lease = "/apis/coordination.k8s.io/v1/namespaces/failback-system/leases/failback-controller"
            return stage.server.call("GET", lease)["spec"]["holderIdentity"].split("_")[0]

        leader = holder()
        [other] = [pod for pod in pods if pod != leader]
        until("the other to be ready, as it waits", lambda: ready(pods[other]) == 200)
        assert not leads(pods[other])
        stage.apply_example()
        until("the first call", lambda: stage.item().get("status", {}).get("phase") == "Reprotecting")
        pods[leader].process.kill()
        pods[leader].process.wait()
        killed = time.time()
        until("the other to lead", lambda: holder() == other, 25)
        assert time.time() - killed < 20
        stage.until_phase("Protected")
        assert [call["verb"] for call in stage.calls()] == ["reProtect", "plannedFailover", "failoverCommit", "reProtect"]
