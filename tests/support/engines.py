"""The engines that members can run on: the system's, and those that `make engines` unpacked."""

from __future__ import annotations

import shlex
import sysconfig
from pathlib import Path
from typing import NamedTuple

from dqlite_node import LocalCluster, Node

FOLDER = Path(__file__).resolve().parents[2] / ".engines"
SYSTEM = "system"
NEWEST_FIRST = ("sid", "trixie", SYSTEM)


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
    """The engine called `name`, or several with `+` between: each start takes one of them.

    `LookupError` says how to get what is missing.
    """
    engines, names = at_hand(), name.split("+")
    for each in names:
        if each not in engines:
            there = ", ".join(engines)
            raise LookupError(f"no engine {each!r} among {there}: run `make engines`")
    if len(names) == 1:
        return engines[name]
    return Engine(name, _either([engines[each].launcher for each in names]))


def newest() -> Engine:
    """The newest engine at hand."""
    found = at_hand()
    return next(found[name] for name in NEWEST_FIRST if name in found)


def _either(launchers: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Start a program under one of these, by chance: the process's own number."""
    cases = (f'{number}) exec {shlex.join(words)} "$@";;' for number, words in enumerate(launchers))
    script = f"case $(($$ % {len(launchers)})) in {' '.join(cases)} esac"
    return ("/bin/sh", "-c", script, "sh")


def mixed(*engines: Engine) -> LocalCluster:
    """A cluster, not yet started, whose members run on `engines` in this order."""
    cluster = LocalCluster(len(engines))
    for number, engine in enumerate(engines):
        plain = cluster.members[number]
        cluster.members[number] = Node(
            plain.address, plain.data_dir, plain.id, launcher=engine.launcher
        )
    return cluster
