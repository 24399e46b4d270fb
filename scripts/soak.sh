#!/usr/bin/env bash
# Sends many tasks through one watcher and prints what it holds on to: resident memory, descriptors, threads and the
# pace, at every tenth of the way, always at rest. Fails when the last third grew beyond the bound.
#
#   scripts/soak.sh [--tasks N] [--backlog N] [--concurrency N]     default: 100000, 500, 5
#   scripts/soak.sh --faults [--tasks N] [--minutes N] [--seed S]   default: 100000, evenly over 60 minutes
#
# With --faults a supervisor and three workers do them on a disk of their own, while every few seconds one of them or an agent
# is killed, stopped, or told to read its settings again, the disk is full, or a folder cannot be opened; what is done with
# is pruned meanwhile (tests/soak). As root; it takes at most 12 GB. SOAK_PROFILE: cargo's profile (default: release).
#
#   WATCHER: a built watcher (default: the release build, which it builds)
#   SOAK_DIR: where the root lies (default: TMPDIR or /tmp); it takes about 40 KB a task
#   SOAK_RSS_KIB: how much the last third may add to the resident memory (default: 2048: a round of
#                 retention leaves its mark once)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tasks=100000 backlog=500 concurrency=5 faults=no minutes=60 seed=$(date +%s)
while [ $# -gt 0 ]; do
  case $1 in
    --faults) faults=yes; shift ;;
    --minutes) minutes=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    --tasks) tasks=$2; shift 2 ;;
    --backlog) backlog=$2; shift 2 ;;
    --concurrency) concurrency=$2; shift 2 ;;
    *) printf 'unknown: %s; see the head of %s\n' "$1" "$0" >&2; exit 64 ;;
  esac
done
if [ "$faults" = yes ]; then
  export SOAK_TASKS=$tasks SOAK_MINUTES=$minutes SOAK_SEED=$seed
  exec cargo test --locked --quiet --profile "${SOAK_PROFILE:-release}" --features test-support --test soak -- --nocapture
fi
if [[ -z ${WATCHER:-} ]]; then
  cargo build --release --locked --quiet --bin watcher
  WATCHER=${CARGO_TARGET_DIR:-target}/release/watcher
fi
dir=$(mktemp -d -p "${SOAK_DIR:-${TMPDIR:-/tmp}}")
watcher=
trap '[ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
root=$dir/shared
"$WATCHER" --worker soak --root "$root" --log-dir "$dir/log" --log-level warn --agent echo --durability none \
  --concurrency "$concurrency" --metrics-addr none 2>"$dir/err" >&2 &
watcher=$!
until [ -e "$root/workers/soak/heartbeat.json" ]; do
  kill -0 "$watcher" 2>/dev/null || { cat "$dir/err" >&2; exit 70; }
  sleep 0.1
done

# How many tasks have ended: a folder's own listing is far too slow to ask for again and again.
ended() { sed -n 's/.*"completed": *\([0-9]*\).*/\1/p' "$root/workers/soak/state.json" | head -n 1; }

dropped=0
drop() { # how many
  local n stage=$dir/stage files=()
  mkdir -p "$stage"
  for ((n = dropped; n < dropped + $1; n++)); do
    printf '{"prompt":"say %d"}' "$n" >"$stage/t$n.json"
    files+=("$stage/t$n.json")
  done
  # It complains when the watcher was faster than its look at what it has moved; nothing may be left behind.
  mv -t "$root/tasks/soak/pending" "${files[@]}" 2>/dev/null || true
  rmdir "$stage"
  dropped=$n
}

until_ended() { # how many
  local done
  while done=$(ended) && [ "${done:-0}" -lt "$1" ]; do
    kill -0 "$watcher" 2>/dev/null || { printf 'the watcher died\n'; tail -n 5 "$dir/err"; exit 70; } >&2
    sleep 0.2
  done
}

# The threads that did its errands go after ten seconds without one.
at_rest() { sleep "${SOAK_REST:-11}"; }

printf '%9s %9s %9s %6s %8s %10s\n' tasks 'RSS KiB' 'anon KiB' fds threads 'tasks/s'
sample() { # seconds it took, tasks it took them for
  rss=$(awk '/^VmRSS/ {print $2}' "/proc/$watcher/status")
  anon=$(awk '/^RssAnon/ {print $2}' "/proc/$watcher/status")
  threads=$(awk '/^Threads/ {print $2}' "/proc/$watcher/status")
  fds=$(find "/proc/$watcher/fd" -mindepth 1 -maxdepth 1 | wc -l)
  printf '%9d %9d %9d %6d %8d %10s\n' "$dropped" "$rss" "$anon" "$fds" "$threads" \
    "$(awk -v n="$2" -v s="$1" 'BEGIN { if (s > 0) printf "%.0f", n / s; else printf "-" }')"
}

at_rest
sample 0 0
two_thirds_rss=0 two_thirds_fds=0 two_thirds_threads=0
for ((tenth = 1; tenth <= 10; tenth++)); do
  goal=$((tasks * tenth / 10)) from=$dropped began=$EPOCHREALTIME
  while [ "$dropped" -lt "$goal" ]; do
    batch=$((goal - dropped < backlog / 2 ? goal - dropped : backlog / 2))
    drop "$batch"
    until_ended $((dropped - backlog / 2))
  done
  until_ended "$goal"
  took=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
  at_rest
  sample "$took" $((goal - from))
  if [ "$tenth" -eq 7 ]; then two_thirds_rss=$rss two_thirds_fds=$fds two_thirds_threads=$threads; fi
done

grown=$((rss - two_thirds_rss)) bound=${SOAK_RSS_KIB:-2048}
printf 'the last third added %d KiB (at most %d), %d descriptors, %d threads (none)\n' \
  "$grown" "$bound" $((fds - two_thirds_fds)) $((threads - two_thirds_threads))
[ "$grown" -le "$bound" ] && [ "$fds" -le "$two_thirds_fds" ] && [ "$threads" -le "$two_thirds_threads" ]
