"""Hazards H1 to H29: statements and values that hurt members, refused or made harmless."""

from __future__ import annotations

import time

import pytest

from dqlite_dbapi.errors import (
    BusySnapshot,
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    ProtocolViolation,
    Timeout,
)

ROWS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {})"
LARGE = ROWS.format(20000) + " SELECT x, hex(zeroblob(250)) FROM c"

REFUSED = {
    "H6": [
        "PRAGMA journal_mode = DELETE",
        "pragma main . 'journal_mode' ( 'memory' )",
        'PRAGMA /* x */ "journal_mode" = [off]',
        "EXPLAIN PRAGMA journal_mode = truncate",
    ],
    "H7": [
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = 02",
        "PRAGMA main.'synchronous' = +2",
        "PRAGMA synchronous(0x2)",
        "EXPLAIN QUERY PLAN PRAGMA synchronous = extra",
    ],
    "H8": [
        "PRAGMA page_size = 8192",
        "PRAGMA wal_checkpoint",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_autocheckpoint = 5",
    ],
    "H9": ["PRAGMA optimize", "PRAGMA main.optimize(0x10002)"],
    "H10": [
        "ATTACH 'x' AS y",
        "ATTACH ':memory:' AS y",
        'ATTACH "" AS y',
        "ATTACH '' || '' AS y",
        "EXPLAIN ATTACH '' AS y",
        "DETACH y",
        "VACUUM INTO 'x'",
    ],
    "H11": ["VACUUM", "VACUUM main"],
    "H22": [
        "SELECT * FROM pragma_optimize",
        "SELECT * FROM main.'pragma_optimize'(0x10002)",
        "CREATE VIEW v AS SELECT * FROM [pragma_optimize]",
        "SELECT optimize(f) FROM f LIMIT 1",
        'WITH x AS (SELECT "Optimize" (f) FROM f) SELECT * FROM x',
        "CREATE TEMP VIEW v AS SELECT optimize(f) FROM f",
    ],
    "H25": [
        "SELECT fts3_tokenizer('simple')",
        "INSERT INTO t(a) SELECT fts3_tokenizer('simple', x'0102030405060708')",
    ],
    "H26": ["PRAGMA count_changes = 1", "PRAGMA count_changes(yes)"],
    "H27": [
        "PRAGMA hard_heap_limit = 1000000",
        "PRAGMA soft_heap_limit(1000000)",
        "PRAGMA temp_store_directory = '/'",
    ],
    "H28": [
        "UPDATE sqlite_schema SET rootpage = 999",
        "DELETE FROM main.sqlite_master",
        "INSERT INTO sqlite_master VALUES ('table', 'q', 'q', 2, 'CREATE TABLE q (a)')",
        "WITH c AS (SELECT 1) UPDATE OR IGNORE 'sqlite_master' SET sql = 'x'",
        "UPDATE sqlite_dbpage SET data = zeroblob(4096) WHERE pgno = 1",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM sqlite_dbpage; END",
    ],
    "H23": [
        "CREATE TABLE u (a UNIQUE ON CONFLICT FAIL)",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(FAIL, 'no'); END",
    ],
}
REFUSED_ROWS = [(row, sql) for row, statements in REFUSED.items() for sql in statements]


@pytest.mark.parametrize(("row", "sql"), REFUSED_ROWS, ids=[f"{r}-{s}" for r, s in REFUSED_ROWS])
def test_refused(connection, row, sql):
    connection.execute("CREATE VIRTUAL TABLE f USING fts4(x)")
    connection.execute("INSERT INTO f VALUES ('one')")
    connection.execute("PRAGMA writable_schema = 1")
    with pytest.raises(NotSupportedError):
        connection.execute(sql)
    connection.execute("INSERT INTO t(a) VALUES ('after')")


def test_h1_returning_outside_of_a_transaction(connection, connect):
    returning = connection.server.flavour.returning
    sql = "INSERT INTO t(a) VALUES (?), ('z') RETURNING id, a"
    if returning == "refused":
        with pytest.raises(NotSupportedError):
            connection.execute(sql, ("y",))
        return
    assert connection.execute(sql, ("y",)).fetchall() == [(2, "y"), (3, "z")]
    assert not connection.in_transaction
    assert connect().execute("SELECT count(*) FROM t").fetchone() == (3,)


@pytest.mark.parametrize("begin", ["BEGIN", "SAVEPOINT s"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (2, 'y') RETURNING id",
        "/* c */ REPLACE INTO t VALUES (2, 'y') -- d\n RETURNING id",
        "WITH c AS (SELECT 2 AS x) INSERT INTO t SELECT x, 'y' FROM c RETURNING id",
        "INSERT INTO t VALUES (2, 'returning'), (3, '') RETURNING id",
    ],
)
def test_h3_returning_in_a_transaction(connection, connect, begin, sql):
    returning = connection.server.flavour.returning
    connection.execute(begin)
    if returning == "refused":
        with pytest.raises(NotSupportedError):
            connection.execute(sql)
        connection.rollback()
        return
    assert connection.execute(sql).fetchone() == (2,)
    connection.execute("COMMIT" if begin == "BEGIN" else "RELEASE s")
    assert connect().execute("SELECT count(*) FROM t WHERE id = 2").fetchone() == (1,)


def test_h2_returning_is_never_sent_as_exec(connection):
    script = "INSERT INTO t VALUES (2, 'y') RETURNING id; INSERT INTO t VALUES (3, 'z')"
    if connection.server.flavour.returning == "refused":
        with pytest.raises(NotSupportedError):
            connection.executescript(script)
    else:
        connection.executescript(script)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_h1_returning_that_fails(connection):
    if connection.server.flavour.returning == "refused":
        pytest.xfail("RETURNING is refused")
    with pytest.raises(IntegrityError):
        connection.execute("INSERT INTO t VALUES (2, 'y'), (1, 'x') RETURNING id")
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


POISON = [
    ("BOOLEAN", "true"),
    ("boolean", 1.5),
    ("Boolean", b"\1"),
    ("BOOLEAN", "1.5"),
    ("BOOLEAN", ""),
    ("DATE", 2451545.5),
    ("DATETIME", b"2020"),
    ("TIMESTAMP", "1.5"),
    ("timestamp", float("inf")),
]
HOW = [
    "INSERT INTO p VALUES (2, ?)",
    "INSERT INTO p (v, id) VALUES (?, 2)",
    "REPLACE INTO main.p (id, v) VALUES (2, NULL), (3, ?)",
    "UPDATE p SET v = ?",
    'UPDATE OR IGNORE p SET (id, "v") = (5, ?)',
    "INSERT INTO p VALUES (1, NULL) ON CONFLICT DO UPDATE SET v = ?",
]


@pytest.mark.parametrize(("declared", "value"), POISON)
def test_h4_values_that_kill_whoever_reads_them(connection, declared, value):
    connection.execute(f"CREATE TABLE p (id INTEGER PRIMARY KEY, v {declared})")
    connection.execute("INSERT INTO p VALUES (1, 1)")
    for sql in HOW:
        with pytest.raises(DataError):
            connection.execute(sql, (value,))
    assert connection.execute("SELECT * FROM p").fetchall() == [(1, True)]


@pytest.mark.parametrize("literal", ["'yes'", "1.5", "-1e300", "x'01'", "CURRENT_DATE", '"text"'])
def test_h4_literals(connection, literal):
    connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, v BOOLEAN)")
    with pytest.raises(DataError):
        connection.execute(f"INSERT INTO p VALUES (2, {literal})")
    with pytest.raises(DataError):
        connection.execute(f"CREATE TABLE q (a, v BOOLEAN NOT NULL DEFAULT {literal}, b)")
    assert connection.execute("SELECT * FROM p").fetchall() == []


@pytest.mark.parametrize("begin", ["", "BEGIN"])
def test_h4_the_schema_is_read_again_when_it_changes(connection, connect, begin):
    connection.execute("INSERT INTO t(a) VALUES (1.5)")
    connect(autocommit=True).execute("CREATE TABLE p (v BOOLEAN)")
    with pytest.raises(DataError):
        connection.execute("INSERT INTO p VALUES (?)", (1.5,))
    connection.execute("DROP TABLE p")
    connection.execute("CREATE TABLE p (v)")
    connection.execute("INSERT INTO p VALUES (?)", (1.5,))
    if begin:
        connection.execute(begin)
    connection.execute("CREATE TEMP TABLE p (v DATE)")
    with pytest.raises(DataError):
        connection.execute("INSERT INTO p VALUES (?)", (1.5,))


def test_h4_harmless_values(connection):
    connection.execute("CREATE TABLE p (b BOOLEAN, d DATE, t TIMESTAMP, o BOOL)")
    values = [("1", "2020-01-01", 5.0, 1.5), (True, None, "now", b""), (" 7 ", "2020", 0, "x")]
    connection.executemany("INSERT INTO p VALUES (?, ?, ?, ?)", values)
    found = connection.execute("SELECT +b, +d, +t, +o FROM p").fetchall()
    assert found == [(1, "2020-01-01", 5, 1.5), (1, None, "now", b""), (7, 2020, 0, "x")]
    assert len(connection.execute("SELECT * FROM p").fetchall()) == 3


def test_h5_null_arrives_as_nothing_or_false(connection):
    connection.execute("CREATE TABLE p (b BOOLEAN, d DATETIME)")
    connection.execute("INSERT INTO p VALUES (NULL, NULL)")
    assert connection.execute("SELECT b, d FROM p").fetchone() == (False, None)
    assert connection.execute("SELECT +b, +d FROM p").fetchone() == (None, None)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("PRAGMA journal_mode", [("wal",)]),
        ("PRAGMA journal_mode = WAL", [("wal",)]),
        ("PRAGMA locking_mode = EXCLUSIVE", [("normal",)]),
        ("PRAGMA read_uncommitted", [(0,)]),
        ("PRAGMA busy_timeout = 100", [(100,)]),
    ],
)
def test_h6_h7_answered_on_the_client(connection, sql, rows):
    assert connection.execute(sql).fetchall() == rows
    assert connection.execute("PRAGMA synchronous = NORMAL").description is None


def test_h11_vacuum_by_option(connect):
    connection = connect(autocommit=True, vacuum=True)
    connection.execute("CREATE TABLE t (a)")
    connection.execute(f"INSERT INTO t {LARGE.replace('x, ', '')}")
    connection.execute("DELETE FROM t")
    before = connection.execute("PRAGMA page_count").fetchone()[0]
    if connection.server.flavour.vacuum:
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA page_count").fetchone()[0] < before
    else:
        with pytest.raises(NotSupportedError):
            connection.execute("VACUUM")


@pytest.mark.parametrize("setting", [None, "MEMORY", "FILE"])
def test_h12_h29_large_temporary_tables(connection, setting):
    if setting is not None:
        sql = f"PRAGMA temp_store = {setting}"
        if setting == "FILE" and not connection.server.flavour.temp_files:
            with pytest.raises(NotSupportedError):
                connection.execute(sql)
        else:
            connection.execute(sql)
    rows = f"{ROWS.format(40)} SELECT zeroblob(1000000) FROM c"
    connection.execute(f"CREATE TEMP TABLE big AS {rows}")
    connection.execute("CREATE INDEX temp.big_a ON big (1)")
    assert connection.execute("SELECT count(*) FROM big").fetchone() == (40,)


def test_h14_long_names(connection):
    long = "x" * 5000
    with pytest.raises(NotSupportedError):
        connection.execute(f"SELECT '{long}'")
    with pytest.raises(NotSupportedError):
        connection.execute(f"INSERT INTO t(a) VALUES (1) RETURNING '{long}'")
    assert connection.execute(f"SELECT '{long}' AS a, '' || '{long}' b").fetchone() == (long, long)
    with pytest.raises(ProtocolViolation):
        connection.execute(f"SELECT * FROM (SELECT '{long}')")


def test_h15_h16_counts_of_parameters(connection):
    with pytest.raises(ProgrammingError):
        connection.execute("SELECT ?, ?", (1,))
    sql = f"SELECT {' + '.join('?' * 300)}"
    if connection.server.flavour.wide_params:
        assert connection.execute(sql, (1,) * 300).fetchone() == (300,)
    else:
        with pytest.raises(NotSupportedError):
            connection.execute(sql, (1,) * 300)


def test_h17_nul(connection):
    for sql, params in [("SELECT 'a\0b'", ()), ("SELECT ?, ?", ("a\0bbbbbbbbb", 5))]:
        with pytest.raises(DataError):
            connection.execute(sql, params)
    assert connection.execute("SELECT ?", (b"a\0b",)).fetchone() == (b"a\0b",)


def test_h18_h19_h20_texts_and_counts(connection):
    with pytest.raises(ProgrammingError):
        connection.execute("INSERT INTO t VALUES (5, 5); DELETE FROM t")
    cursor = connection.execute("INSERT INTO t(a) VALUES (5); -- five")
    assert (cursor.rowcount, cursor.lastrowid) == (1, 2)
    assert connection.execute("CREATE TABLE u (a)").rowcount == -1


def test_h21_a_statement_longer_than_the_deadline(connect):
    connection = connect(autocommit=True)
    connection.timeout = 0.05
    started = time.monotonic()
    with pytest.raises(Timeout):
        connection.execute(f"{ROWS.format(3000000)} SELECT count(*) FROM c")
    assert time.monotonic() - started < 3
    connection.timeout = 20
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "sql",
    ["INSERT OR FAIL INTO t VALUES (2, 2), (1, 1), (3, 3)", "UPDATE OR FAIL t SET id = 7 - id % 2"],
)
@pytest.mark.parametrize("begin", ["", "BEGIN", "SAVEPOINT s"])
def test_h23_rows_before_a_failure_stay(connection, connect, sql, begin):
    connection.execute("INSERT INTO t VALUES (4, 4), (5, 5)")
    if begin:
        connection.execute(begin)
    with pytest.raises(IntegrityError):
        connection.execute(sql)
    assert connection.in_transaction is bool(begin)
    if begin:
        connection.execute("COMMIT" if begin == "BEGIN" else "RELEASE s")
    rows = connect().execute("SELECT id FROM t ORDER BY id").fetchall()
    assert rows == ([(1,), (2,), (4,), (5,)] if "INSERT" in sql else [(5,), (6,), (7,)])


@pytest.mark.parametrize("sql", ["INSERT OR ROLLBACK INTO t VALUES (2, 2), (1, 1)"])
def test_a_statement_that_rolls_back(connection, sql):
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (3, 3)")
    with pytest.raises(IntegrityError):
        connection.execute(sql)
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_h24_a_half_read_result_in_a_write_transaction(connect):
    connection = connect()
    connection.execute("CREATE TABLE t (a)")
    assert connection.execute(LARGE).fetchone()[0] == 1
    connection.close()


def test_h24_the_transaction_may_have_begun_by_itself(connect):
    connection = connect()
    connection.execute("BEGIN")
    cursor = connection.execute(LARGE)
    assert cursor.fetchone()[0] == 1
    try:
        connection.execute("CREATE TABLE t (a)")
    except BusySnapshot:
        connection.rollback()
    assert len(cursor.fetchall()) == 19999
    connection.close()


def test_a_dump_with_a_virtual_table_can_be_loaded(connection):
    connection.executescript(
        """PRAGMA writable_schema=ON;
        INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)
          VALUES('table','v','v',0,'CREATE VIRTUAL TABLE v USING fts4(x)');
        CREATE TABLE IF NOT EXISTS 'v_content'(docid INTEGER PRIMARY KEY, 'c0x');
        PRAGMA writable_schema=OFF;"""
    )
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
