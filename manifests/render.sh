#!/usr/bin/env bash
# Writes objects.yaml and ringway.yaml into a directory: what the chart renders for values.yaml, without the marks of Helm.
#
#   manifests/render.sh DIRECTORY        HELM names helm, which is else taken from PATH
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:?usage: manifests/render.sh DIRECTORY}
helm=${HELM:-helm}
command -v "$helm" >/dev/null || { echo "render.sh: $helm is not on PATH; HELM may name it" >&2; exit 1; }

render() {
  "$helm" template ringway "$here/../helm" --namespace observability --kube-version 1.36.3 --values "$here/values.yaml" "$@"
}

# The configuration stands in a file of its own, from which kustomize makes the ConfigMap; so its digest is kustomize's business.
render --show-only templates/configmap.yaml | sed -n '/^  ringway\.yaml: |$/,$ { /^  ringway\.yaml/d; s/^    //; p }' >"$target/ringway.yaml"
render |
  awk 'BEGIN { RS = "---\n" } /[^ \n]/ && !/\nkind: ConfigMap\n/ { sub(/\n+$/, "\n"); printf "---\n%s", $0 }' |
  sed -E '/^# Source: /d; /^ *helm\.sh\/chart:/d; /^ *app\.kubernetes\.io\/managed-by: Helm$/d; /^ *checksum\/config:/d; /^      annotations:$/d' \
    >"$target/objects.yaml"
