"""Reads a SQLite database as a sequence of operations that make the same one elsewhere.

Tables come first, then rows, indexes, views, triggers and settings. The sequence is the same each
time, so that an interrupted load can go on where it was.
"""

# ruff: noqa: S608 - names cannot be parameters; they are quoted
from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dqlite_dbapi.errors import DataError, InterfaceError, NotSupportedError
from dqlite_dbapi.sql import split

if TYPE_CHECKING:
    import sqlite3

#: The table that records how far a load has come.
STATE_TABLE = "dqlite_load"
#: The table of `run_transaction`'s tokens (see protocol/token.py), which a target may have already.
TOKEN_TABLE = "dqlite_transactions"  # noqa: S105 - no secret
_ROWID_NAMES = ("rowid", "_rowid_", "oid")
_CONTENTLESS = re.compile(r"""content\s*=\s*(?:''|""|``|\[\])""", re.IGNORECASE)
_MODULE = re.compile(r"\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE)
_DECLARED = re.compile(
    r"INSERT INTO sqlite_(?:master|schema)\s*\(type,name,tbl_name,rootpage,sql\)\s*"
    r"VALUES\s*\('table','((?:[^']|'')*)'",
    re.IGNORECASE,
)
_MOST_TYPED = 500  # SQLite's expression depth limits how many type names can be joined


class RawText(bytes):
    """TEXT that is not UTF-8 or holds a NUL, which a `str` on the wire could not carry."""


class Operation(NamedTuple):
    """A statement to run as it stands, or with `values` the head of an INSERT and one row."""

    sql: str
    values: Sequence[Any] | None = None
    table: str = ""


@dataclass
class Table:
    """How to read and fill one table; `rows` counts those read so far."""

    name: str
    create: str
    columns: tuple[str, ...] = ()
    is_virtual: bool = False
    rows: int = field(default=0)

    @property
    def insert(self) -> str:
        """The head of an INSERT, up to the values."""
        verb = "INSERT OR IGNORE" if self.name == TOKEN_TABLE else "INSERT"
        return f"{verb} INTO {quoted(self.name)} ({', '.join(self.columns)}) VALUES "

    @property
    def select(self) -> str:
        """Every row in the order of the table itself."""
        return f"SELECT {', '.join(self.columns)} FROM {self._place}"

    @property
    def compare(self) -> str:
        """Rows as values without a declared type, text as blobs, for checksums on both sides.

        Declared types would make servers convert some values and die of others (hazard H4).
        """
        parts = [f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END"
                 for column in self.columns]  # fmt: skip
        if len(parts) <= _MOST_TYPED:
            parts.append("||".join(f"typeof({column})" for column in self.columns))
        aliased = (f"{part} AS c{number}" for number, part in enumerate(parts))
        return f"SELECT {', '.join(aliased)} FROM {self._place}"

    @property
    def _place(self) -> str:
        return quoted(self.name) + ("" if self.is_virtual else " NOT INDEXED")


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """`value` as SQL text."""
    if value is None:
        return "NULL"
    if isinstance(value, RawText):
        return f"CAST(x'{value.hex()}' AS TEXT)"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float) and isinf(value):
        return "9e999" if value > 0 else "-9e999"
    return repr(value)


class Source:
    """One SQLite database, read in one transaction; `close` ends it and leaves the rest as it was.

    Errors are those of `sqlite3`, and `NotSupportedError` for tables that hold no text to copy.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._text_factory = database.text_factory
        self._owns_transaction = not database.in_transaction
        self._running: Generator[Operation, None, None] | None = None
        self.has_raw_text = False
        database.text_factory = self._text
        try:
            if self._owns_transaction:
                self._rows("BEGIN")
            self._schema = [
                (kind, name, sql)
                for kind, name, sql in self._rows(
                    "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
                )
                if not name.lower().startswith("sqlite_") and name != STATE_TABLE
            ]
            self.tables = self._read_tables()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the transaction; the connection stays open."""
        if self._running is not None:
            self._running.close()
        if self._owns_transaction and self._database.in_transaction:
            self._rows("ROLLBACK")
        self._database.text_factory = self._text_factory

    def operations(self) -> Iterator[Operation]:
        """Everything to do, in order; one such iterator at a time."""
        self._running = self._operations()
        return self._running

    def _operations(self) -> Generator[Operation, None, None]:
        for table in self.tables:
            yield Operation(table.create)
        for table in self.tables:
            table.rows = 0
            insert, name = table.insert, table.name
            with closing(self.iterate(table.select)) as rows:
                for row in rows:
                    table.rows += 1
                    yield Operation(insert, row, name)
        yield from self._sequences()
        for wanted in ("index", "view", "trigger"):
            for kind, _, sql in self._schema:
                if kind == wanted:
                    yield Operation(sql)
        yield from self._statistics()
        for pragma in ("application_id", "user_version"):
            value = self._rows(f"PRAGMA {pragma}")[0][0]
            if value:
                yield Operation(f"PRAGMA {pragma} = {value}")

    def count(self) -> int:
        """Rows of all tables together."""
        return sum(
            self._rows(f"SELECT count(*) FROM {quoted(table.name)}")[0][0] for table in self.tables
        )

    def iterate(self, sql: str) -> Generator[Sequence[Any], None, None]:
        """Rows of a query, one by one, whatever the connection's row factory."""
        with closing(self._database.cursor()) as cursor:
            cursor.row_factory = None
            yield from cursor.execute(sql)

    def _rows(self, sql: str) -> list[Any]:
        return list(self.iterate(sql))

    def _text(self, raw: bytes) -> str | RawText:
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.has_raw_text = True
            return RawText(raw)
        if "\0" in text:
            self.has_raw_text = True
            return RawText(raw)
        return text

    def _has(self, table: str) -> bool:
        found = self._rows(f"SELECT 1 FROM sqlite_master WHERE name = {literal(table)}")
        return bool(found)

    def _read_tables(self) -> list[Table]:
        found = [(name, sql) for kind, name, sql in self._schema if kind == "table"]
        virtual = [name for name, sql in found if _is_virtual(sql)]
        shadows = self._shadows() if virtual else frozenset()
        return [
            self._virtual_table(name, sql) if name in virtual else self._table(name, sql)
            for name, sql in found
            if name not in shadows
        ]

    def _shadows(self) -> frozenset[str]:
        """Tables in which virtual ones keep their content."""
        names = self._rows("SELECT name FROM pragma_table_list WHERE type = 'shadow'")
        return frozenset(name for (name,) in names)

    def _virtual_table(self, name: str, sql: str) -> Table:
        module = _MODULE.search(sql)
        is_index = module is not None and module[1].lower().startswith("fts")
        if is_index and _CONTENTLESS.search(sql):
            raise NotSupportedError(f"virtual table {name} is an index without its text")
        columns = [column for column, _, _ in self._columns(name)]
        return Table(name, sql, (*(("rowid",) if is_index else ()), *columns), is_virtual=True)

    def _table(self, name: str, sql: str) -> Table:
        if name == TOKEN_TABLE:
            sql = sql.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
        columns = self._columns(name)
        rowid = () if self._has_alias(name, columns) else self._rowid(name)
        return Table(name, sql, (*rowid, *(column for column, _, _ in columns)))

    def _columns(self, table: str) -> list[tuple[str, str, int]]:
        """Quoted name, declared type and position in the key of each column that can be written."""
        rows = self._rows(f"PRAGMA table_xinfo({quoted(table)})")
        return [(quoted(row[1]), str(row[2]), row[5]) for row in rows if not row[6]]

    def _has_alias(self, table: str, columns: list[tuple[str, str, int]]) -> bool:
        """True when a column is the rowid: INTEGER PRIMARY KEY, for which there is no index."""
        key = [kind.upper() for _, kind, position in columns if position]
        indexes = self._rows(f"PRAGMA index_list({quoted(table)})")
        return key == ["INTEGER"] and not any(index[3] == "pk" for index in indexes)

    def _rowid(self, table: str) -> tuple[str, ...]:
        """A name by which the rowid can be had; none for WITHOUT ROWID, or if columns hide it."""
        import sqlite3

        rows = self._rows(f"PRAGMA table_xinfo({quoted(table)})")
        taken = {str(row[1]).lower() for row in rows}
        for name in _ROWID_NAMES:
            if name not in taken:
                try:
                    self._rows(f"SELECT {name} FROM {quoted(table)} LIMIT 0")
                except sqlite3.OperationalError:
                    return ()
                return (name,)
        return ()

    def _sequences(self) -> Iterator[Operation]:
        if self._has("sqlite_sequence"):
            yield from self._refilled("sqlite_sequence", "name, seq")

    def _statistics(self) -> Iterator[Operation]:
        if self._has("sqlite_stat1"):
            yield Operation("ANALYZE sqlite_schema")
            yield from self._refilled("sqlite_stat1", "tbl, idx, stat")

    def _refilled(self, table: str, columns: str) -> Iterator[Operation]:
        yield Operation(f"DELETE FROM {table}")
        for row in self._rows(f"SELECT {columns} FROM {table} ORDER BY rowid"):
            values = ", ".join(map(literal, row))
            yield Operation(f"INSERT INTO {table} ({columns}) VALUES ({values})")


def _is_virtual(sql: str) -> bool:
    return sql[:20].upper().startswith("CREATE VIRTUAL TABLE")


@contextmanager
def opened(source: str | os.PathLike[str] | sqlite3.Connection) -> Iterator[Source]:
    """Read a file, or a database that is open already and stays so.

    `DataError` for what SQLite cannot read, `InterfaceError` for a file that is not there.
    """
    import sqlite3

    with ExitStack() as stack:
        if not isinstance(source, sqlite3.Connection):
            path = Path(source).absolute()
            if not path.is_file():
                raise InterfaceError(f"there is no file {path}")
            uri = f"{path.as_uri()}?mode=ro"
            source = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            stack.enter_context(closing(source))
        try:
            yield stack.enter_context(closing(Source(source)))
        except sqlite3.Error as error:
            raise DataError(f"SQLite cannot read the source: {error}") from error


def read_script(script: str | Iterable[str] | os.PathLike[str], path: Path) -> None:
    """Run SQL text, its lines or statements, or a file of it, into a new SQLite file at `path`.

    `DataError` with the statement that SQLite does not run. Other files cannot be attached.
    Dumps write virtual tables into the schema by hand, where SQLite finds them only when it opens
    the file again; the rows that Python's dumps then insert into them are left out, since their
    content follows in ordinary tables. Dumps of Python 3.10 and 3.11.2 make them like others, and
    then their tables once more, which SQLite itself refuses: they are written by hand here.
    """
    import sqlite3

    if isinstance(script, os.PathLike):
        with Path(script).open(encoding="utf-8") as lines:
            read_script(lines, path)
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.set_authorizer(_authorize)
        unread: set[str] = set()
        for statement in _statements(script):
            declared = _DECLARED.match(statement)
            if declared is not None:
                unread.add(declared[1].replace("''", "'"))
            try:
                _run(database, statement, unread)
            except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
                shown = statement.strip()[:80]
                raise DataError(f"SQLite does not run the script: {error}: {shown}") from error


def _run(database: sqlite3.Connection, statement: str, unread: set[str]) -> None:
    """Execute one statement of a dump; `unread`: tables that SQLite has not found in the schema."""
    import sqlite3

    try:
        database.execute(statement)
    except sqlite3.Error as error:
        if str(error).removeprefix("no such table: ") in unread:
            return
        tables = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        owner = _owner(tables, statement)
        if owner is None:
            raise
        _write_by_hand(database, owner, tables[owner])
        unread.add(owner)
        database.execute(statement)


def _owner(tables: dict[str, str], statement: str) -> str | None:
    """The virtual table that `statement` makes a table of which it has made for itself already."""
    text = statement.strip().rstrip(";")
    own = next((name for name, sql in tables.items() if sql == text), "")
    virtual = (name for name, sql in tables.items() if _is_virtual(sql))
    return max((name for name in virtual if own.startswith(f"{name}_")), key=len, default=None)


def _write_by_hand(database: sqlite3.Connection, name: str, sql: str) -> None:
    """Have a virtual table in the schema only, without tables of its own."""
    database.execute(f"DROP TABLE {quoted(name)}")
    database.execute("PRAGMA writable_schema = ON")
    database.execute(
        "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql)"
        " VALUES ('table', ?1, ?1, 0, ?2)",
        (name, sql),
    )
    database.execute("PRAGMA writable_schema = OFF")


def _authorize(action: int, *_: object) -> int:
    import sqlite3

    attaches = action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    return sqlite3.SQLITE_DENY if attaches else sqlite3.SQLITE_OK


def _statements(script: str | Iterable[str]) -> Iterator[str]:
    """Complete statements, as `sqlite3.complete_statement` tells them, from text or pieces."""
    import sqlite3

    pieces: list[str] = []
    for piece in script.splitlines(keepends=True) if isinstance(script, str) else script:
        pieces.append(piece)
        if piece.rstrip().endswith(";"):
            text = "".join(pieces)
            if sqlite3.complete_statement(text):
                yield from split(text)
                pieces.clear()
    yield from split("".join(pieces))
