#!/bin/bash
# The first process of a host with a Docker of its own: it lives as long as the host, and starts nothing by itself. Run by
# host.sh within `unshare --mount --net --pid --fork`: with it everything goes that was started here.
set -eu
mount -t proc proc /proc
mkdir -p /var/lib /var/run
# Where no namespaces of a host's own can be had, nobody waits in vain.
echo ready
while :; do sleep 1000; done
