from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager, suppress

import pytest

import dqlite_dbapi
from dqlite_node.incoming import hang_up

ROWS = 20_000
READERS = 3


@pytest.fixture(params=["127.0.0.1", "::1", "@"])
def listener(request):
    """A listening socket and its address, as the engine writes it."""
    host = request.param
    family = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}.get(host, socket.AF_UNIX)
    with socket.socket(family) as server:
        server.bind("" if host == "@" else (host, 0))
        server.listen()
        server.setblocking(False)
        name = server.getsockname()
        shown = "@" + name[1:].decode() if host == "@" else f"[{host}]:{name[1]}"
        yield server, shown.replace("[127.0.0.1]", "127.0.0.1")


@contextmanager
def dialled(server):
    with socket.socket(server.family) as client:
        client.settimeout(5.0)
        client.connect(server.getsockname())
        yield client


def test_nobody_is_accepted_and_the_accepted_are_cut(listener):
    server, address = listener
    name = server.getsockname()
    with dialled(server) as client, server.accept()[0], dialled(server) as waiting:
        hang_up(address)
        assert client.recv(1) == b""
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
        with socket.socket(server.family) as late, pytest.raises(ConnectionRefusedError):
            late.connect(name)


def send_on(client):
    while True:
        client.send(bytes(1 << 16))


def test_a_peer_in_the_middle_of_sending_is_told(listener):
    server, address = listener
    with dialled(server) as client, server.accept()[0] as accepted:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            send_on(client)
        hang_up(address)
        with suppress(ConnectionResetError):
            while accepted.recv(1 << 20):
                pass
        accepted.close()
        client.settimeout(5.0)
        with pytest.raises(ConnectionError):
            send_on(client)


def test_other_sockets_stay(listener):
    _, address = listener
    other = socket.create_server(("127.0.0.1", 0))
    with other, dialled(other) as client, other.accept()[0] as accepted:
        hang_up(address)
        accepted.sendall(b"x")
        assert client.recv(1) == b"x"


def test_a_member_stops_while_it_sends_rows(make_node, engine):
    node = make_node(launcher=engine.launcher)
    node.start()
    with closing(dqlite_dbapi.connect(node.address, "main")) as connection:
        connection.execute("CREATE TABLE item (name TEXT)")
        connection.executemany("INSERT INTO item VALUES (?)", [("x" * 100,)] * ROWS)
        connection.commit()
    begun = threading.Semaphore(0)

    def read():
        options = {"connect_timeout": 0.5, "timeout": 1.0}
        connection = dqlite_dbapi.connect(node.address, "main", **options)
        with closing(connection), suppress(dqlite_dbapi.Error):
            while True:
                cursor = connection.execute("SELECT name FROM item")
                begun.release()
                cursor.fetchall()

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for _ in range(2 * READERS):
        assert begun.acquire(timeout=10.0)
    node.stop()
    for reader in readers:
        reader.join()
    assert node.crash is None
