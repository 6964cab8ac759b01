"""Copies of whole databases: dump to a file, snapshot to read from, restore into a cluster.

The twins of `dqlite_dbapi.snapshot`. Files are finished and checked on a thread; `restore` reads
its source on the event loop, one batch at a time.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dqlite_dbapi._async import AsyncIO
from dqlite_dbapi._copy import (
    Copied,
    Copying,
    FileSink,
    MemorySink,
    PathLike,
    Progress,
    Snapshot,
    beside,
    dump_lines,
    new_sink,
    open_file,
    open_image,
)
from dqlite_dbapi._load import Loaded, Loader, Wishes, loading_options
from dqlite_dbapi._source import opened, read_script
from dqlite_dbapi.aio.cluster import AsyncClient
from dqlite_dbapi.aio.connection import AsyncConnection
from dqlite_dbapi.errors import OperationalError, ProgrammingError
from dqlite_dbapi.options import Options, parse
from dqlite_dbapi.protocol.admin import NOT_FOUND
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.tls import from_options

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
#: Whose database: a connection's or a client's cluster, options, a URL or addresses.
Source: TypeAlias = AsyncConnection[Any] | AsyncClient | Options | str | Iterable[str]
__all__ = ["Copied", "Loaded", "Snapshot", "dump", "iterdump", "load", "restore", "snapshot"]


async def dump(
    source: Source,
    path: PathLike,
    database: str | None = None,
    *,
    address: str | None = None,
    check: bool = False,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Copied:
    """Copy a database into one ordinary SQLite file at `path`; see `dqlite_dbapi.snapshot.dump`."""
    copying = _copying(source, database, address, timeout, progress)
    target = Path(path).absolute()
    with beside(target) as sink:
        origin = await _run(copying.options, copying.into(sink))
        size = await asyncio.to_thread(sink.finish, target, check=check)
        return copying.copied(origin, size)


async def snapshot(
    source: Source,
    database: str | None = None,
    *,
    path: PathLike | None = None,
    address: str | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Snapshot:
    """Copy a database and open it read-only with `sqlite3`; see `dqlite_dbapi.snapshot.snapshot`.

    What is returned is not asynchronous: its queries run where they are called.
    """
    copying = _copying(source, database, address, timeout, progress)
    if path is None:
        return await _opened(copying, None)
    target = Path(path).absolute()
    with beside(target) as sink:
        origin = await _run(copying.options, copying.into(sink))
        await asyncio.to_thread(sink.finish, target, check=False)
    return open_file(target, copying.database, origin)


async def stale_snapshot(options: Options, deadline: float) -> Snapshot:
    """A snapshot from any member, followers first, before `deadline` (of time.monotonic)."""
    return await _opened(Copying(options, options.database), deadline)


async def restore(
    target: AsyncConnection[Any] | Options | str | Iterable[str],
    source: PathLike | sqlite3.Connection,
    *,
    overwrite: bool = False,
    batch: int = 1000,
    check: bool = False,
    deadline: float = 60.0,
    progress: Progress | None = None,
) -> Loaded:
    """Copy a SQLite database into the cluster's; see `dqlite_dbapi.snapshot.restore`."""
    if isinstance(target, AsyncConnection) and target.in_transaction:
        raise ProgrammingError("the target has an open transaction", hint="commit it first")
    wishes = Wishes(overwrite, batch, check, deadline, progress)
    options = target.options if isinstance(target, AsyncConnection) else parse(target)
    connection: AsyncConnection[Any] = AsyncConnection(loading_options(options))
    with opened(source) as readable:
        try:
            await connection.open()
            return await connection._run(Loader(connection, readable, wishes).run())
        finally:
            await connection.close()


async def load(
    target: AsyncConnection[Any] | Options | str | Iterable[str],
    script: str | Iterable[str] | os.PathLike[str],
    **wishes: Any,
) -> Loaded:
    """Run SQL text into the cluster's database; see `dqlite_dbapi.snapshot.load`."""
    with tempfile.TemporaryDirectory(prefix="dqlite-load-") as folder:
        path = Path(folder) / "load.db"
        await asyncio.to_thread(read_script, script, path)
        return await restore(target, path, **wishes)


async def iterdump(connection: AsyncConnection[Any]) -> AsyncIterator[str]:
    """SQL text of the committed content of a connection's database, as `sqlite3` writes it.

    The copy is taken at the first item, from the leader, and held in memory until the last.
    """
    options = connection.options
    found: list[Snapshot] = []
    try:
        found.append(await snapshot(options, timeout=options.timeout))
    except OperationalError as error:
        if error.code != NOT_FOUND:
            raise
    with closing(dump_lines(found)) as lines:
        for line in lines:
            yield line


def _copying(
    source: Source,
    database: str | None,
    address: str | None,
    timeout: float,
    progress: Progress | None,
) -> Copying:
    options = source.options if isinstance(source, AsyncConnection | AsyncClient) else parse(source)
    return Copying(options, database or options.database, address, timeout, progress)


async def _opened(copying: Copying, deadline: float | None) -> Snapshot:
    sink = new_sink()
    if sink is not None:
        origin = await _fetch(copying, sink, deadline)
        return await asyncio.to_thread(open_image, sink, copying.database, origin)
    folder = tempfile.TemporaryDirectory(prefix="dqlite-snapshot-")
    try:
        with closing(FileSink(folder.name)) as file:
            origin = await _fetch(copying, file, deadline)
            await asyncio.to_thread(file.finish, file.path, check=False)
        return open_file(file.path, copying.database, origin, folder)
    except BaseException:
        folder.cleanup()
        raise


async def _fetch(copying: Copying, sink: MemorySink | FileSink, deadline: float | None) -> Any:
    if deadline is None:
        return await _run(copying.options, copying.into(sink))
    return await _run(copying.options, copying.nearest_into(sink, deadline))


async def _run(options: Options, flow: Flow[T]) -> T:
    """Run a flow on a socket of its own."""
    io = AsyncIO(
        from_options(options), keepalive=options.keepalive, user_timeout=options.tcp_user_timeout
    )
    try:
        return await io.run(flow)
    finally:
        io.close()
