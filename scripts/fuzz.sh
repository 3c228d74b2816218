#!/usr/bin/env bash
# fuzz.sh TIME: runs every Fuzz function of the module for TIME, one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -rn1 dirname | sort -u); do
  for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | sort -u); do
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" "$dir"
  done
done
