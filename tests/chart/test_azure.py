"""The custom role names what the code calls, and nothing else."""

import json
import re

from conftest import ROOT

ROLE = json.loads((ROOT / "examples/azure/failback-operator-role.json").read_text())
VAULT = "Microsoft.RecoveryServices/vaults/"
ITEM = VAULT + "replicationFabrics/replicationProtectionContainers/replicationProtectedItems/"


def code(path):
    """A source file without its tests."""
    return (ROOT / path).read_text().split("#[cfg(test)]")[0]


def test_verbs():
    """`POST {item}/{verb}` for each verb of src/azure/bodies.rs."""
    function = re.search(r"fn request\(.*?\n\}\n", code("src/azure/bodies.rs"), re.S)[0]
    verbs = set(re.findall(r'\("([a-z]+[A-Z]\w+)", (?:Some|None)', function))
    assert {"reProtect", "plannedFailover", "failoverCommit", "failoverCancel"} <= verbs
    assert {a for a in ROLE["Actions"] if a.endswith("/action")} == {f"{ITEM}{verb}/action" for verb in verbs}


def test_reads():
    """Lists below the vault, its fabrics and items, and the machine in Azure with its instance view and its locks."""
    source = code("src/azure/site_recovery.rs")
    lists = set(re.findall(r'self\s*\.list\("(\w+)"', source)) | set(re.findall(r'below\(\["(\w+)"', source))
    assert {"replicationProtectedItems", "replicationJobs", "replicationFabrics", "replicationPolicies"} == lists
    wanted = {"Microsoft.RecoveryServices/vaults/read", f"{ITEM}read"} | {f"{VAULT}{name}/read" for name in lists}
    assert '"$expand", "instanceView"' in code("src/azure/compute.rs")
    below = set(re.findall(r'at\(&?\w+, Some\("(\w+)"\)\)', source))
    assert below == {"replicationvCenters", "recoveryPoints"}
    wanted |= {f"{VAULT}replicationFabrics/replicationvCenters/read", f"{ITEM}recoveryPoints/read"}
    assert 'chain(["vcenters"])' in source
    wanted |= {"Microsoft.OffAzure/VMwareSites/vcenters/read"}
    assert '"Microsoft.Authorization", "locks"' in code("src/azure/compute.rs")
    wanted |= {"Microsoft.Authorization/locks/read"}
    wanted |= {"Microsoft.Compute/virtualMachines/read", "Microsoft.Compute/virtualMachines/instanceView/read"}
    assert {a for a in ROLE["Actions"] if a.endswith("/read")} == wanted


def test_it_grants_nothing_wide():
    assert not any("*" in action for action in ROLE["Actions"])
    assert ROLE["DataActions"] == [] and ROLE["IsCustom"] is True
    assert not any(word in action.lower() for action in ROLE["Actions"] for word in ("delete", "write"))
    assert [a for a in ROLE["Actions"] if "Authorization" in a] == ["Microsoft.Authorization/locks/read"]
