#!/usr/bin/env bash
# Builds the parts of a cluster that the tests need and prints the directory that holds them.
#
#   bin/etcd  bin/kube-apiserver  bin/kube-controller-manager  bin/kubectl   pinned in tools/kubernetes/go.mod
#   bin/helm  bin/kubeconform                                                pinned in tools/helm/go.mod
#   openapi.json                                                             the API of that Kubernetes
#   schemas/                                                                 what schemas.py makes of it for kubeconform
#
# The directory lies outside the clone and is named after everything it is made of, so another clone, or this one
# after `git clean`, finds it again, and a changed version never meets an old binary. It appears by one rename:
# it is complete or absent. Nothing is installed globally. Progress goes to stderr; stdout is the directory alone.
#
# Needs go (the version of tools/*/go.mod or newer) and a module proxy. Running the tests takes Linux, root, and
# unshare, ip, mount and openssl, which are asked for here so that nobody finds out after the build. What is missing is
# a failure, never a skip.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${RINGWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway}/cluster"

say() { echo "cluster-parts: $*" >&2; }
die() { say "$*"; exit 1; }

[ "$(uname -s)" = Linux ] || die "this is $(uname -s): the tests run in Linux namespaces"
command -v unshare >/dev/null || die "unshare is not on PATH; the tests run in namespaces of their own (on Debian, the package util-linux)"
command -v mount >/dev/null || die "mount is not on PATH; the tests give a gateway the files of a pod (on Debian, the package mount)"
command -v ip >/dev/null || die "ip is not on PATH; the tests need addresses that are not loopback ones (on Debian, the package iproute2)"
command -v openssl >/dev/null || die "openssl is not on PATH; the tests make certificates and keys (on Debian, the package openssl)"
[ "$(id -u)" = 0 ] || die "this is not root: the tests make network, mount and process namespaces"
unshare --net --mount --pid --fork true || die "the kernel refuses namespaces, also to root: a container needs CAP_SYS_ADMIN for them"

kubernetes=$(sed -n 's/^.*k8s\.io\/kubernetes \(v[0-9.]*\).*$/\1/p' "$here/tools/kubernetes/go.mod")
helm=$(sed -n 's/^.*helm\.sh\/helm\/v4 \(v[0-9.]*\).*$/\1/p' "$here/tools/helm/go.mod")
[ -n "$kubernetes" ] && [ -n "$helm" ] || die "tools/*/go.mod do not name the versions of Kubernetes and Helm"

made_of=("$here/build.sh" "$here/tools/kubernetes/go.mod" "$here/tools/kubernetes/go.sum" "$here/tools/helm/go.mod" "$here/tools/helm/go.sum")
[ ! -f "$here/schemas.py" ] || made_of+=("$here/schemas.py")
digest=$({ cat "${made_of[@]}" && uname -sm; } | sha256sum | cut -c1-12)
parts="$cache/${kubernetes#v}-$digest"

if [ -d "$parts" ]; then
  say "cached"
  echo "$parts"
  exit 0
fi

command -v go >/dev/null || die "go is not on PATH; Kubernetes, etcd and Helm are built from Go modules (tests/cluster/tools/*/go.mod name the version)"

mkdir -p "$cache"
building=$(mktemp -d "$cache/.building.XXXXXX")
trap 'rm -rf "$building"' EXIT
mkdir "$building/parts" "$building/parts/bin"
started=$SECONDS

export CGO_ENABLED=0 # static binaries: they run on any Linux, and no C compiler is needed
export GOWORK=off    # a workspace of the user's is not ours

# Without the version a server calls itself v0.0.0-master, and Helm's checks of it see nonsense.
say "building etcd, kube-apiserver, kube-controller-manager and kubectl $kubernetes with $(go env GOVERSION) (minutes, the first time)"
IFS=. read -r major minor _ <<<"${kubernetes#v}"
(cd "$here/tools/kubernetes" && go build -trimpath -buildvcs=false -ldflags "-s -w \
  -X k8s.io/component-base/version.gitVersion=$kubernetes \
  -X k8s.io/component-base/version.gitMajor=$major \
  -X k8s.io/component-base/version.gitMinor=$minor \
  -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes" -o "$building/parts/bin/" \
  k8s.io/kubernetes/cmd/kube-apiserver \
  k8s.io/kubernetes/cmd/kube-controller-manager \
  k8s.io/kubernetes/cmd/kubectl \
  go.etcd.io/etcd/server/v3) >&2 || die "the parts of Kubernetes did not build"
mv "$building/parts/bin/server" "$building/parts/bin/etcd"
cp "$(cd "$here/tools/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json" "$building/parts/openapi.json"
chmod u+w "$building/parts/openapi.json" # the module cache is read-only

say "building helm $helm and kubeconform"
(cd "$here/tools/helm" && go build -trimpath -buildvcs=false -ldflags "-s -w \
  -X helm.sh/helm/v4/internal/version.version=$helm" -o "$building/parts/bin/" \
  helm.sh/helm/v4/cmd/helm \
  github.com/yannh/kubeconform/cmd/kubeconform) >&2 || die "helm or kubeconform did not build"

if [ -f "$here/schemas.py" ]; then
  say "making schemas"
  command -v python3 >/dev/null || die "python3 is not on PATH; it makes the schemas for kubeconform"
  python3 "$here/schemas.py" "$building/parts/openapi.json" "$building/parts/schemas" >&2 || die "the schemas were not made"
fi

# What stands in the cache has run once.
"$building/parts/bin/etcd" --version >&2
"$building/parts/bin/kube-apiserver" --version >&2
"$building/parts/bin/kube-controller-manager" --version >&2
"$building/parts/bin/kubectl" version --client >&2
"$building/parts/bin/helm" version --short >&2
"$building/parts/bin/kubeconform" -v >&2

if ! mv -T "$building/parts" "$parts" 2>/dev/null; then
  [ -d "$parts" ] || die "$parts could not be created"
  say "another build finished first; using that one"
fi
say "built in $((SECONDS - started)) s"
echo "$parts"
