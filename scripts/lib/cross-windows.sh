#!/usr/bin/env bash
# cross-windows.sh PROGRAM
#
# Runs secretbake for Windows under Wine: what it prints and writes must be the same bytes as on Linux.
set -euo pipefail

program=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
fail() { echo "cross: $*" >&2 && exit 1; }

for package in wine64 gcc-mingw-w64-x86-64-posix; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >&2
done
wine=/usr/lib/wine/wine64
[ -x "$wine" ] || fail "Wine is not installed"

work=$(mktemp -d)
trap 'WINEPREFIX=$work/wine /usr/lib/wine/wineserver64 -k 2>/dev/null || true; rm -rf "$work"' EXIT
export WINEPREFIX=$work/wine WINEDEBUG=-all
cp "$program" "$work/secretbake.exe"
# Wine 8 lacks this library, which every Windows since 10 has and Rust's standard library takes its random numbers from.
cat >"$work/random.c" <<'EOF'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
EOF
x86_64-w64-mingw32-gcc-posix -shared -o "$work/bcryptprimitives.dll" "$work/random.c" -ladvapi32
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
