# Shortcuts; each is one command that works as it stands.

# Format everything.
fmt:
    cargo fmt --all

# The lints, as CI runs them.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# api and core alone: what they use can do no I/O.
pure:
    cargo check --no-default-features

# All tests.
test:
    tests/run.sh

# Writes crds/ and the generated tables in docs/ anew.
crds:
    FAILBACK_UPDATE=1 cargo test --test crds --test docs

# The demo.
demo:
    cargo run -- demo

# Figures of the README.
bench:
    cargo run --release --example figures

# Licenses, sources, banned crates.
deny:
    cargo deny check bans licenses sources
