"""What SQLite would store, with SQLite itself as the judge, and the watch over special columns."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dqlite_dbapi.errors import DataError
from dqlite_dbapi.protocol.poison import Watch
from dqlite_dbapi.protocol.stores import storage_class
from dqlite_dbapi.sql import classify

NUMBERS = st.from_regex(r"[ \t\n]*[+-]?[0-9]{0,20}\.?[0-9]{0,4}([eE][+-]?[0-9]{1,3})?[ \t]*")
VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.floats(-(2.0**63), 2.0**63).map(round).map(float)
    | st.binary(max_size=4)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
    | NUMBERS.filter(str.isascii)
)


@given(VALUES)
@example("9223372036854775807")
@example("9223372036854775808")
@example("-9223372036854775808")
@example("1e2")
@example("0x10")
@example(" 12\n")
@example("1.")
@example(".5")
@example("٣")
def test_storage_classes_are_those_of_sqlite(value):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a BOOLEAN)")
    connection.execute("INSERT INTO t VALUES (?)", (value,))
    assert connection.execute("SELECT typeof(a) FROM t").fetchone() == (storage_class(value),)
    connection.close()


SCHEMA = """
CREATE TABLE t (a, "B" Boolean, c AS (a), d DATE, e BOOL, f timestamp);
CREATE TABLE plain (a, b);
CREATE TEMP TABLE "Over" (x DATETIME);
CREATE TABLE over (x);
CREATE VIEW v AS SELECT * FROM t;
"""


@pytest.fixture
def catalogue():
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection.execute(Watch().catalogue(altered=True).text).fetchall()
    connection.close()


def refuses(catalogue, sql, params):
    """Whether a watch that knows nothing reads the schema for `sql`, and then refuses it."""
    stores = classify(sql).stores
    watch = Watch()
    if stores is None or watch.allows(stores, params):
        return False
    watch.load(catalogue, stores)
    try:
        assert watch.allows(stores, params)
    except DataError:
        return True
    return False


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("INSERT INTO t VALUES (1, ?, 3, 4, 5)", ("x",)),
        ("INSERT INTO t VALUES (1, NULL, 2.5, 4, 5)", ()),
        ("INSERT INTO t VALUES (1, 0, 0, 0, 0), (?, ?, ?, ?, ?)", (1, 1, 1, 1, b"")),
        ("INSERT INTO t (d, b) VALUES (?2, ?1)", (1.5, 1)),
        ("REPLACE INTO main.[T] AS z (f) VALUES (:v)", (0.5,)),
        ("UPDATE t SET a = ?, b = ? WHERE d = ?", (1, "no", "x")),
        ("UPDATE t AS z SET (a, b) = (?, ?) FROM plain WHERE z.a = 1", (1.5, 1.5)),
        ("INSERT INTO t (a) SELECT 1 ON CONFLICT (a) DO UPDATE SET b = 'no' WHERE a = 2", ()),
        ("INSERT INTO over VALUES (?)", (1.5,)),
        ("INSERT INTO temp.over VALUES (-.5)", ()),
        ('INSERT INTO t (b) VALUES ("text")', ()),
        ("WITH c AS (SELECT 1) INSERT OR IGNORE INTO t (b) VALUES (CURRENT_TIME)", ()),
    ],
)
def test_poison_is_refused(catalogue, sql, params):
    assert refuses(catalogue, sql, params)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("INSERT INTO t VALUES (?, ?, ?, ?, ?)", ("x", True, "now", 1.5, "then")),
        ("INSERT INTO t (a, e) VALUES (?, ?)", (b"", 1.5)),
        ("INSERT INTO t (b) VALUES (?), (?), (?)", ("1", 2.0, " 3 ")),
        ("INSERT INTO t (b) VALUES (? + 0), (CAST(? AS INTEGER))", ("x", 1.5)),
        ("INSERT INTO t (b) SELECT ?", (1.5,)),
        ("INSERT INTO t DEFAULT VALUES", ()),
        ("UPDATE t SET a = ? WHERE b = ?", ("x", "y")),
        ("UPDATE t SET b = d", ()),
        ("INSERT INTO main.over VALUES (?)", (1.5,)),
        ("INSERT INTO v VALUES (?)", ("x",)),
        ("INSERT INTO unknown VALUES (?)", ("x",)),
        ("DELETE FROM t WHERE b = ?", ("x",)),
    ],
)
def test_what_is_harmless_or_cannot_be_told_passes(catalogue, sql, params):
    assert not refuses(catalogue, sql, params)


def test_integers_and_null_need_no_schema():
    stores = classify("INSERT INTO t VALUES (?, ?, 1, NULL, -5, TRUE)").stores
    assert Watch().allows(stores, (5, None))


@pytest.mark.parametrize(
    ("sql", "is_known"),
    [("CREATE TABLE x (a)", False), ("ROLLBACK", False), ("COMMIT", True), ("DELETE FROM t", True)],
)
def test_the_schema_is_forgotten_when_it_may_have_changed(catalogue, sql, is_known):
    stores = classify("INSERT INTO plain VALUES (?, ?)").stores
    watch = Watch()
    watch.load(catalogue, stores)
    watch.succeeded(classify(sql))
    assert watch.allows(stores, ("x", "y")) is is_known


class Upper:
    """Adapts complex numbers to text, and texts to upper case."""

    covers_natives = True

    def adapt(self, value):
        """As `dqlite_dbapi.types.Adapters` does."""
        return str(value) if isinstance(value, complex) else value


def test_values_are_checked_as_they_are_sent(catalogue):
    stores = classify("INSERT INTO t (b) VALUES (?)").stores
    watch = Watch()
    watch.load(catalogue, stores)
    with pytest.raises(DataError):
        watch.allows(stores, (1j,), Upper())


def test_attached_schemas_are_known_until_the_session_ends():
    connection = sqlite3.connect(":memory:")
    watch = Watch()
    for sql in ("ATTACH '' AS \"o'K\"", 'CREATE TABLE "o\'K".p (v DATE)'):
        connection.execute(sql)
        watch.succeeded(classify(sql))
    rows = connection.execute(watch.catalogue(altered=True).text).fetchall()
    for sql in ('INSERT INTO "O\'k".p VALUES (?)', "INSERT INTO p VALUES (?)"):
        stores = classify(sql).stores
        watch.load(rows, stores)
        with pytest.raises(DataError):
            watch.allows(stores, (1.5,))
    watch.begin_session()
    assert watch.catalogue(altered=True) == Watch().catalogue(altered=True)
    connection.close()
