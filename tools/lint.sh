#!/usr/bin/env bash
# Formatting, layers, tree rules, and clang-tidy on what changed since BASE (or all files: --all).
# tools/lint.sh [--all] [--fix]      BASE: the environment's LINT_BASE, else the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."
all=false fix=false
for flag in "$@"; do
  case $flag in --all) all=true ;; --fix) fix=true ;; esac
done

mapfile -t sources < <(git ls-files -co --exclude-standard 'src/*.cc' 'src/*.h' 'fuzz/*.cc' 'bench/*.cc')
if $fix; then clang-format-14 -i "${sources[@]}"; fi
clang-format-14 --dry-run --Werror "${sources[@]}"
python3 tools/tidy_layers.py src
python3 tools/tidy_tree.py

cmake --preset release >/dev/null
if $all; then
  mapfile -t tidy < <(git ls-files 'src/*.cc')
else
  base=${LINT_BASE:-HEAD~1}
  git rev-parse -q --verify "$base^{commit}" >/dev/null || base=$(git hash-object -t tree /dev/null)
  mapfile -t tidy < <(git diff --name-only --diff-filter=AM "$base" -- 'src/*.cc')
fi
# Kernels are compiled with instruction sets that clang-tidy cannot name; tests are gtest macros; in
# the coroutines of net/client.cc and net/server.cc the analyzer reports null pointers inside Asio's own headers.
checked=()
for file in "${tidy[@]}"; do
  case $file in src/kernels/cpu/* | src/net/client.cc | src/net/server.cc | *_test.cc) ;; *) checked+=("$file") ;; esac
done
if [ ${#checked[@]} -gt 0 ]; then
  printf '%s\n' "${checked[@]}" | xargs -P 2 -n 4 clang-tidy-14 --quiet -p build/release 2>/dev/null
fi
