#!/bin/sh
# What the first process of a kernel of its own does: it is an NFS server and its one client, and its clock is set while
# work goes on. What became of it is said in lines `SAID name value`.
#
#   kernel.sh BIN     BIN holds the programs
# shellcheck disable=SC2016,SC2034 # a condition is expanded where it is waited for
set -u
bin=$1
for mounted in proc:/proc sysfs:/sys tmpfs:/mnt; do
  mount -t "${mounted%%:*}" none "${mounted#*:}"
done
home=/mnt/home log=/mnt/log export=/mnt/export nfs=/mnt/nfs
mkdir -p "$home" "$log" "$export" "$nfs" /mnt/recovery

say() { echo "SAID $1 $(tr -d '\n')"; }

# Waits until a condition holds; whoever booted this kernel has the patience.
until_it() { until eval "$1"; do sleep 0.05; done; }

# Becomes the program, in an environment of its own: for a subshell.
alone() { exec env -i PATH="$PATH" HOME="$home" AGENT_WORKER_CONFIG=none "$@"; }

# Modules of this kernel with what they need, and the loopback interface: there is no modprobe and no ip here.
python3 - nfsd nfsv4 <<'PYTHON'
import ctypes, fcntl, os, socket, struct, sys
base = '/usr/lib/uml/modules/%s/' % os.uname().release
needs = dict(line.split(':', 1) for line in open(base + 'modules.dep'))
libc = ctypes.CDLL(None, use_errno=True)
for name in sys.argv[1:]:
    module = next(it for it in needs if it.endswith('/%s.ko' % name))
    for path in reversed([module] + needs[module].split()):
        with open(base + path, 'rb') as file:
            if libc.syscall(313, file.fileno(), b'', 0) and ctypes.get_errno() != 17:
                print(path, os.strerror(ctypes.get_errno()))
lo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(lo, 0x8914, struct.pack('16sH14s', b'lo', 0x41, b'\0' * 14))
PYTHON

# The server answers its own questions here, which mountd is asked elsewhere: who may mount what (nfsd(7), exports(5)).
# The flags: any port, no root squash, no subtree check, a number in place of a device.
mount -t tmpfs none "$export"
mount -t nfsd nfsd /proc/fs/nfsd
for late in nfsv4leasetime nfsv4gracetime; do echo 10 >"/proc/fs/nfsd/$late"; done
echo /mnt/recovery >/proc/fs/nfsd/nfsv4recoverydir
ever=$(($(date +%s) + 1000000000))
serve() { # a server that stops forgets all of this
  echo "nfsd 127.0.0.1 $ever *" >/proc/net/rpc/auth.unix.ip/channel
  echo "* $export $ever $((0x2402)) 65534 65534 0" >/proc/net/rpc/nfsd.export/channel
  printf '* 1 \\x00000000 %s %s\n' "$ever" "$export" >/proc/net/rpc/nfsd.fh/channel
  echo "-3" >/proc/fs/nfsd/versions
  echo "tcp 2049" >/proc/fs/nfsd/portlist
  echo 2 >/proc/fs/nfsd/threads
}
serve
# Nobody has a lock yet that could be asked for again.
echo Y >/proc/fs/nfsd/v4_end_grace
mount -i -t nfs -o vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1,proto=tcp,port=2049,sec=sys 127.0.0.1:/ "$nfs"
stat -f -c %T "$nfs" | say mounted

watcher() { # flags…
  alone "$bin/watcher" --worker marie --root "$root" --log-dir "$log" --metrics-addr none --log-format json \
    --claude-bin "$bin/fake-claude" --api-requests-per-minute 0 "$@"
}
# One that may work on NFS, in the background; comes back when it is at work.
up() {
  (watcher --allow-nfs) 2>>"$log/err" &
  last=$!
  until_it 'grep -Eq "\"pid\": ?$last[^0-9]" "$root/workers/marie/heartbeat.json" 2>/dev/null'
}
drop() { # root, name, the rest of the task
  printf '{"prompt":"fake: %s}' "$3" >"$1/tasks/marie/pending/.$2.tmp"
  mv "$1/tasks/marie/pending/.$2.tmp" "$1/tasks/marie/pending/$2.json"
}
starts() { grep -E '"event": ?"start"' "$home/fake-claude.log" 2>/dev/null | grep -cE "\"task\": ?\"$1\""; }
at_work() {
  task=$1
  until_it 'grep -E "\"event\": ?\"message\"" "$home/fake-claude.log" 2>/dev/null | grep -Eq "\"task\": ?\"$task\""'
}
seq() { grep -o '"seq": *[0-9]*' "$root/workers/marie/heartbeat.json" | tr -dc 0-9; }
beats() { want=$(($(seq) + $1)) && until_it '[ "$(seq)" -ge "$want" ]'; }

# ---- NFS: refused, and where it is allowed right --------------------------------------------------------------
root=$nfs/shared
mkdir "$root"
(watcher) >"$log/refused" 2>&1
echo "$?" | say refused
grep -o 'is on NFS[^"]*' "$log/refused" | say refusal

up
first=$last
drop "$root" plain 'succeed text=plain"'
until_it '[ -e "$root/tasks/marie/completed/plain.json" ]'
# Somebody else's drop: made on the server, where no event comes from.
printf '{"prompt":"fake: succeed"}' >"$export/shared/tasks/elsewhere.json"
until_it '[ -e "$root/tasks/marie/completed/elsewhere.json" ]'
(watcher --allow-nfs) >"$log/second" 2>&1
echo "$?" | say second
grep -o 'holds worker marie already' "$log/second" | say second-why

# The server goes away while an agent works, and comes back: who waits for it waits in the kernel.
drop "$root" away 'gate=/mnt/gate-away; succeed text=away"'
at_work away
echo 0 >/proc/fs/nfsd/threads
touch /mnt/gate-away
sleep 5
kill -0 "$first" && echo lives | say waiting
serve
until_it '[ -e "$root/tasks/marie/completed/away.json" ]'
starts away | say away

# Its watcher is killed; the next one takes the agent up.
drop "$root" adopted 'gate=/mnt/gate-adopted; succeed text=adopted"'
at_work adopted
until_it 'grep -q "\"pid\"" "$root/tasks/marie/active/adopted.json" 2>/dev/null'
kill -9 "$first"
up
second=$last
until_it 'grep -q "adopted a living agent" "$log/err"'
# Until it has the agent's lock file too: the dead one lets go of its own by way of the server.
beats 3
touch /mnt/gate-adopted
until_it '[ -e "$root/tasks/marie/completed/adopted.json" ]'
starts adopted | say adopted
kill "$second"
wait "$second"
echo "$?" | say stopped
(alone "$bin/agentctl" --root "$root" fsck) >"$log/fsck" 2>&1
# A killed worker's lock files for people may be seen as held a moment longer here; the next start takes them away.
grep -E '^(broken|damaged)' "$log/fsck" | grep -vc free-lock | say fsck
say fsck-said <"$log/fsck"
grep -c 'RENAME_NOREPLACE' "$log/err" | say by-link
grep -ho 'holds on this machine only' "$log/err" | head -n 1 | say warned
ls "$root/tasks/marie/pending" "$root/tasks/marie/active" "$root/tasks/marie/failed" 2>&1 | grep -c json | say left

# ---- the clock -------------------------------------------------------------------------------------------------
root=/mnt/shared
mkdir "$root"
(alone "$bin/supervisor" run --root "$root" --log-dir "$log" --log-format json --metrics-addr none --grace 1 \
  --workers marie=none --concurrency 3 --hung-after 10 --claude-bin "$bin/fake-claude") 2>>"$log/err" &
supervisor=$!
until_it '[ -e "$root/workers/marie/heartbeat.json" ]'
worker() { grep -o '"pid": *[0-9]*' "$root/workers/marie/heartbeat.json" | tr -dc 0-9; }
pid=$(worker)
drop "$root" long 'say text=at work; gate=/mnt/gate-long; succeed text=long","timeout_s":600'
at_work long
drop "$root" hour "succeed\",\"not_before\":\"$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)\""
beats 2
date -s '+6 hours' >/dev/null
beats 12
echo 12 beats | say forwards
until_it '[ -e "$root/tasks/marie/completed/hour.json" ]'
(alone "$bin/agentctl" --root "$root" status --json) | grep -o '"heartbeat_age_s": *[0-9]*' | tr -dc 0-9 | say forwards-age
drop "$root" again 'fail error | fail error | succeed","max_retries":5'
until_it 'grep -q retry_at "$root/tasks/marie/pending/again.json" 2>/dev/null'
date -s '-12 hours' >/dev/null
beats 12
echo 12 beats | say backwards
until_it '[ -e "$root/tasks/marie/completed/again.json" ]'
(alone "$bin/agentctl" --root "$root" status --json) | grep -o '"heartbeat_age_s": *[0-9]*' | tr -dc 0-9 | say backwards-age
touch /mnt/gate-long
until_it '[ -e "$root/tasks/marie/completed/long.json" ]'
grep -o '"retry_count": *[0-9]*' "$root/tasks/marie/completed/long.json" | say long
starts long | say long-starts
[ "$(worker)" = "$pid" ] && echo same | say worker
grep -cE 'HUNG|Restarting' "$log/err" | say restarts
kill "$supervisor"
wait "$supervisor"
echo "SAID over"
exec python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'
