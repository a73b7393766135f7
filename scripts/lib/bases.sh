# shellcheck shell=bash
# The base images, made from a static busybox because a machine without the internet cannot pull any.

make_bases() {
  local bases=$STATE/bases busybox
  [ ! -d "$bases" ] || return 0
  busybox=$(static_busybox)
  rm -rf "$bases.making"
  python3 "$LIB/bases.py" "$busybox" "$bases.making"
  mv "$bases.making" "$bases"
}

is_static() { [[ "$(ldd "$1" 2>&1)" =~ 'not a dynamic executable'|'statically linked' ]]; }

static_busybox() {
  local found
  found=$(command -v busybox || true)
  if [ -z "$found" ] || ! is_static "$found"; then
    # Installing busybox-static could replace the busybox that the machine boots with, so the package is only unpacked.
    found=$CACHE/busybox
    [ -x "$found" ] || unpack_busybox "$found" >&2 || die "no static busybox: install busybox-static"
  fi
  echo "$found"
}

unpack_busybox() {
  local into
  ensure_lists
  into=$(mktemp -d "$CACHE/busybox.XXXXXX") && cd "$into" &&
    retry apt-get download -qq busybox-static 2>/dev/null && dpkg-deb -x busybox-static_*.deb . &&
    mv "$(find . -path '*bin/busybox' -type f)" "$1"
  cd / && rm -rf "$into" && [ -x "$1" ]
}

# load_bases SOCKET: a load answers 200 even if it fails, so this checks for each image afterwards.
load_bases() {
  local image
  for image in busybox scratchlike; do
    api "$1" /images/load -X POST -H 'Content-Type: application/x-tar' --data-binary "@$STATE/bases/$image.tar" \
      --output "$LOGS/load.$(basename "$1")"
    api "$1" "/images/secretbake-test/$image:1/json" --output /dev/null
  done
}
