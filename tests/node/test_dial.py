from __future__ import annotations

import fcntl
import logging
import os
import socket
import time

import pytest

from dqlite_node import NodeError
from dqlite_node.dial import Dialer, check_advertised, numeric_address, split_address


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as server:
        yield server


def address_of(server):
    host, port = server.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.fixture
def deaf():
    """A listening socket whose backlog is full: connecting to it hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        waiting = []
        for _ in range(4):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(server.getsockname())
            waiting.append(each)
        yield address_of(server)
        for each in waiting:
            each.close()


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("10.0.0.1:9001", ("10.0.0.1", 9001)),
        ("db1.example.org:1", ("db1.example.org", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
    ],
)
def test_addresses(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize(
    "address", ["", "host", "host:", "host:x", "host:0", "host:65536", "::1:80", "[::1]", "[::1]80",
                "[host]:1", "h:1:2", "host:-1", "host:²"]
)  # fmt: skip
def test_what_is_no_address(address):
    with pytest.raises(NodeError):
        split_address(address)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", ":1", "*:1"])
def test_what_cannot_be_advertised(address):
    with pytest.raises(NodeError) as caught:
        check_advertised(address)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("address", "numeric"),
    [
        ("localhost:7", "127.0.0.1:7"),
        ("0.0.0.0:7", "0.0.0.0:7"),
        ("[::1]:7", "[::1]:7"),
        ("@name", "@name"),
    ],
)
def test_numeric_addresses(address, numeric):
    assert numeric_address(address) == numeric


def test_a_dialled_descriptor(listener):
    descriptor = Dialer(2.0)(address_of(listener))
    with socket.socket(fileno=descriptor) as ours, listener.accept()[0]:
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert os.get_blocking(descriptor)
        assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_names_are_dialled():
    with socket.create_server(("127.0.0.1", 0)) as server:
        descriptor = Dialer(2.0)(f"localhost:{server.getsockname()[1]}")
        assert descriptor is not None
        os.close(descriptor)


def test_a_failure_is_kept_and_logged_once(port, caplog):
    caplog.set_level(logging.INFO, "dqlite_node")
    dial = Dialer(2.0)
    address = f"127.0.0.1:{port}"
    assert [dial(address), dial(address)] == [None, None]
    assert isinstance(dial.failures[address], ConnectionRefusedError)
    assert len(caplog.records) == 1
    with socket.create_server(("127.0.0.1", port)):
        os.close(dial(address))
    assert not dial.failures
    assert dial(address) is None
    assert [record.levelno for record in caplog.records] == [30, 20, 30]


@pytest.mark.parametrize("address", ["nonsense", "no-such-host.invalid:1", "\0:1"])
def test_nothing_is_raised(address):
    dial = Dialer(2.0)
    assert dial(address) is None
    assert address in dial.failures


def test_the_timeout(deaf):
    dial = Dialer(0.2)
    started = time.monotonic()
    assert dial(deaf) is None
    assert time.monotonic() - started < 2
    assert isinstance(dial.failures[deaf], TimeoutError)
