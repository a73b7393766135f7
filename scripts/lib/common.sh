# shellcheck shell=bash disable=SC2034
# Directories, messages and small helpers of the test environment. Sourced, never run.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LIB=$REPO/scripts/lib
STATE=$(realpath -m "${SECRETBAKE_TEST_STATE:-$REPO/target/testenv}")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/secretbake-testenv
DATA=$STATE/data
LOGS=$STATE/log
# A socket's path must be under 108 bytes, and a checkout's path may be longer. The name is derived from the state
# directory, so running services are found even after the state directory was removed.
RUN=/tmp/sb-$(id -u)-$(printf %s "$STATE" | sha256sum | cut -c1-8)
SERVICES=(docker containerd podman emulated registry moto scanners)

# Daemons are in sbin, which a user's PATH may lack.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

AS_ROOT=()
USER_NAMESPACE=()
CAN_ROOT=true
if [ "$(id -u)" != 0 ]; then
  if sudo -n true 2>/dev/null; then AS_ROOT=(sudo -n); else CAN_ROOT=false USER_NAMESPACE=(--user --map-root-user --map-auto); fi
fi

say() { printf 'testenv: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

need_root() { "$CAN_ROOT" || die "needs root (or sudo without a password)"; }

prepare_directories() {
  mkdir -p "$STATE" "$LOGS" "$CACHE"
  mkdir -m 700 "$RUN" 2>/dev/null || true
  # The name can be guessed and anyone can write to /tmp: refuse a directory that someone else created.
  if [ -L "$RUN" ] || [ ! -O "$RUN" ]; then die "$RUN belongs to someone else"; fi
}

# wait_for SECONDS WHAT COMMAND...: returns once COMMAND succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "$what did not answer in time"
    sleep 0.1
  done
}

# retry COMMAND...: tries up to three times, since a mirror may be busy for a moment.
retry() {
  local pause
  for pause in 2 10; do
    ! "$@" || return 0
    sleep "$pause"
  done
  "$@"
}

# Each service's exports are moved into place last: if they exist, the service has started.
publish() {
  local name=$1 pair
  shift
  for pair in "$@"; do printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"; done >"$RUN/$name.tmp"
  mv "$RUN/$name.tmp" "$RUN/$name.env"
}
