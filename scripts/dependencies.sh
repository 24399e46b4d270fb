#!/usr/bin/env bash
# What others wrote and we build on: licences, sources, what is banned, what was yanked, and known holes (deny.toml).
#
#   scripts/dependencies.sh               all of it
#   scripts/dependencies.sh self-test     whether a known hole would be found: asks a database made for that, and no network
#
# REQUIRE_ADVISORIES=1   a database of known holes that cannot be had is a failure; without it that is said, and the rest
#                        counts
# ADVISORIES=URL         another database of the same form, such as file:///srv/advisory-db; it must be a git repository
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  printf 'cargo-deny is not installed: cargo install cargo-deny --locked --no-default-features\n' >&2
  exit 69
fi
# The one that cargo-deny fetches unless it is told otherwise.
database=https://github.com/RustSec/advisory-db
asked=${ADVISORIES:-$database}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

deny() { # configuration, arguments of `check`…
  local file=$1
  shift
  cargo deny --locked --all-features --config "$file" check "$@"
}

# deny.toml in a file, with what was fetched of known holes in a folder of its own.
apart() { # folder, file
  sed "s|^\[advisories\]\$|&\ndb-path = \"$1\"|" deny.toml >"$2"
  grep -q '^db-path' "$2"
}

# git takes this for the database that cargo-deny fetches.
in_place_of_the_real_one() { # url, command…
  GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.$1.insteadOf" GIT_CONFIG_VALUE_0=$database "${@:2}"
}

# A database of known holes with one in it: in every version of `crate` from `first` on.
database() { # folder, crate, first version
  local at=$1/crates/$2
  mkdir -p "$at"
  printf '```toml\n[advisory]\nid = "RUSTSEC-2000-0001"\npackage = "%s"\ndate = "2000-01-01"\n\n[versions]\npatched = []\nunaffected = ["< %s"]\n```\n\n# A hole\n\nMade to be found.\n' \
    "$2" "$3" >"$at/RUSTSEC-2000-0001.md"
  git -C "$1" init --quiet --initial-branch=main
  git -C "$1" add .
  git -C "$1" -c user.name=self-test -c user.email=self-test@localhost commit --quiet -m 'A database'
}

self_test() {
  # One of ours, in versions that we have, and in versions that nobody has.
  database "$scratch/hole" serde 1.0.0
  database "$scratch/none" serde 999.0.0
  local which said
  for which in hole none; do
    apart "$scratch/$which.databases" "$scratch/$which.toml"
    said=0
    in_place_of_the_real_one "file://$scratch/$which" deny "$scratch/$which.toml" advisories \
      >"$scratch/$which.log" 2>&1 || said=$?
    if [ "$which" = hole ] && { [ "$said" -eq 0 ] || ! grep -q RUSTSEC-2000-0001 "$scratch/$which.log"; }; then
      cat "$scratch/$which.log" >&2
      printf 'a known hole was not found\n' >&2
      return 1
    fi
    # This also asks the registry whether anything was yanked.
    if [ "$which" = none ] && [ "$said" -ne 0 ]; then
      cat "$scratch/$which.log" >&2
      printf 'something was found that is not there, or was yanked\n' >&2
      return 1
    fi
  done
  printf 'self-test: a known hole is found, one that is not ours is not; nothing was yanked\n'
}

if [ "${1:-}" = self-test ]; then
  self_test
  exit
fi
failed=0
deny deny.toml --hide-inclusion-graph bans licenses sources || failed=1
self_test || failed=1
export GIT_TERMINAL_PROMPT=0
if timeout 60 git ls-remote --exit-code "$asked" HEAD >/dev/null 2>"$scratch/asked.log"; then
  if [ "$asked" = "$database" ]; then
    deny deny.toml advisories || failed=1
  else
    apart "$scratch/databases" "$scratch/deny.toml"
    in_place_of_the_real_one "$asked" deny "$scratch/deny.toml" advisories || failed=1
  fi
else
  tail -n 1 "$scratch/asked.log" >&2
  printf 'NOT CHECKED: known holes. Their database cannot be had from here (%s).\n' "$asked" >&2
  printf 'Where it can: REQUIRE_ADVISORIES=1 scripts/dependencies.sh\n' >&2
  if [ "${REQUIRE_ADVISORIES:-0}" = 1 ]; then failed=1; fi
fi
exit "$failed"
