#!/usr/bin/env bash
# Installs agent-worker where there is no dpkg: the files that the Debian package has (Cargo.toml, [package.metadata.deb]),
# below PREFIX. Can be run again, which is the update; no configuration is overwritten, and nothing is started.
#
#   scripts/install.sh [--programs DIR] [--hosts] [--dry-run]
#   scripts/install.sh --uninstall [--dry-run]
#
#   --programs DIR   takes watcher, supervisor and agentctl from there, and compiles nothing
#   --hosts          the names marie, anga and fabien lead to this host: a line in /etc/hosts
#   --uninstall      takes all away but configuration, tasks, logs, sessions and the user
#   --dry-run        tells what would be done
#
# PREFIX=/usr/local     where programs, units, man pages and completions go
# DESTDIR=              a tree that is packed elsewhere: nothing of this machine is touched
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
prefix=${PREFIX:-/usr/local}
dest=${DESTDIR:-}
programs=${PROGRAMS:-}
# What was put where, for the next version and for the end.
record=$prefix/share/agent-worker/files
hosts=no uninstall=no dry=no

say() { printf '%s\n' "$*" >&2; }
die() { say "install.sh: $2"; exit "$1"; }
act() { if [ "$dry" = yes ]; then printf 'would: %s\n' "$*"; else "$@"; fi; }

while [ $# -gt 0 ]; do
  case $1 in
    --programs) programs=${2:?a folder is missing}; shift ;;
    --hosts) hosts=yes ;;
    --uninstall) uninstall=yes ;;
    --dry-run) dry=yes ;;
    *) die 64 "unknown argument $1; the head of this file tells all" ;;
  esac
  shift
done
case $prefix in /*) ;; *) die 64 "PREFIX=$prefix is no absolute path" ;; esac
if [ -z "$dest" ]; then
  if [ "$dry" = no ] && [ "$(id -u)" -ne 0 ]; then die 77 "only root can install; or DESTDIR=, or --dry-run"; fi
  if command -v dpkg-query >/dev/null && dpkg-query -W -f '${db:Status-Status}' agent-worker 2>/dev/null | grep -qx installed; then
    die 78 "the package agent-worker is installed, which has the same files: apt-get remove agent-worker, or update that"
  fi
fi
# A tree for elsewhere gets all; a host only what it can use.
systemd=yes
if [ -z "$dest" ] && ! command -v systemd-sysusers >/dev/null; then systemd=no; fi

# ---- which file goes where -----------------------------------------------------------------------------------

# The package's list, a file a line: source, place, mode.
listed() { sed -n 's/^ *\["\([^"]*\)", "\([^"]*\)", "\([0-7]*\)"\],*$/\1\t\2\t\3/p' "$repo/Cargo.toml"; }

# Where that place is with this prefix; nothing for what this host cannot use.
placed() {
  local etc=
  # systemd looks below /usr and /usr/local, and nowhere else but in /etc.
  case $prefix in /usr | /usr/local) ;; *) etc=/etc ;; esac
  case $1 in
    usr/lib/systemd/* | usr/lib/sysusers.d/* | usr/lib/tmpfiles.d/*)
      [ "$systemd" = yes ] || return 0
      printf '%s/%s' "${etc:-$prefix/lib}" "${1#usr/lib/}" ;;
    usr/share/zsh/vendor-completions/*) printf '%s/share/zsh/site-functions/%s' "$prefix" "${1##*/}" ;;
    # For those who check packages.
    usr/share/lintian/*) ;;
    usr/*) printf '%s/%s' "$prefix" "${1#usr/}" ;;
    *) printf '/%s' "$1" ;;
  esac
}

# Every file: where it comes from, where it goes, its mode. What a pattern matches is looked for in `$1`, the programs and
# their pages, and in the repository.
files() {
  local source place mode path
  while IFS=$'\t' read -r source place mode; do
    place=$(placed "$place")
    [ -n "$place" ] || continue
    case $source in target/release/*) source=$1/${source#target/release/} ;; *) source=$repo/$source ;; esac
    for path in $source; do
      case $place in */) printf '%s\t%s%s\t%s\n' "$path" "$place" "${path##*/}" "$mode" ;; *) printf '%s\t%s\t%s\n' "$path" "$place" "$mode" ;; esac
    done
  done < <(listed)
}

# ---- doing it ------------------------------------------------------------------------------------------------

put() { # source, place, mode
  local to=$dest$2
  if [[ $2 == /etc/agent-worker/* && -e $to ]]; then
    say "kept: $to"
    return 0
  fi
  act install -d "${to%/*}"
  # Beside, then over: a program that runs goes on with its own file.
  act install -m "$3" "$1" "${to%/*}/.${to##*/}.new"
  case $2 in *.service) act sed -Ei "s#/usr/bin/(watcher|supervisor|agentctl)#$prefix/bin/\1#" "${to%/*}/.${to##*/}.new" ;; esac
  act mv -f "${to%/*}/.${to##*/}.new" "$to"
}

name_workers() {
  local name missing=()
  for name in marie anga fabien; do
    grep -Eqs "^[^#]*[[:space:]]$name([[:space:]]|\$)" /etc/hosts || missing+=("$name")
  done
  if [ ${#missing[@]} -gt 0 ]; then act append /etc/hosts "127.0.0.1 ${missing[*]} # agent-worker"; fi
}

append() { printf '%s\n' "$2" >>"$1"; }

# Over, not beside: in a container that file is a mount.
unname_workers() {
  local others
  others=$(grep -v ' # agent-worker$' /etc/hosts)
  printf '%s\n' "$others" >/etc/hosts
}

by_hand() {
  cat >&2 <<TEXT
There is no systemd here: no units were installed, and nobody starts the workers. Once, as root:
  groupadd --system --force agents
  id agent-worker || useradd --system --gid agents --home-dir /var/lib/agent-worker --create-home agent-worker
  install -d -o agent-worker -g agents -m 2770 /shared
  install -d -o agent-worker -g agents -m 2750 /var/log/agents
  chgrp agents /etc/agent-worker/config.toml
Then, whenever the machine starts (from an init of yours, or at a terminal):
  su -s /bin/sh -c 'exec $prefix/bin/supervisor up' agent-worker
TEXT
}

install_all() {
  local built=$1 was=() source place mode
  if [ -e "$dest$prefix/bin/watcher" ]; then was=(an-older-one); fi
  files "$built" >"$built/files"
  while IFS=$'\t' read -r source place mode; do put "$source" "$place" "$mode"; done <"$built/files"
  forget "$built"
  [ -z "$dest" ] || return 0
  if [ "$hosts" = yes ]; then name_workers; fi
  # What the package does when its files are there: users, the tree, and what runs goes on with the new programs.
  if [ "$systemd" = yes ]; then act sh "$repo/debian/postinst" configure "${was[@]}"; else by_hand; fi
}

# Writes down what is there now, and takes away what an older version had and this one has not.
forget() {
  local place
  { cut -f2 "$1/files"; printf '%s\n' "$record"; } | grep -v '^/etc/agent-worker/' >"$1/record"
  if [ -e "$dest$record" ]; then
    while read -r place; do act rm -f "$dest$place"; done < <(grep -vxFf "$1/record" "$dest$record")
  fi
  act install -D -m 644 "$1/record" "$dest$record"
}

uninstall_all() {
  local place
  [ -e "$dest$record" ] || die 65 "$dest$record is not there: nothing was installed here with this PREFIX"
  if [ -z "$dest" ]; then act sh "$repo/debian/prerm" remove; fi
  while read -r place; do
    act rm -f "$dest$place"
    case $place in
      */agent-worker/* | */agent-worker-.service.d/*)
        act rmdir -p --ignore-fail-on-non-empty "$dest${place%/*}" 2>/dev/null || true ;;
    esac
  done <"$built/record"
  [ -z "$dest" ] || return 0
  if grep -qs ' # agent-worker$' /etc/hosts; then act unname_workers; fi
  act sh "$repo/debian/postrm" remove
  say "left: /etc/agent-worker, /shared, /var/log/agents, /var/lib/agent-worker, the user agent-worker"
}

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
if [ "$uninstall" = yes ]; then
  if [ -e "$dest$record" ]; then cp "$dest$record" "$built/record"; fi
  uninstall_all
  exit
fi
if [ -z "$programs" ] && ! command -v cargo >/dev/null; then
  die 69 "there is no cargo to compile with: scripts/programs.sh DIR where there is one, then --programs DIR"
fi
PROGRAMS=$programs "$repo/scripts/programs.sh" "$built"
install_all "$built"
