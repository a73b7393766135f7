#!/usr/bin/env bash
# cross-windows.sh PROGRAM
#
# Runs secretbake for Windows under Wine. What it prints and writes must be the same bytes as on Linux, from the same sources; it bakes to
# Docker Engine through a named pipe, is interrupted by ctrl-c, and reads a key that the console does not show.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=session.sh
. "$(dirname "${BASH_SOURCE[0]}")/session.sh"
program=$(realpath "$1")
cd "$SCRIPTS/.."
fail() { echo "cross: $*" >&2 && exit 1; }

for package in wine64 gcc-mingw-w64-x86-64-posix; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
done
wine=/usr/lib/wine/wine64
[ -x "$wine" ] || fail "Wine is not installed"

session_start tests docker
work=$(mktemp -d)
end() {
  [ -z "${relays:-}" ] || kill $relays 2>/dev/null || true
  /usr/lib/wine/wineserver64 -k 2>/dev/null || true
  rm -rf "$work"
  session_end
}
trap end EXIT
export WINEPREFIX=$work/wine WINEDEBUG=-all
cp "$program" "$work/secretbake.exe"
# Wine 8 lacks this library, which every Windows since 10 has and Rust's standard library takes its random numbers from.
cat >"$work/random.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
C
x86_64-w64-mingw32-gcc-posix -shared -o "$work/bcryptprimitives.dll" "$work/random.c" -ladvapi32
x86_64-w64-mingw32-gcc-posix -static -O1 -o "$work/pipe.exe" scripts/lib/windows-pipe.c -lws2_32
cargo build --locked >&2
windows() { "$wine" "$work/secretbake.exe" "$@"; }
linux() { target/debug/secretbake "$@"; }

# same NAME ARGUMENT...: both print the same, and succeed.
same() {
  local name=$1
  shift
  linux "$@" >"$work/linux" || fail "$name fails on Linux"
  windows "$@" >"$work/windows" || fail "$name fails on Windows"
  cmp "$work/linux" "$work/windows" || fail "$name differs on Windows"
  echo "$name: the same $(stat -c %s "$work/linux") bytes" >&2
}

quickstart=(fixtures/quickstart/deploy.yaml --org fixtures/quickstart/org.yaml)
windows --version | grep -q '^secretbake .*x86_64-pc-windows-gnu' || windows --version | grep -q '^secretbake' || fail "it does not start"
same 'the plan' bake "${quickstart[@]}" --dry-run
same 'the plan as JSON' bake "${quickstart[@]}" --dry-run --format json
for schema in manifest org report; do same "the schema $schema" schema "$schema"; done
same 'the check' check "${quickstart[@]}" --format json

# The same layout, by a path with a drive letter.
mkdir "$work/out"
linux bake "${quickstart[@]}" -t "oci:$work/out/linux:1" --quiet >/dev/null
windows bake "${quickstart[@]}" -t "oci:Z:${work//\//\\}\\out\\windows:1" --quiet >/dev/null || fail "the bake to a layout fails"
diff -r "$work/out/linux" "$work/out/windows" || fail "the layout differs on Windows"
echo "the layout: the same files" >&2
windows inspect "oci:Z:$work/out/windows:1" | tr -d '\r' >"$work/windows"
grep -q OPENAI_API_KEY "$work/windows" || fail "inspect does not read the layout"
# A key in an org file outside the profile folder is refused.
printf 'version: 1\ncredentials:\n  - name: a\n    provider: aws-secrets-manager\n    region: eu-west-1\n    access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYaa\n' >"$work/org.yaml"
if windows credential list --org "Z:$work/org.yaml" 2>"$work/windows"; then fail "a key outside the profile folder is accepted"; fi
grep -q 'outside your profile folder' "$work/windows" || fail "another error: $(cat "$work/windows")"
echo "a key outside the profile folder: refused" >&2

# A bake to Docker Engine at the usual named pipe of Windows. Relays of our own lead from there to its socket.
session_ready
# relay NAME [SOCKET]: prints the port.
relay() {
  python3 scripts/lib/relay.py "$work/$1.port" "${@:2}" >/dev/null &
  relays+=" $!"
  until [ -s "$work/$1.port" ]; do kill -0 $! || fail "no relay"; sleep 0.1; done
}
# pipe NAME: serves it for the relay NAME.
pipe() {
  "$wine" "$work/pipe.exe" "\\\\.\\pipe\\$1" "$(cat "$work/$1.port")" >"$work/$1.ready" &
  relays+=" $!"
  until grep -qs ready "$work/$1.ready"; do kill -0 $! || fail "no named pipe"; sleep 0.1; done
}
relays=
relay docker_engine "${SECRETBAKE_TEST_DOCKER_HOST#unix://}"
pipe docker_engine
image=secretbake-test/busybox:1-windows
engine() { docker -H "$SECRETBAKE_TEST_DOCKER_HOST" "$@"; }
engine rmi -f "$image" >/dev/null 2>&1
printf 'version: 1\nimage: { base: "secretbake-test/busybox:1", tags: ["%s"] }\nenv: { TOKEN: { secret: crewai/openai-api-key } }\n' "$image" >"$work/deploy.yaml"
on_engine=("Z:$work/deploy.yaml" --org "Z:$PWD/fixtures/quickstart/org.yaml")
windows bake "${on_engine[@]}" >"$work/windows" || fail "the bake to the engine fails"
[ "$(engine run --rm --network none "$image" sh -c 'printf %s "$TOKEN"')" = quickstart-openai-key ] || fail "the container has no secret"
DOCKER_HOST=$SECRETBAKE_TEST_DOCKER_HOST linux bake "$work/deploy.yaml" --org fixtures/quickstart/org.yaml >"$work/linux" 2>"$work/said"
cmp "$work/linux" "$work/windows" || fail "the image differs on Windows"
grep -q '^unchanged ' "$work/said" || fail "the image is baked again on Linux: $(cat "$work/said")"
windows inspect "$image" | grep -q TOKEN || fail "inspect does not read the image"
engine rmi -f "$image" >/dev/null
echo "a bake to Docker Engine through a named pipe: the same image, and its container has the secret" >&2

# ctrl-c, while an engine does not answer.
relay silent
pipe silent
status=0
DOCKER_HOST=npipe:////./pipe/silent python3 scripts/lib/console.py '[["reading the base", "\u0003"]]' \
  "$wine" "$work/secretbake.exe" bake -v "${on_engine[@]}" >"$work/shown" || status=$?
[ "$status" = 130 ] || fail "ctrl-c gives the exit status $status: $(cat "$work/shown")"
echo "ctrl-c: exit status 130" >&2

# A key that is typed, with a mistake put right, is stored, and the console does not show it.
org="$WINEPREFIX/drive_c/users/$(id -un)/org.yaml"
printf 'version: 1\ncredentials: []\n' >"$org"
python3 scripts/lib/console.py '[["access key (required): ", "canarx\u007fykey\r"], ["assume no role): ", "\r"], ["[y/N]: ", "y\r"]]' \
  "$wine" "$work/secretbake.exe" credential add prod --region us-east-1 --access-key-id AKIAIOSFODNN7EXAMPLE \
  --org "C:\\users\\$(id -un)\\org.yaml" >"$work/shown" || fail "the key is not stored: $(cat "$work/shown")"
grep -q 'secret_access_key: canarykey$' "$org" || fail "another key is stored: $(cat "$org")"
if grep -q canar "$work/shown"; then fail "the console shows the key: $(cat "$work/shown")"; fi
echo "a typed key: stored, and not shown" >&2
