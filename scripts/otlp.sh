#!/usr/bin/env bash
# The tests of the traces, with the feature that sends them.
#
#   scripts/otlp.sh [arguments of the test runner…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=(--locked --features test-support,otlp --test traces_otlp)
if cargo nextest --version >/dev/null 2>&1; then
  profile=default
  if [ -n "${CI:-}" ]; then profile=ci; fi
  cargo nextest run "${what[@]}" --profile "$profile" "$@"
else
  cargo test "${what[@]}" "$@"
fi
