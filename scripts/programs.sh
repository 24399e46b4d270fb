#!/usr/bin/env bash
# The three programs as others get them, with man pages and completions: the package, the image and `scripts/install.sh`
# take them from here.
#
#   scripts/programs.sh DIR     DIR gets watcher, supervisor, agentctl, pages/man1 and pages/completions
#
# PROGRAMS=DIR   nothing is compiled: the programs are those
# STATIC=no      glibc is linked dynamically; else they run on any Linux of the machine's kind
set -euo pipefail
out=${1:?a folder is missing}
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

programs=${PROGRAMS:-}
if [ -z "$programs" ]; then
  host=$(rustc -vV | sed -n 's/^host: //p')
  # Line tables, compressed: gdb and the report of a bug read zlib as it is, and the latter nothing else.
  flags="-C link-arg=-Wl,--compress-debug-sections=zlib"
  if [ "${STATIC:-yes}" = yes ]; then flags+=" -C target-feature=+crt-static"; fi
  # A named target keeps the flags away from what runs while building.
  RUSTFLAGS="${RUSTFLAGS:-} $flags" cargo build --locked --release --features otlp,top --bins --target "$host" >&2
  programs=${CARGO_TARGET_DIR:-target}/$host/release
fi
for program in watcher supervisor agentctl; do
  install -m 755 "$programs/$program" "$out/.$program.new"
  mv -f "$out/.$program.new" "$out/$program"
done

rm -rf "$out/pages"
mkdir -p "$out/pages/completions"
"$out/agentctl" man "$out/pages/man1" >/dev/null
gzip -9n "$out"/pages/man1/*
for shell in bash zsh fish; do "$out/agentctl" completions "$shell" >"$out/pages/completions/$shell"; done
