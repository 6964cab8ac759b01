#!/bin/sh
# Usage: sh .ci/wheel.sh
# Makes a self-contained wheel in dist/: compiled in a root of Debian $suite with the libdqlite of
# $newest, repaired by auditwheel, checked by abi3audit, then installed and used by three versions of
# Python where none of the bundled libraries exists (.ci/wheel_check.py). VENV may be set: its pip
# fetches what is installed into the roots, so none of pip's settings goes there.
# The roots are in build/wheel while this runs. Processes and mounts live in namespaces of their own,
# so the kernel ends them all, however this ends.
set -eu
. .ci/debian.sh

suite=trixie
earlier=bookworm
newest=sid
bundled='libdqlite0 libuv1t64 libsqlite3-0 liblz4-1 libxxhash0'
licence='Apache-2.0 AND LGPL-3.0-only WITH LGPL-3.0-linking-exception AND MIT AND ISC'
licence="$licence AND BSD-2-Clause AND BSD-3-Clause AND blessing"

work=$PWD/build/wheel
python=${VENV:-.venv}/bin/python

[ "${1:-}" = steps ] || exec 3>&2 # for what is told; the rest goes to a log

say() { printf 'wheel: %s\n' "$*" >&3; }

fail() {
    say "$*"
    exit 1
}

# Runs a command in the root called $1.
within() {
    root=$work/$1
    shift
    env -u PYTHONPATH HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"
}

apt_within() {
    name=$1
    shift
    within "$name" apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"
}

# A root that knows the other suites too, and takes from them only what it is told to.
make_base() {
    debootstrap --variant=minbase "$suite" "$work/base" "$(mirror)"
    configuration=$work/base/etc/apt
    apt-config dump | grep '^Acquire::' >"$configuration/apt.conf.d/90host"
    for other in "$earlier" "$newest"; do
        echo "deb $(mirror) $other main" >"$configuration/sources.list.d/$other.list"
        printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$other" >"$configuration/preferences.d/$other"
    done
    apt_within base update -o APT::Update::Error-Mode=any
}

copy_base() {
    cp -a "$work/base" "$work/$1"
    mount -t proc proc "$work/$1/proc"
}

# Makes /venv in the root $1 of the Python $2, and puts wheels of the rest into its /wheels.
make_venv() {
    name=$1
    within "$name" "$2" -m venv --without-pip /venv
    shift 2
    version=$(within "$name" python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    platform=--platform=manylinux
    "$python" -m pip download -qq --dest "$work/$name/wheels" --only-binary :all: \
        --python-version "$version" --implementation cp \
        --abi "cp$(echo "$version" | tr -d .)" --abi abi3 --abi none \
        "${platform}_2_28_$(uname -m)" "${platform}_2_17_$(uname -m)" "${platform}2014_$(uname -m)" pip "$@"
}

pip_within() {
    name=$1
    shift
    pip=$(ls "$work/$name/wheels"/pip-*.whl)
    within "$name" python "/wheels/${pip##*/}/pip" --isolated "$@" --no-index --find-links /wheels
}

prepare_build() {
    copy_base build
    apt_within build install -y --no-install-recommends gcc libc6-dev pkg-config python3-dev \
        patchelf "libdqlite0/$newest" "libdqlite-dev/$newest"
    tools='setuptools>=77 cffi>=1.17 auditwheel>=6.4 abi3audit>=0.0.20'
    # shellcheck disable=SC2086
    make_venv build python3 $tools
    # shellcheck disable=SC2086
    pip_within build install $tools
}

# The sources, with each library's licence and the texts that it refers to beside ours.
copy_sources() {
    source=$work/build/source
    mkdir "$source"
    cp -R LICENSE README.md pyproject.toml dqlite_dbapi sqlalchemy_dqlite native examples "$source"
    sed -i "s/^license = .*/license = \"$licence\"/" "$source/pyproject.toml"
    for package in $bundled; do
        cp "$work/build/usr/share/doc/$package/copyright" "$source/LICENSE.$package"
    done
    common=/usr/share/common-licenses
    for text in GPL-3 $(sed -n "s|.*$common/\([A-Za-z0-9.-]*[A-Za-z0-9]\).*|\1|p" "$source"/LICENSE.*); do
        cp "$work/build$common/$text" "$source/LICENSE.$text"
    done
}

build() {
    export DQLITE_NATIVE=require
    pip_within build wheel --no-build-isolation --no-deps --wheel-dir /built /source
    within build sh -c 'auditwheel repair --wheel-dir /repaired /built/*.whl'
    within build sh -c 'abi3audit --strict --assume-minimum-abi3 3.10 /repaired/*.whl'
}

# Uses the wheel in a new root called $1 with the Python $2, which apt installs by the other arguments,
# and without the libraries: from their removal on, apt and Python's own sqlite3 are of no use there.
try_out() {
    name=$1
    interpreter=$2
    shift 2
    copy_base "$name"
    apt_within "$name" install -y --no-install-recommends "$@"
    wheel=$(ls "$work"/build/repaired/*.whl)
    tag=$(basename "${wheel##*-}" .whl)
    make_venv "$name" "$interpreter" "--platform=${tag%%.*}" "$wheel[cli]"
    # shellcheck disable=SC2086
    within "$name" dpkg --purge --force-depends $bundled
    cp .ci/wheel_check.py "$work/$name/tmp"
    pip_within "$name" install 'dqlite-python[cli]'
    within "$name" sh -c 'cd /tmp && exec python -W error wheel_check.py' >&3
    umount "$work/$name/proc"
    rm -rf "${work:?}/$name"
}

steps() {
    trap 'exit 130' INT TERM
    say "a root of Debian $suite"
    make_base
    say "compiler, and libdqlite of $newest"
    prepare_build
    say 'build, auditwheel, abi3audit'
    copy_sources
    build
    say 'three members where none of the libraries is installed'
    try_out "$earlier" python3.11 "python3.11/$earlier"
    try_out "$suite" python3 python3
    try_out "$newest" python3 -t "$newest" python3
    mkdir -p dist
    rm -f dist/dqlite_python-*.whl
    cp "$work"/build/repaired/*.whl dist
}

# What needs the administrator is said before anything is done.
check_machine() {
    command -v apt-get >/dev/null || fail 'this needs apt-get (Debian or a derivative)'
    [ "$(id -u)" -eq 0 ] || fail 'a Debian root (debootstrap, chroot) takes root rights: sudo make wheel'
    [ -n "$(mirror)" ] || fail 'apt knows no mirror of Debian; run apt-get update'
    unshare --mount --pid --fork true || fail 'this machine allows no namespaces (unshare)'
    command -v debootstrap >/dev/null || {
        say 'apt-get install debootstrap'
        DEBIAN_FRONTEND=noninteractive apt -y --no-install-recommends install debootstrap >/dev/null
    }
}

if [ "${1:-}" = steps ]; then
    steps
    exit
fi
check_machine
rm -rf "$work"
mkdir -p "$work"
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || :; wait; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
unshare --mount --pid --fork --kill-child sh "$0" steps >"$work/log" 2>&1 &
pid=$!
wait "$pid" || {
    tail -n 30 "$work/log" >&2
    fail 'failed; the last lines of the log are above'
}
pid=
du --apparent-size --block-size=kB dist/dqlite_python-*.whl
