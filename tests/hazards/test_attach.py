"""Hazard H10: an unnamed database, which is temporary, is the one that may be attached."""

from __future__ import annotations

import pytest

from dqlite_dbapi.errors import DataError, OperationalError

LARGE = """
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 40)
SELECT zeroblob(1000000) FROM c
"""


def attach(connection):
    """Attach an unnamed database as `s`; False where the engine allows none."""
    try:
        connection.execute("ATTACH DATABASE '' AS s")
    except OperationalError:
        return False
    return True


@pytest.mark.parametrize("temp_store", ["MEMORY", "FILE"])
def test_h10_an_unnamed_database_is_harmless(connection, connect, temp_store):
    if temp_store == "FILE" and not connection.server.flavour.temp_files:
        return
    connection.execute(f"PRAGMA temp_store = {temp_store}")
    if not attach(connection):
        return
    connection.execute(f"CREATE TABLE s.big AS {LARGE}")
    connection.execute("CREATE TABLE s.t (a)")
    for end in ("COMMIT", "ROLLBACK"):
        for first, second in (("t", "s.t"), ("s.t", "t")):
            connection.execute("BEGIN")
            connection.execute(f"INSERT INTO {first}(a) VALUES (1)")
            connection.execute("SAVEPOINT p")
            connection.execute(f"INSERT INTO {second}(a) SELECT a FROM {first}")
            connection.execute("ROLLBACK TO p")
            connection.execute(f"INSERT INTO {second}(a) VALUES (2)")
            connection.execute(end)
    other = connect(autocommit=True)
    assert other.execute("SELECT count(*) FROM t").fetchone() == (3,)
    assert connection.execute("SELECT count(*) FROM s.t").fetchone() == (2,)
    with pytest.raises(OperationalError):
        other.execute("SELECT * FROM s.t")


def test_h4_h10_values_in_an_unnamed_database(connection):
    if attach(connection):
        connection.execute("CREATE TABLE s.p (v BOOLEAN)")
        for name in ("p", "s.p", 'S."P"'):
            with pytest.raises(DataError):
                connection.execute(f"INSERT INTO {name} VALUES (?)", (1.5,))
        assert connection.execute("SELECT * FROM p").fetchall() == []
