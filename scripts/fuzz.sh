#!/usr/bin/env bash
# fuzz.sh TIME: runs every Fuzz function of the module for TIME, one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Go's fuzzer reports its own deadline as a failure when a worker is busy at the very
# end. A finding always names the input that it wrote.
fuzz() { # dir, name, time
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" "$1" 2>&1 | tee "$log" && return
  grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic:' "$log"
}

for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -rn1 dirname | sort -u); do
  for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | sort -u); do
    fuzz "$dir" "$name" "$1"
  done
done
