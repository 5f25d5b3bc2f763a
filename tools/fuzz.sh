#!/usr/bin/env bash
# Runs every fuzzer of a build for so many seconds each and stops at the first finding.
# Usage: tools/fuzz.sh BUILD_DIR SECONDS [NAME...]   e.g. tools/fuzz.sh build/fuzz 30 head_parser_fuzz
# The corpus grows in build/corpus/NAME; seeds come from tests/corpus/NAME (NAME without _fuzz) and BUILD_DIR/seeds/NAME if present.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 2 ] && [[ $2 =~ ^[1-9][0-9]*$ ]] || { echo "usage: $0 BUILD_DIR SECONDS [NAME...]" >&2; exit 2; }
build=$1 seconds=$2
shift 2

if [ $# -gt 0 ]; then
  fuzzers=("${@/#/$build/}")
else
  mapfile -t fuzzers < <(find "$build" -maxdepth 2 -type f -perm -u+x -name '*_fuzz' 2>/dev/null | sort)
fi
[ ${#fuzzers[@]} -gt 0 ] || { echo "no *_fuzz in $build; build them with: cmake --preset fuzz && cmake --build build/fuzz" >&2; exit 2; }

running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || true' EXIT

for fuzzer in "${fuzzers[@]}"; do
  [ -x "$fuzzer" ] || { echo "$fuzzer: not built" >&2; exit 2; }
  name=$(basename "$fuzzer" _fuzz)
  corpus=build/corpus/$name found=build/corpus/found/$name log=build/corpus/$name.log
  mkdir -p "$corpus" "$found"
  dirs=("$corpus")
  for seeds in "tests/corpus/$name" "$build/seeds/$name"; do
    [ ! -d "$seeds" ] || dirs+=("$seeds")
  done

  # A slow unit or a hang is a finding too; the memory limit is libFuzzer's own default, written down.
  "$fuzzer" "${dirs[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$found/" -print_final_stats=1 >"$log" 2>&1 &
  running=$!
  status=0
  wait "$running" || status=$?
  running=

  if [ "$status" -ne 0 ]; then
    tail -n 60 "$log"
    reproducer=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo
    echo "FOUND by $name: ${reproducer:-no input was written, see $log}"
    [ -z "$reproducer" ] || echo "again: $fuzzer $reproducer"
    exit 1
  fi
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  units=$(find "$corpus" -type f | wc -l)
  printf '%-28s %9s execs/s  %6s inputs kept\n' "$name" "${rate:-?}" "$units"
done
