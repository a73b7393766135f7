#!/usr/bin/env bash
# cross-static.sh PROGRAM ARCHITECTURE
#
# Runs the static secretbake for Linux in an empty root directory: without a C library, resolv.conf, certificates, /dev and /proc. It
# bakes secrets of moto to registries, over TLS, by names that only DNS knows. All of it is in namespaces of its own, so it needs no root,
# and qemu runs the program of another architecture (since Linux 6.7).
set -euo pipefail
shopt -s inherit_errexit

lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in common process packages moto registry emulated; do
  # shellcheck source=/dev/null
  . "$lib/$part.sh"
done
cd "$REPO"
fail() { echo "cross: $*" >&2 && exit 1; }

if [ -z "${CROSS_WORK:-}" ]; then
  scripts/testenv install tests registry moto
  moto_venv >/dev/null
  cargo build --locked >&2
  CROSS_WORK=$(mktemp -d)
  trap 'rm -rf "$CROSS_WORK"' EXIT
  unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc \
    env "CROSS_WORK=$CROSS_WORK" bash "${BASH_SOURCE[0]}" "$@"
  exit
fi

work=$CROSS_WORK root=$CROSS_WORK/root RUN=$CROSS_WORK DATA=$CROSS_WORK LOGS=$CROSS_WORK
mkdir "$root"
cp "$1" "$root/secretbake"
cp -r fixtures/quickstart "$root/"
if [ "$2" != "$(uname -m)" ]; then
  mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  qemu_for "$2" >/proc/sys/fs/binfmt_misc/register
fi

static() { env -i "${variables[@]}" "$chroot" "$root" /secretbake "$@"; }
chroot=$(command -v chroot) variables=()

static --version | grep -q '^secretbake ' || fail "it does not start"
quickstart=(quickstart/deploy.yaml --org quickstart/org.yaml)
linux() { (cd fixtures && "$REPO/target/debug/secretbake" "$@"); }
linux bake "${quickstart[@]}" --dry-run >"$work/linux"
static bake "${quickstart[@]}" --dry-run >"$work/static"
cmp "$work/linux" "$work/static" || fail "the plan differs"
static check "${quickstart[@]}" >&2
# An image from nothing is for the architecture of the program.
case $2 in aarch64) platform=linux/arm64 ;; *) platform=linux/amd64 ;; esac
linux bake "${quickstart[@]}" --platform "$platform" -t "oci:$work/linux-layout:1" --quiet >/dev/null
static bake "${quickstart[@]}" -t oci:layout:1 --quiet >/dev/null
diff -r "$work/linux-layout" "$root/layout" || fail "the layout differs"
echo "version, check, plan and layout: as on this machine" >&2

# Two servers of names, certificates, a registry with TLS and one without, and moto with TLS.
spawn names python3 "$lib/names.py" "$work/names"
wait_for 10 "the servers of names" test -e "$work/names"
(
  cd "$work"
  key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc)
  openssl req -x509 "${key[@]}" -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=test-ca
  openssl req "${key[@]}" -keyout key.pem -out server.csr -subj /CN=server
  echo 'subjectAltName=DNS:*.without.test,DNS:*.with.test' >extensions
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 2 -extfile extensions
) 2>"$work/openssl.log"
mkdir "$work/registry" "$work/registry-tls"
start_registry registry ''
REGISTRY_HTTP_TLS_CERTIFICATE=$work/cert.pem REGISTRY_HTTP_TLS_KEY=$work/key.pem start_registry registry-tls ''
python=$(moto_venv)/bin/python
spawn moto "$python" -m moto.server -H 127.0.0.1 -p 0 -s -c "$work/cert.pem" -k "$work/key.pem"
wait_ready 60 moto listening_at moto
moto=$(listening_at moto) tls=$(listening_at registry-tls)
AWS_CA_BUNDLE=$work/ca.pem AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=a "$python" - "https://aws.without.test:${moto#*:}" <<'PYTHON' ||
import socket, sys
import boto3

# this machine's own resolver is not asked
socket.getaddrinfo = lambda host, port, *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
client = boto3.client("secretsmanager", region_name="us-east-1", endpoint_url=sys.argv[1])
client.create_secret(Name="crew/token", SecretString="canary")
PYTHON
  fail "moto does not take the secret"

cat >"$root/org.yaml" <<'YAML'
version: 1
credentials: [{ name: aws, provider: aws-secrets-manager, region: us-east-1, access_key_id: AKIAEXAMPLEEXAMPLE00, secret_access_key: { env: KEY }, default: true }]
YAML
printf 'version: 1\nimage: { base: scratch, tags: ["oci:unused:1"] }\nenv: { TOKEN: { secret: crew/token } }\n' >"$root/deploy.yaml"
# bake TARGET
bake() { static bake deploy.yaml --org org.yaml -t "$1" --quiet; }
# bakes KIND: to both registries, with the names of one server.
bakes() {
  variables=(KEY=key "AWS_ENDPOINT_URL=https://aws.$1.test:${moto#*:}")
  if bake "docker://$(listening_at registry)/plain/$1:1" 2>"$work/error"; then fail "moto's certificate is accepted without its authority"; fi
  grep -q certificate "$work/error" || fail "another error: $(cat "$work/error")"
  cp "$work/ca.pem" "$root/ca.pem"
  variables+=(SSL_CERT_FILE=/ca.pem)
  bake "docker://$(listening_at registry)/plain/$1:1" | grep -q @sha256: || fail "the bake to the registry fails"
  bake "docker://registry.$1.test:${tls#*:}/tls:1" | grep -q @sha256: || fail "the bake to the registry with TLS fails"
  static inspect "docker://registry.$1.test:${tls#*:}/tls:1" | grep -q TOKEN || fail "inspect does not read what was baked"
  rm "$root/ca.pem"
}
# Without a resolv.conf, musl asks 127.0.0.1.
bakes without
echo "secrets of moto to both registries, by TLS, with DNS but no resolv.conf: baked" >&2
mkdir "$root/etc"
echo 'nameserver 127.0.0.2' >"$root/etc/resolv.conf"
bakes with
echo "the same with a resolv.conf: baked" >&2
