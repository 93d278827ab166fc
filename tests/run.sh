#!/usr/bin/env bash
# Everything that must pass. Installs nothing on the machine; what it misses it names, and those tests are skipped, or
# fail when FAILBACK_REQUIRE_TOOLS=1.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
peer() { if eval "$2"; then echo "there: $1"; else echo "SKIPPED: tests that need $1 ($3)"; fi; }

step "what the tests can be run against"
peer "kubectl" "command -v kubectl > /dev/null" "any current version"
peer "the recorded exchanges" '[ -n "${FAILBACK_ASR_DATA:-}" ]' "a directory named by FAILBACK_ASR_DATA"
peer "VMware's own simulator" "command -v go > /dev/null && [ -d /usr/share/gocode/src/github.com/vmware/govmomi ]" \
    "Debian's golang-go and golang-github-vmware-govmomi-dev"
peer "Microsoft's and VMware's Python SDKs, Helm" "python3 -c 'import venv, ensurepip' 2> /dev/null" "python3 with venv, and PyPI"
peer "Lua" "command -v lua5.1 > /dev/null" "Debian's lua5.1"
peer "promtool" "command -v promtool > /dev/null" "Debian's prometheus"
peer "a real API server" '[ -n "${KUBEBUILDER_ASSETS:-}" ]' "a directory named by KUBEBUILDER_ASSETS"

step "format"
cargo fmt --all --check

step "api and core alone, without anything that could do I/O"
cargo check --quiet --no-default-features

step "the program as images have it, without simulators"
cargo check --quiet --no-default-features --features operator,otlp --bin failback

step "lints"
cargo clippy --quiet --workspace --all-targets -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --workspace

if command -v cargo-deny > /dev/null; then
    step "licenses, sources, banned crates"
    cargo deny --log-level error check bans licenses sources
else
    echo "SKIPPED: cargo-deny is not installed (cargo install --locked cargo-deny)"
fi

step "build"
# All at once: a member alone would have other features, and its dependencies be built once more.
cargo build --quiet --workspace --bins --tests --examples

step "chart"
tests/chart/run.sh

step "tests"
if command -v cargo-nextest > /dev/null; then
    cargo nextest run --workspace --no-fail-fast
else
    cargo test --workspace --no-fail-fast
fi
