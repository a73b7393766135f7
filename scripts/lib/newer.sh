# shellcheck shell=bash
# Programs that only newer Debian suites have, unpacked from the suite of the engine with the containerd store: crane, with which the
# benchmark compares a bake in a registry, and those that the tests of docs/rotation.md deploy with.

NEWER=$CACHE/newer

# newer_program PACKAGE: where its program is, this machine's own or the unpacked one; nothing if it is missing.
newer_program() {
  local place own
  own=$(command -v "$1" || true)
  # The command of Debian 12 is another program: Compose 1.
  [ "$1" != docker-compose ] || own=
  for place in "$own" {/usr,/usr/local}/{libexec,lib}/docker/cli-plugins/"$1" "$NEWER/$1"; do
    if [ -n "$place" ] && [ -x "$place" ]; then echo "$place" && return; fi
  done
}

# missing_newer PACKAGE...: those whose program is missing.
missing_newer() {
  local package
  for package in "$@"; do
    [ -n "$(newer_program "$package")" ] || echo "$package"
  done
}

# install_newer PACKAGE...: says why if it fails; the benchmark runs without such a program, a test that needs it fails.
install_newer() {
  local root folder package path
  for package in $(missing_newer "$@"); do
    "$CAN_ROOT" && root=$(containerd_root) || return 0
    folder=$("${AS_ROOT[@]}" mktemp -d "$root/tmp/newer.XXXXXX")
    path=usr/bin/$package
    [ "$package" != docker-compose ] || path=usr/libexec/docker/cli-plugins/$package
    if unpack_newer "$root" "${folder#"${root%/}"}" "$package" >"$LOGS/$package.log" 2>&1; then
      "${AS_ROOT[@]}" install -D "$folder/$path" "$NEWER/$package"
    else
      say "no $package to be had, see $LOGS/$package.log"
    fi
    "${AS_ROOT[@]}" rm -rf "$folder"
  done
}

# unpack_newer ROOT FOLDER PACKAGE: the suite's own apt has the package lists, of the day that its folder was made.
unpack_newer() {
  # shellcheck disable=SC2016
  "${AS_ROOT[@]}" env http_proxy="$(apt_proxy http)" https_proxy="$(apt_proxy https)" chroot "$1" sh -c '
    cd "$1" && { apt-get download "$2" || { apt-get update && apt-get download "$2"; }; } && dpkg-deb -x "$2"_*.deb .
  ' sh "$2" "$3"
}
