"""What the documentation says to apply is accepted, and values and roles that it names are there. Commands: test_book.py."""

import re
import shlex

import helm_python
import pytest
import yaml
from conftest import ROOT, of_kind, one, render
from live import ApiServer
from rbac import Roles

DOCS = [*sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/runbooks").glob("*.md")), "docs/troubleshooting.md",
        "docs/metrics.md", "docs/install.md", "docs/operations.md", "docs/security.md", "docs/tracing.md", "charts/failback/README.md", "examples/gitops/README.md"]
BLOCK = re.compile(r"(?:<!-- ([^>]+) -->\n)?```(\w+)\n(.*?)```", re.S)


def blocks(language):
    for doc in DOCS:
        for marker, kind, text in BLOCK.findall((ROOT / doc).read_text()):
            if kind == language:
                yield pytest.param(marker, text, id=f"{doc}: {text.splitlines()[0][:50]}")


def values_of(command):
    """What --set means, by Helm's own parser."""
    words = shlex.split(command.replace("\\\n", " "))
    values = {}

    def merge(into, more):
        for key, value in more.items():
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value

    for flag, text in zip(words, words[1:]):
        if flag == "--set":
            merge(values, helm_python.parse_set_string(text.replace("sha256:…", "sha256:" + "0" * 64)))
    return words, values


@pytest.mark.parametrize("marker,text", [p for p in blocks("sh") if p.values[0] in ("renders", "needs: Azure")])
def test_commands(marker, text):
    """What test_book.py does not run: Helm's engine renders the values, and files that are named are there."""
    for command in re.split(r"(?<!\\)\n", text.strip()):
        words, values = values_of(command)
        if marker == "renders":
            assert (ROOT / next(word for word in words if word.startswith("charts/"))).is_dir()
            assert render(values, namespace=words[words.index("--namespace") + 1])
        else:
            assert all((ROOT / word).exists() for word in words if word.startswith("examples/"))


def kept(said, stored):
    """Whether all that was said is stored; defaults may have come to it."""
    if isinstance(said, dict):
        return isinstance(stored, dict) and all(key in stored and kept(value, stored[key]) for key, value in said.items())
    if isinstance(said, list):
        return len(said) == len(stored) and all(map(kept, said, stored))
    return said == stored


def test_manifests(tmp_path):
    server = ApiServer(tmp_path)
    try:
        server.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dr"}})
        plurals = {}
        for crd in of_kind(render(), "CustomResourceDefinition"):
            server.apply(crd, "customresourcedefinitions", namespace="")
            plurals[crd["spec"]["names"]["kind"]] = crd["spec"]["names"]["plural"]
        for param in blocks("yaml"):
            obj = yaml.safe_load(param.values[1])
            stored = server.apply(obj, plurals[obj["kind"]], namespace="dr")
            assert kept(obj["spec"], stored["spec"]), "a field was dropped"
    finally:
        server.stop()


@pytest.mark.parametrize("doc", DOCS)
def test_values_that_are_named_exist(doc):
    values = yaml.safe_load((ROOT / "charts/failback/values.yaml").read_text())
    for path in re.findall(r"`((?:policies|azure|crds|networkPolicy|image|userRoles|metrics|trust|tracing)\.[\w.]+)(?:=\w+)?`", (ROOT / doc).read_text()):
        value = values
        for key in path.split("."):
            assert key in value, path
            value = value[key]


def test_the_table_of_people_is_the_roles():
    rows = [line.strip("| \n").split("|") for line in (ROOT / "docs/security.md").read_text().splitlines() if line.startswith("| ")]
    table = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}
    for column, role in enumerate(("viewer", "editor", "approver", "admin")):
        rules = one(render(), "ClusterRole", f"-{role}")["rules"]
        verbs = {}
        for rule in rules:
            for resource in rule["resources"]:
                verbs.setdefault(resource, set()).update(rule["verbs"])

        def cell(row):
            cells = table[row]
            return cells[column] if column < len(cells) else ""

        for kinds in (("replicateditems", "failbackplans", "mastertargets"), ("recoveryvaults", "vcenters")):
            row = "ReplicatedItem, FailbackPlan, MasterTarget" if "failbackplans" in kinds else "RecoveryVault, VCenter"
            writes = {kind: {"create", "update", "patch", "delete"} <= verbs[kind] for kind in kinds}
            assert set(writes.values()) == {cell(row) == "write"}, (role, row)
        approvals = {verb for verb in ("create", "delete") if verb in verbs["failbackapprovals"]}
        assert approvals == set(filter(None, cell("FailbackApproval").split(", "))), role
        for verb in ("approve", "waive"):
            assert (verb in verbs["failbackplans"]) == (cell(f"`{verb}` on FailbackPlans") == "yes")


def test_the_table_of_the_controller_names_every_right():
    text = (ROOT / "docs/security.md").read_text()
    verbs = {verb for _, verb, _, _ in Roles(render({"secretNamespaces": ["dr"]})).permissions()}
    words = {"get": "read", "list": "list", "watch": "watch", "patch": "patch", "create": "create", "update": "update"}
    assert all(words[verb] in text for verb in verbs)
    assert "delete" not in verbs
