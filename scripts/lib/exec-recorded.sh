#!/usr/bin/env bash
# exec-recorded.sh PIDFILE COMMAND...: writes this process's pid and start time, then becomes COMMAND. The process records
# itself, so a caller killed at any moment leaves nothing running that is not recorded.
set -euo pipefail
# shellcheck source=/dev/null
. "$(dirname "$0")/process.sh"
pidfile=$1
shift
printf '%s %s\n' "$$" "$(started_at "$$")" >"$pidfile.tmp"
mv "$pidfile.tmp" "$pidfile"
exec "$@"
