#!/usr/bin/env bash
# The tests of the terminal view `agentctl top`, with the feature that has it: the screen as a value, and the real program
# in a real terminal.
#
#   scripts/top.sh [arguments of the test runner…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=(--locked --features test-support,top)
if cargo nextest --version >/dev/null 2>&1; then
  profile=default
  if [ -n "${CI:-}" ]; then profile=ci; fi
  cargo nextest run "${what[@]}" --lib --test top --profile "$profile" -E 'binary(top) + test(/^operator::top::/)' "$@"
else
  cargo test "${what[@]}" --lib operator::top:: "$@"
  cargo test "${what[@]}" --test top "$@"
fi
