# shellcheck shell=bash
# crane, with which the benchmark compares a bake in a registry. Only newer Debian suites have it, so it is unpacked from
# the suite of the engine with the containerd store.

CRANE=$CACHE/crane

# install_crane: says why if it fails; the benchmark then runs without crane.
install_crane() {
  local root folder
  ! command -v crane >/dev/null || return 0
  [ ! -e "$CRANE/crane" ] || return 0
  "$CAN_ROOT" && root=$(containerd_root) || return 0
  folder=$("${AS_ROOT[@]}" mktemp -d "$root/tmp/crane.XXXXXX")
  if unpack_crane "$root" "${folder#"${root%/}"}" >"$LOGS/crane.log" 2>&1; then
    "${AS_ROOT[@]}" install -D "$folder/usr/bin/crane" "$CRANE/crane"
  else
    say "no crane to be had, see $LOGS/crane.log"
  fi
  "${AS_ROOT[@]}" rm -rf "$folder"
}

# unpack_crane ROOT FOLDER: the suite's own apt has the package lists, of the day that its folder was made.
unpack_crane() {
  # shellcheck disable=SC2016
  "${AS_ROOT[@]}" env http_proxy="$(apt_proxy http)" https_proxy="$(apt_proxy https)" chroot "$1" sh -c '
    cd "$1" && { apt-get download crane || { apt-get update && apt-get download crane; }; } && dpkg-deb -x crane_*.deb .
  ' sh "$2"
}
