"""VMware's Python SDK, unmodified, against the simulated vCenter over TLS.

Arguments: port, path of the CA's PEM. Prints one line for each thing shown; any failure is an exception.
"""

import json
import ssl
import sys
import threading
import time
import urllib.request

from pyVim import connect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

port = int(sys.argv[1])
context = ssl.create_default_context(cafile=sys.argv[2])
USER, PASSWORD = "administrator@vsphere.local", "simulated-password"


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    url = f"https://localhost:{port}/_world{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data=data), context=context) as answer:
        return json.load(answer)


def login():
    return connect.SmartConnect(host="localhost", port=port, user=USER, pwd=PASSWORD, sslContext=context)


try:
    connect.SmartConnect(host="localhost", port=port, user=USER, pwd="wrong", sslContext=context)
    raise AssertionError("a wrong password was accepted")
except vim.fault.InvalidLogin:
    print("bad login refused")

service = login()
content = service.RetrieveContent()
assert content.about.apiType == "VirtualCenter", content.about
assert content.sessionManager.currentSession.userName == USER
world = admin("")
machines = {machine["name"]: machine for machine in world["machines"]}
assert content.about.instanceUuid == world["vcenters"][0]["instanceUuid"]
print("logged in to", content.about.fullName)

# Inventory by attribute access.
datacenter = content.rootFolder.childEntity[0]
computes = datacenter.hostFolder.childEntity
assert any(isinstance(compute, vim.ClusterComputeResource) for compute in computes), computes
assert computes[0].host[0].runtime.connectionState == "connected"
kinds = {datastore.summary.type for datastore in datacenter.datastore}
print("datastores of kinds", sorted(kinds))

# A container view and the property collector, in pages.
view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
paths = ["name", "config.uuid", "config.instanceUuid", "runtime.powerState", "guest.toolsRunningStatus", "config.hardware.device", "snapshot", "runtime.host"]
traversal = vmodl.query.PropertyCollector.TraversalSpec(name="traverse", path="view", skip=False, type=vim.view.ContainerView)
spec = vmodl.query.PropertyCollector.FilterSpec(
    objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
    propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=paths)],
)
collector = content.propertyCollector
rows, pages = [], 0
result = collector.RetrievePropertiesEx([spec], vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=2))
while result:
    pages += 1
    assert len(result.objects) <= 2
    rows += [{"obj": row.obj, **{p.name: p.val for p in row.propSet}} for row in result.objects]
    result = collector.ContinueRetrievePropertiesEx(result.token) if result.token else None
by_name = {row["name"]: row for row in rows}
assert len(rows) == world["vcenters"][0]["vms"], (len(rows), world["vcenters"][0])
assert len({row["obj"]._moId for row in rows}) == len(rows)
print(len(rows), "VMs in", pages, "pages")
assert {row["name"] for row in rows if "config.uuid" not in row} == {"orphan"}, by_name.keys()
print("a VM without config is there")

# Disks: RDM, deltas with a parent.
disks = {row["name"]: [device.backing for device in row.get("config.hardware.device", []) if isinstance(device, vim.vm.device.VirtualDisk)] for row in rows}
raw = vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo
assert [backing.compatibilityMode if isinstance(backing, raw) else None for backing in disks["db-rdm"]] == [None, "physicalMode", "virtualMode"]
assert all(not isinstance(backing, raw) for backing in disks["web-01"]) and disks["web-01"][0].parent is None
delta = disks["file-nfs"][0]
assert delta.parent.fileName != delta.fileName, delta
tree = by_name["file-nfs"]["snapshot"].rootSnapshotList[0]
assert (tree.name, [child.name for child in tree.childSnapshotList]) == ("nightly", ["weekly"]), tree
assert {row["name"] for row in rows if row.get("snapshot")} == {"file-nfs", "mt-broken"}
print("RDM disks, delta disks and snapshots are there")

# Both UUIDs.
name, machine = next((name, machine) for name, machine in machines.items() if machine["onPremVm"]["exists"] and machine["onPremVm"]["powerState"] == "poweredOff")
found = content.searchIndex.FindByUuid(None, machine["onPremVm"]["uuid"], True, False)
assert found.name == name, found
found = content.searchIndex.FindAllByUuid(None, machine["onPremVm"]["instanceUuid"], True, True)
assert [vm.name for vm in found] == [name], found
assert content.searchIndex.FindByUuid(None, "00000000-0000-0000-0000-000000000000", True, False) is None
vm = found[0]
assert content.searchIndex.FindByInventoryPath(f"{datacenter.name}/vm/{name}") == vm
print("found by both UUIDs")

# Updates while the world moves.
own = collector.CreatePropertyCollector()
spec.propSet[0].pathSet = ["name", "runtime.powerState", "guest.toolsRunningStatus"]
own.CreateFilter(spec, False)
first = own.WaitForUpdatesEx("")
version = first.version
entered = [change for filter_set in first.filterSet for change in filter_set.objectSet]
assert {change.kind for change in entered} == {"enter"} and len(entered) == len(rows)
wait = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=1)
while (more := own.WaitForUpdatesEx(version, wait)) is not None:
    version = more.version
threading.Timer(0.3, lambda: vm.PowerOnVM_Task()).start()
seen, start = {}, time.monotonic()
wait = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=20)
while seen.get("guest.toolsRunningStatus") != "guestToolsRunning":
    assert time.monotonic() - start < 30, seen
    update = own.WaitForUpdatesEx(version, wait)
    if update is None:
        continue
    version = update.version
    for change in [change for filter_set in update.filterSet for change in filter_set.objectSet if change.obj == vm]:
        assert change.kind == "modify"
        seen.update({prop.name: prop.val for prop in change.changeSet})
assert seen["runtime.powerState"] == "poweredOn", seen
try:
    own.WaitForUpdatesEx("4711", wait)
    raise AssertionError("an unknown version was accepted")
except vmodl.query.InvalidCollectorVersion:
    pass
own.DestroyPropertyCollector()
print("updates arrived while the world moved")

# Power tasks, and a task that fails.
try:
    WaitForTask(vm.PowerOnVM_Task(), si=service)
    raise AssertionError("a running VM was powered on")
except vim.fault.InvalidPowerState as fault:
    assert fault.existingState == "poweredOn"
WaitForTask(vm.PowerOffVM_Task(), si=service)
assert vm.runtime.powerState == "poweredOff"
try:
    vm.ShutdownGuest()
    raise AssertionError("a guest that does not run was shut down")
except vim.fault.InvalidPowerState:
    pass
verbs = [call["verb"] for call in admin("/calls") if call["target"] == name]
assert verbs == ["PowerOnVM_Task", "PowerOnVM_Task", "PowerOffVM_Task", "ShutdownGuest"], verbs
print("power tasks and their faults")

# A host that goes away is told, as opposed to the vendor's simulator.
host_view = content.viewManager.CreateContainerView(content.rootFolder, [vim.HostSystem], True)
hosts = vmodl.query.PropertyCollector.FilterSpec(
    objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=host_view, skip=True, selectSet=[traversal])],
    propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.HostSystem, pathSet=["name", "runtime.inMaintenanceMode"])],
)
watcher = collector.CreatePropertyCollector()
watcher.CreateFilter(hosts, False)
update = watcher.WaitForUpdatesEx("")
host_name = update.filterSet[0].objectSet[0].changeSet[0].val
admin("/mend", {"host": host_name, "hostMaintenance": True})
update = watcher.WaitForUpdatesEx(update.version, wait)
assert update.filterSet[0].objectSet[0].changeSet[0].val is True, update
admin("/mend", {"host": host_name, "hostMaintenance": False})
print("host changes are told")

# The session dies.
admin("/mend", {"killSessions": True})
try:
    vm.runtime
    raise AssertionError("a dead session was accepted")
except vim.fault.NotAuthenticated:
    pass
service = login()
assert service.CurrentTime() is not None
connect.Disconnect(service)
try:
    service.RetrieveContent().rootFolder.childEntity
    raise AssertionError("a closed session was accepted")
except vim.fault.NotAuthenticated:
    print("sessions die and are opened again")
print("OK")
