"""One member that tests try to hurt, and the proof that they did not."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

import dqlite_dbapi
from dqlite_dbapi.errors import Error
from dqlite_node import LocalCluster


class Victim:
    """A cluster of one member, replaced by a new one when a test has killed or locked it."""

    def __init__(self, launcher):
        self._launcher = launcher
        self._renew()

    def _renew(self):
        self.cluster = LocalCluster(1, launcher=self._launcher)
        self.cluster.start()
        self._pid = self.cluster.members[0].pid

    def close(self):
        """Kill it: 1.18.7 aborts by itself when it stops after a client left a result half read."""
        for member in self.cluster.members:
            if member.is_running:
                member.kill()
        self.cluster.close()

    @property
    def addresses(self):
        return self.cluster.addresses

    def damage(self, database):
        """What is wrong with the member: it died, or takes no writes. None if all is well."""
        found = None
        member = self.cluster.members[0]
        try:
            with dqlite_dbapi.connect(
                self.addresses, database, guard="off", busy_timeout=0.5, connect_timeout=3
            ) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS alive (a)")
                connection.execute("INSERT INTO alive VALUES (1)")
                connection.commit()
            connection.close()
        except Error as error:
            found = f"no write is possible: {error}"
        if member.pid != self._pid:
            found = f"the member died: {member.crash}"
        if found is not None:
            self.close()
            self._renew()
        return found


@pytest.fixture(scope="session")
def victim(engine):
    found = Victim(engine.launcher)
    yield found
    found.close()


@pytest.fixture
def connect(victim, database):
    """Open connections to one database; at the end the member must live and take a write."""
    with ExitStack() as stack:

        def open_one(**options):
            connection = dqlite_dbapi.connect(victim.addresses, database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one
    assert victim.damage(database) is None


@pytest.fixture
def connection(connect):
    """A connection in autocommit, with a table `t (id, a)` of one row."""
    connection = connect(autocommit=True)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    return connection
