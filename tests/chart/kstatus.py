"""The rules by which kubectl wait, Flux and others read a custom resource's status: kstatus, for kinds it does not know.

In their order: being deleted, a generation that was not observed, Reconciling, Stalled, Ready; without any of these the
object is done.
"""


def status(obj):
    meta, found = obj["metadata"], obj.get("status", {})
    if meta.get("deletionTimestamp"):
        return "Terminating"
    observed = found.get("observedGeneration")
    if observed is not None and observed != meta.get("generation"):
        return "InProgress"
    conditions = {c["type"]: c["status"] for c in found.get("conditions", [])}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    if "Ready" in conditions:
        return "Current" if conditions["Ready"] == "True" else "InProgress"
    return "Current"
