"""The engines that members can run on: the system's, and those that `make engines` unpacked."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import NamedTuple

from dqlite_node import LocalCluster, Node

FOLDER = Path(__file__).resolve().parents[2] / ".engines"
SYSTEM = "system"


class Engine(NamedTuple):
    """A libdqlite: `launcher` goes to `Node` or `LocalCluster`, and is empty for the system's."""

    name: str
    launcher: tuple[str, ...]


def at_hand() -> dict[str, Engine]:
    """Engines by name, the system's first."""
    found = {SYSTEM: Engine(SYSTEM, ())}
    for library in sorted(FOLDER.glob("[!.]*/usr/lib/*/libdqlite.so.0")):
        name = library.relative_to(FOLDER).parts[0]
        found[name] = Engine(name, _launcher(library.parent))
    return found


def _launcher(libraries: Path) -> tuple[str, ...]:
    """Start a program under the loader of a foreign C library, which finds its own kind first."""
    loader = next(libraries.glob("ld-linux*.so.*"))
    own = sysconfig.get_config_var("LIBDIR")
    return (str(loader), "--library-path", f"{libraries}:{own}:/lib/{libraries.name}")


def named(name: str) -> Engine:
    """The engine called `name`; `LookupError` says how to get it."""
    engines = at_hand()
    if name not in engines:
        there = ", ".join(engines)
        raise LookupError(f"no engine {name!r} among {there}: run `make engines`")
    return engines[name]


def mixed(*engines: Engine) -> LocalCluster:
    """A cluster, not yet started, whose members run on `engines` in this order."""
    cluster = LocalCluster(len(engines))
    for number, engine in enumerate(engines):
        plain = cluster.members[number]
        cluster.members[number] = Node(
            plain.address, plain.data_dir, plain.id, launcher=engine.launcher
        )
    return cluster
