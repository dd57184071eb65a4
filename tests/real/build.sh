#!/usr/bin/env bash
# Builds the real parts of the end-to-end tests and prints the directory that holds them.
#
#   bin/otelcol-real   the OpenTelemetry Collector of collector/manifest.yaml
#   bin/telemetrygen   the OpenTelemetry load generator
#   bin/chromium       the Chromium of this machine
#   python/bin/python  an interpreter with the OpenTelemetry SDK of python/requirements.txt
#   js/node            the Node.js of this machine
#   js/node_modules/   the OpenTelemetry SDK of js/package-lock.json; js/sdk.js is the same for a browser, in one file
#
# The directory lies outside the clone and is named after everything it is made of, so another clone, or this one
# after `git clean`, finds it again, and a changed version never meets an old binary. It appears by one rename:
# it is complete or absent. Nothing is installed globally. Progress goes to stderr; stdout is the directory alone.
#
# Needs go (the version of tools/go.mod or newer), python3 with venv, Node.js 18.19 or 20.6 and newer with npm, Chromium,
# and a module proxy and package indexes that these are set up for. Only a missing part is built; a part that cannot be
# built is a failure, never a skip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${RINGWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway}/real"

say() { echo "real-parts: $*" >&2; }
die() { say "$*"; exit 1; }

command -v python3 >/dev/null || die "python3 is not on PATH; the Python SDK clients of the tests need it"

command -v node >/dev/null || die "node is not on PATH; the JavaScript SDK clients of the tests need it (on Debian, the package nodejs)"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 6) || (a === 18 && b >= 19) ? 0 : 1)' ||
  die "node is $(node --version); the JavaScript SDK of the tests needs 18.19, or 20.6 or newer"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
  die "chromium is not on PATH; the web page of the tests needs it (on Debian, the package chromium)"

# What a part links to belongs to the key: a venv is a link to its interpreter.
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
digest=$(
  {
    cat "$here/build.sh" "$here/collector/manifest.yaml" "$here/tools/go.mod" "$here/tools/go.sum" "$here/python/requirements.txt" \
      "$here/js/package.json" "$here/js/package-lock.json" "$here/js/sdk.mjs"
    echo "$chromium" "$(command -v node)" "$(node --version)"
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

command -v npm >/dev/null || die "npm is not on PATH; the JavaScript SDK is installed with it (on Debian, the package npm)"
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

say "installing the JavaScript SDK"
mkdir "$building/parts/js"
cp "$here/js/package.json" "$here/js/package-lock.json" "$building/parts/js/"
{
  npm ci --prefix "$building/parts/js" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error &&
    NODE_PATH="$building/parts/js/node_modules" "$building/parts/js/node_modules/.bin/esbuild" "$here/js/sdk.mjs" \
      --bundle --format=esm --platform=browser --log-level=warning --outfile="$building/parts/js/sdk.js"
} >&2 || die "the JavaScript SDK did not install"
ln -s "$(command -v node)" "$building/parts/js/node"
ln -s "$chromium" "$building/parts/bin/chromium"

# What stands in the cache has run once.
"$building/parts/bin/otelcol-real" --version >&2
"$building/parts/bin/telemetrygen" traces --help >/dev/null
"$building/parts/python/bin/python" -c 'import opentelemetry.sdk, opentelemetry.exporter.otlp' >&2
"$building/parts/js/node" -e 'require("module").createRequire(process.argv[1])("@opentelemetry/sdk-trace-base")' "$building/parts/js/" >&2
"$building/parts/bin/chromium" --version >&2

# The interpreter finds its packages from where it stands, so moving a venv is safe as long as its scripts are not used.
if ! mv -T "$building/parts" "$parts" 2>/dev/null; then
  [ -d "$parts" ] || die "$parts could not be created"
  say "another build finished first; using that one"
fi
say "built in $((SECONDS - started)) s"
echo "$parts"
