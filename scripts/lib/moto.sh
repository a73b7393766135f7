# shellcheck shell=bash
# moto: AWS Secrets Manager and STS on loopback, from PyPI, in a virtual environment kept in the cache. The environment's Python has
# SQLAlchemy too, whose parser of URLs judges what templates make.

MOTO_PACKAGES=(moto==5.2.5 flask==3.1.3 flask-cors==6.0.5 sqlalchemy==2.1.9)

up_moto() {
  local venv address
  venv=$(moto_venv)
  mkdir -p "$DATA/moto"
  spawn moto "$venv/bin/python" -m moto.server -H 127.0.0.1 -p 0
  wait_ready 60 moto listening_at moto
  address=$(listening_at moto)
  publish moto "SECRETBAKE_TEST_MOTO=http://$address" "SECRETBAKE_TEST_PYTHON=$venv/bin/python"
  echo "moto ${MOTO_PACKAGES[0]#*==} at http://$address"
}

# moto_venv: prints its folder.
moto_venv() {
  local venv=$CACHE/${MOTO_PACKAGES[0]}
  # A venv breaks when its Python is removed.
  "$venv/bin/python" -c 'import moto.server, sqlalchemy' 2>/dev/null || make_venv "$venv" "${MOTO_PACKAGES[@]}" >&2
  echo "$venv"
}

# make_venv FOLDER PACKAGE...
make_venv() {
  say "installing ${*:2}, about half a minute, once"
  exec 8>"$CACHE/venv.lock"
  flock 8
  rm -rf "$1" "$1.making"
  python3 -m venv "$1.making" || die "python3 -m venv fails: install python3-venv"
  PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 retry "$1.making/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"
  mv "$1.making" "$1"
  exec 8>&-
}
