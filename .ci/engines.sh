#!/bin/sh
# Usage: sh .ci/engines.sh [SUITE...]        (by default trixie and sid)
# Puts the libdqlite of later Debian suites, with the libraries below it, into .engines/SUITE.
# Nothing is installed; tests start members under the loader found there (tests/support/engines.py).
# A suite that is in place is left alone; remove its folder to have it fetched anew.
set -eu
. .ci/debian.sh

folder=.engines
packages='libdqlite0 libuv1t64 libsqlite3-0 liblz4-1 libc6'

say() { printf 'engines: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Lists, cache and sources of its own, so that the system's apt stays as it is.
private_apt() {
    apt -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false \
        "$@"
}

# Signatures are checked against the installed keyrings; without the suite's key this fails.
fetch() {
    suite=$1
    state=$PWD/$folder/.apt-$suite
    rm -rf "$state" "$folder/.$suite" && mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$(mirror)" "$suite" >"$state/sources.list"
    private_apt update -o APT::Update::Error-Mode=any ||
        fail "the lists of $suite cannot be had: no network, or $keyring (of the package" \
            "debian-archive-keyring) lacks the key that signs $suite"
    # shellcheck disable=SC2086
    (cd "$state" && private_apt download $packages) || fail "no packages of $suite"
    for package in "$state"/*.deb; do
        dpkg-deb -x "$package" "$folder/.$suite"
    done
    dpkg-deb -f "$state"/libdqlite0_*.deb Version >"$folder/.$suite/version"
    rm -rf "$state"
    mv "$folder/.$suite" "$folder/$suite"
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail 'this needs apt-get and dpkg-deb (Debian or a derivative)'
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || fail 'the package debian-archive-keyring is not installed'
[ -n "$(mirror)" ] || fail 'apt knows no mirror of Debian; run apt-get update'
mkdir -p "$folder"
for suite in ${*:-trixie sid}; do
    [ -e "$folder/$suite/version" ] || fetch "$suite"
    say "$suite: libdqlite $(cat "$folder/$suite/version") in $folder/$suite"
done
