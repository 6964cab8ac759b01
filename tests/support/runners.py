"""Runs `run_transaction` of both drivers by the same blocking calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import dqlite_dbapi
import dqlite_dbapi.aio
from dqlite_dbapi import retry as sync_retry
from dqlite_dbapi.aio import retry as aio_retry
from tests.support.twins import LoopThread


class Lender:
    """The least that a pool can be; counts what it lent and what came back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.lent = self.returned = 0

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Lend the connection."""
        self.lent += 1
        try:
            yield self._connection
        finally:
            self.returned += 1


class AsyncLender(Lender):
    """The same for asyncio."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:  # type: ignore[override]
        """Lend the connection."""
        with super().connection() as lent:
            yield lent


class Sync:
    """The sync driver as it is."""

    def connect(self, *args: Any, **options: Any) -> Any:
        """Open a connection."""
        return dqlite_dbapi.connect(*args, **options)

    def run(self, source: Any, function: Callable[[Any], Any], **options: Any) -> Any:
        """Call `run_transaction`."""
        return sync_retry.run_transaction(source, function, **options)

    def begin(self, connection: Any, **options: Any) -> str:
        """Call `begin_transaction`."""
        return sync_retry.begin_transaction(connection, **options)

    def was_applied(self, source: Any, token: str) -> bool:
        """Call `was_applied`."""
        return sync_retry.was_applied(source, token)

    def lender(self, connection: Any) -> Lender:
        """A pool of one connection."""
        return Lender(connection)

    def opener(self, *args: Any, **options: Any) -> Callable[[], Any]:
        """What opens a connection when it is called."""
        return lambda: dqlite_dbapi.connect(*args, **options)


class Aio:
    """The asyncio driver, blocking; functions run on a thread and see a blocking connection."""

    def __init__(self, loop: LoopThread, threads: Executor) -> None:
        self._loop, self._threads = loop, threads
        self._behind: dict[Any, Any] = {}

    def connect(self, *args: Any, **options: Any) -> Any:
        """Open a connection."""

        async def opening() -> Any:
            return await dqlite_dbapi.aio.connect(*args, **options)

        opened = self._loop.run(opening())
        shown = self._loop.show(opened)
        self._behind[shown] = opened
        return shown

    def _real(self, source: Any) -> Any:
        return source if isinstance(source, Lender) else self._behind.get(source, source)

    def run(self, source: Any, function: Callable[[Any], Any], **options: Any) -> Any:
        """Call `run_transaction`."""

        async def on_a_thread(connection: Any) -> Any:
            loop = asyncio.get_running_loop()
            shown = self._loop.show(connection)
            return await loop.run_in_executor(self._threads, function, shown)

        job = aio_retry.run_transaction(self._real(source), on_a_thread, **options)
        return self._loop.run(job)

    def begin(self, connection: Any, **options: Any) -> str:
        """Call `begin_transaction`."""
        return self._loop.run(aio_retry.begin_transaction(self._real(connection), **options))

    def was_applied(self, source: Any, token: str) -> bool:
        """Call `was_applied`."""
        return self._loop.run(aio_retry.was_applied(self._real(source), token))

    def lender(self, connection: Any) -> Lender:
        """A pool of one connection."""
        return AsyncLender(self._behind[connection])

    def opener(self, *args: Any, **options: Any) -> Callable[[], Any]:
        """What opens a connection when it is called."""
        return lambda: dqlite_dbapi.aio.connect(*args, **options)
