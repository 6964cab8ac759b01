"""Who takes part: how each is built and started, or why it is absent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
BUILT = FOLDER.parents[1] / ".benchmarks"  #: what is compiled and installed, kept between runs
GOPATH = "/usr/share/gocode"  #: where Debian's Go libraries are
PEERS = ("dqlite-dbapi==0.8.0", "sqlalchemy-dqlite==0.8.0")
PEER_PYTHON = (3, 13)


class AbsentError(Exception):
    """A contestant cannot be had on this machine; the text says why."""


class Contestant(NamedTuple):
    """A program; its command line is `words`, the members' addresses and the database."""

    name: str
    words: tuple[str, ...]


def _run(command: Sequence[str], what: str, **environment: str) -> str:
    """Run a command and return what it prints; `AbsentError` begins with `what`."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=600,
            env={**os.environ, **environment},
        )
    except (OSError, subprocess.SubprocessError) as error:
        words = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise AbsentError(f"{what}: {words[-1] if words else error}") from error
    return done.stdout


def _compiled(source: Path, command: Sequence[str], what: str, **environment: str) -> str:
    """Path of the program that `command` makes at `-o` unless it is newer than `source`."""
    target = BUILT / source.stem
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")
        _run([*command, "-o", str(fresh), str(source)], what, **environment)
        fresh.replace(target)
    return str(target)


def _floor() -> tuple[str, ...]:
    if shutil.which("cc") is None:
        raise AbsentError("no C compiler")
    command = ["cc", "-O2", "-pthread"]
    return (_compiled(FOLDER / "floor.c", command, "the C floor does not compile"),)


def _go() -> tuple[str, ...]:
    if shutil.which("go") is None:
        raise AbsentError("apt-get install golang-go golang-github-canonical-go-dqlite-dev")
    if not Path(GOPATH, "src/github.com/canonical/go-dqlite").exists():
        raise AbsentError("apt-get install golang-github-canonical-go-dqlite-dev")
    source, what = FOLDER / "godqlite.go", "the Go program does not compile"
    return (_compiled(source, ["go", "build"], what, GO111MODULE="off", GOPATH=GOPATH),)


def _peer_python() -> str:
    """A Python that the peers' packages can run on: of the path, or one that pyenv keeps."""
    version = ".".join(map(str, PEER_PYTHON))
    candidates = [sys.executable, f"python{version}"]
    if shutil.which("pyenv"):
        root = _run(["pyenv", "root"], "pyenv").strip()
        found = sorted(Path(root, "versions").glob(f"{version}*/bin/python"))
        candidates += [str(path) for path in found]
    for candidate in candidates:
        check = f"import sys, venv; assert sys.version_info >= {PEER_PYTHON}"
        try:
            _run([candidate, "-c", check], candidate)
        except AbsentError:
            continue
        return candidate
    raise AbsentError(f"it needs Python {version} or later, which is not here")


def _peer(script: str) -> tuple[str, ...]:
    """The script of one of the peers' interfaces, in an environment that only they have."""
    environment = BUILT / "peers"
    python = environment / "bin" / "python"
    stamp = environment / "installed"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != repr(PEERS):
        _run([_peer_python(), "-m", "venv", "--clear", str(environment)], "no environment")
        _run([str(python), "-m", "pip", "install", "--quiet", *PEERS], "pip install")
        stamp.write_text(repr(PEERS), encoding="utf-8")
    return (str(python), str(FOLDER / script), "peer")


def _own(script: str, kind: str) -> Callable[[], tuple[str, ...]]:
    return lambda: (sys.executable, str(FOLDER / script), kind)


_COMMANDS: dict[str, Callable[[], tuple[str, ...]]] = {
    "C": _floor,
    "raw Python": _own("raw.py", "socket"),
    "raw asyncio": _own("raw.py", "asyncio"),
    "go-dqlite": _go,
    "dqlite-dbapi": lambda: _peer("dbapi.py"),
    "dqlite-dbapi asyncio": lambda: _peer("aio.py"),
    "dqlite-dbapi SQLAlchemy": lambda: _peer("alchemy.py"),
    "sqlite3, in memory": _own("dbapi.py", "sqlite3"),
    "pysqlite SQLAlchemy, in memory": _own("alchemy.py", "sqlite3"),
    "driver": _own("dbapi.py", "driver"),
    "driver asyncio": _own("aio.py", "driver"),
    "driver SQLAlchemy": _own("alchemy.py", "driver"),
}
NAMES = tuple(_COMMANDS)
FOREIGN = ("go-dqlite", "dqlite-dbapi", "dqlite-dbapi asyncio", "dqlite-dbapi SQLAlchemy")


def build(names: Sequence[str]) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Make what the contestants need; those that are ready, and why the others are absent."""
    ready: dict[str, Contestant] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            ready[name] = Contestant(name, _COMMANDS[name]())
        except AbsentError as error:
            absent[name] = str(error)
    return ready, absent
