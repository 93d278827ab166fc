#!/usr/bin/env python3
"""Writes argocd-cm.yaml from the Lua files beside it; with --check, fails when it is not up to date."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
GROUP = "failback.dev"
# Parts of a status that change often and say nothing of an application's health: they cause no refresh.
PROGRESS = {
    "ReplicatedItem": ["/status/progress", "/status/checks", "/status/operation", "/status/history", "/status/identity"],
    "FailbackPlan": ["/status/summary", "/status/waves", "/status/issues"],
    "RecoveryVault": ["/status/items"],
    "VCenter": ["/status/virtualMachines"],
    "MasterTarget": ["/status/protectedItems"],
}


def indented(text, spaces):
    return "".join(f"{' ' * spaces}{line}".rstrip() + "\n" for line in text.splitlines())


def config_map():
    out = "# Made by build.py from health/ and actions/. Merge it into Argo CD's own argocd-cm.\n"
    out += "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\ndata:\n"
    for file in sorted((HERE / "health").glob("*.lua")):
        out += f"  resource.customizations.health.{GROUP}_{file.stem}: |\n" + indented(file.read_text(), 4)
    for kind in sorted({file.name.split(".")[0] for file in (HERE / "actions").glob("*.lua")}):
        out += f"  resource.customizations.actions.{GROUP}_{kind}: |\n    discovery.lua: |\n"
        out += indented((HERE / "actions" / f"{kind}.discovery.lua").read_text(), 6) + "    definitions:\n"
        for name in ["suspend", "resume", "retry"]:
            out += f"      - name: {name}\n        action.lua: |\n"
            out += indented((HERE / "actions" / f"{kind}.{name}.lua").read_text(), 10)
    for kind, pointers in PROGRESS.items():
        out += f"  resource.customizations.ignoreResourceUpdates.{GROUP}_{kind}: |\n    jsonPointers:\n"
        out += "".join(f"      - {pointer}\n" for pointer in [*pointers, "/metadata/resourceVersion"])
    return out


if __name__ == "__main__":
    target = HERE / "argocd-cm.yaml"
    if "--check" in sys.argv[1:]:
        if not target.exists() or target.read_text() != config_map():
            sys.exit("examples/gitops/argocd/argocd-cm.yaml is not up to date: run python3 examples/gitops/argocd/build.py")
    else:
        target.write_text(config_map())
