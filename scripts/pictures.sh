#!/usr/bin/env bash
# The pictures of the documentation (docs/pictures/*.svg), made from the running programs: a scene with three workers and
# an agent that says what it is to say (tests/stand-ins/scene-agent.sh), no network. The scene is a root of its own, seen as /srv/shared in a mount namespace of its own,
# so that no path of this machine is in a picture; for that it needs root or user namespaces.
#
#   scripts/pictures.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repo=$PWD

if [ "${1:-}" != inside ]; then
  cargo build --locked --features test-support,top --bins --example picture
  scene=$(mktemp -d)
  trap 'rm -rf "$scene"' EXIT
  flags=(--mount)
  [ "$(id -u)" -eq 0 ] || flags+=(--user --map-root-user)
  TARGET=${CARGO_TARGET_DIR:-$repo/target}/debug SCENE=$scene unshare "${flags[@]}" "$0" inside
  exit
fi

# ---- inside of the namespace --------------------------------------------------------------------------------

case $TARGET in /*) ;; *) TARGET=$repo/$TARGET ;; esac
mount --bind "$SCENE" /srv
export HOME=/srv/home SHARED_ROOT=/srv/shared PATH=$TARGET:$PATH
unset NO_COLOR COLUMNS
mkdir -p "$HOME" /srv/log
tasks=$SHARED_ROOT/tasks
supervisor=
stop() {
  if [ -n "$supervisor" ]; then
    kill "$supervisor" 2>/dev/null || true
    wait "$supervisor" 2>/dev/null || true
  fi
  umount --lazy /srv
}
trap stop EXIT

# Asks until a command succeeds.
await() {
  local tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 1200 ]; then echo "pictures.sh: in vain: $*" >&2; return 1; fi
    sleep 0.05
  done
}

drop() { # worker, name, JSON
  printf '%s\n' "$3" >"$tasks/$1/pending/.$2.tmp"
  mv "$tasks/$1/pending/.$2.tmp" "$tasks/$1/pending/$2.json"
}

runs() { grep -q '"RUNNING"' "$tasks/$1.json"; }
says() { agentctl logs "$1" | grep -q "$2"; }

supervisor up --workers marie=none,anga=none,fabien=none --metrics-addr none --concurrency 3 --max-retries 0 \
  --durability none --claude-bin "$repo/tests/stand-ins/scene-agent.sh" --log-dir /srv/log >/srv/up.log 2>&1 &
supervisor=$!
for worker in marie anga fabien; do await test -e "$SHARED_ROOT/workers/$worker/heartbeat.json"; done

drop marie digest '{"prompt":"What happened today?"}'
drop marie minutes '{"prompt":"Write the minutes of the meeting."}'
drop anga translate-07 '{"prompt":"Translate chapter 7 into German."}'
drop anga refactor-auth '{"prompt":"Please refactor the module auth."}'
drop fabien crawl-3 '{"prompt":"Crawl the partner sites and list what changed."}'
for task in marie/completed/{digest,minutes} anga/completed/translate-07 anga/failed/refactor-auth fabien/failed/crawl-3; do
  await test -e "$tasks/$task.json"
done

drop marie report-2026-11 '{"prompt":"Check the three ledgers and write the report for November."}'
drop marie invoices '{"prompt":"Match the invoices in inbox/ to the orders.","timeout_s":3600}'
drop anga release-notes '{"prompt":"Write the release notes of v2.4."}'
for task in marie/active/report-2026-11 marie/active/invoices anga/active/release-notes; do await runs "$task"; done
await says report-2026-11 'totals agree'
await says invoices 'invoice-0015'
await says release-notes 'merges'

# What waits is not taken: it is for the picture.
later='"not_before":"2099-01-01T00:00:00Z"'
drop marie board-slides "{\"prompt\":\"Make ten slides out of the report.\",\"priority\":5,$later}"
drop anga translate-08 "{\"prompt\":\"Translate chapter 8 into German.\",$later}"
drop fabien nightly-crawl "{\"prompt\":\"Crawl the partner sites and list what changed.\",$later}"

# As if it had gone on for a while, in whole minutes, so that a picture is the same each time it is taken.
ago() { date -u -d "$1 minutes ago" +%Y-%m-%dT%H:%M:%SZ; }
began() { # task, minutes
  sed -i "s/\"started_at\": *\"[^\"]*\"/\"started_at\":\"$(ago "$2")\"/" "$tasks/$1.json"
}
began marie/active/report-2026-11 22
began marie/active/invoices 14
began anga/active/release-notes 27
touch -d '-40 minutes' "$tasks"/{marie,anga,fabien}/pending/*.json
touch -d '-25 minutes' "$tasks/anga/failed/refactor-auth.json"
touch -d '-95 minutes' "$tasks/fabien/failed/crawl-3.json"

pictures=$repo/docs/pictures
mkdir -p "$pictures"
picture=$TARGET/examples/picture
# A sign from ahead is one of now.
touch -d '+1 hour' "$SHARED_ROOT"/artifacts/*/attempt-1/stream.ndjson
"$picture" --rows 40 --columns 104 --title 'agentctl status' -- "$TARGET/agentctl" status >/srv/status.svg
"$picture" --rows 27 --columns 112 --title 'agentctl top' --until release-notes --press j --until 'write the summary' \
  -- "$TARGET/agentctl" top >/srv/top.svg
cp /srv/status.svg /srv/top.svg "$pictures/"
