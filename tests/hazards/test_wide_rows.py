"""Hazard H13: a wide row that begins near the end of a page is written beyond the first buffer."""

from __future__ import annotations

from contextlib import closing

import pytest

ROWS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 12)"


def select(connection, row):
    return connection.execute(f"{ROWS} SELECT {row} FROM c")


def select_with_parameter(connection, row):
    return connection.execute(f"{ROWS} SELECT {row} FROM c WHERE x < ?", (99,))


def select_all(connection, row):
    return connection.execute(f"SELECT * FROM ({ROWS} SELECT {row} FROM c)")


def insert_returning(connection, row):
    """Where the engine refuses it, the same rows by SELECT."""
    if connection.server.flavour.returning == "refused":
        return select_all(connection, row)
    connection.execute("BEGIN")
    connection.execute(f"CREATE TEMP TABLE wide AS SELECT {row} FROM (SELECT 1 AS x) WHERE 0")
    return connection.execute(f"INSERT INTO wide {ROWS} SELECT {row} FROM c RETURNING *")


@pytest.mark.parametrize("ask", [select, select_with_parameter, select_all, insert_returning])
@pytest.mark.parametrize("columns", [17, 33, 100, 200, 500])
def test_h13_wide_rows_near_the_end_of_a_page(connect, columns, ask):
    """Each size on a new connection, whose member has not met a long row yet."""
    named = ", ".join(f"{n} AS c{n}" for n in range(1, columns))
    before = 8 + 8 * columns + (columns + 15) // 16 * 8 + 8 + 8 * (columns - 1)
    for gap in range(0, 56, 8):
        with closing(connect(autocommit=True)) as connection:
            size = max(4096 - before - gap, 0)
            rows = ask(connection, f"zeroblob({size}) AS b, {named}").fetchall()
        assert [len(row) for row in rows] == [columns] * 12
