#!/bin/sh
# Runs the codec's tests against a build of native/rows with the address and undefined sanitizers.
set -eu

python=${VENV:-.venv}/bin/python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r dqlite_dbapi tests pyproject.toml "$folder"
rm -f "$folder"/dqlite_dbapi/*.so
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
gcc -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -Wall -Wextra -fPIC -shared -DPy_LIMITED_API=0x030A0000 "-I$include" \
    native/rows/*.c -o "$folder/dqlite_dbapi/_rows.abi3.so"
python=$(realpath -s "$python")
cd "$folder"
export PYTHONPATH="$folder" PYTHONMALLOC=malloc DQLITE_DBAPI_ACCEL=c ASAN_OPTIONS=detect_leaks=0
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    "$python" -m pytest tests/wire/test_rows.py tests/wire/test_params.py \
    tests/wire/test_params_twins.py tests/wire/test_exchange.py tests/wire/test_frames.py \
    -q -p no:randomly -k "not leaks" "$@"
