#!/bin/bash
# A host of its own for the runbook: /shared, /var/log/agents and /tmp are those of a test, the names marie, anga and
# fabien lead to it, its ports are free, and nothing of this machine is touched. Run it with
# `unshare --mount --net`; what follows the folders is the command, run in it.
#
#   host.sh WORLD COMMAND…      WORLD has shared/ and log/
set -eu
world=$1; shift
base=$world/host
mount --make-rprivate /
ip link set lo up
mkdir -p "$base"
mount -t tmpfs tmpfs "$base"
for dir in /*; do
  case $dir in
    /shared | /tmp | /var | /run | /app) ;;
    *)
      if [ -L "$dir" ]; then cp -P "$dir" "$base$dir"
      elif [ -d "$dir" ]; then mkdir "$base$dir"; mount --rbind "$dir" "$base$dir"; fi ;;
  esac
done
mkdir -p "$base/run" "$base/shared" "$base/var/log/agents" "$base/tmp" "$base/var/tmp" "$base$world"
mount --bind "$world" "$base$world"
mount --bind "$world/shared" "$base/shared"
mount --bind "$world/log" "$base/var/log/agents"
printf '127.0.0.1 localhost marie anga fabien\n' > "$base/hosts"
mount --bind "$base/hosts" "$base/etc/hosts"
# Not only a chroot: who enters the namespace later, as `docker exec` does, is to see this host and not the machine.
mkdir "$base/.machine"
cd "$base"
pivot_root . .machine
umount -l .machine
exec "$@"
