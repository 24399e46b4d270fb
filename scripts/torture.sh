#!/usr/bin/env bash
# Kills random processes of a living system (watchers, agents, the supervisor) and looks whether every task was done
# once: nothing lost, nothing done twice, no two agents of one conversation at once.
#
#   scripts/torture.sh [--seed S] [--kills N]      the same seed throws the same dice; default: 1000 kills
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export TORTURE_SEED=${TORTURE_SEED:-$(date +%s)} TORTURE_KILLS=${TORTURE_KILLS:-1000}
while [ $# -gt 0 ]; do
  case $1 in
    --seed) TORTURE_SEED=${2:?a number is missing} && shift 2 ;;
    --kills) TORTURE_KILLS=${2:?a number is missing} && shift 2 ;;
    *) printf 'usage: scripts/torture.sh [--seed S] [--kills N]\n' >&2 && exit 64 ;;
  esac
done
printf 'seed %s, %s kills\n' "$TORTURE_SEED" "$TORTURE_KILLS"
exec cargo test --locked --quiet --features test-support --test torture -- --nocapture
