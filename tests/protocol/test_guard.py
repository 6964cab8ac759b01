"""Which statements are refused or answered on the client, by engine flavour."""

from __future__ import annotations

import pytest

from dqlite_dbapi.errors import NotSupportedError
from dqlite_dbapi.protocol.flavour import Flavour
from dqlite_dbapi.protocol.guard import check
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
        "ATTACH 'x' AS y",
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
    ["PRAGMA foreign_keys = 1", "PRAGMA table_info(t)", "PRAGMA page_size", "PRAGMA user_version"],
)
def test_harmless_pragmas_pass(sql):
    assert check(classify(sql), NEW) is None


def test_returning_is_refused_where_it_crashes_members():
    statement = classify("INSERT INTO t VALUES (1) RETURNING a")
    with pytest.raises(NotSupportedError):
        check(statement, MIDDLE)
    assert check(statement, OLD) is check(statement, NEW) is None
