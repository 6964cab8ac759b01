"""Copies of whole databases: dump to a file, snapshot to read from, restore into a cluster.

A copy is consistent: it holds everything that was committed on the asked member, and no half of a
transaction. `sqlite3` is imported on first use.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

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
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.cluster import Client
from dqlite_dbapi.connection import Connection
from dqlite_dbapi.errors import OperationalError, ProgrammingError
from dqlite_dbapi.options import Options, parse
from dqlite_dbapi.protocol.admin import NOT_FOUND
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.tls import from_options

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")
#: Whose database: a connection's or a client's cluster, options, a URL or addresses.
Source: TypeAlias = Connection[Any] | Client | Options | str | Iterable[str]
__all__ = ["Copied", "Loaded", "Snapshot", "dump", "iterdump", "load", "restore", "snapshot"]


def dump(
    source: Source,
    path: PathLike,
    database: str | None = None,
    *,
    address: str | None = None,
    check: bool = False,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Copied:
    """Copy a database into one ordinary SQLite file at `path`, which is replaced when it is whole.

    `database` is that of `source` if omitted. The copy comes from the leader, else from whichever
    member answers; or from the member at `address`, leader or not. `check` runs SQLite's integrity
    check on it, `progress(received, total)` is told bytes, `timeout` limits the search and any
    stall. One chunk is held in memory here; the member holds all of it.

    `OperationalError` for an unknown database, `NoLeader` if nobody answers, `DataError` for a
    damaged copy, OSError for `path`.
    """
    copying = _copying(source, database, address, timeout, progress)
    target = Path(path).absolute()
    with beside(target) as sink:
        origin = _run(copying.options, copying.into(sink))
        return copying.copied(origin, sink.finish(target, check=check))


def snapshot(
    source: Source,
    database: str | None = None,
    *,
    path: PathLike | None = None,
    address: str | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Snapshot:
    """Copy a database and open it read-only with the standard library's `sqlite3`.

    It is held in memory (twice while it opens), or written to `path`, which stays there; Python
    3.10 takes a temporary file. Members, arguments and errors as for `dump`.
    """
    if path is not None:
        target = Path(path).absolute()
        copying = _copying(source, database, address, timeout, progress)
        with beside(target) as sink:
            origin = _run(copying.options, copying.into(sink))
            sink.finish(target, check=False)
        return open_file(target, copying.database, origin)
    copying = _copying(source, database, address, timeout, progress)
    return _opened(copying, None)


def stale_snapshot(options: Options, deadline: float) -> Snapshot:
    """A snapshot from any member, followers first, before `deadline` (of time.monotonic).

    For reads that may be stale; errors as for `dump`.
    """
    return _opened(Copying(options, options.database), deadline)


def restore(
    target: Connection[Any] | Options | str | Iterable[str],
    source: PathLike | sqlite3.Connection,
    *,
    overwrite: bool = False,
    batch: int = 1000,
    check: bool = False,
    deadline: float = 60.0,
    progress: Progress | None = None,
) -> Loaded:
    """Copy a SQLite database into the cluster's database that `target` names.

    `ProgrammingError` if that is not empty, unless `overwrite` is given; then everything in it is
    dropped first. Rows go in transactions of `batch` rows (or 1 MiB) at most, each applied exactly
    once, over a connection of its own. Interrupted, the same call goes on where it was; until it is
    done the table `dqlite_load` is there. Numbers of rows are compared at the end, with `check` all
    values, else `DataError`. `deadline`: seconds that one batch may take, with failovers.
    `progress(done, total)` is told rows. One batch is held in memory.
    """
    if isinstance(target, Connection) and target.in_transaction:
        raise ProgrammingError("the target has an open transaction", hint="commit it first")
    wishes = Wishes(overwrite, batch, check, deadline, progress)
    options = target.options if isinstance(target, Connection) else parse(target)
    with opened(source) as readable:
        connection: Connection[Any] = Connection(loading_options(options))
        with closing(connection):
            return connection._run(Loader(connection, readable, wishes).run())


def load(
    target: Connection[Any] | Options | str | Iterable[str],
    script: str | Iterable[str] | os.PathLike[str],
    **wishes: Any,
) -> Loaded:
    """Run SQL text, such as `iterdump` gives, into the cluster's database that `target` names.

    `script` is the text, its lines or statements, or a path. It runs in a temporary SQLite file
    first, which is then restored: the keywords, errors and promises are those of `restore`.
    `DataError` for text that SQLite does not run, nothing is sent then.
    """
    with tempfile.TemporaryDirectory(prefix="dqlite-load-") as folder:
        path = Path(folder) / "load.db"
        read_script(script, path)
        return restore(target, path, **wishes)


def iterdump(connection: Connection[Any]) -> Iterator[str]:
    """SQL text of the committed content of a connection's database, as `sqlite3` writes it.

    The copy is taken at the first item, from the leader, and held in memory until the last.
    """
    yield from dump_lines(_dumped(connection.options))


def _dumped(options: Options) -> list[Snapshot]:
    try:
        return [snapshot(options, timeout=options.timeout)]
    except OperationalError as error:
        if error.code != NOT_FOUND:
            raise
        return []


def _copying(
    source: Source,
    database: str | None,
    address: str | None,
    timeout: float,
    progress: Progress | None,
) -> Copying:
    options = source.options if isinstance(source, Connection | Client) else parse(source)
    return Copying(options, database or options.database, address, timeout, progress)


def _opened(copying: Copying, deadline: float | None) -> Snapshot:
    sink = new_sink()
    if sink is not None:
        return open_image(sink, copying.database, _fetch(copying, sink, deadline))
    folder = tempfile.TemporaryDirectory(prefix="dqlite-snapshot-")
    try:
        with closing(FileSink(folder.name)) as file:
            origin = _fetch(copying, file, deadline)
            file.finish(file.path, check=False)
        return open_file(file.path, copying.database, origin, folder)
    except BaseException:
        folder.cleanup()
        raise


def _fetch(copying: Copying, sink: MemorySink | FileSink, deadline: float | None) -> Any:
    if deadline is None:
        return _run(copying.options, copying.into(sink))
    return _run(copying.options, copying.nearest_into(sink, deadline))


def _run(options: Options, flow: Flow[T]) -> T:
    """Run a flow on a socket of its own."""
    io = SyncIO(
        tls=from_options(options),
        keepalive=options.keepalive,
        user_timeout=options.tcp_user_timeout,
    )
    try:
        return io.run(flow)
    finally:
        io.close()
