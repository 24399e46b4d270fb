#!/bin/sh
# What the first process of a kernel of its own does: it plays systemd and the operator of one worker, in version 2 of
# control groups, where memory is counted. What became of it is said in lines `SAID name value`.
#
#   kernel.sh BIN     BIN holds the programs
# shellcheck disable=SC2016,SC2034 # a condition is expanded where it is waited for
set -u
bin=$1
for mounted in proc:/proc sysfs:/sys cgroup2:/sys/fs/cgroup tmpfs:/mnt; do
  mount -t "${mounted%%:*}" none "${mounted#*:}"
done
root=/mnt/shared home=/mnt/home log=/mnt/log unit=/sys/fs/cgroup/unit
tasks=$root/tasks/marie
mkdir -p "$root" "$home" "$log" "$unit"
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
# As `Delegate=` of systemd marks it.
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.delegate", b"1")' "$unit"

say() { echo "SAID $1 $(tr -d '\n')"; }

# Waits until a condition holds; whoever booted this kernel has the patience.
until_it() { until eval "$1"; do sleep 0.05; done; }

alone() { env -i PATH="$PATH" HOME="$home" AGENT_WORKER_CONFIG=none "$@"; }

# Starts the watcher in a group, its runs with a limit; comes back when it is at work.
watcher() {
  (
    echo 0 >"$1/cgroup.procs" && exec env -i PATH="$PATH" HOME="$home" AGENT_WORKER_CONFIG=none "$bin/watcher" --worker marie \
      --root "$root" --log-dir "$log" --metrics-addr none --log-format json --claude-bin "$bin/fake-claude" \
      --api-requests-per-minute 0 --max-retries 0 --reserve-memory 0 --agent-memory "$2" 2>>"$log/err"
  ) &
  watcher=$!
  until_it 'grep -Eq "\"pid\": ?$watcher[^0-9]" "$root/workers/marie/heartbeat.json" 2>/dev/null'
}

drop() {
  printf '{"prompt":"fake: %s"}' "$2" >"$tasks/pending/.$1.tmp"
  mv "$tasks/pending/.$1.tmp" "$tasks/pending/$1.json"
}

# The agent of a task, once it is at work.
agent() {
  task=$1
  until_it 'grep -E "\"event\": ?\"message\"" "$home/fake-claude.log" 2>/dev/null | grep -Eq "\"task\": ?\"$task\""'
  until_it 'grep -q "\"pid\"" "$tasks/active/$task.json" 2>/dev/null'
  agent=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["attempts"][-1]["pid"])' "$tasks/active/$task.json")
}

failed() {
  task=$1
  until_it '[ -e "$tasks/failed/$task.json" ]'
  say "$1" <"$tasks/failed/$1.json"
}

watcher "$unit" 64MiB
say leaf <"/proc/$watcher/cgroup"
say handed <"$unit/cgroup.subtree_control"

# The agent itself, and a tool of one that goes on without it.
drop agent 'eat mib=90; hang stubborn'
failed agent
drop tool 'run text=tail /dev/zero; hang stubborn'
failed tool

# systemd starts the next watcher in the unit's own group, where there is no room while runs in it are bounded.
drop adopted 'gate=/mnt/adopted; eat mib=90; hang stubborn'
agent adopted
kill -9 "$watcher"
(/bin/echo 0 >"$unit/cgroup.procs") 2>&1 | say busy
mkdir "$unit/.control"
(echo 0 >"$unit/.control/cgroup.procs" && alone "$bin/supervisor" ended marie --root "$root") 2>&1 | say ended
watcher "$unit" 64MiB
say back <"/proc/$watcher/cgroup"
until_it 'grep -q "adopted a living agent" "$log/err"'
touch /mnt/adopted
failed adopted

# The kernel ends it while nobody looks; the next watcher is started in the leaf, as `DelegateSubgroup=` does.
drop dead 'gate=/mnt/dead; eat mib=90; hang stubborn'
agent dead
kill -9 "$watcher"
touch /mnt/dead
until_it '[ ! -e "/proc/$agent" ]'
watcher "$unit/watcher" none
failed dead

# The same, for want of memory around the unit.
drop starved 'gate=/mnt/starved; eat mib=90; hang stubborn'
agent starved
kill -9 "$watcher"
echo 70M >"$unit/memory.max"
touch /mnt/starved
until_it '[ ! -e "/proc/$agent" ]'
echo max >"$unit/memory.max"
watcher "$unit/watcher" none
failed starved

find "$unit" -name 'run-*' | say groups
grep -c 'each run has a control group of its own' "$log/err" | say starts
echo "SAID over"
exec python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'
