"""The embedded API server, the simulated site and the controller as processes of a test."""

import json
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

import yaml
from conftest import ROOT, needs

SERVER = ROOT / "target/debug/examples/serve"
BINARY = ROOT / "target/debug/failback"
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
