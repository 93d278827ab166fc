#!/usr/bin/env python3
"""Records what /metrics shows while a simulated site has one trouble after the other: vectors/metrics.json.

    target/chart-venv/bin/python tests/chart/record_metrics.py

Each run is a controller of its own, held to the chart's roles, beside a site whose clock runs fast. What is scraped is
stamped with the site's time and kept once for each minute of it, as Prometheus would have read it: only the series that
alerts look at. Takes about three minutes; with names of runs, only these are recorded again.
"""

import datetime
import json
import pathlib
import re
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from conftest import ROOT, VARIANTS, one, render  # noqa: E402
from live import Stage, until  # noqa: E402
from test_running import with_port  # noqa: E402

FILE = ROOT / "tests/chart/vectors/metrics.json"
SAMPLE = re.compile(r"^(failback_\w+(?:\{[^}]*\})?) ([^ ]+)$", re.M)


def asked_for():
    """The metrics that alerts look at."""
    [rule_group] = one(render(VARIANTS["alerts"]), "PrometheusRule")["spec"]["groups"]
    return {name for rule in rule_group["rules"] for name in re.findall(r"failback_\w+", rule["expr"])}


def scraped(port, names):
    """The series of these metrics; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return {series: float(value) for series, value in SAMPLE.findall(text) if series.split("{")[0] in names}


class Run:
    """One controller beside one site, scraped all the time."""

    def __init__(self, folder, speed):
        self.stage = Stage(folder, {"secretNamespaces": ["default"]}, speed=speed)
        wall, site = self.stage.clock.split("@")[0].split("=")
        self.speed, self.wall, self.began = speed, read_time(wall), read_time(site)
        self.controller = with_port(self.stage, "pod-1")
        self.seen, self.trouble, self.stop = [], None, threading.Event()
        self.thread = threading.Thread(target=self.scrape, daemon=True)

    def __enter__(self):
        self.stage.__enter__()
        names = asked_for()
        until("a leader", lambda: (scraped(self.controller.port, names) or {}).get("failback_leader"))
        self.names, self.first = names, self.minutes()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.stage.__exit__()

    def minutes(self):
        """Of the site's time, since it began."""
        return (time.time() - self.wall) * self.speed / 60

    def scrape(self):
        while not self.stop.is_set():
            self.seen.append((self.minutes() - self.first, scraped(self.controller.port, self.names)))
            self.stop.wait(max(0.01, 15 / self.speed))

    def last(self, minutes):
        time.sleep(minutes * 60 / self.speed)

    def breaks(self):
        """From now on something is wrong."""
        self.trouble = int(self.minutes() - self.first)

    def shows(self, series, seconds=60):
        until(series, lambda: self.seen and (self.seen[-1][1] or {}).get(series, 0) > 0, seconds)

    def set_plan(self, **spec):
        path = "/apis/failback.dev/v1alpha1/namespaces/default/failbackplans/web"
        self.stage.server.call("PATCH", path, {"spec": spec}, "application/merge-patch+json")

    def each_minute(self):
        """For each whole minute of the site's time, what was read last before it."""
        rows, at = [], 0
        for minute in range(int(self.seen[-1][0]) + 1):
            while at + 1 < len(self.seen) and self.seen[at + 1][0] <= minute:
                at += 1
            rows.append(self.seen[at][1])
        return rows


def read_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def written(values):
    """In promtool's notation: `1x9` is ten times the same."""
    out, start = [], 0
    for index in range(1, len(values) + 1):
        if index == len(values) or values[index] != values[start]:
            more = index - start - 1
            out.append(f"{values[start]:.10g}" + (f"x{more}" if more else ""))
            start = index
    return " ".join(out)


def healthy(run):
    run.stage.apply_example()
    run.stage.until_phase("Protected")
    run.breaks()
    run.last(60)


def stalled(run):
    run.stage.apply_example(desiredPhase="Reprotected")
    run.stage.until_phase("Reprotected")
    error = {"type": "jobFails", "code": "539", "message": "The requested action couldn't be completed."}
    run.stage.at_site("faults", {"path": "*/plannedFailover", "effect": error})
    run.breaks()
    run.set_plan(desiredPhase="Protected")
    run.shows('failback_stalled{kind="ReplicatedItem"}')
    run.last(15)


def outcome_unknown(run):
    """The answer to a call is lost, and the jobs cannot be listed either."""
    run.stage.apply_example(desiredPhase="Reprotected")
    run.stage.until_phase("Reprotected")
    run.stage.at_site("faults", {"method": "POST", "path": "*/plannedFailover", "effect": {"type": "resetBefore"}})
    run.stage.at_site("faults", {"method": "GET", "path": "*/replicationJobs", "times": 0, "effect": {"type": "status", "status": 500}})
    run.breaks()
    run.set_plan(desiredPhase="Protected")
    run.shows('failback_waiting{waiting_on="OperationOutcomeUnknown"}', 120)
    run.last(15)


def approval_pending(run):
    run.stage.apply_example(approvals=[{"step": "FailBack"}])
    run.stage.until_phase("Reprotected")
    run.breaks()
    run.last(4 * 60 + 15)


def not_committed(run):
    run.stage.apply_example(desiredPhase="FailedBack")
    run.stage.until_phase("FailedBack")
    run.breaks()
    run.last(24 * 60 + 20)


def both_copies(run):
    run.stage.apply_example(desiredPhase="FailedBack")
    run.stage.until_phase("FailedBack")
    run.breaks()
    run.stage.at_site("mend", {"machine": "web-01", "azureVmRunning": True})
    run.shows("failback_both_copies_running")
    run.last(20)


def throttled(run):
    run.stage.apply_example(desiredPhase="Assessed")
    run.last(30)
    run.breaks()
    pause = {"type": "status", "status": 429, "retryAfter": "1"}
    run.stage.at_site("faults", {"method": "GET", "path": "*/replicationProtectedItems*", "times": 0, "effect": pause})
    run.last(75)


def credentials_rejected(run):
    run.stage.apply_example(desiredPhase="Assessed")
    run.last(20)
    run.breaks()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vcenter"}, "stringData": {"username": "anna", "password": "wrong"}}
    run.stage.server.apply(secret, "secrets")
    run.stage.at_site("mend", {"killSessions": True})
    run.shows('failback_connections{api="vcenter",reason="CredentialsRejected"}')
    run.last(10)


def master_target_down(run):
    run.stage.apply_example(desiredPhase="Assessed")
    run.last(20)
    run.breaks()
    run.stage.at_site("mend", {"component": "appliance01", "part": "rcmProxy", "componentHealth": "Critical"})
    run.shows('failback_master_targets{state="Unhealthy"}')
    run.last(20)


def inventory_stale(run):
    run.stage.apply_example(desiredPhase="Assessed")
    run.last(20)
    run.breaks()
    run.stage.at_site("faults", {"method": "GET", "path": "*/replicationProtectedItems*", "times": 0, "effect": {"type": "status", "status": 500}})
    run.shows('failback_inventories_stale{api="arm"}')
    run.last(15)


def no_leader(run):
    run.stage.apply_example(desiredPhase="Assessed")
    run.last(20)
    run.breaks()
    run.controller.process.kill()
    run.controller.process.wait()
    run.last(10)


def readiness_lost(run):
    run.stage.apply_example(desiredPhase="Assessed")
    run.last(20)
    run.breaks()
    run.stage.at_site("mend", {"machine": "web-01", "diskDetached": 0})
    until("the check to be lost", lambda: any(v > 0 for s, v in (run.seen[-1][1] or {}).items() if s.startswith("failback_checks_lost")), 60)
    run.last(15)


# How many times as fast as ours the site's clock runs. Faster still, and a busy machine's pauses are stale inventories.
RUNS = {
    healthy: 1200, stalled: 1200, outcome_unknown: 1200, approval_pending: 1200, not_committed: 1200, both_copies: 1200,
    throttled: 600, credentials_rejected: 600, master_target_down: 600, inventory_stale: 600, no_leader: 600,
    readiness_lost: 600,
}


def record(only):
    kept = json.loads(FILE.read_text()) if FILE.exists() and only else {"zero": [], "runs": {}}
    runs = kept["runs"]
    for run_of, speed in RUNS.items():
        if only and run_of.__name__ not in only:
            continue
        with tempfile.TemporaryDirectory() as folder, Run(pathlib.Path(folder), speed) as run:
            run_of(run)
            rows = run.each_minute()
        # Until when somebody answered.
        answers = max(minute for minute, row in enumerate(rows) if row is not None)
        series = {name: written([row[name] for row in rows[: answers + 1]]) for name in rows[0]}
        runs[run_of.__name__] = {"minutes": len(rows) - 1, "answers": answers, "trouble": run.trouble, "series": series}
        print(run_of.__name__, len(rows), "minutes")
    return kept


def shortened(kept):
    """What is 0 all the time in every run is named once."""
    zero = set(kept["zero"])
    for run in kept["runs"].values():
        for name in zero:
            run["series"].setdefault(name, f"0x{run['answers']}")
    everywhere = set.intersection(*(set(run["series"]) for run in kept["runs"].values()))
    still = {name for name in everywhere if all(run["series"][name] == f"0x{run['answers']}" for run in kept["runs"].values())}
    for run in kept["runs"].values():
        run["series"] = {name: values for name, values in sorted(run["series"].items()) if name not in still}
    return {"zero": sorted(still), "runs": dict(sorted(kept["runs"].items()))}


if __name__ == "__main__":
    FILE.write_text(json.dumps(shortened(record(sys.argv[1:])), indent=1) + "\n")
