"""What the repository tells people to apply is accepted by an API server, with the rendered definitions."""

import subprocess

import pytest
import yaml
from conftest import ROOT, VARIANTS, documents, needs, of_kind, render
from live import ApiServer

# Kinds of the rendered chart that the embedded server has.
SERVED = {"ServiceAccount": "serviceaccounts", "ConfigMap": "configmaps"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = ApiServer(tmp_path_factory.mktemp("server"))
    for namespace in ("failback-system", "dr"):
        running.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for crd in of_kind(render(), "CustomResourceDefinition"):
        running.apply(crd, "customresourcedefinitions", namespace="")
    yield running
    running.stop()


def kubectl(server, *arguments, text=None):
    command = [needs("kubectl", "kubectl"), "--kubeconfig", server.kubeconfig, *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_rendered_objects(server, name):
    for obj in render(VARIANTS[name]):
        if obj["kind"] in SERVED:
            server.apply(obj, SERVED[obj["kind"]], namespace=obj["metadata"].get("namespace", "default"))
        if obj["kind"] == "CustomResourceDefinition":
            server.apply(obj, "customresourcedefinitions", namespace="")


@pytest.mark.parametrize("folder", ["connections", "machines", "plans"])
def test_the_gitops_repository(server, folder):
    rendered = kubectl(server, "kustomize", ROOT / "examples/gitops/repository" / folder)
    assert rendered and all(doc["metadata"]["namespace"] == "dr" for doc in documents(rendered))
    said = kubectl(server, "apply", "--server-side", "--validate=strict", "-f", "-", text=rendered)
    assert said.count("serverside-applied") == len(documents(rendered))


def test_every_file_of_the_gitops_repository_is_listed():
    for folder in (ROOT / "examples/gitops/repository").iterdir():
        listed = set(yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"])
        assert listed == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}


def test_the_example(server):
    for path in (ROOT / "examples/one-machine").glob("*.yaml"):
        kubectl(server, "apply", "--server-side", "--validate=strict", "-f", path)


def test_gitops_values_are_values_of_the_chart():
    [application] = [doc for doc in documents((ROOT / "examples/gitops/argocd/applications.yaml").read_text()) if doc["metadata"]["name"] == "failback"]
    assert render(application["spec"]["source"]["helm"]["valuesObject"])
    [release] = [doc for doc in documents((ROOT / "examples/gitops/flux/controller.yaml").read_text()) if doc["kind"] == "HelmRelease"]
    assert render(release["spec"]["values"])


def test_paths_of_the_gitops_examples_exist():
    texts = [path.read_text() for path in (ROOT / "examples/gitops").glob("*/*.yaml")]
    paths = {doc["spec"].get("path", "").removeprefix("./") for text in texts for doc in documents(text) if doc["kind"] == "Kustomization" and "spec" in doc}
    [inventory] = [doc for text in texts for doc in documents(text) if doc["metadata"]["name"] == "failback-inventory"]
    paths |= {source["path"] for source in inventory["spec"]["sources"]}
    assert paths == {"connections", "machines", "plans"}
    assert all((ROOT / "examples/gitops/repository" / path).is_dir() for path in paths)
