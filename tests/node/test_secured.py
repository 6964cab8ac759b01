"""Members behind their gates: a whole cluster over TLS, and who is kept out of it."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
import ssl
import struct
from contextlib import closing

import pytest

import dqlite_dbapi
from dqlite_dbapi import Role, tls_context
from dqlite_node import Client, LocalCluster, Node, NodeNotRunningError, NodeStartError
from dqlite_node.local import reserve_port
from tests.node.test_frames import HELLO, connect, header, message

BOTH = pytest.mark.parametrize("in_process", [False, True], ids=["child", "in_process"])


@pytest.fixture(scope="module")
def secured(certificates, engine):
    """Three voters over TLS."""
    with LocalCluster(3, tls=certificates.member(), launcher=engine.launcher) as cluster:
        yield cluster


@pytest.fixture
def open_as(secured, certificates):
    """Connect to the cluster's database with a named pair."""
    opened = []

    def make(name="client", **options):
        options = {**certificates.options(name), "connect_timeout": 2.0, **options}
        opened.append(dqlite_dbapi.connect(secured.addresses, "app", **options))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


def test_a_client_writes_and_reads(open_as):
    with open_as(autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (a, b)")
        connection.execute("DELETE FROM t")
        blob = os.urandom(1_000_000)
        connection.execute("INSERT INTO t VALUES (?, ?)", (1, blob))
        for number in range(2, 50):
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x"))
        assert connection.execute("SELECT b FROM t WHERE a = 1").fetchone() == (blob,)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (49,)


def test_members_replicate(secured, certificates, open_as):
    with open_as(autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS u (a)")
        connection.execute("DELETE FROM u")
        connection.execute("INSERT INTO u VALUES (42)")
    with Client(secured.addresses, **certificates.options("operator")) as client:
        assert [member.role for member in client.cluster()] == [Role.VOTER] * 3
        old = client.leader()
        client.transfer()
        assert client.leader() != old
    with open_as() as connection:
        assert connection.execute("SELECT a FROM u").fetchall() == [(42,)]


@pytest.mark.parametrize("name", [None, "other/client", "expired"])
def test_clients_that_are_kept_out(open_as, certificates, name):
    options = {} if name != "other/client" else {"tls_ca": certificates.path("ca.pem")}
    with pytest.raises(dqlite_dbapi.OperationalError):
        open_as(name, connect_timeout=0.5, **options)


def test_a_plain_client_is_kept_out(secured):
    with pytest.raises(dqlite_dbapi.OperationalError):
        dqlite_dbapi.connect(secured.addresses, "app", connect_timeout=0.5)


def test_a_client_may_not_change_the_cluster(secured, certificates, open_as):
    with open_as() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS u (a)")
    with Client(secured.addresses, **certificates.options("client")) as client:
        members = client.cluster()
        for call in (
            lambda: client.remove(members[0].id),
            client.transfer,
            lambda: client.assign(members[0].id, Role.SPARE),
            lambda: client.weight(members[0].address, 3),
            lambda: client.dump("app"),
        ):
            with pytest.raises(dqlite_dbapi.Error) as caught:
                call()
            assert caught.value.code == 23
    with Client(secured.addresses, **certificates.options("operator")) as client:
        assert client.cluster() == members
        assert client.dump("app")


@pytest.mark.parametrize(
    "stream",
    [
        HELLO + header(0, 0),
        HELLO + header(0x20000000, 0),
        HELLO + message(18, struct.pack("<Q", 1)),
        HELLO + message(3, b":memory:" + bytes(24)),
        HELLO + message(2),
    ],
    ids=["no words", "absurd", "DESCRIBE", "OPEN", "unknown"],
)
def test_what_kills_engines_is_cut(secured, certificates, stream):
    files = certificates.member("client")
    context = tls_context(ca=files.ca, cert=files.cert, key=files.key)
    pids = [member.pid for member in secured.members]
    for member in secured.members:
        host, port = member.address.split(":")
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            peer = context.wrap_socket(raw, server_hostname=host)
            peer.sendall(stream)
            assert peer.recv(1) == b""
            peer.close()
    assert [member.pid for member in secured.members] == pids


def test_a_false_member_is_kept_out(secured, certificates):
    """CONNECT with a client's certificate, and as a host that the certificate does not name."""
    for name, address in (("client", secured.addresses[1]), ("elsewhere", secured.addresses[1])):
        files = certificates.member(name)
        context = tls_context(ca=files.ca, cert=files.cert, key=files.key)
        host, port = secured.addresses[0].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            peer = context.wrap_socket(raw, server_hostname=host)
            peer.sendall(HELLO + connect(2, address))
            assert struct.unpack_from("<Q", peer.recv(4096), 8) == (23,)
            peer.close()


@BOTH
@pytest.mark.parametrize("name", ["client", "elsewhere", "expired", "other/member", "missing"])
def test_a_member_that_peers_would_refuse_does_not_start(make_node, certificates, name, in_process):
    node = make_node(tls=certificates.member(name), in_process=in_process)
    with pytest.raises(NodeStartError) as caught:
        node.start()
    assert caught.value.hint
    assert not node.is_running


@BOTH
def test_a_member_alone(make_node, certificates, in_process):
    node = make_node(tls=certificates.member(), in_process=in_process)
    with node:
        assert node.bind_address == node.address
        node.open_db("app")
        node.exec("CREATE TABLE t (a)")
        assert node.exec("INSERT INTO t VALUES (1)") == (1, 1)
        assert node.query("SELECT a FROM t") == [{"a": 1}]
        assert node.query("SELECT a FROM t", consistency="stale") == [{"a": 1}]
        node.stop()
        node.start()
        assert node.query("SELECT a FROM t") == [{"a": 1}]


@BOTH
def test_nothing_is_left_over(make_node, certificates, in_process):
    node = make_node(tls=certificates.member(), in_process=in_process)
    with node:
        node.stop()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            node.start()
            node.stop()
        assert len(os.listdir("/proc/self/fd")) <= before


def test_a_taken_port(make_node, certificates):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NodeStartError) as caught:
            make_node(address, tls=certificates.member()).start()
        assert caught.value.hint


def test_members_with_a_list_find_each_other(certificates, tmp_path):
    """In any start order, names as hosts, and over TLS only."""
    reservations = [reserve_port() for _ in range(3)]
    addresses = [f"localhost:{each.getsockname()[1]}" for each in reservations]
    nodes = [
        Node(address, tmp_path / str(number), cluster=addresses, tls=certificates.member())
        for number, address in enumerate(addresses)
    ]
    try:
        for node in reversed(nodes):
            node.start()
        for node in nodes:
            node.wait_ready()
        nodes[0].open_db("app")
        nodes[0].exec("CREATE TABLE t (a)")
        nodes[2].open_db("app")
        nodes[2].exec("INSERT INTO t VALUES (1)")
        assert nodes[1].address in {each.address for each in _members(nodes[1], certificates)}
        nodes[0].stop()
        assert nodes[2].query("SELECT a FROM t") == [{"a": 1}]
    finally:
        for each in (*nodes, *reservations):
            each.close()


def _members(node, certificates):
    with Client(node.address, **certificates.options("client")) as client:
        return client.cluster()


def test_failover(certificates, engine):
    options = {"autocommit": True, **certificates.options("client")}
    with LocalCluster(3, tls=certificates.member(), launcher=engine.launcher) as cluster:
        with closing(dqlite_dbapi.connect(cluster.addresses, "app", **options)) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.execute("INSERT INTO t VALUES (1)")
            cluster.kill(cluster.leader_index())
        with closing(dqlite_dbapi.connect(cluster.addresses, "app", **options)) as connection:
            connection.execute("INSERT INTO t VALUES (2)")
            assert connection.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]


@BOTH
def test_new_files_while_it_runs(make_node, certificates, tmp_path, in_process, eventually, caplog):
    caplog.set_level(logging.INFO, "dqlite_node")
    files = certificates.copy(tmp_path / "own")
    node = make_node(tls=files, in_process=in_process)
    with pytest.raises(NodeNotRunningError):
        node.reload_tls()
    with node:
        first = _serial(node, certificates)
        certificates.replace(tmp_path / "own", "ending")
        node.reload_tls()
        eventually(lambda: _serial(node, certificates) != first)
        eventually(lambda: any("expires" in each.getMessage() for each in caplog.records))
        certificates.replace(tmp_path / "own", "client")
        node.reload_tls()
        assert _serial(node, certificates) != first


def _serial(node, certificates):
    files = certificates.member("client")
    context = tls_context(ca=files.ca, cert=files.cert, key=files.key)
    host, _, port = node.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        peer = context.wrap_socket(raw, server_hostname=host)
        serial = peer.getpeercert()["serialNumber"]
        peer.close()
        return serial


def test_a_shared_certificate_without_roles_as_go_dqlite_has(tmp_path, make_node):
    """One self-signed pair that is its own authority, and one name for all."""
    from tests.support.certificates import shared_pair

    files = shared_pair(tmp_path, "cluster.example", default_role="member")
    with make_node(tls=files) as node:
        node.open_db("app")
        node.exec("CREATE TABLE t (a)")
        assert node.query("SELECT count(*) AS n FROM t") == [{"n": 0}]
    strict = dataclasses.replace(files, default_role=None)
    with pytest.raises(NodeStartError):
        make_node(tls=strict, data_dir=tmp_path / "strict").start()


def test_no_secret_is_shown(certificates):
    files = certificates.member(key_password="secret")
    assert "secret" not in repr(files) + str(files)
    assert "secret" not in repr(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
