#!/bin/bash
# Stands in for the watcher where only the supervisor is tested: takes the folder's lock, says so in the mirror,
# and stops cleanly on SIGTERM. No child outlives a line or inherits the lock, so that a kill frees it at once.
# $STAND_IN chooses what it does: live (default), misconfigured, crash, deaf.
for arg; do
  case $arg in
    --worker=*) worker=${arg#*=} ;;
    --root=*) root=${arg#*=} ;;
  esac
done
case ${STAND_IN:-live} in
  misconfigured) echo "no such agent: gpt" >&2; exit 78 ;;
  crash) exit 1 ;;
esac
folder=$root/workers/$worker
mkfifo "$folder/.never.$$"
exec 8<>"$folder/.never.$$"
rm "$folder/.never.$$"
ticks=$(cut -d' ' -f22 /proc/$$/stat)
boot=$(cat /proc/sys/kernel/random/boot_id)
ns=$(stat -Lc %i /proc/self/ns/pid)
exec 9<"$folder"
flock -x -w 2 9 || { echo "another watcher holds the lock" >&2; exit 78; }
set_status() {
  echo "{\"status\":\"$1\"}" > "$folder/.state.$$"
  mv "$folder/.state.$$" "$folder/state.json" 9<&-
}
trap 'set_status stopped; exit 0' TERM
[ "$STAND_IN" = deaf ] && trap '' TERM
set_status running
echo "{\"role\":\"watcher\",\"worker\":\"$worker\",\"pid\":$$,\"start_ticks\":$ticks,\"boot_id\":\"$boot\",\"pid_ns\":$ns,\"since\":\"2026-03-01T10:00:00Z\"}" > "$root/locks/.mirror.$$"
mv "$root/locks/.mirror.$$" "$root/locks/${worker}_watcher.lock" 9<&-
# The timeout is for a signal that comes just before the read: its trap runs after it.
while :; do read -r -t 0.2 never <&8; done
