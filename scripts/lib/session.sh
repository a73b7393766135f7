# shellcheck shell=bash
# For the scripts that need the engines for as long as they run (test, demo, bench). Sourced at the top, from any directory:
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib/session.sh"
#   session_start tests docker registry     # in the background; the first word names the packages of the script itself
#   session_ready                           # waits, and sets SECRETBAKE_TEST_*
#
# What it brought up is taken down when the script ends. What was up already stays up, and so does all with SESSION_KEEP=true.

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
  # Job control gives every job a process group of its own, which can be ended as a whole.
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

# session_run COMMAND...: in the background and waited for, so that a signal to the script is not held up by COMMAND.
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
    echo "the test environment stays up; end it with: scripts/testenv down" >&2
  else
    "$SCRIPTS/testenv" down
  fi
}
