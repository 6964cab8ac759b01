"""Both drivers, and connections of theirs to the session's clusters, each to its own database."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

import dqlite_dbapi
import dqlite_dbapi.aio
from tests.support.runners import Aio, Sync
from tests.support.swallow import SwallowingProxy
from tests.support.tlsproxy import Authority
from tests.support.twins import LoopThread


@pytest.fixture(scope="session")
def loop_thread():
    with LoopThread() as loop:
        yield loop


@pytest.fixture(params=["sync", "aio"])
def driver_connect(request):
    """`connect()` of the sync driver, and of the asyncio one behind a blocking facade."""
    if request.param == "sync":
        return dqlite_dbapi.connect
    loop = request.getfixturevalue("loop_thread")

    def connect(*args, **options):
        return loop.call(dqlite_dbapi.aio.connect, *args, **options)

    return connect


@pytest.fixture(params=["sync", "aio"])
def driver(request):
    """`run_transaction` and its like of either driver, behind one blocking facade."""
    if request.param == "sync":
        yield Sync()
        return
    with ThreadPoolExecutor() as threads:
        yield Aio(request.getfixturevalue("loop_thread"), threads)


@pytest.fixture
def driver_open(driver, single, database):
    """Open connections of `driver`, by default to a single member; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(addresses=None, **options):
            connection = driver.connect(addresses or single.addresses, database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def proxy(single):
    """In front of a single member; it loses requests and answers when it is told to."""
    with SwallowingProxy(single.addresses[0]) as proxy:
        yield proxy


@pytest.fixture
def connect(driver_connect, single, database):
    """Open connections to one database of a single member; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(**options):
            connection = driver_connect(single.addresses, database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one


class Transport(NamedTuple):
    """How a scripted peer is reached: its TLS context or None, and the driver's options."""

    context: ssl.SSLContext | None
    options: dict[str, Any]


@pytest.fixture(scope="session")
def trusted(tmp_path_factory):
    """A peer's TLS context for loopback, and the options that trust it."""
    authority = Authority()
    ca = authority.write(tmp_path_factory.mktemp("trusted"))
    return Transport(authority.server("127.0.0.1"), {"tls_ca": ca})


@pytest.fixture(params=["plain", "tls"])
def transport(request, trusted):
    """Plain sockets, and TLS."""
    return trusted if request.param == "tls" else Transport(None, {})


@pytest.fixture
def connection(connect):
    return connect()


@pytest.fixture
def table(connection):
    """A committed table `t (id, value)` with rows 1 to 3."""
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", [(1, "one"), (2, "two"), (3, "three")])
    connection.commit()
    return "t"
