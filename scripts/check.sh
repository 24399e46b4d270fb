#!/usr/bin/env bash
# The whole gate: format, lints, tests, documentation, dependencies. CI runs the same steps through .ci/run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*" >&2; }

step "format"
cargo fmt --all --check

step "lints"
cargo lint

step "tests"
scripts/test.sh

step "traces"
cargo clippy --locked --features test-support,otlp --lib --test traces_otlp -- -D warnings
scripts/otlp.sh

step "terminal view"
cargo clippy --locked --features test-support,top --lib --bins --test top --example picture -- -D warnings
scripts/top.sh

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features test-support

step "dependencies"
if cargo deny --version >/dev/null 2>&1; then
  scripts/dependencies.sh
else
  printf 'skipped: cargo-deny is not installed (cargo install cargo-deny --locked --no-default-features)\n' >&2
fi

printf '\nall clear\n' >&2
