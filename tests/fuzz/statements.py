"""The classifier and the guard against SQLite: what may never be believed of a statement."""

from __future__ import annotations

from collections.abc import Iterator

from dqlite_dbapi.errors import DataError, NotSupportedError, ProgrammingError
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.protocol.guard import check, needs_transaction
from dqlite_dbapi.sql import Kind, Statement, classify, split
from tests.fuzz.fragments import SCHEMA
from tests.fuzz.sqlparser import (
    ATTACH,
    DELETE,
    DETACH,
    FUNCTION,
    INSERT,
    PRAGMA,
    READ,
    SAVEPOINT,
    TRANSACTION,
    UPDATE,
    Compiled,
    Event,
    SQLite,
)

FLAVOURS = tuple(
    Flavour.probed(knows_schemas=knows, denies_pragmas=denies)
    for knows, denies in [(False, False), (True, False), (True, True)]
)
_FAIL = 3  # OE_Fail
_TRANSACTIONS = {"BEGIN": Kind.BEGIN, "COMMIT": Kind.COMMIT, "ROLLBACK": Kind.ROLLBACK}
_SAVEPOINTS = {"BEGIN": Kind.SAVEPOINT, "RELEASE": Kind.RELEASE, "ROLLBACK": Kind.ROLLBACK_TO}
_SCHEMA_TABLES = {"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"}
_NEVER = {"wal_checkpoint", "optimize"}
_NO_VALUE = {
    *("page_size", "wal_autocheckpoint", "hard_heap_limit", "soft_heap_limit"),
    *("temp_store_directory", "data_store_directory"),
}
_HARMLESS = {
    "synchronous": {"", "0", "1", "off", "normal"},
    "count_changes": {"", "0", "off", "no", "false"},
}


class Judge:
    """Compares verdicts; a finding is an AssertionError."""

    def __init__(self) -> None:
        self._sqlite = SQLite(SCHEMA)
        self.compiled = 0  #: how many texts SQLite accepted, of those that were judged

    def judge(self, sql: str) -> None:
        """Find out whether the driver misjudges `sql`."""
        if self._sqlite.is_changed:
            self._sqlite.reopen()
        compiled = self._sqlite.compile(sql)
        self.compiled += compiled is not None
        try:
            statement = classify(sql)
        except DataError:
            return
        except ProgrammingError:
            if compiled is not None:
                rest = self._sqlite.compile(compiled.tail)
                assert rest is not None or len(split(sql)) > 1, f"one statement is refused: {sql!r}"
            return
        sent = self._sqlite.compile(statement.text)
        if compiled is not None:
            assert sent is not None, f"what is sent does not compile any more: {sql!r}"
        if sent is None:
            return
        assert not split(sent.tail), f"a second statement {sent.tail!r} would be sent: {sql!r}"
        assert self._sqlite.compile(sent.tail) is None, f"more than one statement: {sql!r}"
        assert self._sqlite.is_complete(statement.text + "\n;"), f"not complete: {sql!r}"
        _same_parameters(statement, sent)
        passed = [flavour for flavour in FLAVOURS if _passes(statement, flavour)]
        if passed:
            for finding in self._findings(statement, sent, passed):
                raise AssertionError(f"{finding}: {sql!r}")

    def _findings(
        self, statement: Statement, sent: Compiled, passed: list[Flavour]
    ) -> Iterator[str]:
        yield from _misrouted(statement, sent)
        yield from _forbidden(statement, sent)
        if _may_fail(sent) and statement.kind is not Kind.SCHEMA:
            alone = [flavour for flavour in passed if not flavour.halfway]
            if not all(needs_transaction(statement, flavour) for flavour in alone):
                yield "FAIL outside of a transaction"
        if statement.kind is Kind.SCHEMA and not sent.is_explain:
            yield from self._made(statement)

    def _made(self, statement: Statement) -> Iterator[str]:
        """What a change of the schema brings about later."""
        sqlite = self._sqlite
        try:
            if not sqlite.run(statement.text):
                return
            for text in ("SELECT * FROM n", "SELECT * FROM temp.n", "SELECT * FROM v"):
                used = sqlite.compile(text)
                if used is not None and any(map(_is_optimize, used.events)):
                    yield "a view that optimizes"
                if used is not None and any(map(_is_tokenizer, used.events)):
                    yield "a view that reads a tokenizer"
            for table in ("n", "t", "temp.n"):
                used = sqlite.compile(f"INSERT INTO {table} DEFAULT VALUES")
                if used is not None and _may_fail(used):
                    yield "a schema that fails halfway"
        finally:
            sqlite.reopen()


def _passes(statement: Statement, flavour: Flavour) -> bool:
    """Whether the guard lets the statement go to a member of that kind."""
    if not statement.is_guarded:
        return True
    if statement.pragma is not None and statement.pragma.name == "busy_timeout":
        return False
    try:
        return check(statement, flavour) is None
    except (NotSupportedError, DataError):
        return False


def _same_parameters(statement: Statement, sent: Compiled) -> None:
    names = tuple(name and name[1:] for name in sent.names if name is None or name[0] != "?")
    ours = tuple(name for name in statement.names)
    assert statement.slots == len(sent.names), f"{statement.slots} slots: {statement.text!r}"
    named = [name for name in ours if name is not None]
    assert named == [name for name in names if name is not None], f"names: {statement.text!r}"


def _misrouted(statement: Statement, sent: Compiled) -> Iterator[str]:
    writes = not (sent.is_readonly or sent.is_explain)
    has_rows = sent.columns and statement.verb != "ALTER"  # whose checks only ever raise
    if writes and statement.is_read:
        yield "a write is taken for a read"
    if writes and statement.is_simple:
        yield "a write is taken for a simple SELECT"
    if writes and statement.returns_rows and not sent.columns:
        yield "a write without rows would be sent as a query"
    if has_rows and not statement.returns_rows and (writes or statement.pragma is None):
        yield "what has rows would be sent as a statement without"
    if writes and has_rows and not (statement.returning or statement.pragma is not None):
        yield "RETURNING is overlooked"
    if sent.is_explain:
        return
    for event in sent.events:
        kinds = {TRANSACTION: _TRANSACTIONS, SAVEPOINT: _SAVEPOINTS}.get(event.action)
        if kinds is not None and statement.kind is not kinds[event.first]:
            yield f"{event.first} is taken for {statement.kind}"
        if event.action == SAVEPOINT and statement.target != event.second.lower():
            yield f"savepoint {event.second!r} is taken for {statement.target!r}"


def _forbidden(statement: Statement, sent: Compiled) -> Iterator[str]:
    for event in sent.events:
        if event.action == PRAGMA:
            yield from _forbidden_pragma(event)
        elif event.action == ATTACH and event.first:
            yield "a file is attached"
        elif event.action == DETACH:
            yield "DETACH"
        elif _is_tokenizer(event):
            yield "fts3_tokenizer()"
        elif _is_optimize(event) and sent.is_readonly and not sent.is_explain:
            yield "a read that optimizes"
        elif event.action in (INSERT, UPDATE, DELETE) and statement.kind is Kind.WRITE:
            is_dump = "create virtual table" in statement.text.lower()  # what iterdump() writes
            if event.first.lower() in _SCHEMA_TABLES and not (event.trigger or is_dump):
                yield "the schema table is written to"
    if any(op.name == "Vacuum" for op in sent.program):
        yield "VACUUM"


def _forbidden_pragma(event: Event) -> Iterator[str]:
    name, value = event.first.lower(), event.second.lower()
    if (
        name in _NEVER
        or (name in _NO_VALUE and value)
        or value not in _HARMLESS.get(name, {value})
        or (name == "journal_mode" and value)
    ):
        yield f"PRAGMA {name} = {value}"


def _may_fail(compiled: Compiled) -> bool:
    """Whether an error may leave the rows before it."""
    return any(
        op.name in ("Halt", "HaltIfNull") and op.p1 and op.p2 == _FAIL for op in compiled.program
    )


def _is_optimize(event: Event) -> bool:
    return (event.action == FUNCTION and event.second.lower() == "optimize") or (
        event.action == READ and event.first.lower() == "pragma_optimize"
    )


def _is_tokenizer(event: Event) -> bool:
    return event.action == FUNCTION and event.second.lower() == "fts3_tokenizer"
