# shellcheck shell=bash
# Podman's Docker-compatible socket, with storage and configuration of its own.

up_podman() {
  local flags command registry
  cat >"$RUN/containers.conf" <<-CONF
	[engine]
	events_logger = "file"
	[containers]
	log_driver = "k8s-file"
	CONF
  cat >"$RUN/registries.conf" <<-CONF
	unqualified-search-registries = ["docker.io"]
	CONF
  # Podman trusts a plain registry by host and port only, so the registries that are up come first.
  for registry in $(registry_addresses); do
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" >>"$RUN/registries.conf"
  done
  # crun refuses cgroups v1, and the systemd manager a machine without systemd.
  flags=(--root "$DATA/podman/root" --runroot "$RUN/podman/run" --tmpdir "$RUN/podman/tmp"
    --cgroup-manager=cgroupfs --runtime "$(command -v runc || command -v crun)")
  command=(env "CONTAINERS_CONF=$RUN/containers.conf" "CONTAINERS_REGISTRIES_CONF=$RUN/registries.conf"
    podman "${flags[@]}" system service --time=0 "unix://$RUN/podman.sock")
  # In a user namespace that is already made, Podman wants to be told so, or it takes itself for root's.
  "$CAN_ROOT" || command=(env _CONTAINERS_USERNS_CONFIGURED=done
    "_CONTAINERS_ROOTLESS_UID=$(id -u)" "_CONTAINERS_ROOTLESS_GID=$(id -g)" "${command[@]}")
  spawn_isolated podman / "${command[@]}"
  wait_ready 60 podman podman_answers
  load_bases "$RUN/podman.sock"
  publish podman "SECRETBAKE_TEST_PODMAN_HOST=unix://$RUN/podman.sock"
  echo "Podman $(engine_version podman)"
}

podman_answers() {
  # Podman has no option for whose its socket is.
  "${AS_ROOT[@]}" chown "$(id -u)" "$RUN/podman.sock" && api "$RUN/podman.sock" /_ping
}
