#!/bin/bash
# Stands in for systemctl and docker: writes down what it was asked, word by word, and does what $HOST_DOES says:
# start (the watcher, on its own), fail, hang, or wrong (a container of another name).
# What it says about the end of a watcher is in $HOST_SAYS, if that is there; such questions are not written down.
if [ "$1" = show ] || [[ $* == *.State* ]]; then
  [ ! -e "$HOST_SAYS" ] || cat "$HOST_SAYS"
  exit 0
fi
echo "$(basename "$0"): $(printf '[%s]' "$@")" >> "$HOST_LOG"
case $(cat "$HOST_DOES") in
  fail) echo "Job for $* failed because of a test." >&2; exit 5 ;;
  hang) exec sleep 1000 ;;
  wrong) [ "$1" = inspect ] && { echo "/marie-debug"; exit 0; } ;;
esac
[ "$1" = inspect ] && { echo "/marie"; exit 0; }
# shellcheck disable=SC2086
setsid $HOST_WATCHER < /dev/null > /dev/null 2>&1 &
