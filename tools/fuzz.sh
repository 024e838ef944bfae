#!/bin/bash
# Runs every fuzz target for a time: fuzz.sh 30s. A crash is written to the target's testdata and ends the run.
set -euo pipefail

go=${GO:-go}
time=${1:?how long, such as 30s}
cd "$(dirname "$0")/.."
grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file _ func; do
    target=${func#func }
    echo "== $(dirname "$file") $target"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x "$(dirname "$file")" </dev/null
done
