"""The gate in front of a scripted engine; with real members see test_secured.py."""

from __future__ import annotations

import dataclasses
import os
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress

import pytest

from dqlite_dbapi import tls_context
from dqlite_node import NodeError
from dqlite_node.proxy import HANDSHAKES, Gate
from dqlite_node.tls import Keyring
from tests.node.test_frames import HELLO, connect, header, message
from tests.support.echo import EchoEngine
from tests.support.fakeserver import FakeServer

LEADER = HELLO + message(0)
FAILURE = 0


@pytest.fixture
def echo():
    served = EchoEngine()
    yield served
    served.close()


@pytest.fixture
def make_gate(echo, port, certificates):
    gates = []

    def make(files=None, **options):
        address = f"127.0.0.1:{port}"
        gate = Gate(Keyring(files or certificates.member(), address), address, 2.0, **options)
        gates.append(gate)
        gate.bind(address)
        gate.listen(echo.name)
        return gate

    yield make
    for gate in gates:
        gate.close()


@pytest.fixture
def dial(certificates, port):
    """Connect with a named pair; the sockets are closed when the test ends."""
    opened = []

    def connect_as(name="client", context=None):
        raw = socket.create_connection(("127.0.0.1", port), timeout=10)
        opened.append(raw)
        files = certificates.member(name)
        context = context or tls_context(ca=certificates.path("ca.pem"), cert=files.cert,
                                         key=files.key)  # fmt: skip
        peer = context.wrap_socket(raw, server_hostname="127.0.0.1")
        opened.append(peer)
        return peer

    yield connect_as
    for each in opened:
        each.close()


def read(peer, size):
    got = b""
    while len(got) < size:
        chunk = peer.recv(65536)
        if not chunk:
            break
        got += chunk
    return got


def exchange(peer, sent):
    """Send and read in turns: two threads must not share a TLS socket."""
    peer.setblocking(False)
    got, waiting, give_up = b"", memoryview(sent), time.monotonic() + 10
    while len(got) < len(sent) and time.monotonic() < give_up:
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            waiting = waiting[peer.send(waiting[:16384]) :] if waiting else waiting
        with suppress(ssl.SSLWantReadError):
            got += peer.recv(65536)
    peer.settimeout(10)
    return got


def rest(peer):
    """All that comes until the gate closes, which must not take long."""
    got = b""
    try:
        while chunk := peer.recv(65536):
            got += chunk
    except (ssl.SSLError, ConnectionError):
        pass
    return got


def test_bytes_pass_both_ways(make_gate, dial):
    make_gate()
    peer = dial()
    assert peer.version() == "TLSv1.3"
    peer.sendall(LEADER)
    assert read(peer, len(LEADER)) == LEADER
    for size in (1, 1000, 300_000):
        sent = header(size, 8) + os.urandom(8 * size)
        assert exchange(peer, sent) == sent


def test_bytes_one_by_one(make_gate, dial):
    make_gate()
    peer = dial()
    for byte in LEADER + message(16):
        peer.sendall(bytes([byte]))
    assert read(peer, len(LEADER) + 16) == LEADER + message(16)


def test_a_peer_that_does_not_read_holds_up_nobody(make_gate, dial):
    make_gate()
    lazy, other = dial(), dial()
    lazy.settimeout(0.5)
    with pytest.raises((TimeoutError, ssl.SSLWantWriteError)):
        lazy.sendall(HELLO + header(2**24, 8) + bytes(2**26))
    started = time.monotonic()
    other.sendall(LEADER)
    assert read(other, len(LEADER)) == LEADER
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("name", ["other/client", "expired"])
def test_certificates_that_are_refused(make_gate, dial, echo, name):
    make_gate()
    with pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: PT012 - TLS 1.3 tells late
        peer = dial(name)
        peer.sendall(LEADER)
        assert peer.recv(1) != b""
    assert not echo.got


def test_no_certificate(make_gate, dial, certificates, echo):
    make_gate()
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):  # noqa: PT012
        peer = dial(context=tls_context(ca=certificates.path("ca.pem")))
        peer.sendall(LEADER)
        peer.recv(1)
    assert not echo.got


def test_old_tls(make_gate, dial, certificates):
    make_gate()
    files = certificates.member("client")
    context = tls_context(ca=files.ca, cert=files.cert, key=files.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    peer = dial(context=context)
    peer.sendall(LEADER)
    assert read(peer, len(LEADER)) == LEADER
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        dial(context=context)


def test_a_plain_client(make_gate, port, echo):
    make_gate()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(LEADER)
        rest(raw)
    assert not echo.got


def test_a_stalled_handshake(make_gate, port):
    make_gate(handshake_timeout=0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01")
        started = time.monotonic()
        assert rest(raw) == b""
        assert time.monotonic() - started < 5


def test_stalled_handshakes_do_not_keep_members_out(make_gate, port, dial):
    make_gate(handshake_timeout=1.0)
    stalled = [socket.create_connection(("127.0.0.1", port)) for _ in range(HANDSHAKES + 8)]
    deadline = time.monotonic() + 10
    while True:
        try:
            peer = dial()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    peer.sendall(LEADER)
    assert read(peer, len(LEADER)) == LEADER
    for each in stalled:
        each.close()


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack("<Q", 7),
        HELLO + header(0, 0),
        HELLO + header(0xFFFFFFFF, 0),
        HELLO + message(99),
        HELLO + message(18, struct.pack("<Q", 1)),
        HELLO + message(16, struct.pack("<Q", 2)),
        HELLO + message(3, b":memory:" + bytes(24)),
    ],
    ids=range(7),
)
def test_malformed_frames_are_cut_before_the_engine(make_gate, dial, echo, stream):
    make_gate()
    peer = dial("member")
    peer.sendall(stream)
    assert rest(peer) == b""
    assert not echo.got


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("client", connect()),
        ("operator", connect()),
        ("backup", message(8)),
        *[("client", message(kind)) for kind in (12, 13, 14, 15, 17, 19)],
    ],
    ids=range(9),
)
def test_what_a_role_does_not_allow_is_answered_and_cut(make_gate, dial, echo, name, stream):
    make_gate()
    peer = dial(name)
    peer.sendall(HELLO + stream)
    answer = rest(peer)
    assert answer[4] == FAILURE
    assert struct.unpack_from("<Q", answer, 8) == (23,)
    assert not echo.got


@pytest.mark.parametrize(
    ("name", "node_id", "address", "passes"),
    [
        ("member", 2, "127.0.0.1:9002", True),
        ("member", 2, "[::1]:9002", True),
        ("member", 2, "10.0.0.9:9002", False),
        ("member", 2, "nonsense", False),
        ("numbered", 2, "127.0.0.1:9002", True),
        ("numbered", 3, "127.0.0.1:9002", False),
        ("elsewhere", 2, "127.0.0.1:9002", False),
        ("elsewhere", 2, "elsewhere.example:1", True),
    ],
)
def test_a_member_connects_as_itself_only(make_gate, dial, echo, name, node_id, address, passes):
    make_gate()
    peer = dial(name)
    stream = HELLO + connect(node_id, address) + bytes(16)
    peer.sendall(stream)
    if passes:
        assert read(peer, len(stream)) == stream
    else:
        assert rest(peer)[4] == FAILURE
        assert not echo.got


@pytest.mark.parametrize(("role", "passes"), [(None, False), ("member", True)])
def test_certificates_without_roles(make_gate, dial, certificates, role, passes, tmp_path):
    bare = certificates.bare(tmp_path)
    make_gate(dataclasses.replace(certificates.member(default_role=role), ca=bare.ca))
    context = tls_context(ca=bare.ca, cert=bare.cert, key=bare.key)
    peer = dial(context=context)
    stream = HELLO + connect()
    peer.sendall(stream)
    if passes:
        assert read(peer, len(stream)) == stream
    else:
        assert rest(peer)[4] == FAILURE


def test_connections_of_one_address_are_counted(make_gate, dial, certificates):
    make_gate(certificates.member(connections=2))
    peers = [dial(), dial()]
    for peer in peers:
        peer.sendall(LEADER)
        assert read(peer, len(LEADER)) == LEADER
    assert rest(dial()) == b""
    member = dial("member")
    member.sendall(LEADER)
    assert read(member, len(LEADER)) == LEADER
    peers[0].close()
    deadline = time.monotonic() + 5
    while True:
        again = dial()
        try:
            again.sendall(LEADER)
            if read(again, len(LEADER)) == LEADER:
                break
        except OSError:
            assert time.monotonic() < deadline


def test_the_end_of_the_engine_is_passed_on(make_gate, dial, echo):
    make_gate()
    peer = dial()
    peer.sendall(LEADER)
    read(peer, len(LEADER))
    echo.hang_up()
    assert rest(peer) == b""


def test_new_certificates_without_a_restart(make_gate, dial, certificates, tmp_path, eventually):
    gate = make_gate(certificates.copy(tmp_path / "own"))
    before = dial()
    serial = before.getpeercert()["serialNumber"]
    certificates.replace(tmp_path / "own", "ending")
    gate.refresh()
    eventually(lambda: dial().getpeercert()["serialNumber"] != serial)
    before.sendall(LEADER)
    assert read(before, len(LEADER)) == LEADER


def test_files_are_looked_at_without_being_told(
    make_gate, dial, certificates, tmp_path, eventually
):
    make_gate(certificates.copy(tmp_path / "own"))
    serial = dial().getpeercert()["serialNumber"]
    certificates.replace(tmp_path / "own", "ending")
    eventually(lambda: dial().getpeercert()["serialNumber"] != serial)


# -- dialling


def test_the_dialled_end_is_plain(make_gate, certificates, port):
    gate = make_gate()
    descriptor = gate.dial(f"127.0.0.1:{port}")
    with socket.socket(fileno=descriptor) as plain:
        plain.settimeout(10)
        assert os.get_blocking(descriptor) or plain.gettimeout()
        plain.sendall(HELLO + connect())
    assert not gate.dial.failures


@pytest.mark.parametrize("name", ["elsewhere", "expired", "client", "other/member"])
def test_peers_that_are_not_believed(make_gate, certificates, name):
    gate = make_gate()
    files = certificates.member(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    with FakeServer(lambda _: None, context) as peer:
        assert gate.dial(peer.address) is None
        assert isinstance(gate.dial.failures[peer.address], ssl.SSLCertVerificationError)


def test_a_plain_peer_is_not_dialled(make_gate):
    gate = make_gate()

    def silent(connection):
        connection.recv(65536)
        connection.sendall(b"SSH-2.0\r\n\r\n")

    with FakeServer(silent) as peer:
        assert gate.dial(peer.address) is None
        assert peer.address in gate.dial.failures


def test_nothing_is_left_over(make_gate, dial, eventually):
    gate = make_gate()
    dial().sendall(LEADER)
    held = len(os.listdir("/proc/self/fd"))
    gate.close()
    gate.close()
    assert len(os.listdir("/proc/self/fd")) < held
    assert gate.dial("127.0.0.1:1") is None
    assert not [each for each in threading.enumerate() if "gate" in each.name]


def test_a_taken_port(make_gate, echo, certificates):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gate = Gate(Keyring(certificates.member(), address), address, 2.0)
        with pytest.raises(NodeError):
            gate.bind(address)
        gate.close()
