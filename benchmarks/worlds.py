"""Where contestants meet: members that run for a case, and one process a contestant."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import dqlite_dbapi
from benchmarks.contestants import Contestant
from benchmarks.contestants.harness import tables
from dqlite_node import LocalCluster
from tests.support import engines

Reply = dict[str, Any]


class World(NamedTuple):
    """A kind of cluster: how many members, where their data lies, how they run."""

    members: int = 1
    disk: bool = False
    pinned: bool = False  #: members and contestants share one processor
    dialer: str = "own"
    engine: str = engines.SYSTEM


class Places(NamedTuple):
    """Folders for the members' data."""

    memory: Path
    disk: Path


@contextmanager
def pinned(processors: set[int] | None) -> Iterator[None]:
    """Let this thread, and what it starts meanwhile, run on `processors` only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A running contestant that obeys orders."""

    def __init__(self, contestant: Contestant, addresses: Sequence[str], database: str) -> None:
        self.name = contestant.name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - see close
        self._process = subprocess.Popen(
            [*contestant.words, ",".join(addresses), database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def order(self, operation: str, n: int, m: int = 0) -> Reply:
        """Send an order and wait for its answer, with `rss` added; `error` if the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([operation, n, m]) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": self._last_words()}
        line = self._process.stdout.readline()
        if not line:
            return {"error": self._last_words()}
        return {**json.loads(line), "rss": self._peak()}

    def _peak(self) -> float:
        """Peak resident size of the process so far, in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _last_words(self) -> str:
        self._process.wait(10)
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"it ended with {self._process.returncode}"

    def close(self) -> None:
        """End the process: closing its input tells it to."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


class Arena:
    """One world's members, while they run."""

    def __init__(self, world: World, places: Places) -> None:
        self._stack = ExitStack()
        self._processors = {min(os.sched_getaffinity(0))} if world.pinned else None
        parent = places.disk if world.disk else places.memory
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(dir=parent))
        cluster = LocalCluster(
            world.members,
            directory=folder,
            dialer=world.dialer,
            launcher=engines.named(world.engine).launcher,
        )
        with pinned(self._processors):
            self._stack.enter_context(cluster)
        leader = cluster.wait_leader()
        self.addresses = sorted(cluster.addresses, key=lambda address: address != leader)

    def database(self, rows: int, blob: int) -> str:
        """A new database with the contestants' tables; its name."""
        name = f"bench{uuid.uuid4().hex}"
        with dqlite_dbapi.connect(self.addresses, name, autocommit=True) as connection:
            for sql in tables(rows, blob):
                connection.execute(sql)
        connection.close()
        return name

    def start(self, contestant: Contestant, database: str) -> Process:
        """Start a contestant on this world's processors."""
        with pinned(self._processors):
            return Process(contestant, self.addresses, database)

    def close(self) -> None:
        """Stop the members and remove their data."""
        self._stack.close()


class Arenas:
    """The worlds that run now: a case's own, and no others, so that none disturbs it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._open: dict[World, Arena] = {}

    def need(self, worlds: set[World]) -> dict[World, Arena]:
        """Close all other worlds and start those that are missing."""
        for world in set(self._open) - worlds:
            self._open.pop(world).close()
        for world in worlds - set(self._open):
            self._open[world] = Arena(world, self._places)
        return self._open

    def close(self) -> None:
        """Close every world."""
        self.need(set())
