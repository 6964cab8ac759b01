"""Members that answer cluster requests and copies wrongly; executemany with a lying leader."""

from __future__ import annotations

import struct
from contextlib import ExitStack

import pytest

import dqlite_dbapi
from dqlite_dbapi import Error, InternalError, OperationalError, snapshot
from dqlite_dbapi.aio import snapshot as aio_snapshot
from dqlite_dbapi.aio.cluster import AsyncClient
from tests.dbapi.test_hostile import Peer, header, little, repeat, send
from tests.dbapi.test_hostile_greetings import after_the_flight
from tests.support.fakeserver import FakeServer
from tests.support.flows import message, server, text


@pytest.fixture
def member(transport):
    """Start a member that says that it leads, then answers so; gives its address."""
    with ExitStack() as stack:

        def start(answer):
            def script(connection):
                host, port = connection.getsockname()
                named = server(f"{host}:{port}")
                listing = struct.pack("<QQ", 1, 1) + text(f"{host}:{port}") + bytes(8)
                connection.sendall(named + message(3, listing))
                if connection.recv(65536):
                    answer(connection)

            peer = FakeServer(after_the_flight(script), transport.context)
            return stack.enter_context(peer).address

        yield start


@pytest.fixture(params=["sync", "aio"])
def runner(request):
    """Calls something of the sync driver, or of the asyncio one and waits for it."""
    if request.param == "sync":
        return lambda name, *args, **options: NAMES[name][0](*args, **options)
    loop = request.getfixturevalue("loop_thread")
    return lambda name, *args, **options: loop.call(NAMES[name][1], *args, **options)


NAMES = {
    "client": (dqlite_dbapi.Client, AsyncClient),
    "dump": (snapshot.dump, aio_snapshot.dump),
    "snapshot": (snapshot.snapshot, aio_snapshot.snapshot),
}


def files(*contents, count=2):
    body = struct.pack("<Q", count)
    for content in contents:
        body += text("db") + struct.pack("<Q", len(content)) + content
    return message(9, body)


ANSWERS = {
    "another answer's type": send(message(8, bytes(8))),
    "rows": send(message(7, bytes(8))),
    "unknown type": send(message(77, bytes(8))),
    "empty body": send(bytes(8)),
    "absurd size": send(header(2**32 - 1, 3)),
    "a large size, and silence": send(header(2**28, 9)),
    "a count beyond the message": send(message(3, struct.pack("<Q", 2**60))),
    "closed": lambda connection: connection.close(),
    "silence": lambda connection: None,
}
CALLS = {
    "cluster": lambda client, address: client.cluster(),
    "describe": lambda client, address: client.describe(address),
    "dump": lambda client, address: client.dump("db", address),
    "add": lambda client, address: client.add(9, "127.0.0.1:9"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_bad_answers_to_requests(answer, call, member, runner, transport):
    address = member(answer)
    client = runner("client", [address], timeout=0.25, **transport.options)
    with little(), pytest.raises((OperationalError, InternalError)):
        call(client, address)
    client.close()


COPIES = {
    "another type": send(message(3, bytes(8))),
    "one file": send(files(b"x" * 8, count=1)),
    "a file larger than its message": send(
        message(9, struct.pack("<Q", 2) + text("db") + struct.pack("<Q", 2**62)) + bytes(64)
    ),
    "a file cut short": send(files(bytes(4096))[:2000]),
    "a name without an end": send(header(2**20, 9) + struct.pack("<Q", 2) + b"x" * 10_000),
    "a failure of an absurd size": lambda c: c.sendall(header(2**30, 0)) or repeat(b"x" * 4096)(c),
    "nothing that SQLite knows": send(files(b"not a database!!" * 256, bytes(0))),
    "silence": lambda connection: None,
}


@pytest.mark.parametrize("answer", COPIES.values(), ids=list(COPIES))
@pytest.mark.parametrize("kind", ["dump", "snapshot"])
def test_bad_copies(answer, kind, member, runner, transport, tmp_path):
    address = member(answer)
    options = "&".join(f"{name}={value}" for name, value in transport.options.items())
    source = f"dqlite://{address}/db?{options}"
    place = {"path": tmp_path / "copy.db"} if kind == "dump" else {}
    with little(), pytest.raises(Error):
        runner(kind, source, address=address, timeout=0.25, **place)
    assert not list(tmp_path.iterdir())


BULK = {
    "another type": lambda n: message(8, bytes(8)) * n,
    "one answer less": lambda n: message(6, bytes(16)) * (n - 1),
    "short results": lambda n: message(6, bytes(8)) * n,
    "failures without a text": lambda n: message(0, bytes(8)) * n,
}


def words(request):
    """How many requests are in `request`."""
    count = at = 0
    while at < len(request):
        at += 8 + struct.unpack_from("<I", request, at)[0] * 8
        count += 1
    return count


@pytest.mark.parametrize("answers", BULK.values(), ids=list(BULK))
def test_bad_answers_to_many(answers, transport, driver_connect, database):
    def answer(connection):
        connection.sendall(message(6, bytes(16)))  # BEGIN
        while request := connection.recv(1 << 20):
            connection.sendall(answers(words(request)))

    with FakeServer(Peer(answer), transport.context) as peer:
        connection = driver_connect(peer.address, database, timeout=0.25, **transport.options)
        with little(), pytest.raises(Error) as caught:
            connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(20)])
        assert caught.value.is_disconnect
        connection.close()
