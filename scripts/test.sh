#!/usr/bin/env bash
# Runs the tests. Without flags what every change must pass (under an hour on two cores, cold):
# tidiness, release and ASan+UBSan unit tests, TSan for the threaded layers, fuzz targets for a short
# time each, and the Python tests against the release binary. --all: clang-tidy on every file, TSan
# for more layers and longer fuzzing too.
set -euo pipefail
cd "$(dirname "$0")/.."
all=false
[ "${1:-}" = --all ] && all=true

step() { printf '\n== %s (%s)\n' "$*" "$(date +%H:%M:%S)"; }

step "packages"
scripts/install-deps.sh --tests

step "python environment"
venv=build/venv
requirements=$(cat tests/requirements.txt services/transformers/pyproject.toml | sha256sum)
if [ "$(cat $venv/.requirements 2>/dev/null)" != "$requirements" ]; then
  rm -rf $venv
  python3 -m venv $venv
  $venv/bin/python -m pip install --disable-pip-version-check --quiet -r tests/requirements.txt
  echo "$requirements" >$venv/.requirements
fi

step "models"
scripts/get-models.sh smollm2 gemma3 minilm

step "release build and unit tests"
scripts/build.sh release all
ctest --preset release --no-tests=error

step "tidy"
if $all; then tools/lint.sh --all; else tools/lint.sh; fi

step "python tests"
$venv/bin/python -m pytest -q -p no:cacheprovider tests/python

step "Transformers service"
PYTHONPATH=services/transformers $venv/bin/python -m pytest -q -p no:cacheprovider services/transformers/tests

step "ASan + UBSan build and unit tests"
scripts/build.sh dev all
ctest --preset dev --no-tests=error

step "TSan"
layers=(base net engine runtime)
if $all; then layers+=(kernels models server text); fi
scripts/build.sh tsan "${layers[@]/%/_test}"
for layer in "${layers[@]}"; do
  TSAN_OPTIONS=halt_on_error=1 "build/tsan/src/$layer/${layer}_test" --gtest_brief=1
done

step "fuzz targets"
scripts/build.sh fuzz all
if $all; then tools/run_fuzzers.sh build/fuzz/fuzz 60; else tools/run_fuzzers.sh build/fuzz/fuzz 10; fi

step "done"
