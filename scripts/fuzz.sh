#!/usr/bin/env bash
# Bytes that nobody meant, for minutes: each target of tests/fuzz in turn.
#
#   scripts/fuzz.sh [SECONDS [TARGET…]]     60 seconds for each; a target is a word in the name of its test: task, line,
#                                           output, pack, configuration, heartbeat, state, resume, request
#
# FUZZ_SEED   which inputs; by chance, and printed, without it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export FUZZ_SECONDS=${1:-60} FUZZ_SEED=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM))}
shift || true
printf 'seed %s, %s s for each target\n' "$FUZZ_SEED" "$FUZZ_SECONDS" >&2
cargo test --locked --features test-support --test fuzz -- --nocapture --test-threads 1 "$@"
