#!/bin/sh
# Compares ring.json with the ring code of real Collector releases, fetched as Go modules.
#
#   tests/golden/ring/check.sh [GENERATION=RELEASE ...]
#
# GENERATION is a name of the vector file: v0.130 (G1), v0.131 (G2) or v0.157 (G3). Without arguments the releases
# the values were made with are checked. To see whether a new release still has the ring of G3:
#
#   tests/golden/ring/check.sh v0.157=v0.NNN.0
set -eu

here=$(cd "$(dirname "$0")" && pwd)
module=github.com/open-telemetry/opentelemetry-collector-contrib/exporter/loadbalancingexporter
[ $# -gt 0 ] || set -- v0.130=v0.129.0 v0.131=v0.152.0 v0.157=v0.157.0 v0.157=v0.161.0

command -v go >/dev/null || { echo "check.sh: needs Go" >&2; exit 1; }
export GOWORK=off # a workspace of the user's is not ours
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work"
go mod init loadbalancingexporter 2>/dev/null

for pair in "$@"; do
	generation=${pair%%=*} release=${pair#*=}
	# Outside the scratch module, which must not come to depend on what it only copies a file from.
	dir=$(cd / && go mod download -json "$module@$release" | sed -n 's/^.*"Dir": "\(.*\)",*$/\1/p')
	[ -n "$dir" ] || { echo "check.sh: cannot fetch $module@$release" >&2; exit 1; }
	cp "$dir/consistent_hashing.go" "$here/check_test.go" .
	chmod u+w consistent_hashing.go
	echo "== $generation against $release"
	RING_VECTORS="$here/ring.json" RING_GENERATION="$generation" go test -count=1 ./...
done
