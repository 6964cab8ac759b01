"""A forked child never uses its parent's sockets, and the parent does not notice it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
from contextlib import closing

import pytest

import dqlite_dbapi
import dqlite_dbapi.aio
from dqlite_dbapi import ConnectionLost, Error
from dqlite_dbapi._sync import SyncIO
from dqlite_dbapi.protocol.effects import Open
from tests.support.fakeserver import FakeServer


@pytest.fixture
def driver_connect():
    return dqlite_dbapi.connect


def in_child(action):
    """Run `action` in a forked child; what it returns, or the error it raised."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            sending.send(action())
        except Exception as error:
            sending.send(error)
        finally:
            os._exit(0)
    sending.close()
    with receiving:
        result = receiving.recv()
    os.waitpid(pid, 0)
    return result


def test_a_child_uses_a_socket_of_its_own(connection, table):
    connection.execute("INSERT INTO t (value) VALUES ('of the parent')")
    connection.commit()
    seen = in_child(lambda: connection.execute("SELECT count(*) FROM t").fetchone())
    assert seen == (4,)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_a_transaction_stays_with_the_parent(connection, table):
    connection.execute("INSERT INTO t (value) VALUES ('of the parent')")
    assert isinstance(in_child(connection.commit), ConnectionLost)
    assert in_child(connection.close) is None
    connection.commit()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_a_child_that_ends_leaves_half_read_results_alone(connection):
    count = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000) "
    cursor = connection.execute(count + "SELECT n FROM c")
    assert isinstance(in_child(lambda: len(cursor.fetchall())), (Error, int))
    assert len(cursor.fetchall()) == 20_000


def test_the_flow_that_forks_goes_on_in_the_parent_only():
    def forking():
        yield Open(server.address, 5.0)
        pid = os.fork()
        if pid == 0:
            try:
                yield b"from the child"
            except ConnectionLost:
                os._exit(7)
            os._exit(1)
        status = os.waitpid(pid, 0)[1]
        return os.waitstatus_to_exitcode(status), (yield b"from the parent")

    echo = FakeServer(lambda peer: peer.sendall(peer.recv(100)) or peer.recv(1))
    with echo as server, closing(SyncIO()) as runner:
        assert runner.run(forking()) == (7, b"from the parent")


def test_a_program_that_is_started_inherits_no_socket(connection):
    command = ["ls", "-l", "/proc/self/fd"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, close_fds=False)
    assert done.stdout.count("socket:") == 0
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_asyncio(single, database):
    async def count(connection):
        return await (await connection.execute("SELECT count(*) FROM t")).fetchone()

    async def main():
        connection = await dqlite_dbapi.aio.connect(single.addresses, database)
        await connection.execute("CREATE TABLE t (a)")
        await connection.commit()
        await connection.execute("INSERT INTO t VALUES (1)")
        lost = in_child(lambda: asyncio.run(connection.commit()))
        await connection.commit()
        own = in_child(lambda: asyncio.run(count(connection)))
        seen = await count(connection)
        await connection.close()
        return lost, own, seen

    lost, own, seen = asyncio.run(main())
    assert isinstance(lost, ConnectionLost)
    assert own == seen == (1,)
