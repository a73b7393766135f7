# shellcheck shell=bash
# Podman's Docker-compatible socket, with its own storage and configuration.

up_podman() {
  local command
  podman_command podman "$RUN" "$DATA/podman"
  command=("${PODMAN[@]}")
  # In an existing user namespace Podman needs these variables, or it assumes that it runs as root.
  "$CAN_ROOT" || command=(env _CONTAINERS_USERNS_CONFIGURED=done
    "_CONTAINERS_ROOTLESS_UID=$(id -u)" "_CONTAINERS_ROOTLESS_GID=$(id -g)" "${command[@]}")
  spawn_isolated podman / "${command[@]}"
  wait_ready 60 podman podman_answers
  load_bases "$RUN/podman.sock"
  publish podman "SECRETBAKE_TEST_PODMAN_HOST=unix://$RUN/podman.sock"
  echo "Podman $(engine_version podman)"
}

# podman_command NAME RUN DATA: writes the settings of the service NAME, and sets PODMAN to what starts it.
podman_command() {
  local name=$1 run=$2 data=$3 registry
  cat >"$run/$name.containers.conf" <<-CONF
	[engine]
	events_logger = "file"
	[containers]
	log_driver = "k8s-file"
	CONF
  cat >"$run/$name.registries.conf" <<-CONF
	unqualified-search-registries = ["docker.io"]
	CONF
  # Podman allows plain HTTP by host and port, so the registries start first.
  for registry in $(registry_addresses); do
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" >>"$run/$name.registries.conf"
  done
  # crun refuses cgroups v1, and the systemd manager needs systemd.
  PODMAN=(env "CONTAINERS_CONF=$run/$name.containers.conf" "CONTAINERS_REGISTRIES_CONF=$run/$name.registries.conf"
    podman --root "$data/root" --runroot "$run/$name/run" --tmpdir "$run/$name/tmp"
    --cgroup-manager=cgroupfs --runtime "$(command -v runc || command -v crun)"
    system service --time=0 "unix://$run/$name.sock")
}

podman_answers() {
  # Podman has no option for the owner of its socket.
  "${AS_ROOT[@]}" chown "$(id -u)" "$RUN/podman.sock" && api "$RUN/podman.sock" /_ping
}
