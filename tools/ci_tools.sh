#!/usr/bin/env bash
# tools/ci_tools.sh FOLDER: put what tests/deploy asks for and this machine lacks into FOLDER/bin:
# promtool and prometheus from Debian's package (not installed, so no service starts).
set -euo pipefail
folder="$(mkdir -p "$1/bin" && cd "$1" && pwd)"

lacks() { ! command -v "$1" >/dev/null; }

if lacks promtool || lacks prometheus; then
    apt-get update -qq
    (cd "$folder" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb debian)
    cp "$folder"/debian/usr/bin/{prometheus,promtool} "$folder/bin"
fi
