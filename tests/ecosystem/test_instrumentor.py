"""The OpenTelemetry instrumentor: spans of every way to run SQL, events of a failover."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import dqlite_dbapi
import dqlite_dbapi.aio
from tests.support.components import need

INSTALL = "'dqlite-python[otel]'"
FAILOVER = {"dqlite.leader_change", "dqlite.reconnect"}


@pytest.fixture
def instrumentor():
    need("opentelemetry.instrumentation.dbapi", INSTALL)
    (entry,) = entry_points(group="opentelemetry_instrumentor", name="dqlite")
    return entry.load()()


@pytest.fixture
def take(instrumentor, tracing):
    """Instrument the driver; call it for the spans that have ended since."""
    provider, taken = tracing
    instrumentor.instrument(tracer_provider=provider)
    yield taken
    instrumentor.uninstrument()


def names(spans):
    return [span.name for span in spans]


def events(spans):
    return {event.name for span in spans for event in span.events}


@pytest.fixture(params=["sync", "async"])
def run(request, single, database):
    """Runs `work(do)`; `do(name, ...)` calls a method of a connection that was opened before."""

    def blocking(work):
        with closing(dqlite_dbapi.connect(single.addresses, database)) as connection:
            work(lambda name, *args: getattr(connection, name)(*args))

    def looped(work):
        async def main():
            async with dqlite_dbapi.aio.connect(single.addresses, database) as connection:
                calls = []
                work(lambda name, *args: calls.append((name, args)))
                for name, args in calls:
                    await getattr(connection, name)(*args)

        asyncio.run(main())

    return blocking if request.param == "sync" else looped


def test_each_statement_and_end_is_a_span(run, take, single, database):
    def work(do):
        do("executescript", "CREATE TABLE t (a)")
        do("executemany", "INSERT INTO t VALUES (?)", [(1,), (2,)])
        do("commit")
        do("commit")
        do("execute", "DELETE FROM t WHERE a = ?", (1,))
        do("rollback")

    run(work)
    spans = take()
    assert names(spans) == ["CREATE", "INSERT", "COMMIT", "DELETE", "ROLLBACK"]
    host, _, port = single.addresses[0].rpartition(":")
    for span in spans:
        assert span.kind.name == "CLIENT"
        assert (span.attributes["db.system"], span.attributes["db.name"]) == ("dqlite", database)
        assert (span.attributes["net.peer.name"], span.attributes["net.peer.port"]) == (
            host,
            int(port),
        )
    assert spans[3].attributes["db.statement"] == "DELETE FROM t WHERE a = ?"


def test_connections_of_pools_are_traced(take, single, database):
    pool = dqlite_dbapi.ConnectionPool(single.addresses, database, min_size=1)
    with pool, pool.connection() as connection:
        connection.execute("SELECT 1").fetchone()
    assert names(take()) == ["SELECT"]


def test_connections_of_sqlalchemy_are_traced(take, single, database):
    sqlalchemy = need("sqlalchemy", "'dqlite-python[sqlalchemy]'")
    engine = sqlalchemy.create_engine(f"dqlite://{single.addresses[0]}/{database}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (a)"))
    engine.dispose()
    assert names(take())[-2:] == ["CREATE", "COMMIT"]


def test_an_error_marks_its_span(take, single, database):
    connection = dqlite_dbapi.connect(single.addresses, database)
    with closing(connection), pytest.raises(dqlite_dbapi.OperationalError):
        connection.execute("SELECT * FROM nothing")
    (span,) = take()
    assert span.status.status_code.name == "ERROR"
    assert "exception" in events([span])


def test_a_lost_leader_is_told_on_the_span_that_met_it(take, dqlite_cluster, database):
    with closing(dqlite_dbapi.connect(dqlite_cluster.addresses, database)) as connection:
        connection.execute("SELECT 1").fetchone()
        take()
        dqlite_cluster.kill(dqlite_cluster.leader_index())
        connection.execute("SELECT 2").fetchone()
        (span,) = take()
        assert events([span]) & FAILOVER
        host, _, port = connection.server.address.rpartition(":")
    found = {event.attributes["server.address"] for event in span.events if event.name in FAILOVER}
    assert found == {f"{host}:{port}"}
    assert span.attributes["net.peer.port"] == int(port)


def test_a_lost_leader_under_asyncio(take, dqlite_cluster, database):
    async def main():
        async with dqlite_dbapi.aio.connect(dqlite_cluster.addresses, database) as connection:
            await connection.execute("SELECT 1")
            take()
            dqlite_cluster.kill(dqlite_cluster.leader_index())
            await connection.execute("SELECT 2")

    asyncio.run(main())
    assert events(take()) & FAILOVER


def test_a_repeated_transaction_is_told_on_the_span_around_it(
    take, tracing, dqlite_cluster, database
):
    attempts = []

    def work(connection):
        attempts.append(connection.execute("SELECT 1").fetchone())
        if len(attempts) == 1:
            dqlite_cluster.kill(dqlite_cluster.leader_index())
        connection.execute("CREATE TABLE IF NOT EXISTS t (a)")

    connection = dqlite_dbapi.connect(dqlite_cluster.addresses, database)
    with closing(connection), tracing[0].get_tracer("tests").start_as_current_span("order"):
        dqlite_dbapi.run_transaction(connection, work)
    spans = take()
    assert len(attempts) > 1
    (order,) = [span for span in spans if span.name == "order"]
    assert "dqlite.retry" in events([order])
    assert {span.context.trace_id for span in spans} == {order.context.trace_id}


def test_nothing_is_traced_afterwards(instrumentor, take, single, database):
    instrumentor.uninstrument()
    with closing(dqlite_dbapi.connect(single.addresses, database)) as connection:
        connection.execute("SELECT 1")
    assert take() == ()
    instrumentor.instrument()


def test_opentelemetry_instrument_finds_it(single, database):
    need("opentelemetry.distro", INSTALL)
    code = (
        "import dqlite_dbapi\n"
        f"c = dqlite_dbapi.connect({single.addresses!r}, {database!r})\n"
        "print(c.execute('SELECT 42').fetchone())\n"
        "c.close()\n"
    )
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
    command += ["--traces_exporter", "console", "--metrics_exporter", "none"]
    command += ["--logs_exporter", "none", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(42,)" in done.stdout
    assert '"db.statement": "SELECT 42"' in done.stdout
