"""executemany, which sends many rows at once: it must not differ from sqlite3's row by row."""

from __future__ import annotations

import datetime
import sqlite3

import pytest

import dqlite_dbapi
from dqlite_dbapi.errors import DataError, IntegrityError, ProgrammingError

PLAIN = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
COUNT = 700
ROWS = [(n, f"v{n}") for n in range(COUNT)]
AT = 400


def failing(at=AT):
    """Rows of which one has the key of an earlier one."""
    return [*ROWS[:at], (1, "again"), *ROWS[at:]]


def shifted(rows):
    return [(value, key) for key, value in rows]


NAMED = "INSERT INTO t (v, id) VALUES (:v, :id)"
INSERT = "INSERT INTO t VALUES (?, ?)"
AFTER = "CREATE TRIGGER x AFTER INSERT ON t BEGIN "
#: Name, schema, statement, items.
CASES = [
    ("plain", [PLAIN], INSERT, ROWS),
    ("one row", [PLAIN], INSERT, ROWS[:1]),
    ("two rows", [PLAIN], INSERT, ROWS[:2]),
    ("failing", [PLAIN], INSERT, failing()),
    ("failing early", [PLAIN], INSERT, failing(2)),
    ("failing last", [PLAIN], INSERT, failing(COUNT)),
    ("few, failing", [PLAIN], INSERT, [*ROWS[:4], (1, 1), *ROWS[5:8]]),
    ("named", [PLAIN], NAMED, [{"id": key, "v": value} for key, value in ROWS]),
    ("named, failing", [PLAIN], NAMED, [{"id": key, "v": value} for key, value in failing()]),
    ("numbered backwards", [PLAIN], "INSERT INTO t VALUES (?2, ?1)", shifted(ROWS)),
    ("used twice", [PLAIN], "INSERT INTO t VALUES (?1, ?1)", [(n,) for n in range(COUNT)]),
    ("a duplicate among many", [PLAIN],
     "INSERT INTO t VALUES (?, 'v')", [(n if n != 5000 else 7,) for n in range(9000)]),
    ("literals", [PLAIN], "INSERT INTO t VALUES (?, 'a''?')", [(n,) for n in range(COUNT)]),
    ("signed literal", [PLAIN], "INSERT INTO t VALUES (-1, ?)", [(1,), *[(2,)] * 30]),
    ("no parameters", [PLAIN], "INSERT INTO t VALUES (NULL, x'00')", [()] * COUNT),
    ("default values", [PLAIN], "INSERT INTO t DEFAULT VALUES", [()] * 100),
    ("or ignore", [PLAIN], "INSERT OR IGNORE INTO t VALUES (?, ?)", failing()),
    ("or replace", [PLAIN], "INSERT OR REPLACE INTO t VALUES (?, ?)", failing()),
    ("replace", [PLAIN], "REPLACE INTO main.t AS r (id, v) VALUES (?, ?)", failing()),
    ("or abort", [PLAIN], "INSERT OR ABORT INTO t VALUES (?, ?)", failing()),
    ("or rollback", [PLAIN], "INSERT OR ROLLBACK INTO t VALUES (?, ?)", failing()),
    ("upsert", [PLAIN], f"{INSERT} ON CONFLICT (id) DO UPDATE SET v = v || '+'", failing()),
    ("do nothing", [PLAIN], f"{INSERT} ON CONFLICT DO NOTHING", failing()),
    ("select", [PLAIN], "INSERT INTO t SELECT ?, ?", failing()),
    ("expression", [PLAIN], "INSERT INTO t VALUES (?, changes())", [(n,) for n in range(COUNT)]),
    ("values unknown", [PLAIN], "INSERT INTO t VALUES (?, ?), (NULL, 5)", ROWS),
    ("not an integer", [PLAIN], INSERT, [*ROWS[:AT], ("x", 1), *ROWS[AT:]]),
    ("rollback in the schema", ["CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, v)"],
     INSERT, failing()),
    ("rollback at the end", ["CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, v)"],
     INSERT, failing(COUNT)),
    ("ignore in the schema", ["CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT IGNORE, v)"],
     INSERT, failing()),
    ("counted", ["CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v UNIQUE)"],
     "INSERT OR IGNORE INTO t (v) VALUES (?)", [(n % 300,) for n in range(COUNT)]),
    ("check", ["CREATE TABLE t (id, v CHECK (v < 5))"], INSERT,
     [(n, n // 100) for n in range(650)]),
    ("own changes", ["CREATE TABLE t (id, v DEFAULT (changes()))"],
     "INSERT INTO t (id) VALUES (?)", [(n,) for n in range(COUNT)]),
    ("trigger", [PLAIN, "CREATE TABLE log (n, c)",
                 AFTER + "INSERT INTO log SELECT new.id, changes(); END"], INSERT, failing()),
    ("trigger that rolls back",
     [PLAIN, AFTER + "SELECT RAISE(ROLLBACK, 'no') WHERE new.id = 300; END"], INSERT, ROWS),
    ("trigger that aborts",
     [PLAIN, AFTER + "SELECT RAISE(ABORT, 'no') WHERE new.id = 300; END"], INSERT, ROWS),
    ("trigger that ignores",
     [PLAIN, "CREATE TRIGGER x BEFORE INSERT ON t BEGIN "
             "SELECT RAISE(IGNORE) WHERE new.id % 2; END"], INSERT, ROWS),
    ("view", ["CREATE TABLE u (id, v)", "CREATE VIEW t AS SELECT * FROM u",
              "CREATE TRIGGER x INSTEAD OF INSERT ON t BEGIN "
              "INSERT INTO u VALUES (new.id, 0); END"],
     INSERT, ROWS),
    ("key to itself", ["CREATE TABLE t (id INTEGER PRIMARY KEY, v REFERENCES t)"], INSERT,
     [(0, None), *[(n, n - 1) for n in range(1, 50)], (50, 51), (51, 50)]),
    ("key to another", ["CREATE TABLE u (id INTEGER PRIMARY KEY)", "INSERT INTO u VALUES (1)",
                        "CREATE TABLE t (id, v REFERENCES u)"], INSERT,
     [*[(n, 1) for n in range(200)], (0, 2)]),
    ("key from another", [PLAIN, "CREATE TABLE u (k REFERENCES t)", "INSERT INTO t VALUES (9, 9)",
                          "INSERT INTO u VALUES (9)"], "REPLACE INTO t VALUES (?, ?)", ROWS),
    ("virtual", ["CREATE VIRTUAL TABLE t USING fts5 (id, v)"], INSERT, ROWS),
    ("without rowid", ["CREATE TABLE t (id PRIMARY KEY, v) WITHOUT ROWID"], INSERT, failing()),
    ("generated", ["CREATE TABLE t (id, v, w AS (id + 1) STORED)"],
     "INSERT INTO t (id, v) VALUES (?, ?)", ROWS),
    ("temporary", [PLAIN, "CREATE TEMP TABLE t (id UNIQUE, v)"], INSERT, failing()),
    ("odd name", ['CREATE TABLE "T"" é" (id UNIQUE, v)', "CREATE VIEW t AS SELECT 1, 2"],
     'INSERT INTO "t"" é" VALUES (?, ?)', failing()),
    ("update", [PLAIN, "INSERT INTO t VALUES (1, 0), (5, 0)"], "UPDATE t SET v = ?2 WHERE id = ?1",
     ROWS),
    ("update, failing", [PLAIN, "INSERT INTO t VALUES (1, 0), (500, 0)"],
     "UPDATE t SET id = id - ? WHERE id = ?", [(1, n) for n in range(COUNT)] + [(-1, 0), (1, 1)]),
    ("delete", [PLAIN, "INSERT INTO t VALUES (1, 0), (5, 0)"], "DELETE FROM t WHERE id IN (?, ?)",
     ROWS),
    ("wide rows", [f"CREATE TABLE t ({', '.join(f'c{n}' for n in range(100))})"],
     f"INSERT INTO t VALUES ({', '.join('?' * 100)})", [tuple(range(100))] * 60),
    ("full", ["CREATE TABLE t (id, v)", "PRAGMA max_page_count = 40"], INSERT,
     [(n, "x" * 900 if n < 300 else "") for n in range(COUNT)]),
]  # fmt: skip


def outcome(connection, schema, sql, items):
    """What a program sees of executemany: all that both drivers can tell."""
    for text in schema:
        connection.execute(text)
    connection.commit()
    before = connection.total_changes
    error = ""
    cursor = connection.cursor()
    try:
        cursor.executemany(sql, items)
    except (sqlite3.Error, dqlite_dbapi.Error) as problem:
        error = type(problem).__name__
        error = "IntegrityError" if "mismatch" in str(problem) else error
    lost = not connection.in_transaction
    seen = {
        "error": error,
        "rowcount": -1 if error else cursor.rowcount,
        "lastrowid": cursor.lastrowid,
        "total_changes": connection.total_changes - before,
        "in_transaction": connection.in_transaction,
    }
    if not error:
        seen["changes"] = connection.execute("SELECT changes()").fetchall()
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 't\\_%' ESCAPE '\\'"
    ).fetchall()
    for (name,) in tables:
        quoted = name.replace('"', '""')
        seen[name] = connection.execute(f'SELECT * FROM "{quoted}"').fetchall()
    if lost:
        connection.rollback()
    return seen


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_nothing_differs_from_sqlite3(connection, case):
    _, schema, sql, items = case
    local = sqlite3.connect(":memory:")
    local.execute("PRAGMA foreign_keys = 1")
    expected = outcome(local, schema, sql, items)
    local.close()
    if expected["error"] or not expected["rowcount"] or "VIRTUAL" in schema[0]:
        del expected["total_changes"]  # the server tells nothing of what is changed indirectly
    seen = outcome(connection, schema, sql, items)
    assert {name: seen[name] for name in expected} == expected


def test_rows_are_taken_one_by_one_and_in_time(connection, table):
    held = []

    def items():
        for n in range(10, 20_000):
            held.append(n)
            yield n, "v"
            assert len(held) == n - 9

    connection.executemany("INSERT INTO t VALUES (?, ?)", items())
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3 + 19_990,)


@pytest.mark.parametrize("error", [RuntimeError, ZeroDivisionError])
@pytest.mark.parametrize("count", [0, 1, 2, 300, 5000])
def test_an_error_of_the_iterator_comes_after_its_rows(connection, table, error, count):
    def items():
        for n in range(count):
            yield 100 + n, "v"
        raise error

    with pytest.raises(error):
        connection.executemany("INSERT INTO t VALUES (?, ?)", items())
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3 + count,)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((1,), ProgrammingError),
        (7, ProgrammingError),
        ((2**63, 0), DataError),
        (("a\0b", 0), DataError),
        ((object(), 0), ProgrammingError),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 5, 300])
def test_a_bad_item_comes_after_the_rows_before_it(connection, table, bad, error, at):
    items = [(100 + n, "v") for n in range(at)]
    with pytest.raises(error):
        connection.executemany("INSERT INTO t VALUES (?, ?)", [*items, bad, (99, 0)])
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3 + at,)


def test_values_that_crash_members_are_refused_in_time(connection):
    connection.execute("CREATE TABLE d (id, day DATE)")
    items = [(n, "2026-01-01") for n in range(300)]
    with pytest.raises(DataError):
        connection.executemany("INSERT INTO d VALUES (?, ?)", [*items, (300, 1.5), (301, None)])
    assert connection.execute("SELECT count(*) FROM d").fetchone() == (300,)


@pytest.mark.parametrize("driver_connect", ["sync"], indirect=True)
class TestIteratorsThatUseTheConnection:
    """Generators that query and write while they are asked for rows (blocking driver only)."""

    def test_they_see_the_rows_before(self, connection, table):
        def items():
            for _ in range(200):
                yield connection.execute("SELECT max(id) + 1, count(*) FROM t").fetchone()

        connection.executemany("INSERT INTO t VALUES (?, ?)", items())
        rows = connection.execute("SELECT * FROM t WHERE id > 3").fetchall()
        assert rows == [(n, n - 1) for n in range(4, 204)]

    def test_they_see_rows_that_are_under_way(self, connection, table):
        def items():
            for n in range(10, 9010):
                if n % 3000 == 0:
                    assert connection.execute("SELECT count(*) FROM t").fetchone() == (n - 7,)
                yield n, "v"

        cursor = connection.executemany("INSERT INTO t VALUES (?, ?)", items())
        assert cursor.rowcount == 9000

    def test_they_may_close_it(self, connection, table):
        def items():
            for n in range(10, 9010):
                if n == 6000:
                    connection.close()
                yield n, "v"

        with pytest.raises(dqlite_dbapi.Error):
            connection.executemany("INSERT INTO t VALUES (?, ?)", items())

    def test_they_may_write_commit_and_roll_back(self, connection, table):
        def items():
            yield 10, "a"
            connection.commit()
            yield 11, "b"
            connection.rollback()
            yield 12, "c"
            connection.execute("INSERT INTO t VALUES (13, 'd')")
            yield from ((n, "e") for n in range(14, 100))

        cursor = connection.executemany("INSERT INTO t VALUES (?, ?)", items())
        assert cursor.rowcount == 89
        rows = connection.execute("SELECT id FROM t WHERE id > 3").fetchall()
        assert rows == [(10,), *[(n,) for n in range(12, 100)]]

    def test_an_error_of_a_row_ends_it_even_if_it_is_caught(self, connection, table):
        def items():
            yield from ((n, "v") for n in range(10, 30))
            yield 1, "again"
            with pytest.raises(IntegrityError):
                connection.execute("SELECT 1")
            yield 50, "too late"

        with pytest.raises(IntegrityError):
            connection.executemany("INSERT INTO t VALUES (?, ?)", items())
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (3 + 20,)

    def test_a_streamed_result_feeds_another_table(self, connection):
        connection.execute("CREATE TABLE a AS WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL "
                           "SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n")  # fmt: skip
        connection.execute("CREATE TABLE b (i)")
        connection.executemany("INSERT INTO b VALUES (?)", connection.execute("SELECT i FROM a"))
        assert connection.execute("SELECT count(*), sum(i) FROM b").fetchone() == (20000, 200010000)


def test_values_are_read_when_their_row_is_taken(connection, table):
    shared, row = bytearray(b"0"), [0, 0]

    def items():
        for n in range(48, 58):
            shared[0] = n
            row[:] = n, shared
            yield row

    connection.executemany("INSERT INTO t VALUES (?, ?)", items())
    values = connection.execute("SELECT value FROM t WHERE id > 3 ORDER BY id").fetchall()
    assert values == [(b"%d" % n,) for n in range(10)]


def test_adapters(connection):
    connection.execute("CREATE TABLE d (day TEXT, n TEXT)")
    connection.register_adapter(int, str)
    days = [datetime.date(2026, 1, 1) + datetime.timedelta(n) for n in range(100)]
    connection.executemany("INSERT INTO d VALUES (?, ?)", [(day, 5) for day in days])
    rows = connection.execute("SELECT * FROM d").fetchall()
    assert rows == [(day.isoformat(), "5") for day in days]


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (?, ?)", "UPDATE t SET value = ?2 || ?1"])
def test_autocommit_keeps_each_row(connect, table, sql):
    connection = connect(autocommit=True)
    cursor = connection.executemany(sql, [(n, "v") for n in range(10, 30)])
    assert cursor.rowcount == (20 if "INSERT" in sql else 60)
    assert not connection.in_transaction
    with pytest.raises(IntegrityError):
        connection.executemany("INSERT INTO t VALUES (?, 0)", [(70,), (1,), (71,)])
    assert connection.execute("SELECT id FROM t WHERE id > 60").fetchall() == [(70,)]


def test_a_transaction_of_the_program_s_own(connect, table):
    connection = connect(autocommit=True)
    connection.execute("SAVEPOINT dqlite_many")
    connection.executemany("INSERT INTO t VALUES (?, 'v')", [(n,) for n in range(10, 300)])
    with pytest.raises(IntegrityError):
        connection.executemany("INSERT INTO t SELECT ?, 'w'", [(400,), (401,), (1,), (402,)])
    assert connection.in_transaction
    connection.execute("ROLLBACK TO dqlite_many")
    connection.execute("RELEASE dqlite_many")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_each_row_is_traced(connection, table):
    seen = []
    connection.set_trace_callback(seen.append)
    connection.executemany("INSERT INTO t VALUES (?, 0)", [(n,) for n in range(10, 200)])
    assert seen.count("INSERT INTO t VALUES (?, 0)") == 190


def test_no_rows(connection, table):
    assert connection.executemany("INSERT INTO t VALUES (?, 0)", []).rowcount == 0
    assert not connection.in_transaction


def test_long_values(connection, table):
    values = [bytes([n]) * 400_000 for n in range(12)]
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(values, 10)))
    assert connection.execute("SELECT value FROM t WHERE id >= 10").fetchall() == [
        (value,) for value in values
    ]


def test_many_rows_with_a_slow_query_limit(connect):
    connection = connect(slow_query=60.0, transaction_timeout=30.0)
    connection.execute("CREATE TABLE m (a)")
    assert connection.executemany("INSERT INTO m VALUES (?)", [(1,)] * 500).rowcount == 500
