"""The embedded API server, the simulated site and the controller as processes of a test."""

import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

import yaml
from conftest import ROOT, needs, of_kind, one, render
from rbac import Proxy, Roles

BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
SERVER, BINARY = BUILT / "examples/serve", BUILT / "failback"
KUBECONFIG = """apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: "{url}"}}}}]
users: [{{name: test, user: {{}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test, namespace: default}}}}]
"""


def until(what, test, seconds=60.0):
    end = time.time() + seconds
    while time.time() < end:
        found = test()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


class Process:
    def __init__(self, arguments, folder, name, env=None):
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(list(map(str, arguments)), stdout=log, stderr=log, env=env)

    def line(self, start):
        def found():
            assert self.process.poll() is None, self.log.read_text()
            return next((line for line in self.log.read_text().splitlines() if line.startswith(start)), None)

        return until(f"{start!r} in {self.log.name}", found, 20)

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class ApiServer(Process):
    def __init__(self, folder):
        self.kubeconfig = pathlib.Path(folder) / "kubeconfig"
        super().__init__([needs(SERVER, "the embedded API server (cargo build -p sim-apiserver --example serve)"), self.kubeconfig], folder, "server")
        self.url = self.line("serving ").split()[1].rstrip(",")

    def call(self, method, path, body=None, content="application/json"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error

    def apply(self, obj, plural, group="", namespace="default"):
        prefix = f"/apis/{obj['apiVersion']}" if group or "/" in obj["apiVersion"] else "/api/v1"
        where = f"/namespaces/{namespace}" if namespace else ""
        path = f"{prefix}{where}/{plural}/{obj['metadata']['name']}?fieldManager=test&force=true"
        return self.call("PATCH", path, obj, "application/apply-patch+yaml")


def example_objects(site):
    """The objects of examples/one-machine, pointed at a simulated site."""
    for path in sorted((ROOT / "examples/one-machine").glob("*.yaml")):
        for obj in yaml.safe_load_all(path.read_text()):
            if obj["kind"] == "VCenter":
                obj["spec"]["server"] = site
            if obj["kind"] == "RecoveryVault":
                obj["spec"] |= {"cloud": "Custom", "customEndpoints": {"authority": site, "resourceManager": site}}
            yield obj


PLURALS = {"Secret": "secrets", "RecoveryVault": "recoveryvaults", "VCenter": "vcenters", "MasterTarget": "mastertargets",
           "ReplicatedItem": "replicateditems", "FailbackPlan": "failbackplans"}
PLAN = "/apis/failback.dev/v1alpha1/namespaces/default/failbackplans/web"


class Stage:
    """A rendered chart come to life: its definitions on the embedded server, and controllers held to its roles."""

    def __init__(self, folder, values, definitions=True, speed=1200):
        self.folder = folder
        self.binary = needs(BINARY, "target/debug/failback (cargo build)")
        self.objects = render(values)
        self.server = ApiServer(folder)
        self.processes = [self.server]
        scenario = ROOT / "examples/scenarios/one-machine.yaml"
        site = self.start("site", "sim", "--listen", "127.0.0.1:0", "--speed", speed, "--scenario", scenario)
        self.clock = site.line("clock ").removeprefix("clock ")
        self.site = site.line("site ").removeprefix("site ")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "failback-system"}}
        self.server.call("POST", "/api/v1/namespaces", namespace)
        if definitions:
            self.define()
        self.proxy = Proxy(self.server.url, Roles(self.objects))
        self.kubeconfig = folder / "proxied"
        self.kubeconfig.write_text(KUBECONFIG.format(url=self.proxy.url))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.process.poll() is None:
                process.stop()
        self.proxy.close()

    def start(self, name, *arguments, env=None):
        process = Process([self.binary, *arguments], self.folder, name, env)
        self.processes.append(process)
        return process

    def define(self):
        for crd in of_kind(self.objects, "CustomResourceDefinition"):
            self.server.apply(crd, "customresourcedefinitions", namespace="")

    def controller(self, pod, listen="127.0.0.1:0"):
        """A controller with the environment that the Deployment gives it."""
        fields = {"metadata.name": pod, "metadata.namespace": "failback-system"}
        env = {"PATH": os.environ["PATH"], "FAILBACK_CLOCK": self.clock}
        for entry in one(self.objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]:
            env[entry["name"]] = entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        env["FAILBACK_LISTEN"] = listen
        return self.start(pod, "controller", "--kubeconfig", self.kubeconfig, env=env)

    def apply_example(self, own_identity=False, **plan):
        """The example; with an identity of its own the vault signs in as its namespace's ServiceAccount."""
        for obj in example_objects(self.site):
            if obj["kind"] == "FailbackPlan":
                obj["spec"] |= plan
            if own_identity and obj["kind"] == "RecoveryVault":
                known = obj["spec"]["credential"]["clientSecret"]
                obj["spec"]["credential"] = {"serviceAccount": {key: known[key] for key in ("tenantId", "clientId")}}
                account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "failback-azure"}}
                self.server.apply(account, "serviceaccounts")
            self.server.apply(obj, PLURALS[obj["kind"]])

    def plan(self):
        return self.server.call("GET", PLAN)

    def item(self):
        return self.server.call("GET", "/apis/failback.dev/v1alpha1/namespaces/default/replicateditems/web-01")

    def until_phase(self, phase, seconds=90):
        until(phase, lambda: self.plan().get("status", {}).get("phase") == phase, seconds)

    def at_site(self, path, body):
        """Breaks the simulated site."""
        request = urllib.request.Request(f"{self.site}/_world/{path}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def calls(self):
        with urllib.request.urlopen(f"{self.site}/_world/calls", timeout=10) as answer:
            return json.load(answer)
