"""The admission policies allow and deny: their expressions run in a CEL engine, as the API server would run them.

The engine has no Kubernetes in it: `authorizer` is a stub that knows who may do what, and variables are evaluated when
they are asked for, as the server does.
"""

import copy
import re

import pytest
from cel_expr_python import cel
from conftest import VARIANTS, documents, of_kind, one, render, ROOT

T = cel.Type
GRANTS = set()  # (user, verb, resource, namespace, name)


def allowed(check):
    wanted = (check["user"], check["verb"], check["resource"], check["namespace"], check.get("name", ""))
    return check["group"] == ("batch" if check["resource"] == "jobs" else "failback.dev") and wanted in GRANTS


def step(name, key):
    impl = lambda check, value: {**check, key: value}
    return cel.FunctionDecl(name, [cel.Overload(f"authorizer_{name}", T.MAP, [T.MAP, T.STRING], is_member=True, impl=impl)])


ENV = cel.NewEnv(
    variables={name: T.DYN for name in ("object", "oldObject", "request", "params", "variables", "authorizer")},
    functions=[
        *(step(name, key) for name, key in [("group", "group"), ("resource", "resource"), ("namespace", "namespace"), ("name", "name"), ("check", "verb")]),
        cel.FunctionDecl("allowed", [cel.Overload("authorizer_allowed", T.BOOL, [T.MAP], is_member=True, impl=allowed)]),
    ],
)
FULL = VARIANTS["all-policies"]


class Denied(Exception):
    pass


def evaluate(expression, data):
    result = ENV.compile(expression).eval(data=data)
    value = result.plain_value()
    if result.type() == T.ERROR:
        raise AssertionError(f"{expression}\n{value}")
    return value


def admit(suffix, values=FULL, *, user, operation, obj=None, old=None, params=({},)):
    """What one policy says to one request: its message when it denies. Every parameter object has its say."""
    policy = one(render(values), "ValidatingAdmissionPolicy", suffix)
    binding = one(render(values), "ValidatingAdmissionPolicyBinding", suffix)
    spec = policy["spec"]
    rule = spec["matchConstraints"]["resourceRules"][0]
    if operation not in rule["operations"]:
        return None
    data = {
        "object": obj, "oldObject": old,
        "request": {"operation": operation, "namespace": "dr", "userInfo": {"username": user}},
        "authorizer": {"user": user},
    }
    if not all(evaluate(condition["expression"], data) for condition in spec.get("matchConditions", [])):
        return None
    if not params:
        return binding["spec"]["paramRef"]["parameterNotFoundAction"]
    for param in params:
        data["params"] = param
        data["variables"] = {}
        for variable in spec.get("variables", []):
            data["variables"][variable["name"]] = evaluate(variable["expression"], data)
        for validation in spec["validations"]:
            assert validation["reason"] == "Forbidden"
            if evaluate(validation["expression"], data) is not True:
                message = validation.get("messageExpression")
                return evaluate(message, data) if message else validation["message"]
    return None


def demand(step, count, forbid=False):
    return {"step": step, "count": count, "forbidRequester": forbid}


def commit(**spec):
    return {"policy": "Verified", "soakSeconds": 60, "onProbeFailure": "Hold", **spec}


def waiver(check, *items, reason="known"):
    return {"check": check, "reason": reason, **({"items": list(items)} if items else {})}


WINDOW = {"cron": "0 22 * * SAT", "durationMinutes": 240, "timeZone": "UTC"}
WIDER = {**WINDOW, "durationMinutes": 600}
FOUND = {"name": "all", "items": [], "selector": {"matchLabels": {"tier": "web"}}, "maxConcurrent": 10}
FOUND_ELSE = {**FOUND, "selector": {"matchLabels": {"tier": "db"}}}
FOUND_MORE = {"name": "all", "items": ["web-01", "web-02"], "selector": FOUND["selector"], "maxConcurrent": 10}


def plan(**spec):
    """As the API server hands it to a policy: with the definitions' defaults."""
    return {
        "metadata": {"name": "web", "namespace": "dr", "uid": "u-1"},
        "spec": {
            "desiredPhase": "FailedBack",
            "waves": [{"name": "all", "items": ["web-01", "web-02"], "maxConcurrent": 10}],
            "approvals": [demand("FailBack", 1), demand("Commit", 2)], "commit": commit(),
            "suspend": False, "dryRun": False, "onItemFailure": "Stop", "deletionPolicy": "Hold", **spec,
        },
        "status": {"observedGeneration": 1, "startedAt": "2026-11-01T00:00:00Z"},
    }


def annotated(obj, **annotations):
    obj = copy.deepcopy(obj)
    obj["metadata"]["annotations"] = {f"failback.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return obj


def unstarted(obj):
    obj = copy.deepcopy(obj)
    obj["status"] = {"observedGeneration": -1}
    return obj


def approval(approver="anna", name="web"):
    spec = {"planRef": {"name": name}, "planUid": "u-1", "specHash": "h", "step": "Commit", "approver": approver}
    return {"metadata": {"name": "a", "namespace": "dr"}, "spec": spec}


@pytest.fixture(autouse=True)
def grants():
    GRANTS.clear()
    GRANTS.add(("anna", "approve", "failbackplans", "dr", "web"))


# Approvals carry the name of who makes them.


def test_an_approver_approves():
    assert admit("approver-identity", user="anna", operation="CREATE", obj=approval()) is None


def test_nobody_approves_in_anothers_name():
    GRANTS.add(("bert", "approve", "failbackplans", "dr", "web"))
    message = admit("approver-identity", user="bert", operation="CREATE", obj=approval("anna"))
    assert message == "spec.approver must be bert, the name under which you are signed in"


def test_who_may_not_approve_does_not():
    message = admit("approver-identity", user="carl", operation="CREATE", obj=approval("carl"))
    assert message.startswith("carl may not approve")


def test_the_right_is_asked_for_the_plan_that_the_approval_names():
    assert admit("approver-identity", user="anna", operation="CREATE", obj=approval(name="other")) is not None


def test_labels_of_an_approval_may_change_by_anybody_with_the_right():
    labelled = {**approval(), "metadata": {"name": "a", "namespace": "dr", "labels": {"a": "b"}}}
    assert admit("approver-identity", user="bert", operation="UPDATE", obj=labelled, old=approval()) is None
    assert admit("approver-identity", user="bert", operation="UPDATE", obj=approval("bert"), old=approval()) is not None


# Who describes a Job may make it.

HOOK = {"name": "dns", "when": "After", "step": "FailBack", "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}}


def probed(*probes):
    return {"metadata": {"name": "web-01", "namespace": "dr"}, "spec": {"verification": {"probes": list(probes)}}}


def test_hooks_are_written_by_those_who_may_make_jobs():
    message = admit("job-authors", user="rita", operation="CREATE", obj=plan(hooks=[HOOK]))
    assert message == "rita may not create Jobs in this namespace, and so neither hooks of a plan nor Jobs as probes"
    GRANTS.add(("rita", "create", "jobs", "dr", ""))
    assert admit("job-authors", user="rita", operation="CREATE", obj=plan(hooks=[HOOK])) is None


def test_a_plan_without_hooks_takes_no_right_to_make_jobs():
    assert admit("job-authors", user="rita", operation="CREATE", obj=plan()) is None
    assert admit("job-authors", user="rita", operation="UPDATE", obj=plan(), old=plan(hooks=[HOOK])) is None


def test_what_was_there_may_stay_and_no_more():
    old = plan(hooks=[HOOK])
    assert admit("job-authors", user="rita", operation="UPDATE", obj=plan(hooks=[HOOK], suspend=True), old=old) is None
    for changed in ([{**HOOK, "jobTemplate": {}}], [HOOK, {**HOOK, "name": "other"}]):
        assert admit("job-authors", user="rita", operation="UPDATE", obj=plan(hooks=changed), old=old) is not None


def test_jobs_as_probes_are_written_by_those_who_may_make_jobs():
    tcp, job = {"name": "t", "tcp": {"port": 1}}, {"name": "j", "job": {"jobTemplate": {}}}
    assert admit("job-authors", user="rita", operation="CREATE", obj=probed(tcp)) is None
    assert admit("job-authors", user="rita", operation="CREATE", obj=probed(tcp, job)) is not None
    assert admit("job-authors", user="rita", operation="UPDATE", obj=probed(job), old=probed(tcp, job)) is None
    assert admit("job-authors", user="rita", operation="UPDATE", obj=probed(job), old=probed(tcp)) is not None
    GRANTS.add(("rita", "create", "jobs", "dr", ""))
    assert admit("job-authors", user="rita", operation="CREATE", obj=probed(tcp, job)) is None


# Who asked for a plan does not approve it.


def test_a_plan_says_who_asked_for_it():
    message = requester("rita", "CREATE", plan())
    assert message.startswith("set the annotation failback.dev/requested-by to rita")
    assert requester("rita", "CREATE", annotated(plan(), requested_by="rita")) is None
    assert requester("rita", "CREATE", annotated(plan(), requested_by="anna")) is not None


def requester(user, operation, obj, old=None):
    return admit("failback-requester", user=user, operation=operation, obj=obj, old=old)


@pytest.mark.parametrize(
    "change",
    [
        {"desiredPhase": "Committed"},
        {"waves": [{"name": "all", "items": ["web-01"], "maxConcurrent": 10}]},
        {"skip": ["web-01"]},
        {"approvals": []},
        {"commit": commit(soakSeconds=0)},
        {"window": WINDOW},
        {"waivers": [waiver("VmNameFree")]},
        {"hooks": [HOOK]},
        {"dryRun": True},
        {"onItemFailure": "Continue"},
        {"failureBudget": 3},
        {"maxConcurrent": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_who_changes_what_a_plan_does_asks_for_it(change):
    old = annotated(plan(), requested_by="rita")
    assert requester("mona", "UPDATE", annotated(plan(**change), requested_by="rita"), old) is not None
    assert requester("mona", "UPDATE", annotated(plan(**change), requested_by="mona"), old) is None


def test_what_an_approval_is_for_is_what_asks_anew():
    """The fields of the hash that an approval quotes, by the code that makes it."""
    source = (ROOT / "src/core/decide/plan/mod.rs").read_text()
    body = source[source.index("pub fn spec_hash") :].split("\n}\n")[0]
    hashed = re.findall(r'"(\w+)": spec\.', body)
    # Some are there only where the plan has them.
    hashed += re.findall(r'insert\("(\w+)"\.to_owned\(\), [^;]*spec\.', body)
    assert len(hashed) >= 9 and "hooks" in hashed and len(hashed) == len(set(hashed))
    policy = one(render(FULL), "ValidatingAdmissionPolicy", "failback-requester")
    [asks] = [v["expression"] for v in policy["spec"]["variables"] if v["name"] == "asksAnew"]
    assert [name for name in hashed if f"object.spec.{name} != oldObject.spec.{name}" not in asks
            and f"object.spec.{name} : []) != (" not in asks] == []


STEERING = [{"suspend": True}, {"retryToken": "again"}, {"cancel": [{"reason": "the application does not start"}]}]


@pytest.mark.parametrize("change", STEERING, ids=lambda change: next(iter(change)))
def test_suspending_trying_again_and_cancelling_ask_for_nothing_new(change):
    old = annotated(plan(), requested_by="rita")
    assert requester("mona", "UPDATE", annotated(plan(**change), requested_by="rita"), old) is None
    # ... and are no way to take the name off.
    assert requester("mona", "UPDATE", plan(**change), old) is not None
    assert requester("mona", "UPDATE", annotated(plan(**change), requested_by="anna"), old) is not None
    # ... nor to put one's own there, so that who asked may approve.
    message = requester("mona", "UPDATE", annotated(plan(**change), requested_by="mona"), old)
    assert message.startswith("the annotation failback.dev/requested-by stays rita")


def test_a_plan_from_before_gets_the_name_of_who_puts_it_there():
    assert requester("mona", "UPDATE", annotated(plan(), requested_by="mona"), plan()) is None
    assert requester("mona", "UPDATE", annotated(plan(), requested_by="rita"), plan()) is not None


def test_the_controller_writes_finalizers():
    old = annotated(plan(), requested_by="rita")
    held = copy.deepcopy(old)
    held["metadata"]["finalizers"] = ["failback.dev/hold"]
    assert requester("system:serviceaccount:failback-system:failback", "UPDATE", held, old) is None


def not_the_requester(user, plans):
    return admit("not-the-requester", user=user, operation="CREATE", obj=approval(user), params=plans)


def test_somebody_else_approves():
    plans = [annotated(plan(), requested_by="rita")]
    assert not_the_requester("anna", plans) is None
    assert "somebody else approves it" in not_the_requester("rita", plans)


def test_other_plans_have_no_say():
    other = annotated(plan(), requested_by="anna")
    other["metadata"]["name"] = "other"
    assert not_the_requester("anna", [annotated(plan(), requested_by="rita"), other]) is None


def test_a_plan_without_a_requester_is_not_approved():
    assert not_the_requester("anna", [plan()]) is not None
    assert not_the_requester("anna", [annotated(plan(), other="x")]) is not None


def test_without_any_plan_nothing_is_approved():
    assert not_the_requester("anna", []) == "Deny"


# What every plan must have approved.

REQUIRED = {"policies": {"requiredApprovals": {"enabled": True, "steps": {"FailBack": 1, "Commit": 2}}}}


def required(operation, obj, old=None):
    return admit("required-approvals", REQUIRED, user="rita", operation=operation, obj=obj, old=old)


def test_required_approvals():
    assert required("CREATE", plan()) is None
    few = plan(approvals=[demand("FailBack", 1), demand("Commit", 1)])
    assert required("CREATE", few) == "spec.approvals must have step Commit with a count of at least 2"
    none = plan()
    del none["spec"]["approvals"]
    assert required("CREATE", none) is not None
    assert required("UPDATE", few, plan()) is not None


def test_an_older_plan_can_still_be_suspended():
    few = plan(approvals=[])
    assert required("UPDATE", plan(approvals=[], suspend=True), few) is None
    assert required("UPDATE", plan(approvals=[], desiredPhase="Committed"), few) is not None


# A started plan, and a claimed machine.


def lock(obj, old, user="rita"):
    return admit("plan-lock", {}, user=user, operation="UPDATE", obj=obj, old=old)


@pytest.mark.parametrize(
    "change,allowed",
    [
        ({"desiredPhase": "Committed"}, True),
        ({"desiredPhase": "Protected"}, True),
        ({"desiredPhase": "Reprotected"}, False),
        ({"desiredPhase": "Assessed"}, False),
        ({"suspend": True}, True),
        ({"skip": ["web-01"]}, True),
        ({"retryToken": "again"}, True),
        ({"waves": [{"name": "all", "items": ["web-01", "web-02"], "maxConcurrent": 1}]}, True),
        ({"waves": [{"name": "all", "items": ["web-01"], "maxConcurrent": 10}]}, False),
        ({"waves": [{"name": "renamed", "items": ["web-01", "web-02"], "maxConcurrent": 10}]}, False),
        ({"waves": [plan()["spec"]["waves"][0], {"name": "more", "items": ["db"], "maxConcurrent": 1}]}, True),
        ({"waves": [FOUND_MORE]}, False),
        ({"approvals": [demand("Commit", 3), demand("FailBack", 1)]}, True),
        ({"approvals": [demand("Commit", 2, forbid=True), demand("FailBack", 1)]}, True),
        ({"approvals": [demand("Commit", 2)]}, False),
        ({"approvals": [demand("Commit", 1), demand("FailBack", 1)]}, False),
        ({"approvals": []}, False),
        ({"cancel": [{"reason": "the application does not start"}]}, True),
        ({"cancel": [{"items": ["web-01"], "reason": "it does not start"}]}, True),
    ],
    ids=str,
)
def test_what_a_started_plan_may_change(change, allowed):
    assert (lock(plan(**change), plan()) is None) == allowed
    assert lock(plan(**change), unstarted(plan())) is None


def test_who_asked_for_it_cannot_become_good_enough():
    old = plan(approvals=[demand("Commit", 1, forbid=True)])
    assert lock(plan(approvals=[demand("Commit", 1, forbid=True)]), old) is None
    assert lock(plan(approvals=[demand("Commit", 1)]), old) is not None


@pytest.mark.parametrize("waves,allowed", [([FOUND], True), ([FOUND_ELSE], False), ([{**FOUND_MORE, "selector": None}], False)], ids=str)
def test_a_started_plan_keeps_its_selectors(waves, allowed):
    waves = [{key: value for key, value in wave.items() if value is not None} for wave in waves]
    assert (lock(plan(waves=waves), plan(waves=[FOUND])) is None) == allowed
    assert lock(plan(waves=waves), unstarted(plan(waves=[FOUND]))) is None


HOLDS = {**HOOK, "when": "Before", "scope": "Item", "onFailure": "Hold", "timeoutSeconds": 600}
HOLDS_FOR_ONE = {**HOLDS, "items": ["web-01"], "waves": ["all"]}
OTHER_JOB = {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "b"}]}}}}}


def waves(*depends, names="abc"):
    """Waves that depend on these; None: on the wave before."""
    return [
        {"name": name, "items": [f"{name}-01"], "maxConcurrent": 10, **({} if on is None else {"dependsOn": list(on)})}
        for name, on in zip(names, depends)
    ]


WEAKER = [
    ({"hooks": [HOLDS]}, {}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "name": "other"}]}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "onFailure": "Continue"}]}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "when": "After"}]}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "step": "Protect"}]}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "scope": "Plan"}]}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "items": ["web-01"]}]}, "hooks that hold"),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "waves": ["all"]}]}, "hooks that hold"),
    ({"hooks": [HOLDS_FOR_ONE]}, {"hooks": [{**HOLDS_FOR_ONE, "items": ["web-02"]}]}, "hooks that hold"),
    ({"waves": waves(None, None)}, {"waves": waves(None, [])}, "dependsOn of its waves"),
    ({"waves": waves(None, None, ["a", "b"])}, {"waves": waves(None, None, ["a"])}, "dependsOn of its waves"),
    ({"waves": waves(None, [], ["b"])}, {"waves": waves(None, [], None)}, "dependsOn of its waves"),
    ({"waves": waves(None, None, names="ab")}, {"waves": waves(None, None, names="ba")}, "order of waves"),
    ({"waves": waves(None, None, names="ab")}, {"waves": waves(None, [], None, names="acb")}, "order of waves"),
    ({"window": WINDOW}, {"window": WIDER}, "its window stays"),
    ({"window": WINDOW}, {}, "its window stays"),
    ({}, {"waivers": [waiver("VmNameFree")]}, "to waive a check"),
    ({"waivers": [waiver("VmNameFree", "web-01")]}, {"waivers": [waiver("VmNameFree")]}, "to waive a check"),
    ({"waivers": [waiver("VmNameFree", "web-01")]}, {"waivers": [waiver("VmNameFree", "web-02")]}, "to waive a check"),
    ({}, {"commit": commit(policy="Manual")}, "its commits are held"),
    ({}, {"commit": commit(soakSeconds=59)}, "its commits are held"),
    ({}, {"commit": commit(onProbeFailure="Cancel")}, "its commits are held"),
    ({}, {"deletionPolicy": "Abandon"}, "its deletionPolicy stays Hold"),
]


@pytest.mark.parametrize("before,after,sentence", WEAKER, ids=lambda part: str(part)[:60])
def test_what_holds_a_started_plan_back_is_set_aside_by_who_may_waive_it(before, after, sentence):
    assert sentence in lock(plan(**after), plan(**before))
    assert lock(plan(**after), unstarted(plan(**before))) is None
    GRANTS.add(("anna", "waive", "failbackplans", "dr", "other"))
    assert lock(plan(**after), plan(**before), "anna") is not None, "the right is for this plan"
    GRANTS.add(("anna", "waive", "failbackplans", "dr", "web"))
    assert lock(plan(**after), plan(**before), "anna") is None
    # Approving is another right.
    GRANTS.add(("bert", "approve", "failbackplans", "dr", "web"))
    assert lock(plan(**after), plan(**before), "bert") is not None


STRICTER = [
    ({}, {"hooks": [HOLDS]}),
    ({"hooks": [HOLDS]}, {"hooks": [HOOK | {"name": "more"}, HOLDS]}),
    ({"hooks": [HOLDS]}, {"hooks": [HOLDS | OTHER_JOB]}),
    ({"hooks": [HOLDS]}, {"hooks": [{**HOLDS, "timeoutSeconds": 60, "items": []}]}),
    ({"hooks": [HOLDS_FOR_ONE]}, {"hooks": [HOLDS]}),
    ({"hooks": [HOLDS_FOR_ONE]}, {"hooks": [{**HOLDS_FOR_ONE, "items": ["web-02", "web-01"]}]}),
    ({"hooks": [{**HOLDS, "onFailure": "Continue"}]}, {}),
    ({"hooks": [{**HOLDS, "when": "After"}]}, {}),
    ({"waves": waves(None, None)}, {"waves": waves(None, None, None)}),
    ({"waves": waves(None, None, ["a"])}, {"waves": waves(None, None, ["b", "a"])}),
    ({"waves": waves(None, [], ["a"])}, {"waves": waves(None, ["a"], [], names="acb")}),
    ({"waves": [{**wave, "maxConcurrent": 1} for wave in waves(None, None)]}, {"waves": waves(None, None)}),
    ({"maxConcurrent": 3}, {"maxConcurrent": 100, "onItemFailure": "Quarantine", "failureBudget": 100}),
    ({}, {"window": WINDOW}),
    ({"waivers": [waiver("VmNameFree")]}, {}),
    ({"waivers": [waiver("VmNameFree")]}, {"waivers": [waiver("VmNameFree", reason="said better")]}),
    ({"commit": commit(policy="Manual")}, {}),
    ({}, {"commit": commit(soakSeconds=600)}),
    ({"commit": commit(onProbeFailure="Cancel")}, {}),
    ({"deletionPolicy": "Abandon"}, {}),
]


@pytest.mark.parametrize("before,after", STRICTER, ids=str)
def test_a_started_plan_may_be_held_to_more(before, after):
    assert lock(plan(**after), plan(**before)) is None
    assert lock(plan(**before), plan(**before)) is None


def test_waiving_is_part_of_the_approvers_role_alone():
    for role in ("viewer", "editor", "approver", "admin"):
        verbs = {verb for rule in one(render(), "ClusterRole", f"-{role}")["rules"] for verb in rule["verbs"]}
        assert ("waive" in verbs) == (role == "approver"), role


def test_a_plan_without_approvals_may_get_some():
    old = plan()
    del old["spec"]["approvals"]
    assert lock(plan(), old) is None and lock(copy.deepcopy(old), old) is None


def item(claimed=True, **spec):
    status = {"claim": {"plan": "web", "planUid": "u-1"}} if claimed else {"observedGeneration": 1}
    return {
        "metadata": {"name": "web-01", "namespace": "dr"},
        "spec": {"vaultRef": {"name": "v"}, "vcenterRef": {"name": "c"}, "machine": "web-01", **spec},
        "status": status,
    }


@pytest.mark.parametrize("change", [{"machine": "db"}, {"vaultRef": {"name": "w"}}, {"vcenterRef": {"name": "d"}}], ids=str)
def test_a_claimed_machine_stays_the_same(change):
    def say(claimed):
        return admit("item-lock", {}, user="rita", operation="UPDATE", obj=item(**change), old=item(claimed))

    assert say(True) == "plan web has claimed this machine: vaultRef, vcenterRef and machine stay"
    assert say(False) is None


def test_where_a_claimed_machine_goes_may_change():
    assert admit("item-lock", {}, user="rita", operation="UPDATE", obj=item(datastore="ds"), old=item()) is None


VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web-01"
OTHER_VM = VM.replace("web", "db")


@pytest.mark.parametrize("before,after", [(None, OTHER_VM), (VM, OTHER_VM), (VM, None), (VM, VM), (None, None)])
def test_what_a_claimed_machine_is_in_azure_is_changed_by_who_may_waive_its_plan(before, after):
    old, new = (item(**({} if id is None else {"azureVmId": id})) for id in (before, after))

    def say(user, old):
        return admit("item-lock", {}, user=user, operation="UPDATE", obj=new, old=old)

    GRANTS.add(("anna", "waive", "failbackplans", "dr", "web"))
    assert say("anna", old) is None
    GRANTS.add(("bert", "waive", "failbackplans", "dr", "other"))
    for user in ("rita", "bert"):
        if before == after:
            assert say(user, old) is None
        else:
            assert say(user, old).startswith("plan web has claimed this machine: its azureVmId stays")
    del old["status"]["claim"]
    assert say("rita", old) is None


PORT = {"name": "ssh", "tcp": {"port": 22}, "timeoutSeconds": 5, "intervalSeconds": 30, "successThreshold": 2, "failureThreshold": 3}
PAGE = {"name": "page", "http": {"scheme": "http", "port": 80, "path": "/", "expectedStatus": 200}, "timeoutSeconds": 5,
        "intervalSeconds": 30, "successThreshold": 1, "failureThreshold": 3}


@pytest.mark.parametrize(
    "before,after,allowed",
    [
        ([PORT], [PORT], True),
        ([PORT], [PAGE, PORT], True),
        ([], [PORT], True),
        ([PORT, PAGE], [PAGE], False),
        ([PORT], None, False),
        ([PORT], [{**PORT, "successThreshold": 1}], False),
        ([PORT], [{**PORT, "tcp": {"port": 23}}], False),
    ],
    ids=lambda part: ",".join(probe["name"] for probe in part) if isinstance(part, list) else str(part),
)
def test_a_claimed_machine_is_asked_what_it_was_to_be_asked(before, after, allowed):
    old, new = item(verification={"probes": before}), item(**({} if after is None else {"verification": {"probes": after}}))

    def say(user, old):
        return admit("item-lock", {}, user=user, operation="UPDATE", obj=new, old=old)

    assert (say("rita", old) is None) == allowed
    assert allowed or "its probes stay" in say("rita", old)
    GRANTS.add(("anna", "waive", "failbackplans", "dr", "web"))
    assert say("anna", old) is None
    del old["status"]["claim"]
    assert say("rita", old) is None


def test_the_lock_says_what_the_definitions_say():
    """The CRDs' own rules and the policy's come out the same for the rules that both have."""
    [text] = [path.read_text() for path in (ROOT / "charts/failback/files/crds").glob("*failbackplans.yaml")]
    [crd] = documents(text)
    rules = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    env = cel.NewEnv(variables={"self": T.DYN, "oldSelf": T.DYN})
    specs = [{"desiredPhase": phase} for phase in ["Assessed", "Reprotected", "FailedBack", "Committed", "Protected"]]
    specs += [{"waves": waves} for waves in ([FOUND], [FOUND_ELSE], [FOUND_MORE], [FOUND_MORE, {**FOUND, "name": "more"}])]
    specs += [{"approvals": [demand("Commit", count, forbid)]} for count in (1, 2) for forbid in (False, True)]
    specs += [{"approvals": []}]
    denied = 0
    for before in specs:
        for after in specs:
            old, new = plan(**before), plan(**after)
            crd_says = all(env.compile(r["rule"]).eval(data={"self": new, "oldSelf": old}).plain_value() for r in rules)
            assert crd_says == (lock(new, old) is None), (before, after)
            denied += not crd_says
    assert len(specs) ** 2 > denied > len(specs)


# Deleting a started plan.


def delete(obj, user="rita"):
    return admit("deletion-guard", user=user, operation="DELETE", old=obj)


def test_a_started_plan_is_not_deleted():
    assert delete(plan()).endswith("annotate it with failback.dev/abandon=u-1")
    assert delete(annotated(plan(), abandon="u-0")) is not None
    assert delete(annotated(plan(), abandon="u-1")) is None


def test_plans_before_and_after_their_run_are_deleted():
    assert delete(unstarted(plan())) is None
    done = plan()
    done["status"]["completedAt"] = "2026-11-02T00:00:00Z"
    assert delete(done) is None


def test_a_deleted_namespace_does_not_wait_for_its_plans():
    assert delete(plan(), "system:serviceaccount:kube-system:namespace-controller") is None


def test_nobody_may_be_exempt():
    values = {"policies": {"deletionGuard": {"enabled": True, "exemptUsers": []}}}
    assert admit("deletion-guard", values, user="system:admin", operation="DELETE", old=plan()) is not None


# All policies.


def test_every_policy_is_bound_and_denies(variant):
    objects = render(variant)
    policies = {policy["metadata"]["name"]: policy for policy in of_kind(objects, "ValidatingAdmissionPolicy")}
    bindings = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert sorted(policies) == sorted(binding["spec"]["policyName"] for binding in bindings)
    for binding in bindings:
        spec = binding["spec"]
        assert spec["validationActions"] == ["Deny"]
        assert ("paramRef" in spec) == ("paramKind" in policies[spec["policyName"]]["spec"])
        selector = spec.get("matchResources", {}).get("namespaceSelector", {}).get("matchExpressions", [])
        watched = variant.get("watchNamespaces")
        scope = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": watched}
        assert selector == ([scope] if watched else [])
    for policy in policies.values():
        assert policy["spec"]["failurePolicy"] == "Fail"
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
            assert not any("/" in resource for resource in rule["resources"]), "status is the controller's"


def test_the_default_is_what_the_values_say():
    names = {p["metadata"]["name"].removeprefix("failback-system-failback-") for p in of_kind(render(), "ValidatingAdmissionPolicy")}
    assert names == {"approver-identity", "job-authors", "plan-lock", "item-lock"}
