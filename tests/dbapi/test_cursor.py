"""Cursors on a real member."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqlite_dbapi import (
    DataError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    ProtocolViolation,
)


@pytest.mark.parametrize(
    "value",
    [None, 0, -1, 2**63 - 1, -(2**63), 1.5, -0.0, math.inf, -math.inf, "", "hé 漢字 🎉", "x" * 5000,
     b"", b"\0\xff", bytes(range(256)) * 100],
)  # fmt: skip
def test_storage_classes(connection, value):
    row = connection.execute("SELECT ?, typeof(?1)", (value,)).fetchone()
    assert row[0] == value
    assert type(row[0]) is type(value)
    expected = {int: "integer", float: "real", str: "text", bytes: "blob", type(None): "null"}
    assert row[1] == expected[type(value)]


@pytest.mark.parametrize(
    ("value", "stored"), [(True, 1), (bytearray(b"a"), b"a"), (math.nan, None)]
)
def test_values_that_change(connection, value, stored):
    assert connection.execute("SELECT ?", (value,)).fetchone() == (stored,)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.binary() | st.floats(allow_nan=False)
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=40))
def test_round_trips(connection, values):
    sql = f"SELECT {', '.join('?' * len(values))}"
    assert connection.execute(sql, values).fetchone() == tuple(values)


@pytest.mark.parametrize("size", [1 << 20, 1 << 24])
def test_large_blobs(connection, size):
    connection.execute("CREATE TABLE big (data BLOB)")
    data = bytes(range(256)) * (size // 256)
    connection.execute("INSERT INTO big VALUES (?)", (data,))
    connection.commit()  # libdqlite 1.11 cannot read that much back inside the transaction
    assert connection.execute("SELECT data, length(data) FROM big").fetchone() == (data, size)


SERIES = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
SELECT i, 'row ' || i FROM n"""


@pytest.mark.parametrize("count", [0, 1, 127, 255, 256, 20_000])
@pytest.mark.parametrize("way", ["all", "one", "many", "iterate"])
def test_every_way_to_fetch_gives_all_rows(connection, count, way):
    cursor = connection.cursor()
    cursor.execute(SERIES.format(count) + (" WHERE 0" if not count else ""))
    if way == "all":
        rows = cursor.fetchall()
    elif way == "one":
        rows = list(iter(cursor.fetchone, None))
    elif way == "many":
        rows = [row for part in iter(lambda: cursor.fetchmany(700), []) for row in part]
    else:
        rows = list(cursor)
    assert rows == [(i, f"row {i}") for i in range(1, count + 1)]
    assert cursor.fetchone() is None
    assert cursor.fetchmany(3) == cursor.fetchall() == []


def test_fetchmany_uses_arraysize(connection, table):
    cursor = connection.execute("SELECT id FROM t")
    assert cursor.fetchmany() == [(1,)]
    cursor.arraysize = 5
    assert cursor.fetchmany() == [(2,), (3,)]


def test_two_half_read_results_on_one_connection(connection):
    first = connection.execute(SERIES.format(5000))
    head = first.fetchmany(10)
    second = connection.execute(SERIES.format(3000))
    assert len(second.fetchall()) == 3000
    assert head + first.fetchall() == [(i, f"row {i}") for i in range(1, 5001)]


@pytest.mark.parametrize("count", [1000, 200_000])
@pytest.mark.parametrize("inside", [False, True], ids=["idle", "in a transaction"])
def test_a_half_read_result_can_be_given_up(connection, table, count, inside):
    if inside:
        connection.execute("INSERT INTO t VALUES (9, 'nine')")
    cursor = connection.execute(SERIES.format(count))
    cursor.fetchone()
    cursor.close()
    assert connection.in_transaction is inside
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (4 if inside else 3,)


def test_an_abandoned_cursor_is_in_nobody_s_way(connection):
    connection.execute(SERIES.format(50_000)).fetchone()
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_description(connection, table):
    cursor = connection.execute("SELECT id, value AS v, 1 + 1 FROM t")
    assert [column[0] for column in cursor.description] == ["id", "v", "1 + 1"]
    assert all(len(column) == 7 for column in cursor.description)
    assert cursor.execute("DELETE FROM t").description is None


@pytest.mark.parametrize(
    ("sql", "rowcount", "lastrowid"),
    [
        ("INSERT INTO t VALUES (7, 'x')", 1, 7),
        ("INSERT INTO t (value) VALUES ('x'), ('y')", 2, 5),
        ("REPLACE INTO t VALUES (1, 'x')", 1, 1),
        ("INSERT OR IGNORE INTO t VALUES (1, 'x')", 0, 3),
        ("UPDATE t SET value = 'z' WHERE id > 1", 2, None),
        ("DELETE FROM t", 3, None),
        ("DELETE FROM t WHERE id = 99", 0, None),
        ("CREATE TABLE u (a)", -1, None),
        ("SELECT * FROM t", -1, None),
        ("PRAGMA user_version = 4", -1, None),
    ],
)
def test_rowcount_and_lastrowid(connection, table, sql, rowcount, lastrowid):
    cursor = connection.cursor().execute(sql)
    assert (cursor.rowcount, cursor.lastrowid) == (rowcount, lastrowid)


def test_lastrowid_survives_other_statements(connection, table):
    cursor = connection.execute("INSERT INTO t VALUES (7, 'x')")
    cursor.execute("UPDATE t SET value = 1")
    assert cursor.lastrowid == 7


def test_executemany(connection, table):
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO t VALUES (:id, :v)", ({"id": n, "v": n} for n in range(10, 60)))
    assert cursor.rowcount == 50
    cursor.executemany("UPDATE t SET value = ? WHERE id = ?", [("a", 1), ("b", 2), ("c", 99)])
    assert cursor.rowcount == 2
    cursor.executemany("DELETE FROM t WHERE id = ?", [])
    assert cursor.rowcount == 0


def test_executemany_keeps_the_rows_before_the_failing_one(connection, table):
    with pytest.raises(IntegrityError):
        connection.executemany("INSERT INTO t VALUES (?, 0)", [(10,), (11,), (1,), (12,)])
    assert connection.in_transaction
    ids = [row[0] for row in connection.execute("SELECT id FROM t WHERE id > 3")]
    assert ids == [10, 11]


@pytest.mark.parametrize(
    "sql", ["SELECT ?", "CREATE TABLE x (a)", "INSERT INTO t VALUES (?,1) RETURNING 1"]
)
def test_executemany_is_for_dml(connection, table, sql):
    with pytest.raises(ProgrammingError):
        connection.executemany(sql, [(1,)])


@pytest.mark.parametrize(
    ("sql", "params"),
    [("SELECT ?1 + ?2", (1, 2)), ("SELECT :a + :b", {"a": 1, "b": 2}), ("SELECT ? + $b", (1, 2))],
)
def test_parameter_styles(connection, sql, params):
    assert connection.execute(sql, params).fetchone() == (3,)


@pytest.mark.parametrize(
    ("sql", "params", "kind"),
    [
        ("SELEC 1", (), OperationalError),
        ("SELECT * FROM nothing", (), OperationalError),
        ("SELECT abs(-9223372036854775808)", (), OperationalError),
        ("SELECT ?", (), ProgrammingError),
        ("SELECT ?", (1, 2), ProgrammingError),
        ("SELECT 1; SELECT 2", (), ProgrammingError),
        ("SELECT ?", ("a\0b",), DataError),
        ("SELECT ?", (2**63,), DataError),
        ("SELECT ?", (object(),), ProgrammingError),
        ("SELECT CAST(x'ff' AS TEXT)", (), DataError),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["idle", "in a transaction"])
def test_errors_leave_the_connection_usable(connection, table, sql, params, kind, inside):
    if inside:
        connection.execute("DELETE FROM t WHERE id = 1")
    with pytest.raises(kind) as caught:
        connection.execute(sql, params)
    assert type(caught.value) is kind
    assert connection.in_transaction is inside
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2 if inside else 3,)


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("INSERT INTO c VALUES (1, 1)", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO c VALUES (NULL, 2)", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO c VALUES (2, -1)", "SQLITE_CONSTRAINT_CHECK"),
        ("INSERT INTO d VALUES (5)", "SQLITE_CONSTRAINT_FOREIGNKEY"),
    ],
)
def test_constraints(connection, sql, name):
    connection.execute("CREATE TABLE c (a UNIQUE NOT NULL, b CHECK (b > 0))")
    connection.execute("CREATE TABLE d (a REFERENCES c (a))")
    connection.execute("INSERT INTO c VALUES (1, 1)")
    with pytest.raises(IntegrityError) as caught:
        connection.execute(sql)
    assert caught.value.name == caught.value.sqlite_errorname == name
    assert caught.value.sqlite_errorcode == caught.value.code
    assert caught.value.address == connection.server.address
    assert connection.in_transaction


def test_names_too_long_for_a_part_are_an_error(connection):
    with pytest.raises(ProtocolViolation) as caught:
        connection.execute(f"SELECT * FROM (SELECT '{'x' * 5000}')")
    assert caught.value.hint
    assert connection.execute(f"SELECT '{'x' * 5000}' AS x").fetchone() == ("x" * 5000,)


def test_many_parameters(connection):
    sql = f"SELECT {' + '.join('?' * 300)}"
    if connection.server.flavour.wide_params:
        assert connection.execute(sql, [1] * 300).fetchone() == (300,)
    else:
        with pytest.raises(NotSupportedError):
            connection.execute(sql, [1] * 300)
    assert connection.execute(f"SELECT {'+'.join('?' * 255)}", [1] * 255).fetchone() == (255,)


def test_wide_rows_do_not_hurt_the_member(connection):
    columns = ", ".join(f"{n} AS c{n}" for n in range(100))
    rows = connection.execute(f"SELECT {columns} FROM ({SERIES.format(300)})").fetchall()
    assert rows == [tuple(range(100))] * 300


def test_a_null_in_a_date_column_is_none(connection):
    connection.execute("CREATE TABLE d (at DATETIME, text TEXT)")
    connection.execute("INSERT INTO d VALUES (NULL, ''), ('2026-11-24 12:00:00', 'x')")
    assert connection.execute("SELECT * FROM d").fetchall() == [
        (None, ""),
        ("2026-11-24 12:00:00", "x"),
    ]


def test_closed_cursors_refuse(connection):
    cursor = connection.execute("SELECT 1")
    cursor.close()
    cursor.close()
    for call in (cursor.fetchone, cursor.fetchall, lambda: cursor.execute("SELECT 1")):
        with pytest.raises(ProgrammingError):
            call()


def test_fetching_without_a_result_is_an_error(connection, table):
    for cursor in (connection.cursor(), connection.execute("DELETE FROM t")):
        with pytest.raises(ProgrammingError):
            cursor.fetchone()


def test_threads_share_a_connection(connection, table):
    connection.execute("DELETE FROM t")
    problems = []

    def work(start):
        try:
            for number in range(start, start + 50):
                connection.execute("INSERT INTO t VALUES (?, ?)", (number, number))
                row = connection.execute("SELECT value FROM t WHERE id = ?", (number,)).fetchone()
                assert row == (number,)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(n * 100,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (200,)
