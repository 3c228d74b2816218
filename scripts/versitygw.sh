#!/usr/bin/env bash
# Makes a real S3 server ready for the tests (internal/testenv) and prints where it is:
# versitygw, built by Go from the module that scripts/versitygw/go.mod pins, as
#
#   <cache>/kappa/versitygw-1.8.0/versitygw
#
# <cache> is $XDG_CACHE_HOME or ~/.cache. Safe to run several times and at once.
set -euo pipefail
version=1.8.0
here=$(cd "$(dirname "$0")" && pwd)
home=${XDG_CACHE_HOME:-$HOME/.cache}/kappa/versitygw-$version

mkdir -p "$home"
if command -v flock >/dev/null; then exec 9>"$home/.lock" && flock 9; fi
if [ ! -x "$home/versitygw" ]; then
  echo "versitygw.sh: building versitygw $version (a minute or two, once) into $home" >&2
  stage=$(mktemp -d "$home/.stage.XXXXXX")
  trap 'rm -rf "$stage"' EXIT
  (cd "$here/versitygw" && GOFLAGS= "${GO:-go}" build -ldflags '-s -w' -o "$stage/versitygw" github.com/versity/versitygw/cmd/versitygw) >&2
  mv "$stage/versitygw" "$home/versitygw"
fi
echo "$home/versitygw"
