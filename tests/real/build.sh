#!/usr/bin/env bash
# Builds the real parts of the end-to-end tests and prints the directory that holds them.
#
#   bin/otelcol-real   the OpenTelemetry Collector of collector/manifest.yaml
#   bin/telemetrygen   the OpenTelemetry load generator
#   python/bin/python  an interpreter with the OpenTelemetry SDK of python/requirements.txt
#
# The directory lies outside the clone and is named after everything it is made of, so another clone, or this one
# after `git clean`, finds it again, and a changed version never meets an old binary. It appears by one rename:
# it is complete or absent. Nothing is installed globally. Progress goes to stderr; stdout is the directory alone.
#
# Needs go (the version of tools/go.mod or newer) and python3 with venv, and a module proxy and package index that
# these two are set up for. Only a missing part is built; a part that cannot be built is a failure, never a skip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${RINGWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway}/real"

say() { echo "real-parts: $*" >&2; }
die() { say "$*"; exit 1; }

command -v python3 >/dev/null || die "python3 is not on PATH; the Python SDK clients of the tests need it"

# The interpreter belongs to the key because a venv is a link to it.
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
digest=$(
  {
    cat "$here/build.sh" "$here/collector/manifest.yaml" "$here/tools/go.mod" "$here/tools/go.sum" "$here/python/requirements.txt"
    python3 -c 'import sys; print(sys.executable, sys.version)'
    uname -sm
  } | sha256 | cut -c1-12
)
version=$(sed -n 's/^ *version: *//p' "$here/collector/manifest.yaml")
parts="$cache/$version-$digest"

if [ -d "$parts" ]; then
  say "cached"
  echo "$parts"
  exit 0
fi

command -v go >/dev/null || die "go is not on PATH; the real Collector and telemetrygen are built from Go modules (tests/real/tools/go.mod names the version)"

mkdir -p "$cache"
building=$(mktemp -d "$cache/.building.XXXXXX")
trap 'rm -rf "$building"' EXIT
mkdir "$building/parts" "$building/parts/bin" "$building/ocb"
started=$SECONDS

export CGO_ENABLED=0 # static binaries: they run on any Linux, and no C compiler is needed
export GOWORK=off    # a workspace of the user's is not ours

say "building ocb and telemetrygen with $(go env GOVERSION)"
(cd "$here/tools" && go build -trimpath -buildvcs=false -o "$building/" \
  go.opentelemetry.io/collector/cmd/builder \
  github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen) >&2 || die "ocb or telemetrygen did not build"
mv "$building/telemetrygen" "$building/parts/bin/"

say "building the Collector (minutes, the first time)"
(cd "$building/ocb" && "$building/builder" --config "$here/collector/manifest.yaml") >&2 || die "the Collector did not build"
mv "$building/ocb/_build/otelcol-real" "$building/parts/bin/"

say "installing the Python SDK"
{
  python3 -m venv "$building/parts/python" &&
    "$building/parts/python/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/python/requirements.txt"
} >&2 || die "the Python SDK did not install (on Debian, venv is the package python3-venv)"

# What stands in the cache has run once.
"$building/parts/bin/otelcol-real" --version >&2
"$building/parts/bin/telemetrygen" traces --help >/dev/null
"$building/parts/python/bin/python" -c 'import opentelemetry.sdk, opentelemetry.exporter.otlp' >&2

# The interpreter finds its packages from where it stands, so moving a venv is safe as long as its scripts are not used.
if ! mv -T "$building/parts" "$parts" 2>/dev/null; then
  [ -d "$parts" ] || die "$parts could not be created"
  say "another build finished first; using that one"
fi
say "built in $((SECONDS - started)) s"
echo "$parts"
