"""What Argo CD, Flux and kubectl make of statuses that a simulated run went through (vectors/statuses.json)."""

import json
import re
import subprocess

import kstatus
import pytest
import yaml
from cel_expr_python import cel
from conftest import ROOT, documents, needs
from record_vectors import key_of

GITOPS = ROOT / "examples/gitops"
VECTORS = ROOT / "tests/chart/vectors"
STATUSES = json.loads((VECTORS / "statuses.json").read_text())
EXPECTED = yaml.safe_load((VECTORS / "expected.yaml").read_text())
KINDS = ["FailbackApproval", "FailbackPlan", "MasterTarget", "RecoveryVault", "ReplicatedItem", "VCenter"]


def lua_value(value):
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" if byte < 32 or byte in (34, 92) or byte > 126 else chr(byte) for byte in value.encode()) + '"'
    if isinstance(value, list):
        return "{" + ", ".join(map(lua_value, value)) + "}"
    return "{" + ", ".join(f"[{lua_value(key)}] = {lua_value(part)}" for key, part in value.items()) + "}"


# Prints what a script returns, as JSON, which Lua does not bring.
PRINT = """
local function show(v)
  if type(v) == "table" then
    if #v > 0 then
      local parts = {}
      for _, x in ipairs(v) do parts[#parts + 1] = show(x) end
      return "[" .. table.concat(parts, ",") .. "]"
    end
    local parts = {}
    for k, x in pairs(v) do parts[#parts + 1] = string.format("%q", k) .. ":" .. show(x) end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif type(v) == "string" then
    return '"' .. v:gsub('[%c"\\\\]', function(c) return string.format("\\\\u%04x", c:byte()) end) .. '"'
  end
  return tostring(v)
end
print(show(result))
"""


def lua(script, obj):
    """Runs a script as Argo CD does: with the object as `obj`, and without what its sandbox takes away."""
    interpreter = needs("lua5.1", "lua5.1")
    # What Argo CD's sandbox has not; of os it has the clock.
    sandbox = "io, debug, package, require, dofile, loadfile, load, loadstring = nil\nos = { time = os.time, date = os.date }\n"
    program = f"obj = {lua_value(obj)}\n{sandbox}local result = (function()\n{script}\nend)()\n{PRINT}"
    done = subprocess.run([interpreter, "-"], input=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def health(obj):
    return lua((GITOPS / f"argocd/health/{obj['kind']}.lua").read_text(), obj)


def test_each_kind_has_a_script_and_statuses():
    assert sorted(path.stem for path in (GITOPS / "argocd/health").glob("*.lua")) == KINDS
    assert sorted({key.split("/")[0] for key in STATUSES}) == KINDS


def test_expectations_and_recordings_match():
    assert set(STATUSES) <= set(EXPECTED)
    assert len(STATUSES) > 0.85 * len(EXPECTED)
    assert all(key_of(obj) == key for key, obj in STATUSES.items())


@pytest.mark.parametrize("key", sorted(STATUSES))
def test_health(key):
    answer = health(STATUSES[key])
    assert answer["status"] == EXPECTED[key]["argo"], answer
    assert isinstance(answer["message"], str)
    if answer["status"] in ("Degraded", "Suspended"):
        assert answer["message"], "a person is asked for, and is not told what for"


@pytest.mark.parametrize("key", sorted(STATUSES))
def test_kstatus(key):
    assert kstatus.status(STATUSES[key]) == EXPECTED[key]["kstatus"]


@pytest.mark.parametrize("key", sorted(STATUSES))
def test_argo_and_kstatus_do_not_contradict_each_other(key):
    argo, other = EXPECTED[key]["argo"], EXPECTED[key]["kstatus"]
    if key.startswith("FailbackApproval"):
        return  # it has no Ready: it is there or not
    assert (argo == "Healthy") == (other == "Current")
    assert other != "Failed" or argo == "Degraded"


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_applied_a_millisecond_ago(kind):
    """With the CRD's default status, with no status at all, and changed after it was done: never done."""
    fresh = {"apiVersion": "failback.dev/v1alpha1", "kind": kind, "metadata": {"name": "a", "generation": 1}, "spec": {}}
    default = {**fresh, "status": {"observedGeneration": -1}}
    assert health(default)["status"] == "Progressing" and health(fresh)["status"] == "Progressing"
    assert kstatus.status(default) == "InProgress"
    done = next(obj for key, obj in STATUSES.items() if key.startswith(kind + "/") and EXPECTED[key]["argo"] == "Healthy")
    changed = {**done, "metadata": {**done["metadata"], "generation": done["metadata"]["generation"] + 1}}
    assert health(changed)["status"] == "Progressing" and kstatus.status(changed) == "InProgress"


@pytest.mark.parametrize(
    "reason,stalled,expected",
    [
        ("OperationOutcomeUnknown", True, "Degraded"),
        ("ItemFailed", False, "Suspended"),
        ("Quarantined", False, "Degraded"),
        ("WaveNotStarted", False, "Progressing"),
        ("ConcurrencyLimit", False, "Progressing"),
        ("WaitingForSoak", False, "Progressing"),
    ],
)
def test_reasons_that_the_recorded_run_did_not_meet(reason, stalled, expected):
    assert f'"{reason}"' in (ROOT / "docs/reasons.md").read_text().replace("`", '"')
    conditions = [{"type": "Ready", "status": "False", "reason": reason, "message": "m"}]
    conditions += [{"type": "Stalled", "status": "True", "reason": reason, "message": "m"}] if stalled else []
    obj = {"kind": "ReplicatedItem", "metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": conditions}}
    assert health(obj)["status"] == expected


@pytest.mark.parametrize(
    "kind,reason,argo",
    [
        ("FailbackPlan", "ApprovalRequired", "Suspended"), ("ReplicatedItem", "ApprovalRequired", "Suspended"),
        ("FailbackPlan", "WindowClosed", "Suspended"), ("ReplicatedItem", "WindowClosed", "Suspended"),
        ("FailbackPlan", "Suspended", "Suspended"), ("ReplicatedItem", "Suspended", "Suspended"),
        ("FailbackPlan", "DryRun", "Suspended"), ("ReplicatedItem", "DryRun", "Suspended"),
        ("FailbackPlan", "Cancelled", "Suspended"), ("ReplicatedItem", "Cancelled", "Suspended"),
        ("FailbackPlan", "InvalidSpec", "Degraded"), ("FailbackPlan", "ItemStalled", "Degraded"),
        ("ReplicatedItem", "NotVerified/probes", "Degraded"), ("ReplicatedItem", "OperationFailed", "Degraded"),
        ("MasterTarget", "Usable", "Healthy"), ("MasterTarget", "HasSnapshots", "Degraded"),
    ],
)
def test_the_recording_has_every_wait_for_a_person(kind, reason, argo):
    """So that none of them is missing without notice when it is recorded again."""
    found = [key for key in STATUSES if key.startswith(f"{kind}/{reason}")]
    assert found and all(EXPECTED[key]["argo"] == argo for key in found), (found, argo)


def test_a_failing_probe_tells_what_it_saw():
    answer = health(STATUSES["ReplicatedItem/NotVerified/probes"])
    assert "https" in answer["message"] and "127.0.0.1:9" in answer["message"]


def test_reasons_in_the_scripts_are_those_of_the_code():
    code = "".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
    for script in (GITOPS / "argocd/health").glob("*.lua"):
        text = re.sub(r"--.*", "", script.read_text())
        tables = re.findall(r"local \w+ = \{([^}]*)\}", text)
        words = {word for table in tables for word in re.findall(r"(\w+) = true", table)}
        words |= set(re.findall(r'reason == "(\w+)"', text)) | set(re.findall(r'condition\("(\w+)"\)', text))
        assert words and all(f'"{word}"' in code for word in words), script


# Actions.


def action(name, obj):
    return lua((GITOPS / f"argocd/actions/FailbackPlan.{name}.lua").read_text(), obj)


def offered(obj):
    return {name for name, action_of in action("discovery", obj).items() if not action_of["disabled"]}


def plan():
    return json.loads(json.dumps(STATUSES["FailbackPlan/ApprovalRequired/preflight True"]))


def test_actions():
    obj = plan()
    assert offered(obj) == {"suspend", "retry"}
    suspended = action("suspend", obj)
    assert suspended["spec"]["suspend"] is True and offered(suspended) == {"resume", "retry"}
    assert action("resume", suspended)["spec"]["suspend"] is False
    again = action("retry", obj)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", again["spec"]["retryToken"])
    obj["spec"]["retryToken"] = again["spec"]["retryToken"]
    assert again["spec"] == obj["spec"], "nothing else changes"


def test_a_completed_plan_offers_nothing():
    assert offered(STATUSES["FailbackPlan/Completed/preflight True"]) == set()


def test_approving_is_no_action():
    assert not any("approv" in path.name for path in (GITOPS / "argocd/actions").iterdir())


# argocd-cm.


def test_the_config_map_holds_the_scripts():
    [config] = documents((GITOPS / "argocd/argocd-cm.yaml").read_text())
    data = config["data"]
    for kind in KINDS:
        assert data[f"resource.customizations.health.failback.dev_{kind}"] == (GITOPS / f"argocd/health/{kind}.lua").read_text()
    actions = yaml.safe_load(data["resource.customizations.actions.failback.dev_FailbackPlan"])
    assert actions["discovery.lua"] == (GITOPS / "argocd/actions/FailbackPlan.discovery.lua").read_text()
    for definition in actions["definitions"]:
        assert definition["action.lua"] == (GITOPS / f"argocd/actions/FailbackPlan.{definition['name']}.lua").read_text()


def test_ignored_updates_change_no_health():
    """A field that is ignored has no part in the health, and is one that the kind has."""
    [config] = documents((GITOPS / "argocd/argocd-cm.yaml").read_text())
    prefix = "resource.customizations.ignoreResourceUpdates.failback.dev_"
    for key, text in config["data"].items():
        if not key.startswith(prefix):
            continue
        kind = key.removeprefix(prefix)
        [crd] = [crd for path in (ROOT / "charts/failback/files/crds").glob("*.yaml") for crd in documents(path.read_text()) if crd["spec"]["names"]["kind"] == kind]
        fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        pointers = yaml.safe_load(text)["jsonPointers"]
        for pointer in pointers:
            if pointer.startswith("/status/"):
                assert pointer.removeprefix("/status/") in fields
        for vector, obj in STATUSES.items():
            if obj["kind"] == kind and obj["status"]:
                status = {name: value for name, value in obj["status"].items() if f"/status/{name}" not in pointers}
                assert health({**obj, "status": status})["status"] == EXPECTED[vector]["argo"]


# Flux.


def flux(file, obj):
    """As Flux does it: in progress first, then failed, then done; an expression that cannot be evaluated waits."""
    [kustomization] = documents((GITOPS / f"flux/plans-{file}.yaml").read_text())
    [expressions] = kustomization["spec"]["healthCheckExprs"]
    assert (expressions["apiVersion"], expressions["kind"]) == ("failback.dev/v1alpha1", "FailbackPlan")
    env = cel.NewEnv(variables={name: cel.Type.DYN for name in ("metadata", "spec", "status")})
    for verdict in ("inProgress", "failed", "current"):
        result = env.compile(expressions[verdict]).eval(data={name: obj.get(name, {}) for name in ("metadata", "spec", "status")})
        if result.type() != cel.Type.ERROR and result.plain_value() is True:
            return verdict
    return "waiting"


@pytest.mark.parametrize("file", ["delivered", "completed"])
@pytest.mark.parametrize("key", [key for key in sorted(STATUSES) if key.startswith("FailbackPlan/")])
def test_flux(key, file):
    assert flux(file, STATUSES[key]) == EXPECTED[key][file]


@pytest.mark.parametrize("file", ["delivered", "completed"])
def test_flux_waits_for_a_plan_applied_a_millisecond_ago(file):
    assert flux(file, {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}) == "inProgress"


def test_flux_never_forces_and_never_prunes_a_plan():
    for path in (GITOPS / "flux").glob("*.yaml"):
        for doc in documents(path.read_text()):
            if doc["kind"] == "Kustomization":
                assert doc["spec"]["force"] is False
    for path in (GITOPS / "repository/plans").glob("*.yaml"):
        for doc in documents(path.read_text()):
            if doc["kind"] == "FailbackPlan":
                assert doc["metadata"]["annotations"] == {
                    "argocd.argoproj.io/sync-options": "Prune=confirm,Delete=confirm",
                    "kustomize.toolkit.fluxcd.io/prune": "disabled",
                }

