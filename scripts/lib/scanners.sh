# shellcheck shell=bash
# scanners: what judges the layers of a sealed image. PyPI's detect-secrets and trufflehog3 look for secrets; npm's age-encryption reads age
# files, where the machine has npm. They are kept in the cache, and none of them is a process that stays.

SCANNER_PACKAGES=(detect-secrets==1.5.0 trufflehog3==3.0.10)
AGE_PACKAGE=age-encryption@0.3.1

up_scanners() {
  local venv=$CACHE/${SCANNER_PACKAGES[0]} reader=$CACHE/$AGE_PACKAGE
  "$venv/bin/python" -c 'import detect_secrets, trufflehog3' 2>/dev/null || make_venv "$venv" "${SCANNER_PACKAGES[@]}"
  if ! command -v npm >/dev/null; then
    reader=
  elif [ ! -d "$reader" ]; then
    say "scanners: installing $AGE_PACKAGE, once"
    rm -rf "$reader.making"
    retry npm install --prefix "$reader.making" --no-fund --no-audit --silent "$AGE_PACKAGE" >&2
    mv "$reader.making" "$reader"
  fi
  publish scanners "SECRETBAKE_TEST_SCANNERS=$venv/bin/python" "SECRETBAKE_TEST_AGE_ENCRYPTION=$reader"
  echo "${SCANNER_PACKAGES[*]}${reader:+ $AGE_PACKAGE}"
}
