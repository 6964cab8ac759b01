"""SQLite's own opinion of a statement, from the library that the engine uses."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import NamedTuple

_OK, _ROW, _DENY = 0, 100, 1
_MAX_STEPS = 20_000
_AUTHORIZER = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, *[ctypes.c_char_p] * 4
)  # fmt: skip
_PROGRESS = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
#: They hold for the whole process, which goes on after the statement.
_TOO_MUCH = {"hard_heap_limit", "soft_heap_limit", "temp_store_directory", "data_store_directory"}

INSERT, DELETE, UPDATE, READ = 18, 9, 23, 20
TRANSACTION, SAVEPOINT, ATTACH, DETACH, FUNCTION, PRAGMA = 22, 32, 24, 25, 31, 19


class Event(NamedTuple):
    """What a statement is going to do, as SQLite tells an authorizer; texts are "" for NULL."""

    action: int
    first: str
    second: str
    schema: str
    trigger: str


class Op(NamedTuple):
    """One instruction of the statement's program."""

    name: str
    p1: int
    p2: int


class Compiled(NamedTuple):
    """What SQLite made of a text; `names` of its parameters, None for one without a name.

    `is_explain` is true for EXPLAIN; `program` is that of the statement itself.
    """

    is_readonly: bool
    is_explain: bool
    columns: int
    names: tuple[str | None, ...]
    tail: str
    events: tuple[Event, ...]
    program: tuple[Op, ...]


def _library() -> ctypes.CDLL:
    path = ctypes.util.find_library("sqlite3") or "libsqlite3.so.0"
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise OSError("install it with: apt-get install libsqlite3-0") from error
    library.sqlite3_column_text.restype = ctypes.c_char_p
    library.sqlite3_bind_parameter_name.restype = ctypes.c_char_p
    return library


class SQLite:
    """A database in memory whose statements are compiled, and not run but for its schema."""

    def __init__(self, schema: str) -> None:
        self._library = _library()
        self._schema = schema.encode()
        self._events: list[Event] = []
        self._authorizer = _AUTHORIZER(self._authorize)
        self._progress = _PROGRESS(lambda _: 1)
        self._database = ctypes.c_void_p()
        self.is_changed = False  #: by a PRAGMA, of which some take effect when they are compiled
        self.reopen()

    def reopen(self) -> None:
        """Begin again with the schema as it was."""
        lib = self._library
        lib.sqlite3_close_v2(self._database)
        self._database = ctypes.c_void_p()
        lib.sqlite3_open(b":memory:", ctypes.byref(self._database))
        if lib.sqlite3_exec(self._database, self._schema, None, None, None) != _OK:
            raise ValueError("the schema is wrong")
        self.is_changed = False
        lib.sqlite3_set_authorizer(self._database, self._authorizer, None)
        lib.sqlite3_progress_handler(self._database, _MAX_STEPS, self._progress, None)

    def is_complete(self, sql: str) -> bool:
        """As sqlite3_complete()."""
        return bool(self._library.sqlite3_complete(sql.encode()))

    def run(self, sql: str) -> bool:
        """Run a text; False if it failed."""
        done = self._library.sqlite3_exec(self._database, sql.encode(), None, None, None)
        return bool(done == _OK)

    def compile(self, sql: str) -> Compiled | None:
        """Compile the first statement of `sql`; None if SQLite refuses it or finds none."""
        lib = self._library
        self._events = []
        handle, tail = self._prepare(sql)
        if not handle:
            return None
        events = tuple(self._events)
        try:
            is_explain = bool(lib.sqlite3_stmt_isexplain(handle))
            count = lib.sqlite3_bind_parameter_count(handle)
            names = [lib.sqlite3_bind_parameter_name(handle, n + 1) for n in range(count)]
            return Compiled(
                is_readonly=bool(lib.sqlite3_stmt_readonly(handle)),
                is_explain=is_explain,
                columns=lib.sqlite3_column_count(handle),
                names=tuple(name.decode() if name else None for name in names),
                tail=tail,
                events=events,
                program=() if is_explain else self._program(sql),
            )
        finally:
            lib.sqlite3_finalize(handle)

    def _prepare(self, sql: str) -> tuple[ctypes.c_void_p, str]:
        handle, tail = ctypes.c_void_p(), ctypes.c_char_p()
        raw = ctypes.create_string_buffer(sql.encode())
        self._library.sqlite3_prepare_v2(
            self._database, raw, -1, ctypes.byref(handle), ctypes.byref(tail)
        )
        return handle, (tail.value or b"").decode(errors="replace")

    def _program(self, sql: str) -> tuple[Op, ...]:
        lib = self._library
        handle, _ = self._prepare(f"EXPLAIN {sql}")
        found = []
        while handle and lib.sqlite3_step(handle) == _ROW:
            numbers = [lib.sqlite3_column_int(handle, n) for n in (2, 3)]
            found.append(Op(lib.sqlite3_column_text(handle, 1).decode(), *numbers))
        lib.sqlite3_finalize(handle)
        return tuple(found)

    def _authorize(self, _: int, action: int, *texts: bytes | None) -> int:
        event = Event(action, *((text or b"").decode(errors="replace") for text in texts))
        self._events.append(event)
        is_setting = action == PRAGMA and bool(event.second)
        self.is_changed |= is_setting
        return _DENY if is_setting and event.first.lower() in _TOO_MUCH else _OK
