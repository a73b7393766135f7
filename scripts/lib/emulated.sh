# shellcheck shell=bash
# Podman that runs images of the other architecture (arm64 on an amd64 machine), under qemu. Since Linux 6.7 a user namespace has
# programs for foreign binaries (binfmt_misc) of its own, so nothing of the machine is changed, and root is not needed.

up_emulated() {
  local architecture debian busybox
  case $(uname -m) in
    x86_64) architecture=aarch64 debian=arm64 ;;
    aarch64) architecture=x86_64 debian=amd64 ;;
    *) die "no other architecture for $(uname -m)" ;;
  esac
  busybox=$(foreign_busybox "$debian")
  podman_command emulated "$RUN" "$DATA/emulated"
  # Podman's locks are in /dev/shm, by the user, and another Podman of the user must not have the same.
  # shellcheck disable=SC2016
  spawn_in_user_namespace emulated env _CONTAINERS_USERNS_CONFIGURED=done "_CONTAINERS_ROOTLESS_UID=$(id -u)" "_CONTAINERS_ROOTLESS_GID=$(id -g)" \
    bash -c 'mount -t tmpfs tmpfs /dev/shm && cd /proc/sys/fs/binfmt_misc && mount -t binfmt_misc none . && printf %s "$0" >"$PWD/register" && exec "$@"' \
    "$(qemu_for "$architecture")" "${PODMAN[@]}"
  wait_ready 60 emulated api "$RUN/emulated.sock" /_ping
  publish emulated "SECRETBAKE_TEST_EMULATED_HOST=unix://$RUN/emulated.sock" "SECRETBAKE_TEST_EMULATED_BUSYBOX=$busybox"
  echo "Podman $(engine_version emulated), with qemu for $architecture"
}

# qemu_for ARCHITECTURE: the line to register qemu for its programs with. F: the kernel opens qemu at once, so that containers
# need no copy of it. P: programs get the name that they were called by, without which busybox does not know which it is.
qemu_for() {
  local header mask
  # The start of an ELF header: 64 bits, little-endian, a program or shared object, the machine.
  header='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  case $1 in
    aarch64) header+='\xb7\x00' ;;
    x86_64) header+='\x3e\x00' ;;
  esac
  echo ":qemu-$1:M::$header:$mask:$(command -v "qemu-$1-static"):PF"
}

# As root of a namespace with one user, the one who runs this.
spawn_in_user_namespace() {
  local AS_ROOT=() USER_NAMESPACE=(--user --map-root-user)
  spawn_isolated "$1" / "${@:2}"
}

# foreign_busybox ARCHITECTURE: a static busybox, from Debian.
foreign_busybox() {
  local folder=$CACHE/busybox-$1 found
  if [ ! -d "$folder" ]; then
    ensure_lists
    retry fetch_package "$folder.making" "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1" busybox-static >&2
    mv "$folder.making" "$folder"
  fi
  # Newer releases have it in usr/bin.
  for found in "$folder"/bin/busybox "$folder"/usr/bin/busybox; do
    if [ -f "$found" ]; then echo "$found" && return; fi
  done
  die "no busybox in $folder"
}
