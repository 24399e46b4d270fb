#!/bin/sh
# Stands in for the watcher where only the supervisor is tested: takes the folder's lock, says so in the mirror,
# and stops cleanly on SIGTERM. No child process, so that nothing keeps the lock after a kill.
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
exec 9<"$root/workers/$worker"
flock -x -w 2 9 || { echo "another watcher holds the lock" >&2; exit 78; }
mkfifo "$root/workers/$worker/.never.$$"
exec 8<>"$root/workers/$worker/.never.$$"
rm "$root/workers/$worker/.never.$$"
set_status() {
  echo "{\"status\":\"$1\"}" > "$root/workers/$worker/.state.$$"
  mv "$root/workers/$worker/.state.$$" "$root/workers/$worker/state.json"
}
trap 'set_status stopped; exit 0' TERM
[ "$STAND_IN" = deaf ] && trap '' TERM
set_status running
ticks=$(cut -d' ' -f22 /proc/$$/stat)
boot=$(cat /proc/sys/kernel/random/boot_id)
ns=$(stat -Lc %i /proc/self/ns/pid)
cat > "$root/locks/.mirror.$$" <<MIRROR
{"role":"watcher","worker":"$worker","pid":$$,"start_ticks":$ticks,"boot_id":"$boot","pid_ns":$ns,"since":"2026-03-01T10:00:00Z"}
MIRROR
mv "$root/locks/.mirror.$$" "$root/locks/${worker}_watcher.lock"
while :; do read -r never <&8; done
