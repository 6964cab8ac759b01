"""litecli's query runner and completion on a connection of ours, as a shell would use them."""

from __future__ import annotations

import pytest

from dqlite_dbapi import OperationalError
from tests.support.components import need

INSTALL = "'litecli>=1.17'"


@pytest.fixture
def shell(connect):
    """litecli's executor with the one method replaced that opens a file."""
    runner = need("litecli.sqlexecute", INSTALL)

    class Shell(runner.SQLExecute):
        def connect(self, database=None):
            self.conn = connect(isolation_level=None)
            self.conn.text_factory = lambda data: data.decode("utf-8", "backslashreplace")

    shell = Shell("main")
    run(
        shell,
        "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT); CREATE VIEW v AS SELECT 1 AS x",
    )
    run(shell, "CREATE INDEX by_title ON books (title)")
    run(shell, "INSERT INTO books VALUES (1, 'Momo'), (2, 'Krabat')")
    return shell


def run(shell, text):
    """Rows, column names and status of each statement or command in `text`."""
    return [
        (None if rows is None else list(rows), names, status)
        for _, rows, names, status in shell.run(text)
    ]


def test_statements(shell):
    assert run(shell, "SELECT * FROM books; UPDATE books SET title = 'M' WHERE id = 1") == [
        ([(1, "Momo"), (2, "Krabat")], ["id", "title"], "2 rows in set"),
        (None, None, "Query OK, 1 row affected"),
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (".tables", [("books",), ("v",)]),
        (".tables bo", [("books",)]),
        ("\\dt", [("books",), ("v",)]),
        (".views", [("v",)]),
        (".indexes", [("by_title", "CREATE INDEX by_title ON books (title)")]),
        (".schema v", [("CREATE VIEW v AS SELECT 1 AS x",)]),
        ("\\d books", [(0, "id", "INTEGER", 0, None, 1), (1, "title", "TEXT", 0, None, 0)]),
    ],
)
def test_commands(shell, command, expected):
    ((rows, names, _),) = run(shell, command)
    assert rows == expected
    assert names


def test_databases(shell):
    ((rows, _, _),) = run(shell, ".databases")
    assert [row[1] for row in rows] == ["main"]


def test_a_transaction_over_several_lines(shell):
    for line in ("BEGIN", "DELETE FROM books", "ROLLBACK"):
        assert run(shell, line)
    assert run(shell, "SELECT count(*) FROM books")[0][0] == [(2,)]


def test_an_error_is_raised_and_the_shell_goes_on(shell):
    with pytest.raises(OperationalError):
        run(shell, "SELECT * FROM nothing")
    assert run(shell, "SELECT 1")[0][0] == [(1,)]


def test_import_of_a_csv_file(shell, tmp_path):
    path = tmp_path / "books.csv"
    path.write_text("3,Tintenherz\n4,Emil\n", encoding="utf-8")
    run(shell, f".import {path} books")
    assert run(shell, "SELECT title FROM books WHERE id > 2")[0][0] == [("Tintenherz",), ("Emil",)]


def test_completion(shell):
    completer = need("litecli.sqlcompleter", INSTALL).SQLCompleter()
    document = need("prompt_toolkit.document", INSTALL).Document
    assert list(shell.databases()) == ["main"]
    completer.extend_schemata("main")
    completer.set_dbname("main")
    completer.extend_relations(list(shell.tables()), kind="tables")
    completer.extend_columns(list(shell.table_columns()), kind="tables")
    for text, expected in (
        ("SELECT * FROM bo", "books"),
        ("SELECT * FROM books WHERE ti", "title"),
    ):
        found = completer.get_completions(document(text, len(text)), None)
        assert expected in [completion.text for completion in found]
