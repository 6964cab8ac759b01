#!/bin/sh
# Usage: sh .ci/bootstrap.sh test|dev|site|browser
# Makes what `make` needs: Debian packages, a virtual environment, the editable build with its C part;
# with `browser` only the Chromium that the tests of the status page open (54 MB on a bare Debian).
# PYTHON, VENV and SQLALCHEMY (its versions, as '<2.1') may be set; with everything in place it only
# compares file times.
set -eu
. .ci/debian.sh

extra=$1
venv=${VENV:-.venv}
stamp=$venv/.ready-$extra
inputs='pyproject.toml .ci/bootstrap.sh native/native_build.py native/node native/rows'

say() { printf 'bootstrap: %s\n' "$*" >&2; }

in_place() {
    [ -e "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null || return 1
    [ -z "${PYTHON:-}" ] || [ "$(cat "$venv/.python")" = "$PYTHON" ] || return 1
    [ "$(cat "$venv/.sqlalchemy" 2>/dev/null)" = "${SQLALCHEMY:-}" ] || return 1
    ls native/dqlite_node/_ffi*.so >/dev/null 2>&1 || return 1
    # shellcheck disable=SC2086
    [ -z "$(find $inputs -type f ! -name '*.pyc' -newer "$stamp" 2>/dev/null | head -n 1)" ]
}

# True for a Python of 3.10 or later that can make environments and compile against itself.
usable() {
    "$1" - <<'PY' >/dev/null 2>&1
import ensurepip, pathlib, sys, sysconfig, venv
assert sys.version_info >= (3, 10)
assert all(pathlib.Path(sysconfig.get_config_var("INCLUDEPY"), name).is_file() for name in ("Python.h", "pyconfig.h"))
PY
}

# An unusable python3 in PATH (a bare one of a version manager) gives way to Debian's own.
find_python() {
    for candidate in ${PYTHON:-python3 /usr/bin/python3}; do
        if usable "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

missing_packages() {
    if [ "$extra" = browser ]; then
        command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null ||
            echo chromium-headless-shell
        return
    fi
    [ -n "$python" ] || [ -n "${PYTHON:-}" ] || echo python3 python3-venv python3-dev
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists dqlite 2>/dev/null || echo libdqlite-dev
    [ -e /usr/share/zoneinfo/zone1970.tab ] || echo tzdata
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
}

# Package lists may be absent (a fresh root) or too old (a download that is gone).
apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt --simulate install "$@" >/dev/null 2>&1 || apt update
    apt -y --no-install-recommends install "$@" >/dev/null ||
        { apt update && apt -y --no-install-recommends install "$@" >/dev/null; }
}

install_packages() {
    # shellcheck disable=SC2046
    set -- $(missing_packages)
    [ $# -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "needed, by their Debian names: $*"
        exit 1
    elif [ "$(id -u)" -ne 0 ]; then
        say 'some Debian packages are missing; run this, then try again:'
        say "    sudo apt-get install --no-install-recommends $*"
        exit 1
    fi
    say "apt-get install $*"
    apt_install "$@"
}

make_venv() {
    known=$("$venv/bin/python" -c '' 2>/dev/null && cat "$venv/.python") || known=
    if [ -z "$known" ] || [ "$known" != "${PYTHON:-$known}" ]; then
        say "virtual environment $venv ($python)"
        "$python" -m venv --clear "$venv"
        echo "${PYTHON:-$python}" >"$venv/.python"
    fi
}

if [ "$extra" = browser ]; then
    install_packages
    exit 0
fi
if in_place; then
    exit 0
fi
python=$(find_python)
install_packages
[ -n "$python" ] || python=$(find_python)
if [ -z "$python" ]; then
    say "${PYTHON:-python3} is no Python >= 3.10 with venv and headers (Python.h)"
    exit 1
fi
make_venv
say "pip install -e .[$extra], C part required"
DQLITE_NATIVE=require "$venv/bin/python" -m pip install -qq --no-input \
    --disable-pip-version-check --editable ".[$extra]" "SQLAlchemy${SQLALCHEMY:-}"
echo "${SQLALCHEMY:-}" >"$venv/.sqlalchemy"
touch "$venv/.ready-test" "$stamp"
