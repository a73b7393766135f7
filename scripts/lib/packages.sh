# shellcheck shell=bash
# Installs missing commands that a service needs, from Debian's packages.

# commands_of SERVICE: the commands that it calls. `tests` and `bench` are what those scripts need as well.
commands_of() {
  case $1 in
    docker) echo dockerd docker busybox curl python3 ;;
    containerd) echo dockerd docker busybox curl python3 debootstrap ;;
    emulated) echo podman runc curl python3 qemu-aarch64-static qemu-x86_64-static ;;
    podman) echo podman runc busybox curl python3 ;;
    registry) echo docker-registry htpasswd ;;
    moto | scanners) echo python3 ;;
    tests) echo age busybox debootstrap docker jq kubectl skopeo strace zsh fish zstd xz bzip2 openssl chattr /usr/bin/kill qemu-aarch64-static qemu-x86_64-static ;;
    bench) echo age busybox docker buildah /usr/bin/time ;;
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
    kubectl) if apt-cache show kubectl >/dev/null 2>&1; then echo kubectl; else echo kubernetes-client; fi ;;
    xz) echo xz-utils ;;
    # By path, because bash has builtins and keywords of these names.
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
  if [[ " $* " =~ ' '(moto|scanners)' ' ]] && ! python3 -c 'import ensurepip' 2>/dev/null; then echo python3-venv; fi
}

# can_install: apt-get is there, and root to run it.
can_install() { command -v apt-get >/dev/null && "$CAN_ROOT"; }

# installable SERVICE...: fails with the commands to install by hand, if the machine lacks some and cannot install them.
installable() {
  local missing packages=() command
  mapfile -t missing < <(missing_commands "$@")
  if [ "${#missing[@]}" = 0 ] || can_install; then return 0; fi
  if command -v apt-get >/dev/null; then
    for command in "${missing[@]}"; do packages+=("$(package_of "$command")"); done
    die "not installed: ${missing[*]}. Without root they cannot be installed for you; run: sudo apt-get install ${packages[*]}"
  fi
  die "not installed: ${missing[*]}. They are installed for you on Debian and Ubuntu only; install them, then run again"
}

# install_packages SERVICE...: says what it cannot install; each service then starts or fails without it.
install_packages() {
  local missing packages=() command
  mapfile -t missing < <(missing_commands "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! can_install; then
    say "not installed, and installed for you on Debian and Ubuntu by root only: ${missing[*]}"
    return 0
  fi
  update_lists
  for command in "${missing[@]}"; do packages+=("$(package_of "$command")"); done
  say "installing ${packages[*]}"
  # Both variables keep a package's scripts from starting its service.
  retry "${AS_ROOT[@]}" env RUNLEVEL=1 SYSTEMD_OFFLINE=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}" </dev/null >>"$LOGS/apt.log" 2>&1 ||
    say "apt-get install failed, see $LOGS/apt.log"
}

# A fresh machine has no package lists, and old lists name versions that no longer exist.
update_lists() {
  # Without the option apt-get succeeds even if it could not fetch the lists.
  retry "${AS_ROOT[@]}" apt-get update -qq --error-on=any </dev/null >"$LOGS/apt.log" 2>&1 ||
    say "apt-get update failed, see $LOGS/apt.log"
}

# ensure_lists: for commands that ask apt where packages are without installing any.
ensure_lists() {
  [ -z "$(apt-get indextargets 'Created-By: Packages' 2>/dev/null)" ] || return 0
  if "$CAN_ROOT"; then update_lists; fi
}

# debian_mirror: that of the machine's own apt.
debian_mirror() {
  local release=
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v release="$release" '$1 == release && $2 == "main" && $3 ~ /^(https?|file):/ { print $3; exit }'
}

# fetch_package FOLDER SUITE ARCHITECTURE PACKAGE[=VERSION]: unpacks a package of Debian into a new folder, with package lists of its own,
# because the machine's apt may know neither the suite nor the architecture.
fetch_package() {
  local folder=$1 apt=$1/apt mirror options
  rm -rf "$folder"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  mirror=$(debian_mirror) && [ -n "$mirror" ] || die "only Debian's apt has ${4%%=*}: run this on Debian"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" >"$apt/sources.list"
  options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
    -o "APT::Architecture=$3" -o "APT::Architectures=$3" -o Acquire::Languages=none
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache")
  apt-get "${options[@]}" update -qq --error-on=any || return 1
  (cd "$folder" && apt-get "${options[@]}" download -qq "$4" && dpkg-deb -x ./*.deb .) || return 1
  rm -rf "$apt" "$folder"/*.deb
}
