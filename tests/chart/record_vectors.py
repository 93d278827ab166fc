#!/usr/bin/env python3
"""Records statuses of a simulated run, for the tests of health scripts: vectors/statuses.json.

    python3 tests/chart/record_vectors.py target/debug/failback

The objects are the demo's own, with a plan that needs approvals, is suspended, resumed, deleted half-way, and
committed, and with connections that cannot work. Then, one after the other on sites of their own: a window that is
closed, a failback that is undone, probes that fail, a master target with snapshots, a machine that fails. One object is
kept for each kind and reason of its main condition.
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
ALL = {"desiredPhase": "Protected", "waves": [{"name": "all", "items": ["web-01"]}], "commit": {"soakSeconds": 60}}


def main_condition(obj):
    kind = "Valid" if obj["kind"] == "FailbackApproval" else "Ready"
    conditions = obj.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), None)


def key_of(obj):
    """Kind, reason of its main condition, and what else decides: a generation not observed, a deletion, a stall, of a
    plan whether its checks pass, and of a machine whether its probes fail."""
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
    if obj["kind"] == "ReplicatedItem" and probes_fail(status):
        key += "/probes"
    return key + ("/deleting" if obj["metadata"].get("deletionTimestamp") else "")


def probes_fail(status):
    found = next((c for c in status.get("conditions", []) if c["type"] == "Verified"), {})
    return found.get("status") == "False" and found["reason"] == "ProbesFailed"


class Server:
    def __init__(self, url, site=None):
        self.url, self.site = url, site

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

    def at_site(self, path, body):
        """Breaks the simulated site."""
        request = urllib.request.Request(f"{self.site}/_world/{path}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

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


class Demo:
    """The demo with a plan of its own; every object's states are kept in `seen`."""

    def __init__(self, binary, seen, spec, item=None):
        self.binary, self.seen, self.spec, self.item = binary, seen, spec, item or {}

    def manifests(self, folder):
        # Named, because a second VCenter is declared beside it.
        target = (ROOT / "examples/one-machine/connections.yaml").read_text() + "  vcenterRef:\n    name: vcenter\n"
        (folder / "connections.yaml").write_text(target)
        machine = (ROOT / "examples/one-machine/machine.yaml").read_text()
        (folder / "machine.yaml").write_text(machine + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in self.item.items()))
        plan = {"apiVersion": "failback.dev/v1alpha1", "kind": "FailbackPlan",
                "metadata": {"name": "web", "namespace": "default"}, "spec": self.spec}
        (folder / "plan.yaml").write_text(json.dumps(plan))

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        config, said = folder / "kubeconfig", folder / "said"
        (folder / "manifests").mkdir()
        self.manifests(folder / "manifests")
        arguments = [
            "demo", "--serve", "--speed", "1200", "--scenario", ROOT / "examples/scenarios/one-machine.yaml",
            "--manifests", folder / "manifests", "--kubeconfig", config,
        ]
        with said.open("w") as out:
            self.process = subprocess.Popen([self.binary, *arguments], stdout=out)
        while "Its clock runs" not in said.read_text():
            time.sleep(0.01)
        site = said.read_text().split(" is at ")[1].split(".\n")[0]
        url = next(line for line in config.read_text().splitlines() if "server:" in line).split('"')[1]
        server = Server(url, site)
        server.until("the kinds", lambda: reachable(server))
        self.stop = threading.Event()
        for kind in KINDS:
            threading.Thread(target=watch, args=(server, kind, self.seen, self.stop), daemon=True).start()
        return server

    def __exit__(self, *_):
        time.sleep(0.5)
        self.stop.set()
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def main(binary):
    seen = {}
    with Demo(binary, seen, {**ALL, "approvals": [{"step": "FailBack"}, {"step": "Commit"}]}) as server:
        drive(server)
    for spec, item, drive_one in TROUBLES:
        with Demo(binary, seen, {**ALL, **spec}, item) as server:
            drive_one(server)
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


def closed(server):
    server.until_reason("WindowClosed")


def undone(server):
    server.until("home", lambda: server.plan().get("status", {}).get("phase") == "FailedBack")
    server.patch_plan({"spec": {"cancel": [{"reason": "the application does not start"}], "desiredPhase": "Committed"}})
    server.until("undone", lambda: item(server)["status"]["phase"] == "Reprotected")
    server.until_reason("Cancelled")


def item(server):
    return server.call("GET", BASE + "replicateditems/web-01")


def unanswered(server):
    server.until("the probe has failed", lambda: probes_fail(item(server).get("status", {})))


def snapshots(server):
    server.until_reason("PhaseReached")
    server.at_site("mend", {"vm": "appliance01", "vmSnapshots": ["nightly"]})

    def ready():
        return main_condition({"kind": "MasterTarget", **server.call("GET", BASE + "mastertargets/appliance01")})

    server.until("the snapshot is seen", lambda: ready()["reason"] == "HasSnapshots")


def fails(server):
    server.until_reason("PhaseReached")
    error = {"type": "jobFails", "code": "539", "message": "The requested action couldn't be completed."}
    server.at_site("faults", {"path": "*/plannedFailover", "effect": error})
    server.patch_plan({"spec": {"desiredPhase": "Protected"}})
    server.until_reason("ItemStalled")


def dry(server):
    server.until_reason("DryRun")


def dry_later(server):
    """Only a plan that has started keeps its machines in a dry run."""
    server.until_reason("PhaseReached")
    server.patch_plan({"spec": {"desiredPhase": "Protected", "dryRun": True}})
    server.until_reason("DryRun")


def impossible(server):
    server.until_reason("InvalidSpec")


PORT = {"name": "https", "tcp": {"host": "127.0.0.1", "port": 9}, "intervalSeconds": 60, "failureThreshold": 2}
# What the plan says, what the machine says, and what happens then.
TROUBLES = [
    ({"window": {"start": "2099-01-01T00:00:00Z", "end": "2099-01-02T00:00:00Z"}}, None, closed),
    ({"desiredPhase": "FailedBack"}, None, undone),
    ({}, {"verification": {"probes": [PORT]}}, unanswered),
    ({"desiredPhase": "Assessed"}, None, snapshots),
    ({"desiredPhase": "Reprotected"}, None, fails),
    ({"dryRun": True}, None, dry),
    ({"desiredPhase": "Reprotected"}, None, dry_later),
    ({"window": {"cron": "0 22 31 FEB *", "durationMinutes": 60}}, None, impossible),
]


if __name__ == "__main__":
    main(sys.argv[1])
