#!/bin/sh
# Tests of the chart, the GitOps examples and what belongs to the installation.
#
# Helm's engine, a CEL engine and the schemas come as Python packages into target/chart-venv. Tests that need lua5.1,
# kubectl or the embedded API server (target/debug/examples/serve) are skipped, with a line that says so, where these
# are missing; with FAILBACK_REQUIRE_TOOLS=1 they fail instead.
set -eu
cd "$(dirname "$0")/../.."
venv=target/chart-venv
if ! cmp -s tests/chart/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/chart/requirements.txt
    cp tests/chart/requirements.txt "$venv/requirements.txt"
fi
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" -m pytest -q -rs -p no:cacheprovider tests/chart "$@"
