"""What becomes of the bytes of a copied database: one ordinary file, or a snapshot to read from.

`sqlite3` is imported on first use. Facts about the two files: wire-protocol 10.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from dqlite_dbapi import errors
from dqlite_dbapi._chance import draw
from dqlite_dbapi._results import Reply, RowBuffer
from dqlite_dbapi.errors import DataError
from dqlite_dbapi.nodestore import shared_store
from dqlite_dbapi.options import Options, check_database
from dqlite_dbapi.protocol.copying import Fetch, Origin, Sink
from dqlite_dbapi.protocol.effects import Flow
from dqlite_dbapi.sql import Statement

if TYPE_CHECKING:
    import sqlite3

Progress = Callable[[int, int], object]
PathLike = str | os.PathLike[str]
_WAL_HEADER, _FRAME_HEADER = 32, 24
#: The two bytes of a database's header that say whether it needs a WAL.
_VERSIONS = slice(18, 20)
_LEGACY = b"\1\1"


class Copied(NamedTuple):
    """A finished copy: the member that gave it, whether it led, and the file's size in bytes.

    `taken_at` is a time in seconds since 1970; a member that does not lead may be a little behind.
    """

    address: str
    is_leader: bool
    taken_at: float
    size: int


class MemorySink(Sink):
    """Keeps both files in memory."""

    def __init__(self) -> None:
        self.files = (bytearray(), bytearray())
        self._present = self.files[0]

    def begin(self, index: int) -> None:
        """See `Sink`."""
        self._present = self.files[index]
        self._present.clear()

    def write(self, piece: bytes) -> None:
        """See `Sink`."""
        self._present += piece

    def image(self) -> bytearray:
        """The database as one file that needs no WAL; the sink is of no use afterwards."""
        return merge(*self.files)


class FileSink(Sink):
    """Writes both files into a folder, where SQLite finds them."""

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "copy.db"
        self._file: BinaryIO | None = None

    def begin(self, index: int) -> None:
        """See `Sink`."""
        self.close()
        self._file = (self.path if not index else self.path.with_name("copy.db-wal")).open("wb")

    def write(self, piece: bytes) -> None:
        """See `Sink`."""
        if self._file is not None:
            self._file.write(piece)

    def close(self) -> None:
        """Close the present file."""
        if self._file is not None:
            self._file.close()

    def finish(self, target: Path, *, check: bool) -> int:
        """Make one ordinary file of the two and put it in the place of `target`; its size.

        `DataError` if `check` finds damage.
        """
        import sqlite3

        self.close()
        with _reading(), closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            if check:
                check_integrity(database)
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA journal_mode = DELETE")
        with self.path.open("rb") as finished:
            os.fsync(finished.fileno())
        self.path.replace(target)
        return target.stat().st_size


def check_integrity(database: sqlite3.Connection) -> None:
    """`DataError` with SQLite's first findings if its integrity check fails."""
    found = [row[0] for row in database.execute("PRAGMA integrity_check(10)")]
    if found != ["ok"]:
        raise DataError(f"the copy is damaged: {'; '.join(found)}")


@contextmanager
def _reading() -> Iterator[None]:
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise DataError(f"SQLite cannot read the copy: {error}") from error


@contextmanager
def beside(target: Path) -> Iterator[FileSink]:
    """A sink in a new folder next to `target`, so that a rename can finish it."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        sink = FileSink(folder)
        try:
            yield sink
        finally:
            sink.close()


def merge(database: bytearray, log: bytearray) -> bytearray:
    """Put the committed pages of a write-ahead log into the database, in place.

    Frames count while they carry the log's salts, up to the last one that ends a transaction
    (SQLite's file format, "WAL file format"). The header then says that no WAL is needed.
    """
    if len(log) > _WAL_HEADER:
        page = int.from_bytes(log[8:12], "big")
        salts = log[16:24]
        step = _FRAME_HEADER + page
        frames: list[tuple[int, int]] = []
        committed = pages = 0
        for start in range(_WAL_HEADER, len(log) - step + 1, step):
            if log[start + 8 : start + 16] != salts:
                break
            frames.append((int.from_bytes(log[start : start + 4], "big"), start + _FRAME_HEADER))
            size = int.from_bytes(log[start + 4 : start + 8], "big")
            if size:
                committed, pages = len(frames), size
        if committed:
            _resize(database, pages * page)
            for number, start in frames[:committed]:
                if number <= pages:
                    database[(number - 1) * page : number * page] = log[start : start + page]
    database[_VERSIONS] = _LEGACY
    return database


def _resize(database: bytearray, size: int) -> None:
    if len(database) > size:
        del database[size:]
    else:
        database.extend(bytes(size - len(database)))


class Snapshot:
    """A consistent copy of one database, read through the standard library's `sqlite3`.

    `connection` is read-only and may be used by one thread at a time. `address`: the member that
    gave the copy, `is_leader` whether it led, `taken_at` seconds since 1970. As a context manager
    it closes at the end.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        database: str,
        origin: Origin,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        connection.execute("PRAGMA query_only = 1")
        self.connection = connection
        self.database = database
        self.address = origin.address
        self.is_leader = origin.is_leader
        self.taken_at = time.time() - (time.monotonic() - origin.asked)
        self._asked = origin.asked
        self._folder = folder

    @property
    def age(self) -> float:
        """Seconds since the member was asked, by a clock that only goes forward.

        A copy from a follower was up to a heartbeat older already, and one from a member without
        contact to a leader may be of any age.
        """
        return time.monotonic() - self._asked

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run one statement; errors are those of `sqlite3`."""
        return self.connection.execute(sql, parameters)

    def close(self) -> None:
        """Close the connection and remove what is temporary; may be repeated."""
        self.connection.close()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def new_sink() -> MemorySink | None:
    """A sink for a snapshot in memory; None where Python cannot open one (before 3.11)."""
    import sqlite3

    return MemorySink() if hasattr(sqlite3.Connection, "deserialize") else None


def open_image(sink: MemorySink, database: str, origin: Origin) -> Snapshot:
    """A snapshot that lives in memory; takes the sink's bytes over.

    While it opens, the database is held twice.
    """
    import sqlite3

    image = sink.image()
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with _reading():
        connection.deserialize(image)  # type: ignore[attr-defined,unused-ignore]
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    image.clear()
    return Snapshot(connection, database, origin)


def open_file(
    path: Path,
    database: str,
    origin: Origin,
    folder: tempfile.TemporaryDirectory[str] | None = None,
) -> Snapshot:
    """A snapshot of a finished file."""
    import sqlite3

    uri = f"{path.absolute().as_uri()}?mode=ro"
    with _reading():
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        return Snapshot(connection, database, origin, folder)


class Copying(NamedTuple):
    """A copy that is wanted: whose options, which database, from which member (None: see below).

    `timeout` in seconds: to find a member, and for which the copy may stall.
    """

    options: Options
    database: str
    address: str | None = None
    timeout: float = 30.0
    progress: Progress | None = None

    def into(self, sink: Sink) -> Flow[Origin]:
        """The flow that fetches it; from the leader, else from whoever answers."""
        fetch = self._fetch(sink, self.timeout)
        return fetch.at(self.address) if self.address else fetch.leader_first()

    def nearest_into(self, sink: Sink, deadline: float) -> Flow[Origin]:
        """The flow that fetches it from any member, followers first, before `deadline`."""
        return self._fetch(sink, None, deadline).nearest()

    def _fetch(self, sink: Sink, patience: float | None, deadline: float = 0.0) -> Fetch:
        store = shared_store(self.options.addresses, self.options.node_store)
        name = check_database(self.database)
        limit = deadline or time.monotonic() + self.timeout
        return Fetch(store, name, sink, limit, time.monotonic, draw, patience, self.progress)

    def copied(self, origin: Origin, size: int) -> Copied:
        """What is told about the finished copy."""
        taken_at = time.time() - (time.monotonic() - origin.asked)
        return Copied(origin.address, origin.is_leader, taken_at, size)


def answer(snapshot: Snapshot, statement: Statement, values: Sequence[Any]) -> Reply:
    """What a connection answers to a read of the snapshot; all rows are held.

    `values`: one for each slot, of native types. Errors are the driver's. Values of date columns
    are as they are stored, without the server's conversions (wire-protocol 3.4).
    """
    import sqlite3

    named = bool(statement.names) and None not in statement.names
    try:
        cursor = snapshot.execute(
            statement.text, dict(zip(statement.names, values, strict=True)) if named else values
        )
        rows = cursor.fetchall()
    except sqlite3.Error as error:
        raise _translated(error, snapshot.address) from error
    names = tuple(column[0] for column in cursor.description or ())
    return RowBuffer(names, rows, more=False, head=_head(rows[0]) if rows else b"")


_CODES = {int: 1, float: 2, str: 3, bytes: 4, type(None): 5}  # wire-protocol 3.1


def _head(row: Sequence[Any]) -> bytes:
    """Type codes of a row's values, two to a byte, as they would stand on the wire."""
    codes = [_CODES[type(value)] for value in row]
    pairs = zip(codes[::2], [*codes[1::2], 0], strict=False)
    return bytes(low | high << 4 for low, high in pairs)


def _translated(error: sqlite3.Error, address: str) -> errors.Error:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return errors.from_failure(code, str(error), address)
    kind: type[errors.Error] = getattr(errors, type(error).__name__, errors.DatabaseError)
    return kind(str(error), address=address)


def dump_lines(snapshots: Sequence[Snapshot]) -> Generator[str, None, None]:
    """SQL text of a snapshot, which is closed at the end; of no snapshot, an empty dump."""
    if not snapshots:
        yield from ("BEGIN TRANSACTION;", "COMMIT;")
        return
    with snapshots[0] as snapshot:
        yield from snapshot.connection.iterdump()
