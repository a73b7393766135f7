# shellcheck shell=bash
# The sources of Rust's standard library, to build it for targets that are not installed. Sourced, never run.

# Debian's package has exactly the pinned toolchain's.
CORE=1.95.0+dfsg1-2~bpo13+1
CORE_SUITE=trixie-backports

# core_sources: the directory with Debian's sources of the standard library, fetched once and cached.
core_sources() {
  [ "$(rustc --version | cut -d ' ' -f 2)" = "${CORE%%+*}" ] ||
    die "this needs Rust ${CORE%%+*}, but $(rustc --version) is installed"
  local folder=$CACHE/rust-src-$CORE
  if [ ! -d "$folder" ]; then
    ensure_lists
    retry fetch_package "$folder.making" "$CORE_SUITE" "$(dpkg --print-architecture)" "rust-src=$CORE" >&2
    mv "$folder.making" "$folder"
  fi
  echo "$folder/usr/src/rustc-${CORE%%+*}/library"
}

# make_sysroot FOLDER CORE: the toolchain's sysroot and the sources of core. rustc finds its sysroot by its own location, so it and its
# libraries are hard links or copies, not symbolic links.
make_sysroot() {
  local file sysroot
  sysroot=$(rustc --print sysroot)
  mkdir -p "$1/bin" "$1/lib/rustlib/src/rust"
  for file in bin/rustc bin/clippy-driver lib/*.so*; do
    (cd "$sysroot" && cp -Pl $file "$1/${file%/*}/" 2>/dev/null || cp -P $file "$1/${file%/*}/")
  done
  ln -s "$sysroot/lib/rustlib"/* "$1/lib/rustlib/" 2>/dev/null || true
  ln -s "$2" "$1/lib/rustlib/src/rust/library"
}
