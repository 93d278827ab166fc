"""Alerts fire when they should and only then, link to runbooks, and ask for metrics that exist."""

import json
import re
import subprocess
import urllib.request

import pytest
import record_metrics
import yaml
from conftest import ROOT, VARIANTS, needs, of_kind, one, render
from live import Stage, until
from test_running import with_port

RUNBOOKS = ROOT / "docs/runbooks"
ALERTS = {
    "FailbackStalled", "OutcomeUnknown", "ApprovalPendingTooLong", "NotCommitted", "BothCopiesRunning",
    "ThrottledSustained", "CredentialsRejected", "MasterTargetDown", "InventoryStale", "NoLeader", "ReadinessLost",
}
LEADS = 'failback_leader{namespace="failback-system", pod="a"}'

# For each alert: what Prometheus reads, once a minute; minutes without and with the alert; the labels that it has.
# `1x60` is sixty more times the same, `0+1x60` one more each time, `_` a reading that failed.
FIRES = {
    "FailbackStalled": ({'failback_stalled{kind="ReplicatedItem"}': "0x9 2x60"}, 19, 21, {"kind": "ReplicatedItem"}),
    "OutcomeUnknown": ({'failback_waiting{waiting_on="OperationOutcomeUnknown"}': "0x9 1x60"}, 10, 12, {}),
    "ApprovalPendingTooLong": ({"failback_approval_pending_seconds": "13200+60x60"}, 24, 27, {}),
    "NotCommitted": ({"failback_uncommitted_seconds": "85200+60x60"}, 24, 27, {}),
    "BothCopiesRunning": ({"failback_both_copies_running": "0x9 1x60"}, 24, 26, {}),
    "ThrottledSustained": ({'failback_throttled_total{api="arm"}': "0x9 1+0.2x90"}, 38, 46, {"api": "arm"}),
    "CredentialsRejected": (
        {'failback_connections{api="vcenter", reason="CredentialsRejected"}': "0x9 1x60"},
        14, 16, {"api": "vcenter", "reason": "CredentialsRejected"},
    ),
    "MasterTargetDown": ({'failback_master_targets{state="Unhealthy"}': "0x9 1x60"}, 24, 26, {"state": "Unhealthy"}),
    "InventoryStale": ({'failback_inventories_stale{api="arm"}': "0x9 1x60"}, 14, 16, {"api": "arm"}),
    "NoLeader": ({"failback_leader": "1x9 0x60"}, 12, 14, {}),
    "ReadinessLost": (
        {
            'failback_checks_lost_total{check="VCenterConnected"}': "0x9 1x600",
            'failback_checks{check="VCenterConnected", result="Failed"}': "0x9 1x600",
        },
        19, 22, {"check": "VCenterConnected"},
    ),
}

# What must never fire anything, however long it lasts.
QUIET = {
    "a machine that waits as it should": {'failback_waiting{waiting_on="WaitingForJob"}': "3x600"},
    "an approval that came within four hours": {"failback_approval_pending_seconds": "10800+60x59 0x300"},
    "a commit within a day": {"failback_uncommitted_seconds": "82800+60x59 0x300"},
    "machines that change sides": {"failback_both_copies_running": "0x9 1x13 0x300"},
    "one throttled call": {'failback_throttled_total{api="arm"}': "0x9 1x600"},
    "a vault that cannot be reached": {'failback_connections{api="arm", reason="Unreachable"}': "1x600"},
    "a heartbeat that is late": {'failback_master_targets{state="Unhealthy"}': "0x9 1x13 0x300"},
    "a slow reading": {'failback_inventories_stale{api="arm"}': "0x9 1x3 0x300"},
    "a leader that is replaced": {"failback_leader": "1x9 _x2 1x600"},
    "a check that never passed": {
        'failback_checks_lost_total{check="VCenterConnected"}': "0x600",
        'failback_checks{check="VCenterConnected", result="Failed"}': "5x600",
    },
    "a check that passes again": {
        'failback_checks_lost_total{check="VCenterConnected"}': "0x9 1x600",
        'failback_checks{check="VCenterConnected", result="Failed"}': "0x9 1x8 0x600",
    },
    "another release": {'failback_stalled{kind="ReplicatedItem", namespace="lab"}': "5x600"},
}


def spec():
    return one(render(VARIANTS["alerts"]), "PrometheusRule")["spec"]


def rules():
    return [rule for group in spec()["groups"] for rule in group["rules"]]


def dashboard():
    return json.loads(one(render(VARIANTS["alerts"]), "ConfigMap", "-dashboard")["data"]["failback.json"])


def queries():
    """Every query of an alert or of the dashboard."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def series(metrics):
    """What is read of the leader, and of a pod that waits: each at the release's namespace, unless it says another."""
    for selector, values in metrics.items():
        name, labels = re.fullmatch(r"(\w+)(?:\{(.*)\})?", selector).groups()
        if "namespace=" in selector:
            yield {"series": selector, "values": values}
            continue
        labels = f"{labels}, " if labels else ""
        for pod, shown in (("a", values), ("b", "0x2000")):
            yield {"series": f'{name}{{{labels}namespace="failback-system", pod="{pod}"}}', "values": shown}
    if "failback_leader" not in metrics:
        yield {"series": LEADS, "values": "1x2000"}


def sample(labels):
    pairs = [f'{name}="{value}"' for name, value in {"alertstate": "firing", **labels}.items()]
    return f"ALERTS{{{', '.join(pairs)}}}"


@pytest.fixture
def promtool(tmp_path):
    tool = needs("promtool", "promtool (Debian's prometheus)")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec()))

    def run(*arguments):
        done = subprocess.run([tool, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    def firing(metrics, expected):
        """Runs the rules over these metrics; `expected` tells which alerts fire, with their labels, at which minutes."""
        asked = [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{minutes}m",
             "exp_samples": [{"labels": sample(alert), "value": 1} for alert in alerts]}
            for minutes, alerts in expected.items()
        ]
        test = {"interval": "1m", "input_series": list(series(metrics)), "promql_expr_test": asked}
        (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
        return run("test", "rules", "tests.yaml")

    run.firing = firing
    return run


def test_the_rules_are_understood(promtool):
    code, said = promtool("check", "rules", "rules.yaml")
    assert code == 0 and "SUCCESS" in said, said


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_fires_in_time_and_not_before(promtool, name):
    metrics, before, after, labels = FIRES[name]
    severity = next(rule for rule in rules() if rule["alert"] == name)["labels"]["severity"]
    code, said = promtool.firing(metrics, {before: [], after: [{"alertname": name, "severity": severity, **labels}]})
    assert code == 0, said


@pytest.mark.parametrize("what", sorted(QUIET))
def test_nothing_fires_without_need(promtool, what):
    code, said = promtool.firing(QUIET[what], {minutes: [] for minutes in (10, 15, 20, 25, 30, 45, 59, 240, 590)})
    assert code == 0, said


# What a simulated run shows (vectors/metrics.json): the alerts that fire at its end. Each has a run of its own; what else
# fires there is part of the same trouble.
RECORDED = json.loads((ROOT / "tests/chart/vectors/metrics.json").read_text())
FIRING = {
    "healthy": set(),
    "stalled": {"FailbackStalled"},
    # Jobs cannot be listed: that is why nothing is known.
    "outcome_unknown": {"OutcomeUnknown", "FailbackStalled", "InventoryStale"},
    "approval_pending": {"ApprovalPendingTooLong"},
    "not_committed": {"NotCommitted"},
    # It had been seen stopped.
    "both_copies": {"BothCopiesRunning", "ReadinessLost"},
    # Every reading is paused, for more than an hour.
    "throttled": {"ThrottledSustained", "InventoryStale", "MasterTargetDown", "ReadinessLost"},
    "credentials_rejected": {"CredentialsRejected"},
    "master_target_down": {"MasterTargetDown", "ReadinessLost"},
    # Heartbeats that nobody reads grow old.
    "inventory_stale": {"InventoryStale", "MasterTargetDown", "ReadinessLost"},
    "no_leader": {"NoLeader"},
    "readiness_lost": {"ReadinessLost"},
}


def recorded_series(run):
    """The run's series, those that are 0 in every run included, as Prometheus names them."""
    still = {name: f"0x{run['answers']}" for name in RECORDED["zero"]}
    # A target that does not answer ends its series at once.
    end = " stale" if run["answers"] < run["minutes"] else ""
    for selector, values in {**still, **run["series"]}.items():
        name, _, labels = selector.partition("{")
        labels = labels.rstrip("}") + ", " if labels else ""
        yield {"series": f'{name}{{{labels}namespace="failback-system", pod="a"}}', "values": values + end}


@pytest.mark.parametrize("name", sorted(RECORDED["runs"]))
def test_an_alert_fires_in_a_simulated_run(promtool, tmp_path, name):
    run = RECORDED["runs"][name]
    quiet = range(0, run["trouble"] + 1, 10) if FIRING[name] else range(0, run["minutes"] + 1, 5)

    def asked(minute, alerts):
        samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)]
        return {"expr": 'group by (alertname) (ALERTS{alertstate="firing"})', "eval_time": f"{minute}m", "exp_samples": samples}

    checks = [asked(minute, ()) for minute in quiet]
    if FIRING[name]:
        checks.append(asked(run["minutes"], FIRING[name]))
    test = {"interval": "1m", "input_series": list(recorded_series(run)), "promql_expr_test": checks}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    code, said = promtool("test", "rules", "tests.yaml")
    assert code == 0, said


def test_every_alert_has_a_simulated_run():
    assert set(RECORDED["runs"]) == set(FIRING) == {run.__name__ for run in record_metrics.RUNS}
    assert set.union(*FIRING.values()) == ALERTS


def drifted(shown):
    """What the recording has that is not shown any more: a metric with its labels, or a series that was ever not 0."""
    shape = re.compile(r'="[^"]*"')
    moving = set().union(*(run["series"] for run in RECORDED["runs"].values()))
    shapes = {shape.sub("", series) for series in shown}
    return sorted(moving - shown) + sorted({shape.sub("", series) for series in {*RECORDED["zero"], *moving}} ^ shapes)


def test_a_metric_that_changes_its_shape_is_noticed():
    shown = set(RECORDED["zero"]).union(*(run["series"] for run in RECORDED["runs"].values()))
    assert drifted(shown) == [] and drifted(shown | {'failback_waiting{waiting_on="SomethingNew"}'}) == []
    assert drifted(shown - {"failback_uncommitted_seconds"}) == ["failback_uncommitted_seconds"] * 2
    assert drifted({series.replace("waiting_on=", "reason=") for series in shown})


def test_every_alert_of_the_design_is_there():
    assert {rule["alert"] for rule in rules()} == ALERTS == set(FIRES)


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    for rule in rules():
        url = rule["annotations"]["runbook_url"]
        assert url == f"https://git.example.com/dr/failback/docs/runbooks/{rule['alert']}.md"
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS | {"README"}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_a_runbook_says_what_a_person_on_call_needs(name):
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!^## ).*\n?)+)", text, re.M))
    assert list(sections) == ["What it means", "What to look at", "What to do", "When to escalate"]
    assert "kubectl" in sections["What to look at"]
    assert all(len(section) > 60 for section in sections.values())
    rule = next(rule for rule in rules() if rule["alert"] == name)
    assert f"`{rule['labels']['severity']}`" in text and f"({name}.md)" in (RUNBOOKS / "README.md").read_text()
    # What it names of the metrics is what the alert looks at.
    assert set(re.findall(r"`(failback_\w+)`", text)) <= documented_names()


def documented():
    """docs/metrics.md, which a test of the code keeps as the registry is: names with types, and labels with values."""
    text = (ROOT / "docs/metrics.md").read_text()
    types = dict(re.findall(r"^\| `(failback_\w+)` \| (counter|gauge|histogram) \|", text, re.M))
    labels = {}
    for name, label, values in re.findall(r"^\| `(failback_\w+)` \| `(\w+)` \| (.+) \|$", text, re.M):
        labels.setdefault(name, {})[label] = values
    return types, labels


def documented_names():
    types, _ = documented()
    return set(types)


def base(name, types):
    """The metric of a series: a histogram has several."""
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    return stem if types.get(stem) == "histogram" else name


def test_queries_name_metrics_that_exist():
    types, labels = documented()
    seen = set()
    for where, query in queries():
        for name, selector in re.findall(r"(failback_\w+)\{([^}]*)\}", query):
            metric = base(name, types)
            assert metric in types, f"{where}: {name}"
            known = set(labels.get(metric, {})) | {"namespace"}
            assert set(re.findall(r"(\w+)\s*[=!]~?", selector)) <= known, f"{where}: {selector}"
            assert "namespace=" in selector, f"{where} would mix releases"
            seen.add(metric)
        assert re.findall(r"failback_\w+(?!\w*\{)(?!\w)", query) == [], f"{where}: a metric without a namespace"
        for grouping in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
            known = {label for name in re.findall(r"(failback_\w+)\{", query) for label in labels.get(base(name, types), {})}
            assert set(map(str.strip, grouping.split(","))) <= known | {"le"}, f"{where}: {grouping}"
    assert seen >= set(types) - {"failback_inventories_stale", "failback_checks_lost_total"}, set(types) - seen


def test_queries_name_label_values_that_exist():
    _, labels = documented()
    reasons = (ROOT / "docs/reasons.md").read_text()
    checked = 0
    for where, query in queries():
        for name, selector in re.findall(r"(failback_\w+)\{([^}]*)\}", query):
            for label, values in re.findall(r'(\w+)\s*[=!]~?"([^"]*)"', selector):
                if label == "namespace":
                    continue
                known = reasons if label == "waiting_on" else labels[name][label]
                assert all(f"`{value}`" in known for value in values.split("|")), f"{where}: {label}={values}"
                checked += 1
    assert checked > 5


def test_the_dashboard_is_one_that_grafana_reads():
    board = dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) and board["title"] == "failback" and board["uid"]
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert [target["refId"] for target in panel["targets"]] == list("ABC"[: len(panel["targets"])])
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "namespace"}


def test_neither_is_there_unless_asked_for():
    assert of_kind(render(), "PrometheusRule") == [] and of_kind(render(), "ConfigMap") == []


def test_queries_are_understood(promtool, tmp_path):
    """The dashboard's, too: as rules, which promtool parses."""
    recorded = [{"record": f"query:{number}", "expr": query.replace("$namespace", "a").replace("$__range", "1h")}
                for number, (_, query) in enumerate(queries())]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    code, said = promtool("check", "rules", "queries.yaml")
    assert code == 0, said


def test_a_controller_that_worked_shows_what_is_documented(tmp_path):
    """A machine comes home; what /metrics shows then is what docs/metrics.md names, and tells of it."""
    types, _ = documented()
    names = record_metrics.asked_for()
    with Stage(tmp_path, {"secretNamespaces": ["default"]}) as stage:
        controller = with_port(stage, "pod-1")
        stage.apply_example()
        stage.until_phase("Protected")

        def scraped():
            with urllib.request.urlopen(f"http://127.0.0.1:{controller.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
            return text if 'failback_items{phase="Protected"} 1' in text else None

        text = until("the machine to be counted", scraped, 30)
        # The recording that alerts are tested with is of the metrics as they are.
        assert drifted(set(record_metrics.scraped(controller.port, names))) == [], "run tests/chart/record_metrics.py"
    shown = dict(re.findall(r"^# TYPE (failback_\w+) (\w+)$", text, re.M))
    assert {f"{name}_total" if kind == "counter" else name: kind for name, kind in shown.items()} == types
    for verb in ("Reprotect", "FailBack", "Commit", "Protect"):
        assert f'failback_operations_total{{verb="{verb}",outcome="submitted"}} 1' in text
        assert f'failback_operations_total{{verb="{verb}",outcome="succeeded"}} 1' in text
        assert f'failback_operation_duration_seconds_count{{verb="{verb}"}} 1' in text
    for line in ("failback_leader 1", "failback_vcenter_sessions 1", 'failback_inventories_stale{api="arm"} 0',
                 "failback_both_copies_running 0", 'failback_connections{api="arm",reason="Connected"} 1'):
        assert line in text.splitlines(), line
