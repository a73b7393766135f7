# shellcheck shell=bash disable=SC2153
# Docker Engine with the overlay2 store: the machine's dockerd, with its own socket and directories.

# dockerd_command NAME RUN DATA: sets DOCKERD to what starts the service NAME, with RUN and DATA as it sees them.
dockerd_command() {
  local name=$1 run=$2 data=$3
  DOCKERD=(dockerd
    --config-file "$run/$name.json"
    --data-root "$data"
    --exec-root "$run/$name"
    --pidfile "$run/$name.dockerd.pid"
    --host "unix://$run/$name.sock"
    --group "$(id -g)"
    --iptables=false --ip6tables=false --bridge=none
    --cgroup-parent "/$(basename "$RUN")"
    --exec-opt native.cgroupdriver=cgroupfs)
}

# api SOCKET PATH [CURL OPTIONS]: one request to an engine.
api() { curl --silent --show-error --fail --noproxy '*' --unix-socket "$1" "${@:3}" "http://engine$2"; }

engine_version() { api "$RUN/$1.sock" /version | python3 -c 'import json,sys; print(json.load(sys.stdin)["Version"])'; }

up_docker() {
  need_root
  echo '{"features":{"containerd-snapshotter":false}}' >"$RUN/docker.json"
  dockerd_command docker "$RUN" "$DATA/docker"
  spawn_isolated docker / "${DOCKERD[@]}" --storage-driver overlay2
  wait_ready 60 docker api "$RUN/docker.sock" /_ping
  load_bases "$RUN/docker.sock"
  publish docker "SECRETBAKE_TEST_DOCKER_HOST=unix://$RUN/docker.sock"
  echo "Docker $(engine_version docker), overlay2"
}
