# shellcheck shell=bash
# crane, which the benchmark measures a bake in a registry against. Only newer Debian suites have it, so it is unpacked from
# the one that the engine with the containerd store is of.

CRANE=$CACHE/crane

install_crane() {
  local root deb unpacked
  ! command -v crane >/dev/null || return 0
  [ ! -e "$CRANE/crane" ] || return 0
  need_root
  root=$(containerd_root)
  deb=$("${AS_ROOT[@]}" mktemp -d "$root/tmp/crane.XXXXXX")
  unpacked=$(mktemp -d "$CACHE/crane.XXXXXX")
  # As root of the suite: its own apt has the package lists.
  if "${AS_ROOT[@]}" env http_proxy="$(apt_proxy http)" https_proxy="$(apt_proxy https)" \
    chroot "$root" sh -c "cd '${deb#"${root%/}"}' && apt-get update -qq && apt-get download -qq crane" >"$LOGS/crane.log" 2>&1 &&
    dpkg-deb -x "$deb"/crane_*.deb "$unpacked"; then
    mkdir -p "$CRANE"
    mv "$unpacked/usr/bin/crane" "$CRANE/crane"
  else
    say "no crane to be had, see $LOGS/crane.log"
  fi
  "${AS_ROOT[@]}" rm -rf "$deb" "$unpacked"
}
