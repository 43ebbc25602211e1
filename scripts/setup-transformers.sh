#!/usr/bin/env bash
# Makes the Python environment of the Transformers backend in build/transformers (about 6 GB with
# torch); `localai serve` finds it there. Does nothing when it is up to date. --remove deletes it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/transformers
if [ "${1:-}" = --remove ]; then
  rm -rf $venv
  exit 0
fi

wanted=$(cat services/transformers/pyproject.toml services/transformers/localai_transformers/*.py | sha256sum)
[ "$(cat $venv/.installed 2>/dev/null)" != "$wanted" ] || exit 0
[ -x $venv/bin/python ] || python3 -m venv $venv
$venv/bin/python -m pip install --disable-pip-version-check --quiet ./services/transformers
echo "$wanted" >$venv/.installed
echo "ready: $venv/bin/localai-transformers --port 9090"
