#!/usr/bin/env bash
# Installs what building and running need, from Debian 12's own packages; with --tests also what
# scripts/test.sh needs. Does nothing when all of it is there.
set -euo pipefail

packages=(g++ cmake ninja-build ccache pkg-config python3 python3-venv curl ca-certificates
  libboost1.81-dev libssl-dev nlohmann-json3-dev libsimdjson-dev libcli11-dev libfmt-dev
  libspdlog-dev libutf8proc-dev libpcre2-dev libsentencepiece-dev libsqlite3-dev libpq-dev)
if [ "${1:-}" = --tests ]; then
  packages+=(git libgtest-dev libgmock-dev libbenchmark-dev clang-14 clang-tidy-14 clang-format-14
    libclang-rt-14-dev postgresql valgrind)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "need root or sudo to install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
