"""A cluster in the middle of an upgrade: what a connection may do follows the present leader."""

from __future__ import annotations

import contextlib
import time

import pytest

import dqlite_dbapi
from dqlite_dbapi.errors import NotSupportedError, OperationalError
from tests.support.engines import at_hand, mixed

SQL = "INSERT INTO t(a) VALUES (?) RETURNING id"


def make_leader(client, member):
    """Hand leadership over; a member that still lacks entries refuses it for a moment."""
    give_up = time.monotonic() + 20
    while client.leader() != member.address:
        assert time.monotonic() < give_up, "the member does not become the leader"
        with contextlib.suppress(OperationalError):
            client.transfer(member.id)


def test_returning_follows_the_leader():
    engines = list(at_hand().values())
    with (
        mixed(*engines, engines[0], engines[-1]) as cluster,
        dqlite_dbapi.Client(cluster.addresses) as client,
    ):
        connection = dqlite_dbapi.connect(cluster.addresses, "app", autocommit=True)
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        inserted = 0
        seen = set()
        for number, member in enumerate(cluster.members):
            make_leader(client, member)
            connection.execute("DELETE FROM t WHERE id < 0")
            assert connection.server.address == member.address
            seen.add(connection.server.flavour.returning)
            if connection.server.flavour.returning == "refused":
                with pytest.raises(NotSupportedError):
                    connection.execute(SQL, (number,))
                continue
            inserted += 1
            assert connection.execute(SQL, (number,)).fetchall() == [(inserted,)]
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (inserted,)
        assert len(seen) == len(engines)
        connection.close()
        assert all(member.crash is None for member in cluster.members)
