"""TLS: what works through it, and every peer that must be refused; both drivers."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest

import dqlite_dbapi
from dqlite_dbapi import NoLeader
from dqlite_node import LocalCluster
from tests.support.fakeserver import FakeServer
from tests.support.flows import ScriptedCluster, refusals
from tests.support.tlsproxy import Authority, TLSProxy


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def stranger():
    """An authority that nobody trusts."""
    return Authority()


@pytest.fixture
def ca(authority, tmp_path):
    return authority.write(tmp_path)


@pytest.fixture
def serve():
    """Enter servers that are closed at the end."""
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def connect(driver_connect, database, ca):
    """Open connections that trust the authority; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(*addresses, **options):
            options = {"tls_ca": ca, "connect_timeout": 5.0, **options}
            connection = driver_connect(list(addresses), database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def proxy(single, authority, serve):
    return serve(TLSProxy(single.addresses[0], authority.server("127.0.0.1")))


# -- what works


def test_statements_and_results_of_every_size(connect, proxy):
    connection = connect(proxy.address)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
    values = [None, -(2**63), 1.5, "text", b"\0" * 5_000_000]
    connection.executemany("INSERT INTO t (value) VALUES (?)", [(value,) for value in values])
    connection.commit()
    assert connection.server.address == proxy.address
    rows = connection.execute("SELECT value FROM t ORDER BY id").fetchall()
    assert [value for (value,) in rows] == values
    count = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000) "
    cursor = connection.execute(count + "SELECT n, 'padding' FROM c")
    assert cursor.fetchone() == (1, "padding")
    assert len(cursor.fetchall()) == 19_999


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_client_certificate_that_is_required(
    version, connect, single, authority, serve, tmp_path
):
    context = authority.server("127.0.0.1", clients=authority)
    context.maximum_version = ssl.TLSVersion[version]
    proxy = serve(TLSProxy(single.addresses[0], context))
    files = authority.client(tmp_path)
    connection = connect(proxy.address, tls_cert=files.cert, tls_key=files.key)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_context_of_the_programs_own(connect, proxy, authority):
    context = ssl.create_default_context()
    authority.trust(context)
    connection = connect(proxy.address, ssl=context, tls_ca=None)
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_name_that_the_cluster_shares(connect, single, authority, serve):
    proxy = serve(TLSProxy(single.addresses[0], authority.server("dqlite.example")))
    connection = connect(proxy.address, tls_server_name="dqlite.example")
    assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", [".", "a..b", "x" * 300])
def test_a_shared_name_that_no_certificate_could_hold(connect, single, authority, serve, name):
    proxy = serve(TLSProxy(single.addresses[0], authority.server("127.0.0.1")))
    with pytest.raises(NoLeader) as caught:
        connect(proxy.address, tls_server_name=name, connect_timeout=0.5)
    assert proxy.address in str(caught.value)
    del caught
    gc.collect()  # a socket left open would be told of


def test_a_host_name_is_looked_for_in_the_certificate(connect, single, authority, serve):
    proxy = serve(TLSProxy(single.addresses[0], authority.server("localhost")))
    _, _, port = proxy.address.rpartition(":")
    connection = connect(f"localhost:{port}")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_options_in_a_url(driver_connect, proxy, ca, database):
    connection = driver_connect(f"dqlite://{proxy.address}/{database}?ssl=true&tls_ca={ca}")
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.close()


def test_a_write_after_the_connection_was_cut_is_repeated(connect, proxy):
    connection = connect(proxy.address, autocommit=True)
    connection.execute("CREATE TABLE t (a)")
    for number in range(3):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        proxy.cut()
        time.sleep(0.05)
    connection.execute("INSERT INTO t VALUES (3)")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_a_member_that_does_not_answer_is_cancelled(connect, authority, serve):
    def answer(peer):
        peer.sendall(ScriptedCluster({"m:1": "m:1"}).answers("m:1", peer.recv(65536)))
        peer.recv(65536)
        asked.set()
        peer.recv(1)

    asked = threading.Event()
    proxy = serve(TLSProxy(serve(FakeServer(answer)).address, authority.server("127.0.0.1")))
    connection = connect(proxy.address)
    cancelling = threading.Thread(target=lambda: asked.wait(10) and connection.cancel())
    cancelling.start()
    start = time.monotonic()
    with pytest.raises(dqlite_dbapi.Interrupted):
        connection.execute("SELECT 1")
    assert time.monotonic() - start < 5
    cancelling.join()


def test_a_silent_member_costs_the_timeout(connect, authority, serve):
    def answer(peer):
        peer.sendall(ScriptedCluster({"m:1": "m:1"}).answers("m:1", peer.recv(65536)))
        while peer.recv(65536):
            continue

    proxy = serve(TLSProxy(serve(FakeServer(answer)).address, authority.server("127.0.0.1")))
    connection = connect(proxy.address, timeout=0.3, autocommit=True)
    start = time.monotonic()
    with pytest.raises(dqlite_dbapi.CommitUnknown):
        connection.execute("DELETE FROM t")
    assert time.monotonic() - start < 5


# -- several members


@pytest.fixture
def proxies(cluster, authority, serve):
    """A proxy for each of three members; the members advertise their plain addresses."""
    context = authority.server("127.0.0.1")
    return [serve(TLSProxy(address, context)) for address in cluster.addresses]


def test_a_redirect_to_a_plain_address_is_not_followed_plainly(connect, cluster, proxies):
    leader = cluster.leader_index()
    follower = proxies[(leader + 1) % 3]
    with pytest.raises(NoLeader) as caught:
        connect(follower.address, connect_timeout=1.0)
    assert cluster.addresses[leader] in str(caught.value)
    assert connect(*(proxy.address for proxy in proxies)).server.address == proxies[leader].address


def follower_that_names(address):
    def answer(peer):
        peer.sendall(refusals(address, peer.recv(65536)))
        peer.recv(1)

    return answer


@pytest.mark.parametrize("shared_name", [None, "127.0.0.1"])
def test_a_redirect_is_verified_by_the_name_in_it(shared_name, connect, proxy, authority, serve):
    leader = proxy.address.replace("127.0.0.1", "localhost")
    follower = serve(FakeServer(follower_that_names(leader)))
    front = serve(TLSProxy(follower.address, authority.server("127.0.0.1")))
    if shared_name is None:
        with pytest.raises(NoLeader):
            connect(front.address, connect_timeout=0.7)
    else:
        connection = connect(front.address, tls_server_name=shared_name)
        assert connection.server.address == leader


def test_failover(driver_connect, authority, serve, ca, database):
    context = authority.server("127.0.0.1")
    with LocalCluster(3) as victims:
        fronts = [serve(TLSProxy(address, context)).address for address in victims.addresses]
        connection = driver_connect(fronts, database, tls_ca=ca, autocommit=True)
        connection.execute("CREATE TABLE t (a)")
        old = connection.server.address
        victims.kill(fronts.index(old))
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
        connection.execute("INSERT INTO t VALUES (1)")
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
        assert connection.server.address not in (old, *victims.addresses)
        connection.close()


# -- who is refused


def fails(connect, address, *, patience=5.0, **options):
    """Connecting fails in time, and names the address."""
    start = time.monotonic()
    with pytest.raises(NoLeader) as caught:
        connect(address, connect_timeout=patience, **options)
    assert time.monotonic() - start < 4, caught.value
    assert address in str(caught.value)


def test_a_server_of_an_unknown_authority(connect, single, stranger, serve):
    proxy = serve(TLSProxy(single.addresses[0], stranger.server("127.0.0.1")))
    fails(connect, proxy.address)


def test_a_server_of_an_authority_that_the_system_does_not_know(connect, proxy):
    fails(connect, proxy.address, ssl=True, tls_ca=None)


@pytest.mark.parametrize("names", [["localhost"], ["10.0.0.1"], ["client@example.org"]])
def test_a_server_with_another_name(names, connect, single, authority, serve):
    proxy = serve(TLSProxy(single.addresses[0], authority.server(*names)))
    fails(connect, proxy.address)


def test_an_expired_server(connect, single, authority, serve):
    context = authority.server("127.0.0.1", days=-1)
    fails(connect, serve(TLSProxy(single.addresses[0], context)).address)


def test_a_server_that_offers_only_old_versions(connect, single, authority, serve):
    context = authority.server("127.0.0.1")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    proxy = serve(TLSProxy(single.addresses[0], context))
    ours = ssl.create_default_context()
    authority.trust(ours)
    ours.maximum_version = ssl.TLSVersion.TLSv1_2
    fails(connect, proxy.address, ssl=ours, tls_ca=None)


def test_a_version_that_only_openssl_would_take(connect, single, authority, serve):
    """Debian's Python leaves the oldest version of a default context to OpenSSL."""
    theirs, ours = authority.server("127.0.0.1"), ssl.create_default_context()
    authority.trust(ours)
    for context in (theirs, ours):
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        theirs.maximum_version = ssl.TLSVersion.TLSv1_1
    proxy = serve(TLSProxy(single.addresses[0], theirs))
    host, _, port = proxy.address.rpartition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        ours.wrap_socket(plain, server_hostname=host) as secure,
    ):
        assert secure.version() == "TLSv1.1"
    fails(connect, proxy.address, ssl=ours, tls_ca=None)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("shown", ["none", "a stranger's"])
def test_a_client_that_the_server_refuses(
    version, shown, connect, single, authority, stranger, serve, tmp_path
):
    context = authority.server("127.0.0.1", clients=authority)
    context.maximum_version = ssl.TLSVersion[version]
    proxy = serve(TLSProxy(single.addresses[0], context))
    files = stranger.client(tmp_path)
    own = {} if shown == "none" else {"tls_cert": files.cert, "tls_key": files.key}
    fails(connect, proxy.address, patience=1.0, **own)


def test_a_member_that_speaks_plainly(connect, single, database):
    fails(connect, single.addresses[0], patience=0.5)
    with dqlite_dbapi.connect(single.addresses, database) as plain:
        assert plain.execute("SELECT 1").fetchone() == (1,)
    plain.close()


def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


HANDSHAKES = {
    "banner": lambda peer: peer.sendall(b"220 mail ready\r\n" * 9),
    "zeros": lambda peer: peer.sendall(bytes(4096)),
    "alert": lambda peer: peer.sendall(b"\x15\x03\x03\x00\x02\x02\x28"),
    "answers of a leader": lambda peer: peer.sendall(ScriptedCluster({"a": "a"}).answers("a")),
    "half a record": lambda peer: peer.sendall(b"\x16\x03\x03\x02\x00\x02"),
    "closed": lambda peer: None,
    "reset": reset,
}


@pytest.mark.parametrize("script", HANDSHAKES.values(), ids=list(HANDSHAKES))
def test_garbage_in_the_handshake_and_nothing_is_sent_plainly(script, connect, serve):
    sent = []

    def answer(peer):
        sent.append(peer.recv(65536))
        script(peer)

    fails(connect, serve(FakeServer(answer)).address, patience=0.5)
    records = {(first[:1], b"SELECT" in first) for first in sent}
    assert records == {(b"\x16", False)}


def drip(peer):
    for byte in b"\x16\x03\x03\x40\x00" + bytes(200):
        peer.sendall(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize("script", [lambda peer: peer.recv(65536) and peer.recv(1), drip])
def test_a_handshake_that_stalls_ends_with_the_deadline(script, connect, serve):
    fails(connect, serve(FakeServer(script)).address, patience=0.7)


def test_an_abstract_socket_has_no_name(connect):
    fails(connect, "@dqlite-nobody", patience=0.5)


def test_plain_connections_load_no_ssl(single, database):
    code = (
        "import sys, dqlite_dbapi\n"
        f"connection = dqlite_dbapi.connect({single.addresses!r}, {database!r})\n"
        "assert connection.execute('SELECT 1').fetchone() == (1,)\n"
        "connection.close()\n"
        "assert not {'ssl', '_ssl'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
