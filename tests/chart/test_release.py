"""The release workflow says what it should, and the manifest for krew is whole. Nothing is released here."""

import importlib.util
import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, documents, needs
from live import BINARY

TEXT = (ROOT / ".github/workflows/release.yaml").read_text()
[WORKFLOW] = documents(TEXT)
JOBS = WORKFLOW["jobs"]
KREW = ROOT / ".github/krew/render.py"

# What each job may do besides reading the sources.
RIGHTS = {
    "image": {"id-token": "write"},
    "chart": {"id-token": "write"},
    "plugin": {},
    "release": {"contents": "write", "id-token": "write", "attestations": "write"},
}


def platforms():
    return [(row["os"], row["arch"]) for row in JOBS["plugin"]["strategy"]["matrix"]["include"]]


def archives(version="v1.2.3"):
    return [f"kubectl-failback_{version}_{system}_{arch}.{'zip' if system == 'windows' else 'tar.gz'}" for system, arch in platforms()]


def step(job, name):
    return next(step for step in JOBS[job]["steps"] if step["name"] == name)


def test_it_runs_for_tags_alone_and_may_do_little():
    # YAML reads `on` as a truth value.
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {name: {"contents": "read"} | more for name, more in RIGHTS.items()}


def test_steps_are_well_formed():
    for job in JOBS.values():
        assert job["timeout-minutes"] <= 90
        for part in job["steps"]:
            assert "name" in part and ("uses" in part) != ("run" in part)
            # What others can name is never pasted into a script.
            assert "${{" not in part.get("run", "")
            if "uses" in part:
                assert re.fullmatch(r"[\w.-]+/[\w./-]+@v\d[\w.]*", part["uses"]), part["uses"]
            if part.get("uses", "").startswith("actions/checkout"):
                assert part["with"]["persist-credentials"] is False


def test_scripts_are_shell():
    for job in JOBS.values():
        for part in job["steps"]:
            if "run" in part:
                done = subprocess.run(["bash", "-n"], input=part["run"], capture_output=True, text=True)
                assert done.returncode == 0, (part["name"], done.stderr)


def test_the_image_has_sbom_provenance_and_a_signature_over_its_digest():
    build = next(s for s in JOBS["image"]["steps"] if s.get("uses", "").startswith("docker/build-push-action"))
    assert build["with"]["sbom"] is True and build["with"]["provenance"] == "mode=max" and build["with"]["push"] is True
    assert "cosign sign --yes" in TEXT and "@${DIGEST}" in TEXT


def test_the_image_has_the_tag_that_the_chart_asks_for():
    build = next(s for s in JOBS["image"]["steps"] if s.get("uses", "").startswith("docker/build-push-action"))
    image = "${{ vars.REGISTRY }}/${{ vars.IMAGE }}:"
    tags = ("${{ github.ref_name }}", "${{ steps.version.outputs.plain }}")
    assert build["with"]["tags"].split() == " ".join(image + tag for tag in tags).split()
    version = step("image", "The tag is the version of the manifest and of the chart")
    assert version["id"] == "version" and 'echo "plain=${TAG#v}" >> "${GITHUB_OUTPUT}"' in version["run"]


def test_the_plugin_is_built_for_the_usual_platforms():
    assert sorted(platforms()) == sorted((system, arch) for system in ("darwin", "linux", "windows") for arch in ("amd64", "arm64"))
    cpu = {"amd64": "x86_64", "arm64": "aarch64"}
    for row in JOBS["plugin"]["strategy"]["matrix"]["include"]:
        system = {"darwin": "apple-darwin", "linux": "linux", "windows": "windows"}[row["os"]]
        assert row["target"].startswith(cpu[row["arch"]]) and system in row["target"]
    assert "--locked --release --no-default-features --features operator --bin failback" in step("plugin", "Binary")["run"]
    assert "LICENSE" in step("plugin", "It runs, and knows that it is the plugin")["run"]


def test_what_is_released_is_named_by_checksums_and_these_are_signed():
    order = [part["name"] for part in JOBS["release"]["steps"]]
    assert order.index("Checksums, and the manifest for krew") < order.index("Signature, over the checksums") < order.index("Release")
    assert JOBS["release"]["needs"] == ["image", "chart", "plugin"]
    assert step("release", "Provenance of every archive")["with"] == {"subject-checksums": "files/SHA256SUMS"}
    assert "cosign sign-blob --yes" in step("release", "Signature, over the checksums")["run"]
    assert step("plugin", "SBOM")["with"]["output-file"].endswith(".spdx.json")


def rendered(tmp_path, sums, version="v1.2.3"):
    """The manifest as the release writes it."""
    (tmp_path / "SHA256SUMS").write_text(sums)
    words = [version, "https://git.example.com/dr/failback", "https://git.example.com/dr/failback/releases/download/v1.2.3"]
    return subprocess.run([sys.executable, KREW, *words, tmp_path / "SHA256SUMS"], capture_output=True, text=True)


def test_the_manifest_for_krew(tmp_path):
    sums = "".join(f"{number:064x}  {name}\n" for number, name in enumerate(archives(), 1))
    done = rendered(tmp_path, sums + f"{99:064x}  kubectl-failback_v1.2.3_linux_amd64.spdx.json\n")
    assert done.returncode == 0, done.stderr
    [plugin] = documents(done.stdout)
    assert (plugin["apiVersion"], plugin["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    # krew: the file is named after the plugin, kubectl-<name> is what it installs.
    assert plugin["metadata"] == {"name": "failback"}
    spec = plugin["spec"]
    assert spec["version"] == "v1.2.3" and spec["homepage"].startswith("https://")
    assert 0 < len(spec["shortDescription"]) <= 50 and not spec["shortDescription"].endswith(".")
    assert spec["description"] and spec["caveats"]
    found = {}
    for part in spec["platforms"]:
        labels = part["selector"]["matchLabels"]
        assert set(labels) == {"os", "arch"} and re.fullmatch("[0-9a-f]{64}", part["sha256"])
        assert part["bin"] == ("kubectl-failback.exe" if labels["os"] == "windows" else "kubectl-failback")
        assert [file["from"] for file in part["files"]] == [part["bin"], "LICENSE"]
        found[part["uri"].rsplit("/", 1)[1]] = (labels["os"], labels["arch"], part["sha256"])
    assert found == {name: (*name.split(".")[2].split("_")[1:3], f"{number:064x}") for number, name in enumerate(archives(), 1)}


@pytest.mark.parametrize(
    "sums,version,sentence",
    [
        ("", "v1.2.3", "name no archive"),
        ("abc  kubectl-failback_v1.2.3_linux_amd64.tar.gz\n", "v1.2.3", "no checksum"),
        (f"{1:064x}  kubectl-failback_v1.2.2_linux_amd64.tar.gz\n", "v1.2.3", "is not of v1.2.3"),
        (f"{1:064x}  kubectl-failback_v1.2.3_linux_amd64.tar.gz\n", "1.2.3", "such as v1.2.3"),
    ],
)
def test_a_manifest_that_would_not_install_is_not_written(tmp_path, sums, version, sentence):
    done = rendered(tmp_path, sums, version)
    assert done.returncode != 0 and sentence in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name", ["kubectl-failback", "kubectl-failback.exe"])
def test_under_its_name_the_binary_is_the_plugin(tmp_path, name):
    (tmp_path / name).symlink_to(needs(BINARY, "target/debug/failback (cargo build)"))
    said = subprocess.run([tmp_path / name, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert said == f"kubectl-failback {version}\n"
    helped = subprocess.run([tmp_path / name, "--help"], capture_output=True, text=True, check=True).stdout
    assert "kubectl failback" in helped and "controller" not in helped.split("Commands:")[1]
