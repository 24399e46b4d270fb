#!/usr/bin/env bash
# The same work through this program, through others of its kind and through a raw loop, in turns; prints the tables, and
# with --write puts them into README.md and docs/PERFORMANCE.md. Latency, throughput, CPU, idle cost, backlogs, and what a
# kill -9 of the daemon loses or does twice; sizes by flag, see `scripts/compare.sh --help`.
#
#   scripts/compare.sh --quick      some minutes: one round, small backlogs
#   scripts/compare.sh --write      the whole, within half an hour on a quiet machine once it is built (`--minutes N`, `--rounds N`)
#
#   COMPARE_DIR: where to measure (default: an ext4 with a journal in a loop file, made and removed here; needs root)
#   COMPARE_VENV: Python with huey, celery, dirq and watchdog (default: target/peers, made here with pip)
#
# Others are measured where they are installed: `apt-get install task-spooler nq incron`, `cargo install pueue`. One that is
# missing stands in the table as missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/compare"
target=$(cd "$target" && pwd -P)
work=$target/compare
words=()
for word in "$@"; do
  if [ "$word" = --quick ]; then
    words+=(--rounds 1 --latency 60 --load 300 --idle 5 --backlogs '1000,10000' --sample 500)
  else
    words+=("$word")
  fi
done

cargo build --release --locked --quiet --bin watcher
raw=$(cargo bench --locked --no-run --message-format=json --bench raw_loop 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*raw_loop[^"]*\)".*/\1/p' | tail -n 1)
rustc --edition 2024 -O -C target-feature=+crt-static -o "$work/stand-in" benches/stand_in.rs

venv=${COMPARE_VENV:-$target/peers}
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" -q install huey celery dirq watchdog || printf 'no Python peers: pip failed\n' >&2
fi

dir=${COMPARE_DIR:-}
mounted=
trap '[ -z "$mounted" ] || { umount "$mounted" && rm -f "$work/disk.img"; }' EXIT
if [ -z "$dir" ]; then
  dir=$work/mnt
  mkdir -p "$dir"
  truncate -s "${COMPARE_SIZE:-12G}" "$work/disk.img"
  # Many small files: more inodes than by default, or 100,000 tasks and their records do not fit.
  mkfs.ext4 -q -F -i 4096 "$work/disk.img"
  mount -o loop "$work/disk.img" "$dir"
  mounted=$dir
fi
PATH=$PATH:/usr/sbin "$venv/bin/python" -B benches/peers/compare.py --dir "$dir" --program "$work/stand-in" --raw "$raw" \
  --watcher "${WATCHER:-$target/release/watcher}" "${words[@]}"
