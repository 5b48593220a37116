#!/usr/bin/env bash
# Put the programs that tests/deploy asks for and this machine lacks into build/tools/bin:
# - promtool and prometheus from Debian's package, which is not installed, so that no service starts;
# - helm and kubeconform, compiled from the Go module proxy;
# and into build/tools/schemas what kubeconform compares with, from modules that helm is made of.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder="$PWD/build/tools"
mkdir -p "$folder/bin"

HELM=helm.sh/helm/v3/cmd/helm@v3.19.2
KUBECONFORM=github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0
# What that helm requires; its build has downloaded them.
KUBERNETES=v0.34.0

lacks() { [ ! -x "$folder/bin/$1" ] && ! command -v "$1" >/dev/null; }

if lacks promtool || lacks prometheus; then
    apt-get update -qq
    (cd "$folder" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb debian)
    cp "$folder"/debian/usr/bin/{prometheus,promtool} "$folder/bin"
    rm -r "$folder"/debian "$folder"/prometheus_*.deb
fi

if (lacks helm || lacks kubeconform || [ ! -d "$folder/schemas" ]) && ! command -v go >/dev/null; then
    echo "Go is needed to compile helm and kubeconform (https://go.dev/dl): the chart is not checked" >&2
    exit 1
fi
if lacks helm; then GOBIN="$folder/bin" go install "$HELM"; fi
if lacks kubeconform; then GOBIN="$folder/bin" go install "$KUBECONFORM"; fi

find_module() { (cd / && go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }

if [ ! -d "$folder/schemas" ]; then
    python3 tools/kubernetes_schemas.py \
        "$(find_module "k8s.io/client-go@$KUBERNETES")" \
        "$(find_module "k8s.io/kubectl@$KUBERNETES")" "$folder/schemas"
fi
