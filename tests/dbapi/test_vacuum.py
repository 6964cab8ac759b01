"""Copies after a VACUUM, which damage members of some engines (server hazard H11)."""

from __future__ import annotations

from contextlib import closing

import pytest

import dqlite_dbapi
from dqlite_dbapi import NotSupportedError
from dqlite_dbapi.snapshot import snapshot
from dqlite_node import LocalCluster
from tests.support import engines


@pytest.mark.parametrize("name", engines.at_hand())
def test_a_copy_after_vacuum_harms_nothing(name):
    with (
        LocalCluster(1, launcher=engines.named(name).launcher) as own,
        closing(dqlite_dbapi.connect(own.addresses, autocommit=True, vacuum=True)) as connection,
    ):
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        connection.execute(
            "INSERT INTO t SELECT NULL, randomblob(3000) FROM pragma_function_list LIMIT 500"
        )
        connection.execute("DELETE FROM t WHERE id > 10")
        if not connection.server.flavour.vacuum:
            with pytest.raises(NotSupportedError):
                connection.execute("VACUUM")
            return
        connection.execute("VACUUM")
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
        assert tables == [("t",)]
        with snapshot(connection) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for _ in range(20):
            connection.execute("INSERT INTO t VALUES (NULL, randomblob(3000))")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (30,)
        assert own.members[0].is_running
