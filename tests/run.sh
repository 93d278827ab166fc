#!/usr/bin/env bash
# Everything that must pass. Installs nothing on the machine; what it misses it names, and skips where that is possible.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all --check

step "api and core alone, without anything that could do I/O"
cargo check --quiet --no-default-features

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

if [ -x tests/chart/run.sh ]; then
    step "chart"
    tests/chart/run.sh
fi

step "tests"
if command -v cargo-nextest > /dev/null; then
    cargo nextest run --workspace --no-fail-fast
else
    cargo test --workspace --no-fail-fast
fi
