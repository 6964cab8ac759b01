"""Statement classifier: one pass of SQLite's lexical rules over each distinct text.

It finds out what routing, transactions and guards need to know: the kind of statement, whether it
yields rows or writes, its parameters, and where the statement ends. SQLite itself parses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from dqlite_dbapi.errors import ProgrammingError
from dqlite_dbapi.protocol.hazards import fails_halfway, find_hazard
from dqlite_dbapi.protocol.stores import Stores, stores
from dqlite_dbapi.protocol.tokens import Tokens, statements
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import encode_sql
from dqlite_dbapi.wire.values import encode_text


class Kind(Enum):
    """What a statement is to the driver."""

    READ = "read"
    WRITE = "write"  # INSERT, REPLACE, UPDATE, DELETE
    SCHEMA = "schema"  # DDL, ANALYZE, REINDEX
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    PRAGMA = "pragma"
    ATTACH = "attach"
    VACUUM = "vacuum"
    OTHER = "other"


class Pragma(NamedTuple):
    """`PRAGMA name`, `PRAGMA name = value` or `PRAGMA name(value)`; both in lower case."""

    name: str
    value: str | None


class Statement(NamedTuple):
    """Facts about one SQL statement; `encoded` is its text as a wire field."""

    encoded: bytes
    kind: Kind
    verb: str
    returns_rows: bool
    returning: bool
    slots: int
    names: tuple[str | None, ...]
    target: str
    pragma: Pragma | None
    is_read: bool  # cannot change the database
    is_guarded: bool  # the guard has to look at it
    hazard: str  # what hurts a member whatever the values, "" for nothing (protocol.hazards)
    fails_halfway: bool  # ON CONFLICT FAIL: an error leaves the rows before it
    stores: Stores | None  # values that may not fit their columns (protocol.poison)
    attaches: str  # the schema that `ATTACH '' AS schema` makes, "" for none or a named file
    is_simple: bool  # a SELECT that nothing has to look at
    is_wide: bool  # its rows may have more columns than one word of the wire describes
    request: bytes  # the message that runs it without parameters

    @property
    def text(self) -> str:
        """The statement's text."""
        return self.encoded.rstrip(b"\0").decode()

    @property
    def inserts(self) -> bool:
        """True for INSERT and REPLACE, after which the last rowid has a meaning."""
        return self.verb in ("INSERT", "REPLACE")


_GUARDED = frozenset({Kind.PRAGMA, Kind.ATTACH, Kind.VACUUM})

_READS = {"SELECT", "VALUES", "EXPLAIN"}
_MAIN = {"SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE"}
_COMPILED = {"PRAGMA", "ATTACH", "DETACH", "VACUUM"}
_WRITES = {"INSERT", "REPLACE", "UPDATE", "DELETE"}
_KINDS = {
    **dict.fromkeys(_READS, Kind.READ),
    **dict.fromkeys(_WRITES, Kind.WRITE),
    **dict.fromkeys(("CREATE", "DROP", "ALTER", "ANALYZE", "REINDEX"), Kind.SCHEMA),
    **dict.fromkeys(("ATTACH", "DETACH"), Kind.ATTACH),
    "BEGIN": Kind.BEGIN,
    "COMMIT": Kind.COMMIT,
    "END": Kind.COMMIT,
    "ROLLBACK": Kind.ROLLBACK,
    "SAVEPOINT": Kind.SAVEPOINT,
    "RELEASE": Kind.RELEASE,
    "PRAGMA": Kind.PRAGMA,
    "VACUUM": Kind.VACUUM,
}

#: PRAGMAs that answer rows although they are given a value, as in `table_info(t)`.
_ROWS_WITH_VALUE = frozenset(
    {
        *("analysis_limit", "busy_timeout", "foreign_key_check", "foreign_key_list"),
        *("hard_heap_limit", "index_info", "index_list", "index_xinfo", "integrity_check"),
        *("journal_mode", "journal_size_limit", "locking_mode", "max_page_count", "mmap_size"),
        *("optimize", "quick_check", "secure_delete", "soft_heap_limit", "table_info"),
        *("table_list", "table_xinfo", "threads", "wal_autocheckpoint", "wal_checkpoint"),
    }
)
_ATTACH_TOKENS = 4
#: Columns that one word describes (wire-protocol 3.3). More take as many commas, or `*`.
_NARROW = 16
_NEVER_ROWS = frozenset({"shrink_memory", "incremental_vacuum", "delete_database"})


def split(sql: str) -> list[str]:
    """Cut a script into its statements, each without its semicolon; empty ones are left out."""
    return [sql[tokens[0].start : tokens[-1].end] for tokens in statements(sql)]


def classify(sql: str) -> Statement:
    """Classify `sql`, which must be one statement.

    `ProgrammingError` for none or several statements (PEP 249 leaves several undefined; the
    server would commit each alone), `DataError` for NUL or lone surrogates in the text.
    """
    if "\0" in sql:
        encode_text(sql, "the SQL text")
    found = statements(sql)
    tokens = next(found, None)
    if tokens is None:
        raise ProgrammingError("the SQL text holds no statement")
    if next(found, None) is not None:
        raise ProgrammingError(
            "the SQL text holds more than one statement",
            hint="execute them one by one",
        )
    text = sql[tokens[0].start : tokens[-1].end]
    verb, main = _verb(tokens)
    kind = _KINDS.get(verb, Kind.OTHER)
    if kind is Kind.ROLLBACK and any(token.upper == "TO" for token in tokens[:3]):
        kind = Kind.ROLLBACK_TO
    is_write = kind is Kind.WRITE
    returning = is_write and any(
        token.depth == 0 and token.upper == "RETURNING" for token in tokens[main:]
    )
    pragma = _pragma(tokens[main:]) if kind is Kind.PRAGMA else None
    slots, names, places = parameters(tokens)
    hazard = find_hazard(kind.value, tokens, main, returning=returning)
    fails = is_write and fails_halfway(tokens, main)
    returns_rows = kind is Kind.READ or returning or (pragma is not None and _yields(pragma))
    encoded = encode_text(text, "the SQL text")
    return Statement(
        encoded=encoded,
        kind=kind,
        verb=verb,
        returns_rows=returns_rows,
        returning=returning,
        slots=slots,
        names=names,
        target=tokens[-1].name,
        pragma=pragma,
        is_read=kind is Kind.READ or (pragma is not None and returns_rows),
        is_guarded=returning or fails or bool(hazard) or kind in _GUARDED,
        hazard=hazard,
        fails_halfway=fails,
        stores=stores(tokens, main, places) if is_write else None,
        attaches=_attached(tokens) if kind is Kind.ATTACH else "",
        is_simple=kind is Kind.READ and not hazard,
        is_wide=b"*" in encoded or encoded.count(b",") >= _NARROW,
        request=encode_sql(Request.QUERY_SQL if returns_rows else Request.EXEC_SQL, encoded, ()),
    )


def _verb(tokens: Tokens) -> tuple[str, int]:
    """The deciding keyword, behind any WITH clause, and its position."""
    first = tokens[0].upper
    if first == "EXPLAIN":  # flag PRAGMAs take effect when compiled, explained or not
        inner = 3 if [token.upper for token in tokens[1:3]] == ["QUERY", "PLAN"] else 1
        compiled = tokens[inner].upper if inner < len(tokens) else ""
        return (compiled, inner) if compiled in _COMPILED else (first, 0)
    if first != "WITH":
        return first, 0
    for position, token in enumerate(tokens[:-1]):
        follower = tokens[position + 1]
        if token.depth or token.upper not in _MAIN or follower.upper == "AS":
            continue
        if token.upper != "REPLACE" or follower.upper == "INTO":
            return token.upper, position
    return first, 0


def _attached(tokens: Tokens) -> str:
    """The schema of `ATTACH [DATABASE] '' AS schema`, as short as that; "" for all others."""
    rest = [token for token in tokens if token.upper != "DATABASE"]
    words = [token.upper for token in rest]
    is_unnamed = len(rest) == _ATTACH_TOKENS and rest[1].text == "''"
    return rest[3].name if is_unnamed and (words[0], words[2]) == ("ATTACH", "AS") else ""


def _pragma(tokens: Tokens) -> Pragma:
    rest = tokens[1:]
    if [token.text for token in rest[1:2]] == ["."]:
        rest = rest[2:]
    if not rest:
        return Pragma("", None)
    value = "".join(token.name for token in rest[2:] if token.text not in "()")
    return Pragma(rest[0].name, value if len(rest) > 1 else None)


def _yields(pragma: Pragma) -> bool:
    if pragma.value is None:
        return pragma.name not in _NEVER_ROWS
    return pragma.name in _ROWS_WITH_VALUE


def parameters(tokens: Tokens) -> tuple[int, tuple[str | None, ...], dict[int, int]]:
    """Slots as SQLite numbers them: `?` is one more than the highest so far, a name is one slot.

    Their number, their names, and the slot (from 0) of the parameter that starts at a position.
    """
    slots: dict[int, str | None] = {}
    places: dict[int, int] = {}
    highest = 0
    index: dict[str, int] = {}
    for token in tokens:
        if token.kind != "parameter":
            continue
        text = token.text
        if text == "?":
            highest += 1
            slots[highest] = None
            places[token.start] = highest - 1
        elif text[0] == "?":
            number = int(text[1:]) if len(text) <= len(f"?{_MAX_SLOTS}") else _MAX_SLOTS + 1
            slots.setdefault(number, None)
            highest = max(highest, number)
            places[token.start] = number - 1
        else:
            if text not in index:
                highest += 1
                index[text] = highest
                slots[highest] = text[1:]
            places[token.start] = index[text] - 1
    if highest > _MAX_SLOTS:
        raise ProgrammingError(f"a parameter is numbered {highest}; the limit is {_MAX_SLOTS}")
    return highest, tuple(slots.get(number) for number in range(1, highest + 1)), places


_MAX_SLOTS = 250_000  # SQLITE_MAX_VARIABLE_NUMBER of Debian; where it is less, the server refuses


def bind(statement: Statement, params: Sequence[object] | Mapping[str, object]) -> Sequence[object]:
    """Order `params` by slot. A sequence must have exactly as many values as there are slots.

    `ProgrammingError` names what is missing; the server would bind NULL (server-hazards H15).
    """
    if isinstance(params, Mapping):
        return _bind_names(statement, params)
    if isinstance(params, (str, bytes, bytearray)) or not hasattr(params, "__getitem__"):
        raise ProgrammingError(
            f"parameters must be a sequence or a mapping, not {type(params).__qualname__}",
            hint="a single value needs a tuple: (value,)",
        )
    if len(params) != statement.slots:
        raise ProgrammingError(
            "Incorrect number of bindings supplied. The current statement uses"
            f" {statement.slots}, and there are {len(params)} supplied."
        )
    if isinstance(params, tuple):
        return params
    return [params[index] for index in range(statement.slots)]  # adapters may change a list


def _bind_names(statement: Statement, params: Mapping[str, object]) -> list[object]:
    if None in statement.names:
        raise ProgrammingError("a mapping was given, but the statement has parameters without name")
    try:
        return [params[name] for name in statement.names if name is not None]
    except LookupError as error:
        missing = error.args[0] if error.args else ""
        raise ProgrammingError(f"no value was given for the parameter {missing!r}") from None
