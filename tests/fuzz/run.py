"""Fuzzes with atheris: `python -m tests.fuzz.run --minutes 10 [target ...]`, see `make fuzz`.

Each target runs in a process of its own on a copy of the tree, whose C codec is built with the
address and undefined sanitizers. A finding is left in build/fuzz as `TARGET-crash-...`; put its
bytes into tests/fuzz/seeds.py to make it a test.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from tests.fuzz.seeds import SEEDS

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"  #: inputs that reached something new, for the next time
#: Target -> the longest input, and whether it needs the C codec under the sanitizers.
TARGETS = {
    "rows": (600, True),
    "session": (600, True),
    "gate": (300, False),
    "options": (150, False),
    "statements": (100, False),
}
_SANITIZERS = ["-fsanitize=fuzzer-no-link,address,undefined", "-fno-sanitize-recover=all"]


def _clang() -> str:
    found = shutil.which("clang") or max(glob.glob("/usr/bin/clang-[0-9]*"), default="")
    if not found:
        raise SystemExit("the fuzzers need clang; install it with: apt-get install clang")
    return found


def _build(folder: Path) -> None:
    """Copy what is fuzzed to `folder`, with the C codec built for it."""
    for source in ("dqlite_dbapi", "native/dqlite_node", "tests"):
        shutil.copytree(ROOT / source, folder / Path(source).name)
    plain = folder / "dqlite_dbapi" / "_rows.abi3.so"
    plain.rename(folder / "_rows.plain.so")
    include = sysconfig.get_path("include")
    command = [_clang(), "-g", "-O1", "-fPIC", *_SANITIZERS, "-DPy_LIMITED_API=0x030A0000"]
    compiled = []
    for source in sorted((ROOT / "native" / "rows").glob("*.c")):
        compiled.append(str(folder / f"{source.stem}.o"))
        subprocess.run([*command, f"-I{include}", "-c", source, "-o", compiled[-1]], check=True)
    library = str(folder / "_rows.sanitized.so")
    subprocess.run(["cc", "-shared", *compiled, "-o", library], check=True)


def _environment(folder: Path, *, is_sanitized: bool) -> dict[str, str]:
    import atheris

    plain = {**os.environ, "PYTHONPATH": str(folder)}
    if not is_sanitized:
        return plain
    return {
        **plain,
        "PYTHONMALLOC": "malloc",
        "DQLITE_DBAPI_ACCEL": "c",
        "LD_PRELOAD": str(Path(atheris.path()) / "asan_with_fuzzer.so"),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    }


def fuzz(name: str, seconds: float, folder: Path) -> bool:
    """Run one target; True when it found nothing."""
    longest, is_sanitized = TARGETS[name]
    library = "_rows.sanitized.so" if is_sanitized else "_rows.plain.so"
    shutil.copy(folder / library, folder / "dqlite_dbapi" / "_rows.abi3.so")
    corpus, seeds = KEPT / name, folder / "seeds" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(parents=True)
    for title, content in SEEDS.get(name, {}).items():
        (seeds / title).write_bytes(content)
    limits = ["-timeout=20", "-rss_limit_mb=3000", "-len_control=0", "-print_final_stats=1"]
    print(f"== {name}, {seconds:.0f} s", flush=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.child", name, str(corpus), str(seeds)),
            *(f"-max_total_time={seconds:.0f}", f"-max_len={longest}"),
            *(f"-artifact_prefix={KEPT}/{name}-", *limits),
        ],
        cwd=folder,
        env=_environment(folder, is_sanitized=is_sanitized),
        check=False,
    )
    return done.returncode == 0


def main() -> int:
    """Fuzz the targets one after the other; 1 if any found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    options = parser.parse_args()
    unknown = set(options.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        _build(Path(folder))
        found = [
            name
            for name in options.targets or TARGETS
            if not fuzz(name, options.minutes * 60, Path(folder))
        ]
    print(f"findings: {', '.join(found) or 'none'}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
