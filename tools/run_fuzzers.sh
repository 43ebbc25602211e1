#!/usr/bin/env bash
# Runs every fuzz target of a build folder for some seconds from its committed corpus; new inputs go
# to a scratch folder. tools/run_fuzzers.sh build/fuzz/fuzz SECONDS
set -euo pipefail
folder=$1 seconds=$2
found=false
for target in "$folder"/*_fuzz; do
  [ -x "$target" ] || continue
  found=true
  name=$(basename "$target" _fuzz)
  scratch=$(mktemp -d)
  echo "-- $name"
  if ! "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=0 -verbosity=0 \
    -artifact_prefix="$scratch/" "$scratch" "fuzz/corpus/$name" 2>"$scratch/log"; then
    tail -60 "$scratch/log" >&2
    echo "$name: a finding, see $scratch" >&2
    exit 1
  fi
  rm -rf "$scratch"
done
$found || { echo "no fuzz target in $folder" >&2; exit 1; }
