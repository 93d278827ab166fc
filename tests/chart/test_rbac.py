"""The roles: what the controller asks of the API server is what they grant, neither less nor more."""

import pytest
from conftest import ROOT, of_kind, one, render
from live import Stage, until
from rbac import Roles, request_info

OURS = {"recoveryvaults", "vcenters", "mastertargets", "replicateditems", "failbackplans", "failbackapprovals"}
# Granted, and not needed in a run in which nothing goes wrong: the line of code that needs it.
FOR_WORSE_DAYS = {
    ("", "get", "failback.dev", "replicateditems"): ("src/reconcile/act.rs", "context.api::<ReplicatedItem>(&key.namespace).get("),
    ("", "patch", "events.k8s.io", "events"): ("src/kube_io/report.rs", "recorder.publish("),  # an event that repeats
}
# The same, of the Role for Jobs.
JOBS_FOR_WORSE_DAYS = {
    ("default", "get", "batch", "jobs"): ("src/kube_io/jobs.rs", "api.get(&name)"),  # a Job of that name is there
}


@pytest.mark.parametrize(
    "method,target,info",
    [
        ("GET", "/apis/failback.dev/v1alpha1/failbackplans?limit=500", ("list", "failback.dev", "failbackplans", "", "")),
        ("GET", "/apis/failback.dev/v1alpha1/failbackplans?&watch=true", ("watch", "failback.dev", "failbackplans", "", "")),
        ("GET", "/api/v1/namespaces/dr/secrets/vcenter", ("get", "", "secrets", "dr", "vcenter")),
        ("GET", "/api/v1/namespaces/dr", None),
        ("PATCH", "/apis/failback.dev/v1alpha1/namespaces/dr/vcenters/a/status?force=true", ("patch", "failback.dev", "vcenters/status", "dr", "a")),
        ("POST", "/apis/events.k8s.io/v1/namespaces/dr/events", ("create", "events.k8s.io", "events", "dr", "")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/s/leases/l", ("update", "coordination.k8s.io", "leases", "s", "l")),
        ("GET", "/version", None),
    ],
)
def test_requests_are_understood(method, target, info):
    assert request_info(method, target) == info


def run_cycle(tmp_path, values, own_identity=False):
    """A whole failback by `failback controller`, held to the roles of the chart. Gives the proxy after it."""
    with Stage(tmp_path, values) as stage:
        controller = stage.controller("pod-1")
        stage.apply_example(own_identity, approvals=[{"step": "FailBack"}])
        stage.until_phase("Reprotected")
        plan = stage.plan()
        spec = {"planRef": {"name": "web"}, "planUid": plan["metadata"]["uid"], "specHash": plan["status"]["specHash"],
                "step": "FailBack", "approver": "anna", "expiresAt": "2099-01-01T00:00:00Z"}
        approval = {"apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval", "metadata": {"name": "a"}, "spec": spec}
        stage.server.apply(approval, "failbackapprovals")
        stage.until_phase("Protected")
        assert controller.stop() == 0, controller.log.read_text()
        return stage.proxy


def test_the_controller_uses_what_it_is_granted(tmp_path):
    proxy = run_cycle(tmp_path, {"secretNamespaces": ["default"], "secretNames": ["azure", "vcenter"]})
    assert proxy.denied == []
    unused = proxy.roles.permissions() - proxy.used
    assert unused <= set(FOR_WORSE_DAYS), "granted, and never asked for"


def test_an_identity_of_the_namespace_needs_its_token_and_no_secret_of_azure(tmp_path):
    values = {"secretNamespaces": ["default"], "secretNames": ["vcenter"],
              "azure": {"sharedIdentity": False, "serviceAccountNamespaces": ["default"]}}
    proxy = run_cycle(tmp_path, values, own_identity=True)
    assert proxy.denied == []
    assert ("default", "create", "", "serviceaccounts/token") in proxy.used
    assert proxy.roles.permissions() - proxy.used <= set(FOR_WORSE_DAYS), "granted, and never asked for"


def run_hook(stage):
    """Plays the Job controller and the kubelet for the hook's one Job."""
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    until("a Job", lambda: stage.server.call("GET", jobs)["items"], 60)
    name = stage.server.call("GET", jobs)["items"][0]["metadata"]["name"]
    labels = {"batch.kubernetes.io/job-name": name}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels, "annotations": {"sim-apiserver/log": "all is well\n"}},
           "spec": {"containers": [{"name": "main", "image": "busybox"}]}}
    stage.server.call("POST", "/api/v1/namespaces/default/pods", pod)
    done = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    stage.server.call("PATCH", f"{jobs}/{name}/status", done, "application/merge-patch+json")


def test_jobs_take_the_role_for_jobs_and_no_more(tmp_path):
    values = {"secretNamespaces": ["default"], "jobs": {"namespaces": ["default"]}}
    container = {"name": "main", "image": "busybox", "command": ["true"]}
    hook = {"name": "check", "when": "Before", "step": "Reprotect",
            "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}}
    with Stage(tmp_path, values) as stage:
        controller = stage.controller("pod-1")
        stage.apply_example(hooks=[hook])
        run_hook(stage)
        stage.until_phase("Reprotected")
        events = "/apis/events.k8s.io/v1/namespaces/default/events"
        notes = lambda: [event.get("note", "") for event in stage.server.call("GET", events)["items"]]
        until("the log in an event", lambda: any("all is well" in note for note in notes()), 30)
        assert controller.stop() == 0, controller.log.read_text()
        assert stage.proxy.denied == []
        jobs = {right for right in stage.proxy.roles.permissions() if right[3] in ("jobs", "pods", "pods/log")}
        assert jobs - stage.proxy.used == set(JOBS_FOR_WORSE_DAYS), "granted, and never asked for"


def test_one_namespace_takes_no_cluster_role(tmp_path):
    values = {"watchNamespaces": ["default"]}
    roles = Roles(render(values))
    assert {where for where, *_ in roles.permissions()} == {"default", "failback-system"}
    proxy = run_cycle(tmp_path, values)
    # It asks for the definitions all the same, and is content with a no: without them the watches say so.
    assert {info[2] for info in proxy.denied} <= {"customresourcedefinitions"}


def test_rights_for_worse_days_are_needed_by_the_code():
    for file, code in (FOR_WORSE_DAYS | JOBS_FOR_WORSE_DAYS).values():
        source = "".join((ROOT / file).read_text().split())
        assert "".join(code.split()) in source, (file, code)


def test_secrets_are_read_by_namespace_only(variant):
    for obj in of_kind(render(variant), "ClusterRole"):
        assert all("secrets" not in rule["resources"] for rule in obj["rules"])
    for where, verb, _, resource in Roles(render(variant), account=account_of(variant)).permissions():
        if resource == "secrets":
            assert verb == "get" and where in {*variant.get("secretNamespaces", []), *variant.get("watchNamespaces", [])}


def account_of(variant):
    return one(render(variant), "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]


def test_named_secrets_only():
    roles = Roles(render({"secretNamespaces": ["dr"], "secretNames": ["vcenter"]}))
    assert roles.used_by(("get", "", "secrets", "dr", "vcenter"))
    for info in [("get", "", "secrets", "dr", "other"), ("get", "", "secrets", "lab", "vcenter"), ("list", "", "secrets", "dr", "")]:
        assert not roles.used_by(info)


def test_the_lease_is_the_codes():
    assert 'const LEASE: &str = "failback-controller";' in (ROOT / "src/cli/controller.rs").read_text()
    roles = Roles(render())
    assert roles.used_by(("update", "coordination.k8s.io", "leases", "failback-system", "failback-controller"))
    assert not roles.used_by(("update", "coordination.k8s.io", "leases", "failback-system", "another"))
    assert not roles.used_by(("create", "coordination.k8s.io", "leases", "kube-system", ""))


def test_no_rule_has_a_wildcard(variant):
    for obj in [*of_kind(render(variant), "ClusterRole"), *of_kind(render(variant), "Role")]:
        for rule in obj["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            # Neither more rights, nor other people's names, nor code of its own.
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
            assert "pods/exec" not in rule["resources"]
            if "serviceaccounts/token" in rule["resources"]:
                fixed = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["failback-azure"], "verbs": ["create"]}
                assert obj["kind"] == "Role" and rule == fixed


def test_tokens_are_those_of_one_service_account_in_namespaces_that_are_named():
    roles = Roles(render({"azure": {"serviceAccountNamespaces": ["dr"]}}))
    assert roles.used_by(("create", "", "serviceaccounts/token", "dr", "failback-azure"))
    for where, name in [("dr", "default"), ("failback-system", "failback"), ("lab", "failback-azure"), ("dr", "")]:
        assert not roles.used_by(("create", "", "serviceaccounts/token", where, name))
    text = (ROOT / "src/api/vault.rs").read_text()
    assert 'AZURE_SERVICE_ACCOUNT: &str = "failback-azure"' in text


# People.


def grants(role):
    rules = one(render(), "ClusterRole", f"-{role}")["rules"]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def test_all_roles_see_everything():
    for role in ("viewer", "editor", "approver", "admin"):
        assert {(verb, kind) for verb in ("get", "list", "watch") for kind in OURS} <= grants(role)


def test_only_the_approver_approves():
    assert {("approve", "failbackplans"), ("create", "failbackapprovals")} <= grants("approver")
    for role in ("viewer", "editor", "admin"):
        assert not {("approve", "failbackplans"), ("create", "failbackapprovals"), ("update", "failbackapprovals")} & grants(role)


def test_the_approver_is_aggregated_into_nothing():
    labels = {role: one(render(), "ClusterRole", f"-{role}")["metadata"]["labels"] for role in ("viewer", "editor", "approver", "admin")}
    aggregated = {role: [key.rsplit("-", 1)[1] for key in found if "aggregate-to" in key] for role, found in labels.items()}
    assert aggregated == {"viewer": ["view"], "editor": ["edit"], "approver": [], "admin": ["admin"]}
    for role in of_kind(render({"userRoles": {"aggregate": False}}), "ClusterRole"):
        assert not any("aggregate-to" in key for key in role["metadata"]["labels"])


def test_nobody_writes_a_status():
    for role in ("viewer", "editor", "approver", "admin"):
        assert not any("/" in resource for _, resource in grants(role))


def test_only_the_admin_says_which_vcenter_gets_which_secret():
    for role in ("viewer", "editor", "approver"):
        changes = {(verb, kind) for verb, kind in grants(role) if kind in ("vcenters", "recoveryvaults")}
        assert {verb for verb, _ in changes} == {"get", "list", "watch"}
