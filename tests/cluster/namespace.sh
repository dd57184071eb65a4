#!/usr/bin/env bash
# Runs a command as the tests of tests/cluster need it: `tests/cluster/namespace.sh cargo test --test cluster`.
#
# network   nothing but the loopback device, with 10.77.0.0/16 and fd77::/64: addresses for pods. An API server refuses
#           loopback addresses in EndpointSlices, and takes these.
# mount     an empty /run, so that a gateway can have /var/run/secrets/kubernetes.io/serviceaccount.
# process   whatever the command starts ends with it.
#
# Nothing of this is seen outside, and nothing outside can be reached from within. Takes root.
set -euo pipefail

if [ "${1:-}" != --within ]; then
  exec unshare --net --mount --pid --fork --kill-child --mount-proc -- "$0" --within "$@"
fi
shift

ip link set lo up
ip addr add 10.77.0.1/16 dev lo # on lo, the whole prefix is this machine
ip -6 route add local fd77::/64 dev lo
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind # a route does not make an address that can be bound; this does
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/secrets/kubernetes.io/serviceaccount
[ "$(readlink -f /var/run)" = /run ] || { echo "namespace: /var/run is not /run" >&2; exit 1; }

export RINGWAY_CLUSTER_NAMESPACE=1
# Not exec: the first process of a namespace has to reap those whose parents are gone.
"$@"
