#!/usr/bin/env bash
# Prints what the machine can do at best, and what the watcher makes of it: drop-to-exec latency and tasks per second of
# the raw calls, bare, with the spool's files, and with its fsyncs; then of the real watcher without fsyncs (to be held
# against `files`) and with them (against `synced`). Then what a crash costs: until the kernel hands its lock over, until
# the supervisor says so, until its task is at work again, and how long many tasks take to come home. Then what the
# pipes cost: a ping beside a bare round trip, and events told to somebody and to nobody. Compare ratios taken in one run;
# absolute figures move with the machine.
#
#   scripts/bench.sh [tasks]      BENCH_DIR: where to measure (default: target/bench; a journalled filesystem)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tasks=${1:-500}
dir=${BENCH_DIR:-${CARGO_TARGET_DIR:-target}/bench}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

# Static, so that the dynamic linker is not what is measured.
rustc --edition 2024 -O -C target-feature=+crt-static -o "$dir/stand-in" benches/stand_in.rs
measured=$(
  cargo bench --locked --quiet --bench raw_loop -- "$dir" "$dir/stand-in" "$tasks"
  cargo bench --locked --quiet --bench watcher_loop -- "$dir" "$dir/stand-in" "$tasks"
)

crashes=$(cargo bench --locked --quiet --bench crash_loop -- "$dir" "$dir/stand-in" "${BENCH_CRASHES:-100}" "${BENCH_RECOVERED:-10000}")

pipes=$(cargo bench --locked --quiet --bench pipe_loop -- "$dir" "${BENCH_PINGS:-2000}")

printf '%s tasks on %s, %s cores, in %s (%s)\n\n' "$tasks" "$(uname -sr)" "$(nproc)" "$dir" "$(stat -f -c %T "$dir")"
printf '%s\n' "$measured" | awk -F'\t' '
  NR == 1 { printf "%-9s %9s %9s %12s %12s %18s\n", "way", "p50 ms", "p99 ms", "1 at a time", "5 at a time", "of the floor, at 5"; next }
  NR == 2 { bare = $5 }
  { five[$1] = $5; floor = bare }
  $1 == "unsynced" { floor = five["files"] }
  $1 == "durable" { floor = five["synced"] }
  { printf "%-9s %9s %9s %10s/s %10s/s %17.2fx\n", $1, $2, $3, $4, $5, $5 / floor }'

printf '\n%-14s %12s %12s\n' 'after kill -9' 'p50 / time' 'p99 / memory'
printf '%s\n' "$crashes" | awk -F'\t' '{ printf "%-14s %12s %12s\n", $1, $2, $3 }'

printf '\n%-16s %18s %18s\n' 'pipes' 'p50 / rate' 'of the floor'
printf '%s\n' "$pipes" | awk -F'\t' '{ printf "%-16s %18s %18s\n", $1, $2, $3 }'
