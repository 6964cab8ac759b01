"""Connections for tools that were written for `sqlite3`, each to a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import dqlite_dbapi
from tests.support.components import need


@pytest.fixture
def connect(single, database) -> Iterator:
    """Open connections to one database of a single member; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(**options):
            connection = dqlite_dbapi.connect(single.addresses, database, **options)
            stack.callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
def connection(connect):
    return connect()


@pytest.fixture
def tracing():
    """A provider of OpenTelemetry whose spans stay in memory, and the call that takes them out."""
    install = "'dqlite-python[otel]'"
    sdk = need("opentelemetry.sdk.trace", install)
    export = need("opentelemetry.sdk.trace.export", install)
    memory = need("opentelemetry.sdk.trace.export.in_memory_span_exporter", install)
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))

    def take():
        spans = exporter.get_finished_spans()
        exporter.clear()
        return spans

    yield provider, take
    provider.shutdown()
