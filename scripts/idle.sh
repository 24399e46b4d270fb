#!/usr/bin/env bash
# Prints what an idle watcher costs: resident memory, and how often its threads wake up in a second. The aim is below
# 10 MiB and at most two a second.
#
#   scripts/idle.sh [seconds]     WATCHER: a built watcher (default: the release build, which it builds)
#
# The root lies in memory where that is possible: on a disk, waiting for it counts as about one more a second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-10}
if [[ -z ${WATCHER:-} ]]; then
  cargo build --release --locked --quiet --bin watcher
  WATCHER=${CARGO_TARGET_DIR:-target}/release/watcher
fi
shm=/dev/shm
[[ -w $shm ]] || shm=${TMPDIR:-/tmp}
dir=$(mktemp -d -p "$shm")
trap 'kill "$watcher" 2>/dev/null || true; wait "$watcher" 2>/dev/null || true; rm -rf "$dir"' EXIT
"$WATCHER" --worker idle --root "$dir/shared" --log-dir "$dir/log" --agent echo --metrics-addr 127.0.0.1:0 \
  2>"$dir/err" >&2 &
watcher=$!
until [[ -e $dir/shared/workers/idle/heartbeat.json ]]; do sleep 0.1; done
sleep 2

# The wake-ups of each thread so far: a thread that sleeps gives up the processor of its own will.
wakes() {
  for task in /proc/"$watcher"/task/*; do
    printf '%s %s %s\n' "${task##*/}" "$(cat "$task/comm")" "$(awk '/^voluntary/ {print $2}' "$task/status")"
  done
}
before=$(wakes)
sleep "$seconds"
after=$(wakes)
awk -v s="$seconds" '
  { id = $1; name = $2; n = $NF }
  NR == FNR { was[id] = n; next }
  { d = n - was[id]; all += d; if (d) printf "  %-18s %6.1f/s\n", name, d / s }
  END { printf "wake-ups           %6.1f/s\n", all / s }' <(printf '%s\n' "$before") <(printf '%s\n' "$after")
awk '/^VmRSS|^RssAnon|^Threads/ {print}' "/proc/$watcher/status"
