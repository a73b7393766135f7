# shellcheck shell=bash
# For scripts that need the engines while they run (test, demo, bench, mutants). Sourced at the top, from any directory:
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib/session.sh"
#   session_start tests docker registry     # in the background; the first word names the packages of the script itself
#   session_ready                           # waits, and sets SECRETBAKE_TEST_*
#
# Stops what it started when the script ends. Services that were running before keep running, and with SESSION_KEEP=true all do.

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=/dev/null
. "$SCRIPTS/lib/clean-env.sh"

SESSION_KEEP=false
session_found_up=true
session_job=

session_start() {
  if [[ "$("$SCRIPTS/testenv" status)" != *' up'* ]]; then session_found_up=false; fi
  trap session_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # Job control gives every job its own process group, which can be killed as a whole.
  set -m
  { "$SCRIPTS/testenv" install "$@" && "$SCRIPTS/testenv" up "${@:2}"; } </dev/null &
  session_job=$!
}

session_ready() {
  local status=0
  wait "$session_job" || status=$?
  session_job=
  [ "$status" = 0 ] || return "$status"
  # shellcheck source=/dev/null
  . <("$SCRIPTS/testenv" env)
}

# session_run COMMAND...: runs it in the background and waits, so that COMMAND does not delay a signal to the script.
session_run() {
  local status=0
  "$@" </dev/null &
  session_command=$!
  wait "$session_command" || status=$?
  session_command=
  return "$status"
}

session_end() {
  local job
  trap '' INT TERM
  for job in ${session_command:-} $session_job; do
    kill -TERM -- "-$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
  done
  if "$session_found_up" || "$SESSION_KEEP"; then
    echo "the test environment is still running; stop it with: scripts/testenv down" >&2
  else
    "$SCRIPTS/testenv" down
  fi
}
