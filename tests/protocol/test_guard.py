"""Which statements are refused or answered on the client, by engine flavour."""

from __future__ import annotations

import pytest

from dqlite_dbapi.errors import DataError, NotSupportedError
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.protocol.guard import check, needs_transaction
from dqlite_dbapi.sql import classify

OLD = Flavour.probed(knows_schemas=False, denies_pragmas=False)
MIDDLE = Flavour.probed(knows_schemas=True, denies_pragmas=False)
NEW = Flavour.probed(knows_schemas=True, denies_pragmas=True)


def test_flavours():
    assert [flavour.returning for flavour in (OLD, MIDDLE, NEW)] == [
        "transaction",
        "refused",
        "free",
    ]
    assert [flavour.wide_params for flavour in (OLD, MIDDLE, NEW)] == [False, True, True]


@pytest.mark.parametrize("flavour", [OLD, MIDDLE, NEW], ids=["A", "B", "C"])
@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA journal_mode = DELETE",
        "PRAGMA journal_mode(memory)",
        "pragma main . journal_mode='off'",
        "PRAGMA /* x */ synchronous = FULL",
        "PRAGMA synchronous=3",
        "EXPLAIN PRAGMA synchronous = FULL",
        "PRAGMA page_size = 8192",
        "PRAGMA wal_checkpoint",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_autocheckpoint = 5",
        "PRAGMA optimize",
        "PRAGMA 'optimize'",
        "PRAGMA count_changes = on",
        "PRAGMA hard_heap_limit = 1",
        "SELECT * FROM pragma_optimize(1)",
        "SELECT 1, (SELECT `optimize`(f) FROM f)",
        "CREATE TABLE t (a NOT NULL ON CONFLICT FAIL)",
        "CREATE TRIGGER r BEFORE DELETE ON t BEGIN UPDATE OR FAIL u SET a = 1; END",
        "UPDATE main.sqlite_master SET sql = ''",
        "INSERT INTO sqlite_schema VALUES ('table', 'a', 'a', 0, 'CREATE TABLE a (b)')",
        f"SELECT {', '.join('1' * 20 + str(n) for n in range(300))}",
        "ATTACH 'x' AS y",
        "ATTACH ? AS y",
        "ATTACH '' AS y KEY 'k'",
        "DETACH DATABASE y",
        "VACUUM",
        "VACUUM INTO 'x'",
    ],
)
def test_refused_everywhere(sql, flavour):
    with pytest.raises(NotSupportedError):
        check(classify(sql), flavour)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("PRAGMA journal_mode", [("wal",)]),
        ("PRAGMA journal_mode = WAL", [("wal",)]),
        ("PRAGMA locking_mode", [("normal",)]),
        ("PRAGMA read_uncommitted", [(0,)]),
        ("PRAGMA read_uncommitted = 1", []),
        ("PRAGMA synchronous = NORMAL", []),
    ],
)
def test_answered_on_the_client(sql, rows):
    answer = check(classify(sql), NEW)
    assert answer is not None
    assert answer.rows == rows


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA foreign_keys = 1",
        "PRAGMA table_info(t)",
        "PRAGMA page_size",
        "PRAGMA user_version",
        "PRAGMA count_changes = 0",
        "PRAGMA temp_store = 2",
        "SELECT optimize FROM t WHERE a = 'pragma_optimize'",
        "INSERT INTO optimize (a) VALUES ('pragma_optimize')",
        "INSERT INTO f(f) VALUES ('optimize')",
        "CREATE TABLE pragma_optimizer (fail, optimize DEFAULT 1.5)",
        "CREATE INDEX i ON optimize (a)",
        "SELECT vacuum, attach FROM t",
        "attach database '' as y",
        "ATTACH '' AS 'y y'",
        "EXPLAIN SELECT vacuum FROM t",
        "SELECT sql FROM sqlite_master",
        "INSERT INTO sqlite_master VALUES('table','f','f',0,'CREATE VIRTUAL TABLE f USING f(x)')",
        "CREATE TABLE t (a BOOLEAN DEFAULT '1', b BOOLEAN DEFAULT TRUE, c BOOL DEFAULT 'x')",
        "CREATE TABLE t (a DATETIME DEFAULT CURRENT_TIMESTAMP, date DEFAULT 1.5)",
        f"SELECT {', '.join(f'{n} AS a{n}' for n in range(300))}",
    ],
)
@pytest.mark.parametrize("flavour", [OLD, MIDDLE, NEW], ids=["A", "B", "C"])
def test_harmless_statements_pass(sql, flavour):
    assert check(classify(sql), flavour) is None


@pytest.mark.parametrize(
    "column",
    [
        "a BOOLEAN DEFAULT 'yes'",
        "a 'boolean' NOT NULL DEFAULT ('yes')",
        "b, a DATE CHECK (a > 1) DEFAULT -1.5",
        "a [timestamp] DEFAULT x'00' UNIQUE",
        "a DATETIME DEFAULT 1e300, b",
    ],
)
def test_defaults_that_poison_are_refused(column):
    for sql in (f"CREATE TABLE t ({column})", f"ALTER TABLE t ADD COLUMN {column}"):
        with pytest.raises(DataError):
            check(classify(sql), NEW)


@pytest.mark.parametrize("flavour", [OLD, MIDDLE, NEW], ids=["A", "B", "C"])
def test_vacuum_needs_an_option_and_an_engine(flavour):
    for sql, options in [("VACUUM", {}), ("VACUUM/**/INTO'x'", {"vacuum": True})]:
        with pytest.raises(NotSupportedError):
            check(classify(sql), flavour, **options)
    if flavour.vacuum:
        assert check(classify("VACUUM"), flavour, vacuum=True) is None
    else:
        with pytest.raises(NotSupportedError):
            check(classify("VACUUM"), flavour, vacuum=True)


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("INSERT INTO t VALUES (1)", ()),
        ("INSERT INTO t VALUES (1) RETURNING a", (OLD,)),
        ("INSERT OR FAIL INTO t VALUES (1)", (NEW,)),
        ("WITH c AS (SELECT 1) UPDATE OR FAIL t SET a = 1", (NEW,)),
        ("UPDATE OR FAIL t SET a = 1 RETURNING a", (OLD, NEW)),
    ],
)
def test_statements_that_need_a_transaction(sql, where):
    statement = classify(sql)
    for flavour in (OLD, MIDDLE, NEW):
        assert needs_transaction(statement, flavour) is (flavour in where)


def test_returning_is_refused_where_it_crashes_members():
    statement = classify("INSERT INTO t VALUES (1) RETURNING a")
    with pytest.raises(NotSupportedError):
        check(statement, MIDDLE)
    assert check(statement, OLD) is check(statement, NEW) is None
