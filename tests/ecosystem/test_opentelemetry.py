"""OpenTelemetry's DB-API instrumentation wraps the module and single connections."""

from __future__ import annotations

import pytest

import dqlite_dbapi
from tests.support.components import need

ATTRIBUTES = {"host": "server.address", "database": "options.database"}


@pytest.fixture
def dbapi():
    return need("opentelemetry.instrumentation.dbapi", "'dqlite-python[otel]'")


@pytest.fixture(params=["trace_integration", "wrap_connect", "instrument_connection"])
def traced(request, dbapi, tracing, connect):
    """A connection that OpenTelemetry was told of, in each way that it offers."""
    provider, _ = tracing
    options = {"tracer_provider": provider, "capture_parameters": True}
    if request.param == "instrument_connection":
        yield dbapi.instrument_connection("tests", connect(), "dqlite", ATTRIBUTES, **options)
        return
    if request.param == "trace_integration":
        dbapi.trace_integration(dqlite_dbapi, "connect", "dqlite", ATTRIBUTES, **options)
    else:
        dbapi.wrap_connect("tests", dqlite_dbapi, "connect", "dqlite", ATTRIBUTES, **options)
    try:
        yield connect()
    finally:
        dbapi.unwrap_connect(dqlite_dbapi, "connect")


def test_statements_become_spans(traced, tracing, database):
    cursor = traced.cursor()
    cursor.execute("CREATE TABLE t (a)")
    cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    with traced.cursor() as other:
        other.execute("SELECT a FROM t WHERE a > ?", (1,))
        assert (other.fetchall(), other.rowcount) == ([(2,)], -1)
    spans = tracing[1]()
    assert [span.attributes["db.statement"] for span in spans] == [
        "CREATE TABLE t (a)",
        "INSERT INTO t VALUES (?)",
        "SELECT a FROM t WHERE a > ?",
    ]
    for span in spans:
        assert span.kind.name == "CLIENT"
        assert span.attributes["db.system"] == "dqlite"
        assert span.attributes["db.name"] == database
        assert span.attributes["net.peer.name"] == traced.server.address
        assert span.status.status_code.name == "UNSET"
    assert spans[-1].attributes["db.statement.parameters"] == "(1,)"


def test_an_error_marks_its_span(traced, tracing):
    with pytest.raises(traced.OperationalError):
        traced.cursor().execute("SELECT * FROM nothing")
    (span,) = tracing[1]()
    assert span.status.status_code.name == "ERROR"
    assert [event.name for event in span.events] == ["exception"]
    assert span.events[0].attributes["exception.type"].endswith("OperationalError")


def test_transactions_pass_through(traced, tracing, connect):
    traced.cursor().execute("CREATE TABLE t (a)")
    with traced:
        traced.cursor().execute("INSERT INTO t VALUES (1)")
        assert traced.in_transaction
    assert not traced.in_transaction
    traced.cursor().execute("DELETE FROM t")
    traced.rollback()
    assert traced.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_comment_that_names_the_span_may_be_added(dbapi, tracing, connect):
    traced = dbapi.instrument_connection(
        *("tests", connect(), "dqlite", ATTRIBUTES),
        tracer_provider=tracing[0],
        enable_commenter=True,
        connect_module=dqlite_dbapi,
    )
    cursor = traced.cursor()
    cursor.execute("SELECT 1;")
    assert cursor.fetchall() == [(1,)]
    assert dbapi.uninstrument_connection(traced).execute("SELECT 1").fetchone() == (1,)
