"""What CPython's tests of `sqlite3` (test_dbapi) ask of a statement, its parameters and counts."""

from __future__ import annotations

import collections

import pytest

from dqlite_dbapi import (
    DataError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

# -- one statement


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; // no comment in SQL",
        "SELECT 1; *not a comment",
        "SELECT 1; -*not a comment",
        "SELECT 1; /* */ a",
        "SELECT 1; -",
        "SELECT 1; /",
        "SELECT 1; -\n- SELECT 2",
        "SELECT 1;\n -- comment\n SELECT 2",
    ],
)
def test_more_than_one_statement_is_refused(cursor, sql):
    with pytest.raises(ProgrammingError):
        cursor.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 9; -- foo",
        "SELECT 9; --",
        "SELECT 9; /* open",
        "\nSELECT 5+4;\n/*\nfoo\n*/\n",
        ";SELECT 9",
    ],
)
def test_comments_behind_a_statement(cursor, sql):
    assert cursor.execute(sql).fetchall() == [(9,)]


@pytest.mark.parametrize("sql", ["SELECT asdf", "SELECT * FROM", "CREATE TABLE people (a)"])
def test_bad_sql(cursor, sql):
    with pytest.raises(OperationalError):
        cursor.execute(sql)


@pytest.mark.parametrize("call", ["execute", "executescript"])
@pytest.mark.parametrize("sql", [42, b"SELECT 1", None])
def test_sql_must_be_text(cursor, call, sql):
    with pytest.raises(TypeError):
        getattr(cursor, call)(sql)


@pytest.mark.parametrize("sql", ["\0SELECT 1", "SELECT 1\0", "SELECT '\ud8ff'"])
@pytest.mark.parametrize("call", ["execute", "executescript"])
def test_text_that_is_no_sql(cursor, call, sql):
    with pytest.raises(DataError):
        getattr(cursor, call)(sql)


def test_a_comment_in_front_hides_no_write(cursor):
    cursor.execute("-- foo\n INSERT INTO people (name) VALUES ('foo'), ('foo')")
    assert cursor.rowcount == 2
    cursor.execute("/* messy *r /* /* ** *- *--\n */ /* more */ INSERT INTO people (id) VALUES (9)")
    assert (cursor.rowcount, cursor.lastrowid) == (1, 9)
    assert cursor.execute("/* */ UPDATE people SET name='x' WHERE name='foo'").rowcount == 3


def test_column_names_with_blanks_and_brackets(cursor):
    cursor.execute('SELECT 1 AS "foo bar [datetime]", 2 AS "foo baz"')
    assert [column[0] for column in cursor.description] == ["foo bar [datetime]", "foo baz"]


def test_a_changed_table_changes_the_same_query(cursor):
    before = cursor.execute("SELECT * FROM people").description
    cursor.execute("ALTER TABLE people ADD more")
    assert len(cursor.execute("SELECT * FROM people").description) == len(before) + 1


def test_the_same_query_on_several_cursors(connection):
    cursors = [connection.execute("SELECT 1") for _ in range(3)]
    assert [cursor.fetchall() for cursor in cursors] == [[(1,)]] * 3


# -- parameters


class Lazy:
    """A sequence that knows its length and raises no IndexError."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        assert index == 0
        return "foo"


class Broken(Lazy):
    def __len__(self):
        return 1 // 0


class Filling(dict):
    def __missing__(self, key):
        return "foo"


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("?", ("foo",)),
        ("?", ["foo"]),
        ("?", Lazy()),
        ("?", collections.deque(["foo"])),
        ("?1", ("foo",)),
        (":name", {"name": "foo"}),
        ("@name", {"name": "foo", "unused": 1}),
        ("$name", Filling()),
        (":name", collections.ChainMap({}, {"name": "foo"})),
        ("'foo' || ? || ?", ("", "")),
    ],
)
def test_kinds_of_parameters(cursor, sql, parameters):
    found = cursor.execute(f"SELECT name FROM people WHERE name = {sql}", parameters).fetchall()
    assert found == [("foo",)]


@pytest.mark.parametrize(
    ("parameters", "expected"), [((1, 2), (2, 1, 2)), ([5, 6], (6, 5, 6))]
)  # fmt: skip
def test_numbered_parameters(cursor, parameters, expected):
    assert cursor.execute("SELECT ?2, ?1, ?2", parameters).fetchone() == expected


@pytest.mark.parametrize(
    ("sql", "parameters", "error"),
    [
        ("?", (17, "Egon"), ProgrammingError),
        ("?", (), ProgrammingError),
        ("?", 42, ProgrammingError),
        ("?", {1}, ProgrammingError),
        ("?", "a", ProgrammingError),
        ("?", None, ProgrammingError),
        ("?", (x for x in "a"), ProgrammingError),
        ("?", {"name": "foo"}, ProgrammingError),
        (":name", (), ProgrammingError),
        (":name, :id", {"name": "foo"}, ProgrammingError),
        ("?", Broken(), ZeroDivisionError),
    ],
)
def test_wrong_parameters(cursor, sql, parameters, error):
    with pytest.raises(error):
        cursor.execute(f"SELECT {sql}", parameters)
    assert cursor.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(("value", "column"), [(42, "id"), (2500.32, "income"), ("Hugo", "name")])
def test_each_type_as_a_parameter(cursor, value, column):
    cursor.execute(f"INSERT INTO people ({column}) VALUES (?)", (value,))
    row = cursor.execute(f"SELECT {column} FROM people WHERE {column} = ?", (value,)).fetchone()
    assert row == (value,)


# -- executemany


class Counter:
    """An iterator by hand."""

    def __init__(self):
        self.value = 5

    def __iter__(self):
        return self

    def __next__(self):
        if self.value == 10:
            raise StopIteration
        self.value += 1
        return (self.value,)


@pytest.mark.parametrize(
    ("make", "count"),
    [(lambda: [(x,) for x in range(10)], 10), (Counter, 5), (lambda: ((x,) for x in "ab"), 2)],
)
def test_executemany_takes_any_iterable(cursor, make, count):
    cursor.executemany("INSERT INTO people (income) VALUES (?)", make())
    assert cursor.rowcount == count


@pytest.mark.parametrize(
    ("sql", "items", "error"),
    [
        (42, [(3,)], TypeError),
        ("INSERT INTO people (income) VALUES (?)", 42, TypeError),
        ("SELECT ?", [(3,)], ProgrammingError),
        ("INSERT INTO people (income) VALUES (?)", [(3,), (3, 4)], ProgrammingError),
    ],
)
def test_executemany_refuses(cursor, sql, items, error):
    with pytest.raises(error):
        cursor.executemany(sql, items)


def test_executemany_passes_an_iterable_s_own_error_on(connection, cursor):
    def items():
        yield (1,)
        raise LookupError

    with pytest.raises(LookupError):
        cursor.executemany("INSERT INTO people (income) VALUES (?)", items())
    assert connection.execute("SELECT count(*) FROM people").fetchone() == (2,)


# -- lastrowid, rowcount


@pytest.mark.parametrize("verb", ["REPLACE", "INSERT OR REPLACE"])
def test_lastrowid_of_a_replacement(cursor, verb):
    for _ in range(2):
        cursor.execute(f"{verb} INTO people (id, code) VALUES (1, 'foo')")
        assert cursor.lastrowid == 1


def test_lastrowid_stays_where_nothing_was_inserted(cursor):
    for _ in range(2):
        cursor.execute("INSERT OR IGNORE INTO people (code) VALUES ('test')")
        assert cursor.lastrowid == 2


@pytest.mark.parametrize("conflict", ["FAIL", "ABORT", "ROLLBACK"])
def test_lastrowid_survives_a_failure(cursor, conflict):
    sql = f"INSERT OR {conflict} INTO people (code) VALUES ('x')"
    cursor.execute(sql)
    with pytest.raises(IntegrityError):
        cursor.execute(sql)
    assert cursor.lastrowid == 2


@pytest.mark.parametrize("verb", ["UPDATE people SET name = 'bar'", "DELETE FROM people"])
def test_rowcount_of_returning(connection, cursor, verb):
    if connection.server.flavour.returning == "refused":
        with pytest.raises(NotSupportedError):
            cursor.execute(f"{verb} RETURNING 1")
        return
    cursor.execute(f"{verb} RETURNING 1")
    assert cursor.fetchone() == (1,)
    assert cursor.rowcount == 1
