"""Values that kill every member that reads them: the wrong storage class in four column types.

A member aborts while it encodes a FLOAT or BLOB of a column declared exactly BOOLEAN, DATE,
DATETIME or TIMESTAMP, or a TEXT of a BOOLEAN column, and so does the next leader (hazard H4).
`Watch` refuses the statements that would store one. It needs the schema, which the connection
reads with `CATALOGUE` when a value of such a class comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dqlite_dbapi.errors import DataError
from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.stores import LITERAL, Cell, Stores, is_poison, storage_class
from dqlite_dbapi.sql import Kind, Statement
from dqlite_dbapi.wire.params import Adapting

_TABLES = """
SELECT {text}, m.name, x.name, lower(x.type),
  (SELECT count(*) FROM pragma_table_xinfo(m.name, {text}) AS y
    WHERE y.hidden = 0 AND y.cid < x.cid)
FROM {name}.sqlite_master AS m LEFT JOIN pragma_table_xinfo(m.name, {text}) AS x
  ON x.hidden = 0 AND lower(x.type) IN ('boolean', 'date', 'datetime', 'timestamp')
WHERE m.type = 'table'
"""


def catalogue(*schemas: str) -> Statement:
    """What reads the special columns of `schemas`.

    Rows: schema, table, column, its type in lower case, its place among those that INSERT fills. A
    table without special columns has one row with NULL for the last three.
    """
    parts = (_TABLES.format(text=_quoted(each, "'"), name=_quoted(each, '"')) for each in schemas)
    return lookup("UNION ALL".join(parts))


def _quoted(name: str, quote: str) -> str:
    return quote + name.replace(quote, quote * 2) + quote


CATALOGUE = catalogue("main")
#: Statements after which the schema may be another one.
_CHANGES_SCHEMA = frozenset({Kind.SCHEMA, Kind.ROLLBACK, Kind.ROLLBACK_TO})


class Watch:
    """Knows the special columns of one database, as one session sees them."""

    def __init__(self) -> None:
        self._attached: list[str] = []
        self._known: set[tuple[str, str]] = set()
        self._types: dict[tuple[str, str], dict[str | int, str]] = {}

    def allows(
        self, stores: Stores, params: Sequence[object], adapters: Adapting | None = None
    ) -> bool:
        """Check the values that a statement would store, as `adapters` show them to the server.

        False when the schema has to be read first: run `CATALOGUE`, `load` its rows, ask again.
        `DataError` for a value that must not be sent.
        """
        key = self._find(stores)
        if key is None:
            return not any(_is_suspicious(cell, params) for cell in stores.cells)
        types = self._types.get(key)
        if types is not None:
            for cell in stores.cells:
                declared = types.get(cell.column)
                if declared is not None:
                    value = cell.literal if cell.slot == LITERAL else params[cell.slot]
                    if adapters is not None:
                        value = adapters.adapt(value)
                    if is_poison(declared, value):
                        raise _refused(stores.table, cell.column, declared, value)
        return True

    def is_free(self, stores: Stores) -> bool:
        """True when the schema is known and no value could be harmful to the table."""
        key = self._find(stores)
        return key is not None and key not in self._types

    def catalogue(self, *, altered: bool) -> Statement:
        """What to read; `altered`: the connection may have temporary tables or attached schemas.

        To ask for temporary tables makes `PRAGMA database_list` show their schema.
        """
        return catalogue("main", "temp", *self._attached) if altered else CATALOGUE

    def load(self, rows: Iterable[Sequence[object]], stores: Stores) -> None:
        """Take over the rows of the catalogue, read because of `stores`."""
        self.forget()
        for schema, table, column, declared, position in rows:
            key = (str(schema), str(table).lower())
            self._known.add(key)
            if column is not None:
                types = self._types.setdefault(key, {})
                types[str(column).lower()] = types[int(str(position))] = str(declared)
        if self._find(stores) is None:
            self._known.add((stores.schema or "main", stores.table))  # a view, or nothing

    def succeeded(self, statement: Statement) -> None:
        """Take note of a statement that was carried out: it may have changed the schema."""
        if statement.attaches:
            self._attached.append(statement.attaches)
        if statement.attaches or statement.kind in _CHANGES_SCHEMA:
            self.forget()

    def begin_session(self) -> None:
        """Start anew: what was attached and temporary went with the session before."""
        self._attached.clear()
        self.forget()

    def forget(self) -> None:
        """Read the schema again when it is needed next: it changed, or the session is new."""
        self._known.clear()
        self._types.clear()

    def _find(self, stores: Stores) -> tuple[str, str] | None:
        for schema in (stores.schema,) if stores.schema else self._order():
            if (schema, stores.table) in self._known:
                return schema, stores.table
        return None

    def _order(self) -> tuple[str, ...]:
        """Where SQLite looks for a table that is named without its schema."""
        return ("temp", "main", *self._attached)


def _is_suspicious(cell: Cell, params: Sequence[object]) -> bool:
    if cell.slot == LITERAL:
        return True
    value = params[cell.slot]
    return value is not None and not isinstance(value, int)


def _refused(table: str, column: str | int, declared: str, value: object) -> DataError:
    where = f"column {column!r}" if isinstance(column, str) else f"column {column + 1}"
    return DataError(
        f"{where} of table {table!r} is declared {declared.upper()}, and members crash when they "
        f"read a {storage_class(value).upper()} from such a column, so nothing was sent",
        hint="store an INTEGER, or declare the column with another type name, such as BOOL or TEXT",
    )
