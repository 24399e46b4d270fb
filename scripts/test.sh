#!/usr/bin/env bash
# All tests: with cargo-nextest where it is, else with cargo test; the doc tests in any case.
#
#   scripts/test.sh [arguments of the test runner…]     e.g. scripts/test.sh spool
#
# REQUIRE_REAL=1   a real part that cannot be had (Prometheus, the Claude CLI…) is a failure and not a skip
# CI=true          nextest runs with its `ci` profile
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version >/dev/null 2>&1; then
  profile=default
  if [ -n "${CI:-}" ]; then profile=ci; fi
  cargo nextest run --locked --features test-support --profile "$profile" "$@"
  # Arguments name tests of the runner above; the doc tests are all or nothing.
  if [ $# -eq 0 ]; then cargo test --locked --features test-support --doc --quiet; fi
else
  cargo test --locked --features test-support "$@"
fi
