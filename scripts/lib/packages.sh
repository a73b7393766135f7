# shellcheck shell=bash
# Installs what a service needs and the machine lacks, by Debian's packages.

# commands_of SERVICE: the commands that it calls. `tests` and `bench` are what those scripts add.
commands_of() {
  case $1 in
    docker) echo dockerd docker busybox curl python3 ;;
    containerd) echo dockerd docker busybox curl python3 debootstrap ;;
    podman) echo podman runc busybox curl python3 ;;
    registry) echo docker-registry htpasswd ;;
    moto) echo python3 ;;
    tests) echo busybox docker skopeo strace zsh fish zstd openssl chattr /usr/bin/kill qemu-aarch64-static qemu-x86_64-static ;;
    bench) echo docker buildah /usr/bin/time ;;
  esac
}

package_of() {
  case $1 in
    dockerd) echo docker.io ;;
    # The client is a package of its own only in newer releases.
    docker) if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli; else echo docker.io; fi ;;
    busybox) echo busybox-static ;;
    htpasswd) echo apache2-utils ;;
    qemu-*-static) echo qemu-user-static ;;
    chattr) echo e2fsprogs ;;
    # By their paths, since bash has words of these names.
    /usr/bin/kill) echo procps ;;
    /usr/bin/time) echo time ;;
    *) echo "$1" ;;
  esac
}

# missing_commands SERVICE...
missing_commands() {
  local service command
  for service in "$@"; do
    for command in $(commands_of "$service"); do
      command -v "$command" >/dev/null || echo "$command"
    done
  done | sort -u
  if [[ " $* " == *' moto '* ]] && ! python3 -c 'import ensurepip' 2>/dev/null; then echo python3-venv; fi
}

# install_packages SERVICE...: what it cannot install it names, and each service then fails or not by itself.
install_packages() {
  local missing packages=() command
  mapfile -t missing < <(missing_commands "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || ! "$CAN_ROOT"; then
    say "not on this machine, and only installed on Debian by root: ${missing[*]}"
    return 0
  fi
  update_lists
  for command in "${missing[@]}"; do packages+=("$(package_of "$command")"); done
  say "installing ${packages[*]}"
  # Both variables keep a package's scripts from starting its own service.
  retry "${AS_ROOT[@]}" env RUNLEVEL=1 SYSTEMD_OFFLINE=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >>"$LOGS/apt.log" 2>&1 ||
    say "apt-get install failed, see $LOGS/apt.log"
}

# A fresh machine has no package lists, and old lists name versions that are gone.
update_lists() {
  # Without the option apt-get takes lists that it could not fetch for a success.
  retry "${AS_ROOT[@]}" apt-get update -qq --error-on=any </dev/null >"$LOGS/apt.log" 2>&1 ||
    say "apt-get update failed, see $LOGS/apt.log"
}

# ensure_lists: for what asks apt where its packages are, and installs none.
ensure_lists() {
  [ -z "$(apt-get indextargets 'Created-By: Packages' 2>/dev/null)" ] || return 0
  if "$CAN_ROOT"; then update_lists; fi
}
