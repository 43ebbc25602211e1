#!/usr/bin/env bash
# Configures and builds: scripts/build.sh [release|dev|tsan|fuzz] [TARGET...]
# Without a target: the program for release, everything for the others.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
shift || true
targets=("$@")
if [ $# -eq 0 ] && [ "$preset" = release ]; then targets=(localai); fi

# The same objects from any checkout: ccache sees paths relative to this one.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" ${targets:+--target "${targets[@]}"}
