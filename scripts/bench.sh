#!/usr/bin/env bash
# bench.sh REGEXP COUNT: runs the benchmarks that match, COUNT times each, and keeps the
# figures as docs/bench/<date>-<commit>.txt, in the form that benchstat reads.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD || commit+=-changed
out=docs/bench/$(date -u +%Y-%m-%d)-$commit.txt
{
  echo "machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo 2>/dev/null || uname -m), $(uname -s) $(uname -r)"
  echo "go: $(go env GOVERSION)"
  go test -run '^$' -bench "$1" -count "$2" -benchmem ./...
} | tee "$out"
echo "kept in $out" >&2
