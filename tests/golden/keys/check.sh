#!/bin/sh
# Compares vectors.txt with what the Collector's own code says, fetched as Go modules.
#
#   tests/golden/keys/check.sh [PDATA-VERSION CONTRIB-VERSION]
#
# Without arguments the releases the file was made with are checked. The file is what this program prints:
#
#   tests/golden/keys/check.sh v1.67.0 v0.161.0 print > tests/golden/keys/vectors.txt
set -eu

here=$(cd "$(dirname "$0")" && pwd)
pdata=${1:-v1.67.0} contrib=${2:-v0.161.0}

command -v go >/dev/null || { echo "check.sh: needs Go" >&2; exit 1; }
export GOWORK=off # a workspace of the user's is not ours
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cp "$here/generate.go" "$work"
cd "$work"
cat > go.mod <<EOF
module keys

go 1.25.0

require (
	go.opentelemetry.io/collector/pdata $pdata
	github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatautil $contrib
)
EOF
go mod tidy 2>/dev/null
go run . > vectors.txt
case ${3:-} in
print) cat vectors.txt ;;
*) cmp vectors.txt "$here/vectors.txt" && echo "keys: as pdata $pdata and contrib $contrib have them" ;;
esac
