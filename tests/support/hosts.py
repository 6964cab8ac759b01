"""Hosts for tests: an address and a data directory each, on which an `App` may run."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from dqlite_node import App
from dqlite_node.local import reserve_port
from tests.support.engines import Engine


class Hosts:
    """`n` of them, numbered from 0; `apps` are those made last, or None; `options` go to each."""

    def __init__(
        self, n: int, directory: Path, engine: Engine, stack: ExitStack, **options: Any
    ) -> None:
        held = [stack.enter_context(reserve_port()) for _ in range(n)]
        self.addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
        self.directories = [directory / f"host{number}" for number in range(n)]
        self.apps: list[Any] = [None] * n
        self._options = {"adjust_interval": 0.4, "launcher": engine.launcher, **options}
        self._stack = stack

    def make(self, number: int, cluster: list[str] | None = None, **options: Any) -> App:
        """An application that is not yet started; closed when the test ends."""
        listed = self.addresses if cluster is None else cluster
        app = App(
            self.directories[number],
            self.addresses[number],
            listed,
            **{**self._options, **options},
        )
        self._stack.callback(app.close, 0)
        self.apps[number] = app
        return app

    def start(self, numbers: Iterable[int] | None = None, **options: Any) -> list[App]:
        """Start some, at once and in a random order, and wait until they are ready."""
        chosen = range(len(self.apps)) if numbers is None else numbers
        apps = [self.make(number, **options) for number in chosen]
        threads = [threading.Thread(target=app.start) for app in random.sample(apps, len(apps))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for app in apps:
            app.ready(20)
        return apps

    def roles(self, number: int = 0) -> list[int | None]:
        """Role of each host as the leader has it; None if it is no member."""
        with self.apps[number].client() as client:
            found = {member.address: member.role for member in client.cluster()}
        return [found.get(address) for address in self.addresses]

    def leader(self, number: int = 0) -> int:
        """Number of the host that leads."""
        with self.apps[number].client() as client:
            return self.addresses.index(client.leader())

    def lose(self, number: int) -> None:
        """Stop a host and remove its directory."""
        self.apps[number].close()
        shutil.rmtree(self.directories[number])


def write(app: App, value: str) -> None:
    """Add a row."""
    with closing(app.connect("library", autocommit=True)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS book (title)")
        connection.execute("INSERT INTO book VALUES (?)", [value])


def read(app: App) -> list[str]:
    """All rows, sorted."""
    with closing(app.connect("library")) as connection:
        return sorted(title for (title,) in connection.execute("SELECT title FROM book"))
