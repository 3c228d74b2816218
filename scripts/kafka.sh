#!/usr/bin/env bash
# Makes a real Kafka ready for the tests (internal/testenv) and prints where it is:
#
#   <cache>/kappa/kafka-4.3.1/libs/*.jar        the broker's class path
#   <cache>/kappa/kafka-4.3.1/log4j2.properties warnings and errors, to standard output
#   <cache>/kappa/kafka-4.3.1/format-{1,2}/     what StorageTool writes into an empty data
#                                               directory, by transaction.version
#   <cache>/kappa/kafka-4.3.1/classes.jsa       archive of loaded classes: halves the start;
#                                               all works without it
#
# <cache> is $XDG_CACHE_HOME or ~/.cache. Java (17 or later) and Maven are installed by
# apt-get where they are missing and we are root on Debian. Safe to run several times and
# at once.
set -euo pipefail
export LC_ALL=C
version=4.3.1
here=$(cd "$(dirname "$0")" && pwd)
home=${XDG_CACHE_HOME:-$HOME/.cache}/kappa/kafka-$version
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
. "$here/packages.sh"

say() { echo "kafka.sh: $*" >&2; }

ready() { [ -d "$home/libs" ] && [ -f "$home/log4j2.properties" ] && [ -f "$home/format-1/bootstrap.checkpoint" ] && [ -f "$home/format-2/bootstrap.checkpoint" ]; }

fetch_jars() {
  [ -d "$home/libs" ] && return
  say "fetching Kafka $version through Maven (50 MB, once) into $home"
  rm -rf "$stage/libs"
  mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$stage/libs" >&2 </dev/null
  mv "$stage/libs" "$home/libs"
}

log_config() {
  cat >"$stage/log4j2.properties" <<'L'
status=error
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=OUT
L
  mv "$stage/log4j2.properties" "$home/log4j2.properties"
}

# classpath lists the jars one by one: the archive of classes holds for this very list.
classpath() { local jars=("$home"/libs/*.jar); local IFS=:; echo "${jars[*]}"; }

# properties DATA PORT writes the properties of a single node.
properties() {
  cat <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(($2 + 1))
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$(($2 + 1))
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$1
P
}

# format TV formats an empty data directory and keeps what that wrote.
format() {
  [ -f "$home/format-$1/bootstrap.checkpoint" ] && return
  properties "$stage/format-$1" 9092 >"$stage/format.properties"
  "$java" -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$home/log4j2.properties" -cp "$(classpath)" \
    kafka.tools.StorageTool format -t a2FwcGEtdGVzdC1jbHVzdA -c "$stage/format.properties" --feature "transaction.version=$1" >&2
  rm -rf "$home/format-$1"
  mv "$stage/format-$1" "$home/format-$1"
}

# archive_classes runs a broker for some seconds and has the JVM store what it loaded.
archive_classes() {
  [ -f "$home/classes.jsa" ] && return
  local port=$((20000 + RANDOM % 10000)) pid
  cp -r "$home/format-2" "$stage/data"
  properties "$stage/data" "$port" >"$stage/broker.properties"
  "$java" -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ArchiveClassesAtExit="$stage/classes.jsa" \
    -Dlog4j2.configurationFile="$home/log4j2.properties" -cp "$(classpath)" kafka.Kafka "$stage/broker.properties" \
    >"$stage/broker.log" 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 300); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  wait "$pid" || true
  if [ -f "$stage/classes.jsa" ]; then mv "$stage/classes.jsa" "$home/classes.jsa"; else say "no archive of classes (brokers start slower)"; fi
}

need "a real Kafka for the tests" java $([ -d "$home/libs" ] || echo mvn)
mkdir -p "$home"
if command -v flock >/dev/null; then exec 9>"$home/.lock" && flock 9; fi
stage=$(mktemp -d "$home/.stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
fetch_jars
[ -f "$home/log4j2.properties" ] || log_config
format 1
format 2
archive_classes
ready
echo "$home"
