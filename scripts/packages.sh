# Sourced by the scripts that need programs of the system.

# java_major prints the major version of the Java that would run, 0 without one.
java_major() {
  "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p;q' | grep . || echo 0
}

# missing NEED tells whether a need is not met: java (17 or later) or any command.
missing() {
  case $1 in
  java) [ "$(java_major)" -lt 17 ] ;;
  *) ! command -v "$1" >/dev/null ;;
  esac
}

# packages NEED prints the Debian packages for a need.
packages() {
  case $1 in
  java) echo default-jre-headless ;;
  mvn) echo maven ;;
  gcc) echo gcc libc6-dev ;;
  *) echo "$1" ;;
  esac
}

# need WHAT-FOR NEED... installs what is missing where we are root on Debian; else it
# says in one line what to install, and fails.
need() {
  local what=$1 n list=()
  shift
  for n in "$@"; do if missing "$n"; then read -ra list <<<"${list[*]} $(packages "$n")"; fi; done
  [ ${#list[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${list[*]} ($what)" >&2
    apt_install "${list[@]}" || { apt-get update -qq >&2 </dev/null && apt_install "${list[@]}"; } || true
  fi
  for n in "$@"; do
    if missing "$n"; then
      echo "$what needs ${list[*]}: install (on Debian: apt-get install ${list[*]}), or run make test-short" >&2
      return 1
    fi
  done
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 </dev/null
}
