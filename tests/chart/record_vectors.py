#!/usr/bin/env python3
"""Records statuses of a simulated run, for the tests of health scripts: vectors/statuses.json.

    python3 tests/chart/record_vectors.py target/debug/failback

The objects are the demo's own, with a plan that needs approvals, is suspended, resumed, deleted half-way, and
committed, and with connections that cannot work. One object is kept for each kind and reason of its main condition.
"""

import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
BASE = "/apis/failback.dev/v1alpha1/namespaces/default/"
KINDS = {
    "RecoveryVault": "recoveryvaults",
    "VCenter": "vcenters",
    "MasterTarget": "mastertargets",
    "ReplicatedItem": "replicateditems",
    "FailbackPlan": "failbackplans",
    "FailbackApproval": "failbackapprovals",
}
# The CRDs' default, which a server shows where there is no status.
UNOBSERVED = {"observedGeneration": -1}
PLAN = """
apiVersion: failback.dev/v1alpha1
kind: FailbackPlan
metadata: {name: web, namespace: default}
spec:
  desiredPhase: Protected
  waves: [{name: all, items: [web-01]}]
  approvals: [{step: FailBack}, {step: Commit}]
"""


def main_condition(obj):
    kind = "Valid" if obj["kind"] == "FailbackApproval" else "Ready"
    conditions = obj.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), None)


def key_of(obj):
    """Kind, reason of its main condition, and what else decides: a generation not observed, a deletion, a stall, and of
    a plan whether its checks pass."""
    status = obj.get("status", {})
    if status.get("observedGeneration", -1) < obj["metadata"].get("generation", 0):
        return f"{obj['kind']}/unobserved"
    condition = main_condition(obj)
    key = f"{obj['kind']}/{condition['reason'] if condition else 'none'}"
    if any(c["type"] == "Stalled" and c["status"] == "True" for c in status.get("conditions", [])):
        key += "/stalled"
    preflight = next((c["status"] for c in status.get("conditions", []) if c["type"] == "PreflightPassed"), None)
    if obj["kind"] == "FailbackPlan":
        key += f"/preflight {preflight}"
    return key + ("/deleting" if obj["metadata"].get("deletionTimestamp") else "")


class Server:
    def __init__(self, url):
        self.url = url

    def call(self, method, path, body=None, content="application/json"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def list(self, kind):
        items = self.call("GET", BASE + KINDS[kind])["items"]
        return [{**item, "kind": kind, "apiVersion": "failback.dev/v1alpha1"} for item in items]

    def plan(self):
        return self.call("GET", BASE + "failbackplans/web")

    def patch_plan(self, patch):
        return self.call("PATCH", BASE + "failbackplans/web", patch, "application/merge-patch+json")

    def approve(self, name, step, **change):
        plan = self.plan()
        spec = {
            "planRef": {"name": "web"}, "planUid": plan["metadata"]["uid"], "specHash": plan["status"]["specHash"],
            "step": step, "approver": "anna", "expiresAt": "2099-01-01T00:00:00Z", **change,
        }
        body = {"apiVersion": "failback.dev/v1alpha1", "kind": "FailbackApproval", "metadata": {"name": name}, "spec": spec}
        return self.call("POST", BASE + "failbackapprovals", body)

    def until(self, what, test, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            if test():
                return
            time.sleep(0.02)
        stand = json.dumps([{**obj, "spec": None} for kind in KINDS for obj in self.list(kind)], indent=1)
        raise SystemExit(f"{stand}\nwaited in vain: {what}")

    def until_reason(self, reason):
        self.until(reason, lambda: (main_condition({"kind": "FailbackPlan", **self.plan()}) or {}).get("reason") == reason)


def trim(obj):
    meta = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "generation", "uid", "deletionTimestamp", "annotations")}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": meta, "spec": obj["spec"], "status": obj.get("status", UNOBSERVED)}


def watch(server, kind, seen, stop):
    """Keeps the first object of each key, from a watch: no state is too short to be seen."""
    path = f"{server.url}{BASE}{KINDS[kind]}?watch=true&timeoutSeconds=100"
    with urllib.request.urlopen(path, timeout=120) as answer:
        for line in answer:
            event = json.loads(line)
            if stop.is_set():
                return
            if event["type"] in ("ADDED", "MODIFIED"):
                obj = {**event["object"], "kind": kind, "apiVersion": "failback.dev/v1alpha1"}
                seen.setdefault(key_of(obj), trim(obj))


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("connections.yaml", "machine.yaml"):
            (folder / name).write_text((ROOT / "examples/one-machine" / name).read_text())
        (folder / "plan.yaml").write_text(PLAN)
        config = folder / "kubeconfig"
        demo = subprocess.Popen(
            [binary, "demo", "--speed", "1200", "--timeout", "100", "--scenario", ROOT / "examples/scenarios/one-machine.yaml", "--manifests", folder, "--kubeconfig", config],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not config.exists() or "server:" not in config.read_text():
                time.sleep(0.01)
            url = next(line for line in config.read_text().splitlines() if "server:" in line).split('"')[1]
            seen, stop = {}, threading.Event()
            server = Server(url)
            server.until("the kinds", lambda: reachable(server))
            threads = [threading.Thread(target=watch, args=(server, kind, seen, stop), daemon=True) for kind in KINDS]
            for thread in threads:
                thread.start()
            drive(server)
        finally:
            demo.terminate()
            demo.wait()
    (HERE / "vectors" / "statuses.json").write_text(json.dumps(dict(sorted(seen.items())), indent=1) + "\n")
    print("\n".join(sorted(seen)))


def reachable(server):
    try:
        return server.list("FailbackApproval") is not None and bool(server.list("FailbackPlan"))
    except OSError:
        return False


def drive(server):
    broken = {"apiVersion": "failback.dev/v1alpha1", "kind": "VCenter", "metadata": {"name": "no-secret"},
              "spec": {"server": "vcenter.example.com", "credentialsRef": {"name": "missing"}}}
    server.call("POST", BASE + "vcenters", broken)
    vault = {**server.list("RecoveryVault")[0]}
    spec = {**vault["spec"], "credential": {"clientSecret": {**vault["spec"]["credential"]["clientSecret"],
            "secretRef": {"name": "azure", "key": "missing"}}}}
    server.call("POST", BASE + "recoveryvaults", {**broken, "kind": "RecoveryVault", "metadata": {"name": "no-key"}, "spec": spec})
    target = {**broken, "kind": "MasterTarget", "metadata": {"name": "unknown"},
              "spec": {"vaultRef": {"name": "recovery-vault"}, "appliance": "nowhere"}}
    server.call("POST", BASE + "mastertargets", target)
    item = {**broken, "kind": "ReplicatedItem", "metadata": {"name": "unclaimed"},
            "spec": {"vaultRef": {"name": "recovery-vault"}, "vcenterRef": {"name": "vcenter"}, "machine": "nowhere"}}
    server.call("POST", BASE + "replicateditems", item)
    other = {"desiredPhase": "Reprotected", "waves": [{"name": "all", "items": ["web-01", "nobody"]}]}
    server.call("POST", BASE + "failbackplans", {**broken, "kind": "FailbackPlan", "metadata": {"name": "second"}, "spec": other})
    server.until("reprotected", lambda: server.plan()["status"]["phase"] == "Reprotected")
    server.until_reason("ApprovalRequired")
    server.patch_plan({"spec": {"suspend": True}})
    server.until_reason("Suspended")
    server.patch_plan({"spec": {"suspend": False}})
    server.until_reason("ApprovalRequired")
    server.approve("other-plan", "FailBack", planUid="another")
    server.approve("changed", "FailBack", specHash="another")
    server.approve("no-plan", "FailBack", planRef={"name": "nowhere"})
    server.approve("expired", "FailBack", expiresAt="2020-01-01T00:00:00Z")
    server.approve("fail-back", "FailBack")
    server.until("failed back", lambda: server.plan()["status"]["phase"] == "FailedBack")
    server.until_reason("ApprovalRequired")
    server.call("DELETE", BASE + "failbackplans/web")
    server.until_reason("DeletionBlocked")
    server.approve("commit", "Commit")
    server.until("the plan is gone", lambda: "web" not in [plan["metadata"]["name"] for plan in server.list("FailbackPlan")])
    server.call("DELETE", BASE + "failbackplans/second")
    plan = {"desiredPhase": "Assessed", "waves": [{"name": "all", "items": ["web-01"]}]}
    body = {"apiVersion": "failback.dev/v1alpha1", "kind": "FailbackPlan", "metadata": {"name": "web"}, "spec": plan}
    server.call("POST", BASE + "failbackplans", body)
    server.until_reason("PhaseReached")
    server.patch_plan({"spec": {"skip": ["web-01"]}})
    server.until_reason("NoItems")
    server.patch_plan({"spec": {"skip": [], "desiredPhase": "Protected"}})
    server.until_reason("Completed")
    time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1])
