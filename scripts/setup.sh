#!/usr/bin/env bash
# Installs what `make test` needs beside Go: a C compiler for the race detector, a real
# Kafka with its Java, and a real S3 server. Does nothing where all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
need "the race detector" gcc
"$here/kafka.sh" >/dev/null
"$here/versitygw.sh" >/dev/null
