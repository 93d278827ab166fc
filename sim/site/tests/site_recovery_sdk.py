"""Microsoft's Python SDK for Site Recovery, unmodified, through the whole cycle of both generations.

Arguments: port, path of the CA's PEM, and "cycle" or "list". The site runs the scenario mixed-site.yaml (cycle) or large.yaml (list) on a fast clock.
"""

import json
import ssl
import sys
import time
import urllib.parse
import urllib.request

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.mgmt.recoveryservicessiterecovery import SiteRecoveryManagementClient, models

BASE = f"https://localhost:{int(sys.argv[1])}"
TRUST = ssl.create_default_context(cafile=sys.argv[2])
TENANT = "7f3d2c52-1c1a-4a6e-9d5c-5b1f0a6e4c11"
CLIENT, SECRET = "b6f6a3f0-7f0e-4e54-a8b1-2b9d7c0c9a22", "simulated-secret"
SUBSCRIPTION, GROUP, VAULT = "3c9f5d1e-62b7-4d0a-8e21-9a4b7d6f1c33", "recovery-rg", "recovery-vault"
STORAGE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Storage/storageAccounts/cache"


class Secret:
    """A client secret against the simulated token endpoint."""

    def get_token(self, *scopes, **_):
        form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET, "scope": scopes[0]}
        url = f"{BASE}/{TENANT}/oauth2/v2.0/token"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=TRUST) as answer:
            token = json.load(answer)
        return AccessToken(token["access_token"], int(time.time()) + token["expires_in"])


client = SiteRecoveryManagementClient(
    credential=Secret(),
    subscription_id=SUBSCRIPTION,
    base_url=BASE,
    credential_scopes=["https://management.azure.com/.default"],
    polling_interval=0.02,
    retry_total=0,
    connection_verify=sys.argv[2],
)


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{BASE}/_world{path}", data=data), context=TRUST) as answer:
        return json.load(answer)


class Item:
    """An item with the names that each call of the SDK wants."""

    def __init__(self, name):
        listed = next(item for item in client.replication_protected_items.list(GROUP, VAULT) if item.properties.friendly_name == name)
        parts = listed.id.split("/")
        self.name = name
        self.where = dict(
            resource_group_name=GROUP,
            resource_name=VAULT,
            fabric_name=parts[parts.index("replicationFabrics") + 1],
            protection_container=parts[parts.index("replicationProtectionContainers") + 1],
            replicated_protected_item_name=parts[-1],
        )

    def get(self):
        where = dict(self.where)
        return client.replication_protected_items.get(
            where["resource_group_name"],
            where["resource_name"],
            where["fabric_name"],
            where["protection_container"],
            where["replicated_protected_item_name"],
        ).properties

    def call(self, verb, *body):
        names = [self.where[key] for key in ("resource_group_name", "resource_name", "fabric_name", "protection_container", "replicated_protected_item_name")]
        return getattr(client.replication_protected_items, f"begin_{verb}")(*names, *body, polling_interval=0.02)

    def run(self, verb, *body):
        result = self.call(verb, *body).result()
        assert result.properties.friendly_name == self.name, result
        return result.properties

    def until(self, wanted):
        for _ in range(2000):
            now = self.get()
            if wanted(now):
                return now
            time.sleep(0.01)
        raise AssertionError(f"{self.name}: {now.protection_state} {now.allowed_operations} {now.health_errors}")

    def until_allowed(self, operation):
        return self.until(lambda item: operation in item.allowed_operations)

    def world(self):
        return admin(f"/machines/{self.name}")


def refused(kind, status, call):
    try:
        call()
    except kind as error:
        assert error.status_code == status, error
        return error
    raise AssertionError("it was not refused")


def modernized():
    item = Item("steady-01")
    fabric = client.replication_fabrics.get(GROUP, VAULT, "modern-fabric").properties.custom_details
    assert isinstance(fabric, models.InMageRcmFabricSpecificDetails), fabric
    agent = next(agent for agent in fabric.reprotect_agents if "datastore1" in agent.accessible_datastores and agent.health == "Normal")
    points = list(client.recovery_points.list_by_replication_protected_items(*item.where.values()))
    assert points and isinstance(points[0].properties.provider_specific_details, models.InMageRcmRecoveryPointDetails)
    start = item.get()
    assert start.protection_state == "Protected" and start.active_location == "Primary"
    policy = start.policy_id
    print("read fabric, agent", agent.name, "and", len(points), "recovery points")

    # An unknown item, a verb that is not allowed, a body of the wrong provider.
    where = dict(item.where, replicated_protected_item_name="nobody")
    error = refused(ResourceNotFoundError, 404, lambda: client.replication_protected_items.get(*where.values()))
    assert error.error.details[0].code == "ArmResourceDoesNotExist", error.error
    error = refused(HttpResponseError, 400, lambda: item.call("failover_commit"))
    assert error.error.details[0].code == "OperationNotAllowed", error.error

    failover = models.UnplannedFailoverInput(
        properties=models.UnplannedFailoverInputProperties(
            failover_direction="PrimaryToRecovery",
            source_site_operations="NotRequired",
            provider_specific_details=models.InMageRcmUnplannedFailoverInput(perform_shutdown="true"),
        )
    )
    # The job hangs until it is released, so that the rest is seen while it runs; and the agent waits for its turn.
    admin("/faults", {"path": "*/unplannedFailover", "effect": {"type": "jobStuck"}})
    admin("/mend", {"machine": item.name, "agentNever": True})
    poller = item.call("unplanned_failover", failover)
    # A second operation while the first one runs.
    refused(HttpResponseError, 409, lambda: item.call("unplanned_failover", failover))
    running = [job for job in client.replication_jobs.list(GROUP, VAULT) if job.properties.state == "InProgress"]
    assert any(job.properties.scenario_name == "UnplannedFailover" for job in running), running
    admin("/mend", {"releaseJobs": True})
    poller.result()
    now = item.get()
    assert now.protection_state == "UnplannedFailoverCommitPendingStatesBegin" and now.active_location == "Recovery"
    assert now.allowed_operations == ["CompleteMigration", "Commit", "DisableProtection", "ChangePit", "SwitchProtection"]
    assert item.world()["azureVm"]["powerState"] == "running" and item.world()["onPremVm"]["powerState"] == "poweredOff"

    reprotect = models.ReverseReplicationInput(
        properties=models.ReverseReplicationInputProperties(
            failover_direction="RecoveryToPrimary",
            provider_specific_details=models.InMageRcmReprotectInput(
                reprotect_agent_id=agent.id, datastore_name="datastore1", log_storage_account_id=STORAGE
            ),
        )
    )
    # Before the agent has registered the job fails.
    poller = item.call("reprotect", reprotect)
    error = refused(HttpResponseError, 200, poller.result)
    assert "has not registered" in str(error), error
    admin("/mend", {"machine": item.name, "agentNever": False})
    item.until(lambda now: now.provider_specific_details.is_agent_registration_successful_after_failover)
    # Straight from commit pending: the job commits by itself.
    item.run("reprotect", reprotect)
    now = item.get()
    assert now.provider_specific_details.instance_type == "InMageRcmFailback"
    job = next(job for job in client.replication_jobs.list(GROUP, VAULT) if job.properties.scenario_name == "IrCompletion")
    assert client.replication_jobs.get(GROUP, VAULT, job.name).properties.target_object_name == item.name
    item.until_allowed("PlannedFailover")

    failback = models.PlannedFailoverInput(
        properties=models.PlannedFailoverInputProperties(
            provider_specific_details=models.InMageRcmFailbackPlannedFailoverProviderInput(recovery_point_type="CrashConsistent")
        )
    )
    item.run("planned_failover", failback)
    assert item.get().allowed_operations == ["Commit", "CancelFailover"]
    item.run("failover_cancel")
    assert item.world()["azureVm"]["powerState"] == "running"
    item.run("planned_failover", failback)
    item.run("failover_commit")
    assert not item.world()["azureVm"]["exists"]
    item.until(lambda now: item.world()["agentRegistered"])
    protect = models.ReverseReplicationInput(
        properties=models.ReverseReplicationInputProperties(
            failover_direction="PrimaryToRecovery",
            provider_specific_details=models.InMageRcmFailbackReprotectInput(process_server_id=fabric.process_servers[0].id, policy_id=policy),
        )
    )
    item.run("reprotect", protect)
    now = item.until_allowed("UnplannedFailover")
    assert now.protection_state == "Protected" and now.provider_specific_details.instance_type == "InMageRcm"
    assert not item.world()["bothRunningEver"]
    calls = [(call["verb"], call["status"]) for call in admin("/calls") if call["target"] == item.name]
    assert calls == [
        ("failoverCommit", 400),
        ("unplannedFailover", 202),
        ("unplannedFailover", 409),
        ("reProtect", 202),
        ("reProtect", 202),
        ("plannedFailover", 202),
        ("failoverCancel", 202),
        ("plannedFailover", 202),
        ("failoverCommit", 202),
        ("reProtect", 202),
    ], calls
    print("modernized cycle done")


def classic():
    fabric = next(f for f in client.replication_fabrics.list(GROUP, VAULT) if f.properties.friendly_name == "cs01")
    assert fabric.properties.custom_details.master_target_servers == []
    details = client.replication_fabrics.get(GROUP, VAULT, fabric.name).properties.custom_details
    assert isinstance(details, models.VMwareDetails)
    target = next(t for t in details.master_target_servers if t.name == "mt-windows")
    assert target.data_stores[0].type and target.retention_volumes[0].volume_name == "R"
    process = details.process_servers[0]
    policies = {p.name: p for p in client.replication_policies.list(GROUP, VAULT)}
    assert policies["classic-policy-failback"].properties.provider_specific_details.instance_type == "InMage"
    item = Item("erp-01")
    start = item.get()
    assert start.protection_state == "UnplannedFailoverCommitted" and start.provider_specific_details.instance_type == "InMageAzureV2"
    reprotect = models.ReverseReplicationInput(
        properties=models.ReverseReplicationInputProperties(
            failover_direction="RecoveryToPrimary",
            provider_specific_details=models.InMageReprotectInput(
                master_target_id=target.id,
                process_server_id=process.id,
                retention_drive="R",
                run_as_account_id="2",
                datastore_name="datastore1",
                profile_id=policies["classic-policy-failback"].id,
                disk_exclusion_input=models.InMageDiskExclusionInput(
                    volume_options=[models.InMageVolumeExclusionOptions(volume_label="Temporary Storage", only_exclude_if_single_volume="Yes")]
                ),
            ),
        )
    )
    item.run("reprotect", reprotect)
    now = item.until_allowed("UnplannedFailover")
    assert now.provider_specific_details.instance_type == "InMage" and now.provider_specific_details.active_site_type == "Azure"
    refused(HttpResponseError, 400, lambda: item.call("failover_cancel"))
    item.until(lambda _: list(client.recovery_points.list_by_replication_protected_items(*item.where.values())))
    failback = models.UnplannedFailoverInput(
        properties=models.UnplannedFailoverInputProperties(
            failover_direction="PrimaryToRecovery",
            source_site_operations="NotRequired",
            provider_specific_details=models.InMageUnplannedFailoverInput(recovery_point_type="LatestTime"),
        )
    )
    item.run("unplanned_failover", failback)
    now = item.get()
    assert "Commit" in now.allowed_operations and "CancelFailover" not in now.allowed_operations
    assert item.world()["azureVm"]["powerState"] == "deallocated" and item.world()["onPremVm"]["powerState"] == "poweredOn"
    item.run("failover_commit")
    now = item.get()
    assert now.protection_state == "UnplannedFailoverCommitted" and now.provider_specific_details.active_site_type == "OnPrem"
    assert not item.world()["azureVm"]["exists"]
    item.until(lambda _: item.world()["agentRegistered"])
    protect = models.ReverseReplicationInput(
        properties=models.ReverseReplicationInputProperties(
            failover_direction="RecoveryToPrimary",
            provider_specific_details=models.InMageAzureV2ReprotectInput(
                master_target_id=process.id, process_server_id=process.id, run_as_account_id="2", policy_id=policies["classic-policy"].id
            ),
        )
    )
    item.run("reprotect", protect)
    now = item.until_allowed("TestFailover")
    assert now.provider_specific_details.instance_type == "InMageAzureV2" and now.protection_state == "Protected"
    # And to Azure again, with which the next round begins.
    failover = models.UnplannedFailoverInput(
        properties=models.UnplannedFailoverInputProperties(
            failover_direction="PrimaryToRecovery",
            source_site_operations="Required",
            provider_specific_details=models.InMageAzureV2UnplannedFailoverInput(),
        )
    )
    item.run("unplanned_failover", failover)
    now = item.get()
    assert now.protection_state == "UnplannedFailoverCommitPendingStatesBegin" and now.active_location == "Recovery"
    assert now.allowed_operations == ["CompleteMigration", "Commit", "DisableProtection", "ChangePit", "SwitchProtection"]
    assert item.world()["azureVm"]["powerState"] == "running" and item.world()["onPremVm"]["powerState"] == "poweredOff"
    item.run("failover_commit")
    now = item.get()
    assert now.protection_state == "UnplannedFailoverCommitted" and now.provider_specific_details.instance_type == "InMageAzureV2"
    assert "Commit" not in now.allowed_operations and "SwitchProtection" in now.allowed_operations
    assert not item.world()["bothRunningEver"]
    calls = [(call["verb"], call["status"]) for call in admin("/calls") if call["target"] == item.name]
    assert calls == [
        ("reProtect", 202),
        ("failoverCancel", 400),
        ("unplannedFailover", 202),
        ("failoverCommit", 202),
        ("reProtect", 202),
        ("unplannedFailover", 202),
        ("failoverCommit", 202),
    ], calls
    print("classic cycle done")


def around():
    """What a client reads beside the cycle."""
    assert client.replication_appliances.list(GROUP, VAULT).next().properties.provider_specific_details.appliances
    centers = list(client.replicationv_centers.list(GROUP, VAULT)) if hasattr(client, "replicationv_centers") else list(client.replication_vcenters.list(GROUP, VAULT))
    assert centers and centers[0].properties.discovery_status
    assert client.replication_vault_health.get(GROUP, VAULT).properties.protected_items_health.resource_count
    assert list(client.replication_events.list(GROUP, VAULT))
    assert list(client.replication_protection_containers.list(GROUP, VAULT))
    assert list(client.replication_protection_container_mappings.list(GROUP, VAULT))
    assert list(client.replication_recovery_services_providers.list(GROUP, VAULT))
    plans = {plan.name: plan for plan in client.replication_recovery_plans.list(GROUP, VAULT)}
    assert plans["app-plan"].properties.groups == []
    plan = client.replication_recovery_plans.get(GROUP, VAULT, "app-plan").properties
    assert [group.group_type for group in plan.groups] == ["Shutdown", "Failover", "Boot"]
    admin("/mend", {"expireTokens": True})
    fresh = SiteRecoveryManagementClient(
        credential=type("Stale", (), {"get_token": lambda *_, **__: AccessToken("stale", int(time.time()) + 999)})(),
        subscription_id=SUBSCRIPTION, base_url=BASE, credential_scopes=["x/.default"], connection_verify=sys.argv[2], retry_total=0,
    )
    refused(ClientAuthenticationError, 401, lambda: list(fresh.replication_fabrics.list(GROUP, VAULT)))
    print("the rest is read")


if sys.argv[3] == "list":
    start = time.monotonic()
    names = [item.name for item in client.replication_protected_items.list(GROUP, VAULT)]
    assert len(names) == len(set(names)) == 5000, len(names)
    print(f"5000 items in pages in {time.monotonic() - start:.1f} s")
else:
    modernized()
    classic()
    around()
print("OK")
