# shellcheck shell=bash
# Starts and ends our own processes only: a pid counts only together with its start time.

# started_at PID: the start time in clock ticks since boot; nothing for a process that is gone or a zombie.
started_at() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # The command's name may contain spaces and brackets, so the fields are counted after it.
  read -r -a fields <<<"${stat##*) }"
  [ "${fields[0]}" != Z ] && printf '%s\n' "${fields[19]}"
}

# recorded NAME: the pid of NAME if that same process still runs.
recorded() {
  local pid start
  read -r pid start 2>/dev/null <"$RUN/$1.pid" || return 1
  [ "$(started_at "$pid")" = "$start" ] && printf '%s\n' "$pid"
}

# spawn NAME COMMAND...: in a session of its own, so that ^C at the script's terminal does not reach it.
spawn() {
  local name=$1
  shift
  setsid bash "$LIB/exec-recorded.sh" "$RUN/$name.pid" "$@" \
    </dev/null >"$LOGS/$name.log" 2>&1 9>&- &
  wait_for 10 "$name's pid" test -s "$RUN/$name.pid"
}

# spawn_isolated NAME ROOT COMMAND...: as root (without root, as root of a user namespace), in its own mount and PID namespaces.
# ROOT is / or a directory to chroot into, where /mnt is $RUN and /srv is the service's data.
spawn_isolated() {
  local name=$1 root=$2
  shift 2
  setsid "${AS_ROOT[@]}" bash "$LIB/exec-recorded.sh" "$RUN/$name.pid" \
    unshare "${USER_NAMESPACE[@]}" --mount --pid --fork --kill-child --propagation private \
    bash "$LIB/isolated.sh" "$root" "$RUN" "$DATA/$name" "$@" \
    </dev/null >"$LOGS/$name.log" 2>&1 9>&- &
  wait_for 10 "$name's pid" test -s "$RUN/$name.pid"
}

gone() { ! recorded "$1" >/dev/null; }

# wait_ready SECONDS NAME COMMAND...: like wait_for, but fails at once if the service died.
wait_ready() {
  local seconds=$1 name=$2
  shift 2
  wait_for "$seconds" "$name" ready_or_gone "$name" "$@"
  ! gone "$name" || die "$name ended: $(tail -n 3 "$LOGS/$name.log")"
}

ready_or_gone() { gone "$1" || "${@:2}"; }

# force_end PID, or -PID for a process group; with bash's kill, because a small machine may have no other.
# shellcheck disable=SC2016
force_end() { "${AS_ROOT[@]}" bash -c 'kill -KILL -- "$1"' bash "$1" 2>/dev/null || true; }

# These processes hold nothing that outlives them, so they are killed at once.
end_process() {
  local pid target
  if pid=$(recorded "$1"); then
    target=$pid
    # unshare's only child is the first process of its namespace and ends only after all others in it.
    if [ "$(cat "/proc/$pid/comm")" = unshare ]; then read -r target _ <"/proc/$pid/task/$pid/children" || target=$pid; fi
    force_end "$target"
    wait_for 10 "the end of $1" gone "$1"
  fi
  rm -f "$RUN/$1.pid"
}
