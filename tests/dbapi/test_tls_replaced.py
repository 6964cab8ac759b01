"""TLS files that are replaced while connections live: a reconnect takes them as they are then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

import dqlite_dbapi
from dqlite_dbapi import NoLeader
from dqlite_dbapi.aio.pool import AsyncConnectionPool
from dqlite_dbapi.pool import ConnectionPool
from tests.support.tlsproxy import Authority, TLSProxy


class Replaced:
    """Two fronts, each of an authority of its own, and the files that a client has for one."""

    def __init__(self, target, authorities, directory):
        self.fronts = [
            TLSProxy(target, each.server("127.0.0.1", clients=each)) for each in authorities
        ]
        self.addresses = [front.address for front in self.fronts]
        self._directory = directory

    def turn(self, signer):
        """Put the files of another authority in place."""
        ca = signer.write(self._directory)
        files = signer.client(self._directory)
        self.key = Path(files.key)
        self.options = {"tls_ca": ca, "tls_cert": files.cert, "tls_key": files.key}


@pytest.fixture(scope="module")
def later():
    """The authority that takes over."""
    return Authority()


@pytest.fixture
def replaced(single, later, tmp_path):
    """The client's files are of the first front's authority."""
    authority = Authority()
    files = Replaced(single.addresses[0], [authority, later], tmp_path)
    files.turn(authority)
    with files.fronts[1]:
        files.first = ExitStack()
        with files.first:
            files.first.enter_context(files.fronts[0])
            yield files


@pytest.fixture
def connect(driver_connect, database):
    """Open connections that list both fronts; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(files, **options):
            options = {"autocommit": True, **files.options, **options}
            connection = driver_connect(files.addresses, database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one


def test_a_reconnect_takes_the_files_as_they_are_now(connect, replaced, later):
    connection = connect(replaced)
    assert connection.server.address == replaced.addresses[0]
    replaced.turn(later)
    replaced.first.close()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    assert connection.server.address == replaced.addresses[1]


def test_files_that_are_no_good_are_not_used(connect, replaced, caplog):
    connection = connect(replaced)
    good = replaced.key.read_bytes()
    for spoil in (
        lambda: replaced.key.write_text("half a k"),
        replaced.key.unlink,
        lambda: replaced.key.write_bytes(good),
    ):
        spoil()
        replaced.fronts[0].cut()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.server.address == replaced.addresses[0]
    assert caplog.text.count(str(replaced.key)) == 2


def test_a_context_of_the_programs_own_is_left_alone(connect, replaced, later):
    files = {name.removeprefix("tls_"): path for name, path in replaced.options.items()}
    context = dqlite_dbapi.tls_context(**files)
    files = dict.fromkeys(replaced.options)
    connection = connect(replaced, ssl=context, timeout=0.7, **files)
    replaced.turn(later)
    replaced.first.close()
    with pytest.raises(NoLeader):
        connection.execute("SELECT 1")


@pytest.fixture(params=[ConnectionPool, AsyncConnectionPool])
def make_pool(request, loop_thread):
    """Make a pool of either kind; it is closed at the end."""
    with ExitStack() as stack:

        def make(*args, **options):
            if request.param is ConnectionPool:
                pool = ConnectionPool(*args, **options)
            else:
                pool = loop_thread.call(AsyncConnectionPool, *args, **options)
            stack.callback(pool.close)
            return pool

        yield make


def test_a_pool_takes_the_files_as_they_are_now(make_pool, replaced, later, database):
    pool = make_pool(replaced.addresses, database, autocommit=True, **replaced.options)
    with pool.connection() as connection:
        connection.execute("SELECT 1")
    replaced.turn(later)
    replaced.first.close()
    for _ in range(3):
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert connection.server.address == replaced.addresses[1]
