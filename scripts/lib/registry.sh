# shellcheck shell=bash
# Two registries over plain HTTP on loopback: an open one, and one with user and password.

REGISTRY_USER=secretbake-test
REGISTRY_PASSWORD=not-a-secret

up_registry() {
  local open closed
  mkdir -p "$DATA/registry"
  htpasswd -Bbn "$REGISTRY_USER" "$REGISTRY_PASSWORD" >"$RUN/htpasswd"
  start_registry registry ''
  start_registry registry-auth "auth: {htpasswd: {realm: secretbake-test, path: $RUN/htpasswd}}"
  open=$(listening_at registry)
  closed=$(listening_at registry-auth)
  publish registry "SECRETBAKE_TEST_REGISTRY=$open" "SECRETBAKE_TEST_REGISTRY_AUTH=$closed" \
    "SECRETBAKE_TEST_REGISTRY_AUTH_USER=$REGISTRY_USER" "SECRETBAKE_TEST_REGISTRY_AUTH_PASSWORD=$REGISTRY_PASSWORD"
  echo "registry at $open, with basic auth at $closed"
}

# start_registry NAME AUTH: with port 0 the kernel chooses, so two starts cannot race for a port.
start_registry() {
  cat >"$RUN/$1.yml" <<-CONF
	version: 0.1
	log: {level: info}
	storage: {filesystem: {rootdirectory: $DATA/registry/$1}, delete: {enabled: true}}
	http: {addr: "127.0.0.1:0"}
	$2
	CONF
  spawn "$1" docker-registry serve "$RUN/$1.yml"
  wait_ready 20 "$1" listening_at "$1"
}

# listening_at NAME: HOST:PORT, from the server's log.
listening_at() { grep -o -m1 '127\.0\.0\.1:[1-9][0-9]*' "$LOGS/$1.log"; }

registry_addresses() {
  local process
  for process in registry registry-auth; do
    gone "$process" || listening_at "$process" || true
  done
}
