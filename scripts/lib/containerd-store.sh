# shellcheck shell=bash
# Docker Engine with the containerd image store, which needs a newer engine than Debian stable has: this machine's own if it
# is new enough, otherwise one from a newer Debian suite, in a directory that is made once and cached.

CONTAINERD_SUITES=(forky sid trixie)

up_containerd() {
  local root
  need_root
  root=$(containerd_root)
  echo '{"features":{"containerd-snapshotter":true}}' >"$RUN/containerd.json"
  if [ "$root" = / ]; then
    dockerd_command containerd "$RUN" "$DATA/containerd"
  else
    dockerd_command containerd /mnt /srv
  fi
  spawn_isolated containerd "$root" "${DOCKERD[@]}"
  wait_ready 60 containerd api "$RUN/containerd.sock" /_ping
  load_bases "$RUN/containerd.sock"
  publish containerd "SECRETBAKE_TEST_CONTAINERD_HOST=unix://$RUN/containerd.sock" "SECRETBAKE_TEST_CONTAINERD_ROOT=$root"
  echo "Docker $(engine_version containerd), containerd store"
}

# dockerd_major COMMAND...: the major version that `COMMAND --version` prints.
dockerd_major() {
  local version
  version=$("$@" --version 2>/dev/null) || version='Docker version 0.'
  version=${version#Docker version }
  echo "${version%%.*}"
}

containerd_root() {
  local suite
  if [ "$(dockerd_major dockerd)" -ge 28 ]; then
    echo /
    return
  fi
  exec 8>"$CACHE/suite.lock"
  flock 8
  for suite in "${CONTAINERD_SUITES[@]}"; do
    if [ -d "$CACHE/$suite" ] || bootstrap "$suite"; then
      echo "$CACHE/$suite"
      return
    fi
    say "no engine from Debian $suite"
  done
  die "no Docker Engine with a containerd store could be had: install Docker 28 or later"
}

# bootstrap SUITE: makes it under another name and renames it, so that an interrupted one is never taken for complete.
bootstrap() {
  local suite=$1 making=$CACHE/$1.making mirror script=()
  [ "$(. /etc/os-release && echo "$ID")" = debian ] || return 1
  ensure_lists
  mirror=$(debian_mirror) && [ -n "$mirror" ] || return 1
  # debootstrap knows only the suites that had a name when it was released; all newer ones are built like sid.
  [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(/usr/share/debootstrap/scripts/sid)
  say "containerd: making a folder with Debian $suite's Docker Engine, about a minute, once"
  retry make_suite "$suite" "$making" "$mirror" "${script[@]}" || return 1
  [ "$(dockerd_major "${AS_ROOT[@]}" chroot "$making" dockerd)" -ge 26 ] || return 1
  "${AS_ROOT[@]}" rm -rf "$making"/var/cache/apt/archives/*.deb
  "${AS_ROOT[@]}" mv "$making" "$CACHE/$suite"
}

# make_suite SUITE FOLDER MIRROR [SCRIPT]: runs in its own namespaces, so that no mount or service of a package's scripts outlives it.
make_suite() {
  "${AS_ROOT[@]}" rm -rf --one-file-system "$2"
  "${AS_ROOT[@]}" env RUNLEVEL=1 http_proxy="$(apt_proxy http)" https_proxy="$(apt_proxy https)" \
    unshare --mount --pid --fork --kill-child --mount-proc \
    debootstrap --variant=minbase --include=docker.io --keyring=/usr/share/keyrings/debian-archive-keyring.gpg "$@" >"$LOGS/debootstrap-$1.log" 2>&1 </dev/null
}

# The proxy, if there is one, is that of the machine's own apt.
apt_proxy() {
  local proxy
  eval "$(apt-config shell proxy "Acquire::$1::Proxy")"
  [ "${proxy:-DIRECT}" != DIRECT ] || proxy=$(printenv "$1_proxy" || true)
  echo "$proxy"
}
