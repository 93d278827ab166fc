"""The Dockerfile says what it should, and its context is complete. No image is built here."""

import json
import re
import shutil
import subprocess
import tomllib

import yaml
from conftest import ROOT, needs

DOCKERFILE = (ROOT / "Dockerfile").read_text()
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())


def instructions():
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    return [line.split(None, 1) for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def of(word):
    return [rest for instruction, rest in instructions() if instruction == word]


def last_stage():
    found = instructions()
    start = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[start + 1 :]


def test_images_are_pinned_to_a_version_and_can_be_replaced():
    for argument in of("ARG"):
        name, image = argument.split("=")
        assert name in ("BUILD_IMAGE", "RUNTIME_IMAGE")
        assert ":" in image and not image.endswith(":latest") and "/" not in image
    assert of("FROM") == ["${BUILD_IMAGE} AS build", "${RUNTIME_IMAGE}"]


def test_the_toolchain_is_that_of_the_repository():
    channel = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    assert f"BUILD_IMAGE=rust:{channel}-" in DOCKERFILE


def test_the_process_is_not_root():
    assert last_stage().count(["USER", "65532:65532"]) == 1
    assert ["ENTRYPOINT", '["/usr/local/bin/failback"]'] in last_stage()
    assert ["CMD", '["controller"]'] in last_stage()


def test_the_last_stage_needs_no_shell():
    assert {word for word, _ in last_stage()} == {"COPY", "USER", "ENTRYPOINT", "CMD"}


def test_nothing_is_fetched_by_hand():
    assert of("ADD") == []
    assert not re.search(r"\b(curl|wget|apt-get|apk)\b", DOCKERFILE)


def test_the_build_names_what_the_manifest_has():
    [build] = of("RUN")
    assert build == "cargo build --locked --release --no-default-features --features operator,otlp --bin failback"
    assert "operator" in CARGO["features"] and [b["name"] for b in CARGO["bin"]] == ["failback"]
    # The simulators stay out: only the demo feature brings them.
    assert not any("sim-" in dependency for feature in ("operator", "otlp") for dependency in CARGO["features"][feature])


def test_the_context_is_complete(tmp_path):
    """What .dockerignore leaves is what COPY takes, and cargo reads every manifest and target of it."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = {source for rest in of("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]}
    assert copied == kept
    for source in copied:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("target"))
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    for line in ignored[1:]:
        if not line.startswith("!"):
            shutil.rmtree(tmp_path / line)
    cargo = needs("cargo", "cargo")
    command = [cargo, "metadata", "--offline", "--no-deps", "--format-version", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [package] = [package for package in json.loads(done.stdout)["packages"] if package["name"] == "failback"]
    assert any(target["kind"] == ["bin"] for target in package["targets"])
    # What the operator's sources include as text is there as well.
    for source in (tmp_path / "src").rglob("*.rs"):
        for include in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text()):
            assert (source.parent / include).resolve().exists(), f"{source}: {include}"
