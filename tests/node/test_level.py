"""A member that came back catches up before others may stop."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing

import pytest

from dqlite_dbapi import NoLeader, connect
from dqlite_node import LocalCluster, NodeNotRunningError
from dqlite_node.level import FEW, Level, unread

ROWS = 400


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_what_is_not_read_is_counted(family, host, eventually):
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((host, port)) as sender, listener.accept()[0] as accepted:
            assert unread(os.getpid(), port) == 0
            sender.sendall(b"x" * 3000)
            eventually(lambda: unread(os.getpid(), port) == 3000)
            assert unread(os.getpid(), sender.getsockname()[1]) == 0
            accepted.recv(3000)
            eventually(lambda: unread(os.getpid(), port) == 0)


def test_a_pile_is_waited_for(eventually):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as sender,
            listener.accept()[0] as accepted,
        ):
            sender.sendall(b"x" * (FEW + 1))
            eventually(lambda: unread(os.getpid(), port) > FEW)
            level = Level(f"127.0.0.1:{port}")
            with pytest.raises(AssertionError):
                eventually(lambda: level.look(os.getpid()), 1.0)
            accepted.recv(FEW + 1, socket.MSG_WAITALL)
            eventually(lambda: level.look(os.getpid()))


def test_a_member_that_came_back_has_the_rows(engine, database):
    with LocalCluster(3, launcher=engine.launcher) as cluster:
        back = cluster.members[(cluster.leader_index() + 1) % 3]
        with closing(connect(cluster.addresses, database, autocommit=True)) as connection:
            connection.execute("CREATE TABLE t (a)")
            back.stop()
            for _ in range(ROWS):
                connection.execute("INSERT INTO t VALUES (randomblob(20000))")
            back.start()
            back.wait_level()
            back.open_db(database)
            rows = back.query("SELECT count(*) AS present FROM t", consistency="stale")
            assert rows == [{"present": ROWS}]


def test_no_level_without_a_leader(engine):
    with LocalCluster(3, launcher=engine.launcher) as cluster:
        for member in cluster.members[1:]:
            cluster.kill(member.id - 1)
            with pytest.raises(NodeNotRunningError):
                member.wait_level()
        time.sleep(1.0)  # a leader takes itself for one until it has missed answers for a while
        with pytest.raises(NoLeader):
            cluster.members[0].wait_level(1.0)
