"""The documentation is a book, and every command in it is run, or marked as needing what a test has not.

A block of commands (`sh`; or `console`, where lines after `$ ` are commands and the others what they show) has a comment
before it:

    <!-- runs: demo -->                     run, in the page's order, in a checkout that is built, with `kubectl` at hand
    <!-- runs: demo, in the background -->  the last command is started, and left running until the page ends; what the
                                            block exports is of its terminal only
    <!-- runs: dr -->                       run where `failback` and its plugin are installed, and a site with the
                                            example's objects in namespace dr is running
    <!-- renders -->                        Helm's engine renders the chart with these values: see test_docs.py
    <!-- needs: Azure -->                   not run here: Azure, a cluster (with pods), a release
    <!-- runs: as the tests themselves -->  the command that runs this

What a block shows is compared by its shape: numbers and names that are made up may differ, `…` stands for any lines.
"""

import os
import re
import subprocess
import time
import tomllib

import pytest
from conftest import ROOT, needs
from live import BINARY

BOOK = ROOT / "docs"
PAGES = sorted(str(path.relative_to(ROOT)) for path in BOOK.rglob("*.md"))
ALL = [*PAGES, "README.md", "CONTRIBUTING.md", "charts/failback/README.md", "examples/README.md", "examples/gitops/README.md"]
BLOCK = re.compile(r"(?:^<!-- ([^>]*) -->\n)?^```(\w*)\n(.*?)^```$", re.S | re.M)
MARKERS = {
    "runs: demo", "runs: demo, in the background", "runs: dr", "renders", "needs: Azure", "needs: a cluster",
    "needs: a release", "runs: as the tests themselves",
}


def blocks(page):
    """(marker, commands with what each shows) of each block that has commands."""
    for marker, kind, text in BLOCK.findall((ROOT / page).read_text()):
        if kind in ("sh", "bash", "shell", "console"):
            yield marker, list(console(text) if kind == "console" else script(text))


def script(text):
    for command in re.split(r"(?<!\\)\n", text.strip()):
        if command and not command.startswith("#"):
            yield command, None


def console(text):
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *shown = re.split(r"(?<!\\)\n", part.strip("\n"))
        yield command, [line for line in shown if line.strip()]


def slug(heading):
    """The anchor of a heading, as mdBook and others make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def prose(page):
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.S | re.M)


# The layout, as mdBook wants it.


def test_every_page_is_in_the_summary_once():
    listed = re.findall(r"\]\(([^)]+)\)", (BOOK / "SUMMARY.md").read_text())
    assert len(listed) == len(set(listed))
    there = {str(path.relative_to(BOOK)) for path in BOOK.rglob("*.md")} - {"SUMMARY.md"}
    assert set(listed) == there


def test_the_summary_is_one_that_mdbook_reads():
    for line in (BOOK / "SUMMARY.md").read_text().splitlines():
        assert re.fullmatch(r"|# .+|\[[^\]]+\]\([\w./-]+\)|(?:  )*- \[[^\]]+\]\([\w./-]+\)", line), line


def test_the_book_is_where_its_manifest_says():
    book = tomllib.loads((BOOK / "book.toml").read_text())
    assert (BOOK / book["book"]["src"] / "SUMMARY.md").is_file() and book["book"]["title"] == "failback"
    # Built outside the tree, and nothing is made up for a page that is missing.
    assert (BOOK / book["build"]["build-dir"]).resolve().is_relative_to(ROOT / "target")
    assert book["build"]["create-missing"] is False


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_one_title(page):
    titles = re.findall(r"^# (.+)$", prose(page), re.M)
    assert page == "docs/SUMMARY.md" or len(titles) == 1


@pytest.mark.parametrize("page", ALL)
def test_links_and_anchors_lead_somewhere(page):
    # A pattern in a cell of a table looks like a link.
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page))):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert found.exists() and found.is_relative_to(ROOT), target
        if anchor:
            headings = {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(found.relative_to(ROOT)), re.M)}
            assert anchor in headings, target


# The commands.


@pytest.mark.parametrize("page", ALL)
def test_every_block_of_commands_is_marked(page):
    for marker, commands in blocks(page):
        assert marker in MARKERS, f"{page}: {commands[0][0]}: put one of {sorted(MARKERS)} before it"
        if marker.startswith("needs: Azure"):
            assert all(command.startswith("az ") for command, _ in commands), "only az needs Azure"
        if marker == "renders":
            assert all(command.startswith("helm ") for command, _ in commands)


class Terminal:
    """A shell in which a page is typed, and what it left running."""

    def __init__(self, folder):
        self.folder, self.running = folder, []
        tools, built = folder / "tools", folder / "target/debug"
        tools.mkdir()
        built.mkdir(parents=True)
        needs("kubectl", "kubectl")
        (built / "failback").symlink_to(needs(BINARY, "target/debug/failback (cargo build)"))
        # It is built already.
        cargo = f'[ "$1" = build ] && exit\n[ "$1 $2" = "run --" ] || exit 2\nshift 2\nexec {built}/failback "$@"'
        (tools / "cargo").write_text(f"#!/bin/sh\n{cargo}\n")
        (tools / "cargo").chmod(0o755)
        for name in ("examples", "charts"):
            (folder / name).symlink_to(ROOT / name)
        self.env = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder), "NO_COLOR": "1"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
            process.wait(30)

    def types(self, command):
        """Runs a command; what it exports stays for the next one."""
        kept = self.folder / "environment"
        text = f"{command}\ncode=$?\nenv -0 > {kept}\nexit $code\n"
        done = subprocess.run(["bash", "-c", text], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=300)
        if kept.exists():
            self.env = dict(pair.split("=", 1) for pair in kept.read_text().split("\0") if "=" in pair)
        return done

    def leaves_running(self, *commands):
        """Types the commands into a terminal of their own."""
        out = self.folder / f"background-{len(self.running)}"
        # exec, so that ending it ends the program and not a shell around it.
        text = "\n".join([*commands[:-1], f"exec {commands[-1]}"])
        with out.open("w") as log:
            process = subprocess.Popen(["bash", "-c", text], cwd=self.folder, env=self.env, stdout=log, stderr=log)
        self.running.append(process)
        end = time.time() + 60
        while "Still serving" not in out.read_text():
            assert process.poll() is None and time.time() < end, out.read_text()
            time.sleep(0.05)

    def with_objects_in_dr(self):
        """The example in namespace dr, kubectl pointed at it, and what a release installs."""
        installed = self.folder / "installed"
        installed.mkdir()
        for name in ("failback", "kubectl-failback"):
            (installed / name).symlink_to(BINARY)
        self.env["PATH"] = f"{installed}:{self.env['PATH']}"
        manifests = self.folder / "dr"
        manifests.mkdir()
        (manifests / "00.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: dr\n")
        for path in (ROOT / "examples/one-machine").glob("*.yaml"):
            (manifests / path.name).write_text(path.read_text().replace("namespace: default", "namespace: dr"))
        self.leaves_running("failback demo --serve --scenario examples/scenarios/one-machine.yaml --manifests dr --desired-phase Assessed --kubeconfig dr.kubeconfig")
        self.env["KUBECONFIG"] = str(self.folder / "dr.kubeconfig")
        found = self.types("kubectl --namespace dr wait --for=condition=Ready failback --all --timeout=60s")
        assert found.returncode == 0, found.stderr


def shape(line):
    """A line without what differs from run to run."""
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "<id>", line)
    line = re.sub(r"web-failback-\w+", "<name>", line)
    line = re.sub(r"(?<![\w.-])\d[\dT:.Z-]*(?:[smhd]\d*)*(?![\w-])|(?<=retry-)\d+T[\d.]+Z", "<n>", line)
    return " ".join(line.split())


def shows(shown, actual):
    """Whether each line is among what came, in the order; only `…` lets lines between pass."""
    rows, at, gap = [shape(line) for line in actual.splitlines() if line.strip()], 0, False
    for line in shown:
        if line == "…":
            gap = True
            continue
        wanted = shape(line)
        found = next((i for i in range(at, len(rows) if gap else at + 1) if i < len(rows) and matches(wanted, rows[i])), None)
        if found is None:
            return f"{wanted!r} is not in {rows[at:]}"
        at, gap = found + 1, False
    return None if gap or at == len(rows) else f"not shown: {rows[at:]}"


def matches(wanted, row):
    # A line that goes on, such as an approval's remark, may be cut in the page.
    return row == wanted or (len(wanted) > 40 and row.startswith(wanted))


RUN = [page for page in ALL if any(marker.startswith(("runs: demo", "runs: dr")) for marker, _ in blocks(page))]
# Pages that change nothing are read in one place; each of the others has its own.
READ = [page for page in RUN if page.startswith("docs/runbooks/") or page == "docs/troubleshooting.md"]


def follow(terminal, page):
    for marker, commands in blocks(page):
        if not marker.startswith(("runs: demo", "runs: dr")):
            continue
        if marker.endswith("in the background"):
            terminal.leaves_running(*(command for command, _ in commands))
            continue
        for command, shown in commands:
            done = terminal.types(command)
            said = done.stdout + done.stderr
            assert done.returncode == 0, f"{page}: {command}\n{said}"
            if shown is not None:
                assert (wrong := shows(shown, said)) is None, f"{page}: {command}\n{said}\n{wrong}"


@pytest.fixture(scope="module")
def reading_room(tmp_path_factory):
    with Terminal(tmp_path_factory.mktemp("dr")) as terminal:
        terminal.with_objects_in_dr()
        yield terminal


@pytest.mark.parametrize("page", READ)
def test_commands_that_look(reading_room, page):
    follow(reading_room, page)


@pytest.mark.parametrize("page", [page for page in RUN if page not in READ])
def test_commands_that_act(tmp_path, page):
    with Terminal(tmp_path) as terminal:
        if any(marker == "runs: dr" for marker, _ in blocks(page)):
            terminal.with_objects_in_dr()
        follow(terminal, page)


def test_pages_run():
    assert {"README.md", "docs/first-failback.md", "docs/operations.md", "docs/troubleshooting.md"} <= set(RUN)
    assert len(READ) >= 10


@pytest.mark.parametrize(
    "shown,actual,right",
    [
        (["web 5s ago"], "web   12m3s ago\n", True),
        (["web 5s ago"], "db 5s ago", False),
        (["a", "c"], "a\nb\nc", False),
        (["a", "…", "c"], "a\nb\nb\nc", True),
        (["a"], "a\nb", False),
        (["a", "…"], "a\nb", True),
        (["PHASE FailedBack"], "PHASE FailedOver", False),
    ],
)
def test_shapes_are_compared(shown, actual, right):
    assert (shows(shown, actual) is None) == right
