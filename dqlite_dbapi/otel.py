"""OpenTelemetry: spans of statements and transactions' ends, with events of failovers.

`opentelemetry-instrument` finds it by its entry point; a program may call
`DqliteInstrumentor().instrument()`. It stands on the DB-API integration, of which it takes the
tracer of cursors; methods of classes are wrapped, so connections of pools, of SQLAlchemy and those
that were opened before are traced too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.dbapi import CursorTracer, DatabaseApiIntegration
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

import dqlite_dbapi
from dqlite_dbapi._base import BaseConnection
from dqlite_dbapi._link import Link
from dqlite_dbapi.aio.connection import AsyncConnection
from dqlite_dbapi.aio.cursor import AsyncCursor
from dqlite_dbapi.connection import Connection
from dqlite_dbapi.cursor import Cursor
from dqlite_dbapi.protocol.token import Course

_STATEMENTS = ("execute", "executemany", "executescript")
_ENDS = ("commit", "rollback")
_KEYWORDS = (
    *("tracer_provider", "meter_provider"),
    *("capture_parameters", "enable_commenter", "commenter_options"),
)
Wrapper = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]


def _describe(connection: BaseConnection) -> None:
    """Put the database and the member that answered on the present span."""
    span, server = trace.get_current_span(), connection.server
    if not span.is_recording():
        return
    span.set_attribute("db.name", connection.options.database)
    if server.address:
        span.set_attribute("net.peer.name", server.host)
    if server.address and server.port is not None:
        span.set_attribute("net.peer.port", server.port)


def _tell(kind: str, address: str, detail: str) -> None:
    """Add an event to the present span, if there is one."""
    span = trace.get_current_span()
    if span.is_recording():
        found = {"server.address": address, "dqlite.detail": detail}
        span.add_event(f"dqlite.{kind}", found)


def _traced(tracer: CursorTracer[Any]) -> Wrapper:
    def trace_call(
        wrapped: Callable[..., Any], cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        def call(*words: Any, **options: Any) -> Any:
            try:
                return wrapped(*words, **options)
            finally:
                _describe(cursor.connection)

        return tracer.traced_execution(cursor, call, *args, **kwargs)

    return trace_call


def _traced_async(tracer: CursorTracer[Any]) -> Wrapper:
    def trace_call(
        wrapped: Callable[..., Awaitable[Any]],
        cursor: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Awaitable[Any]:
        async def call(*words: Any, **options: Any) -> Any:
            try:
                return await wrapped(*words, **options)
            finally:
                _describe(cursor.connection)

        return tracer.traced_execution_async(cursor, call, *args, **kwargs)

    return trace_call


class _End:
    """Stands for a cursor where a transaction is ended without one."""

    def __init__(self, connection: BaseConnection) -> None:
        self.connection = connection
        self.rowcount = -1


def _ended(traced: Wrapper, name: str) -> Wrapper:
    """COMMIT and ROLLBACK are spans when there is a transaction to end."""

    def end(
        wrapped: Callable[[], Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not connection.in_transaction:
            return wrapped(*args, **kwargs)
        return traced(lambda _: wrapped(), _End(connection), (name.upper(),), {})

    return end


def _event(wrapped: Any, link: Link, args: tuple[str, str], kwargs: dict[str, Any]) -> Any:
    _tell(args[0], link._session.address, args[1])
    return wrapped(*args, **kwargs)


def _retry(wrapped: Any, _: Course, args: tuple[Exception], kwargs: dict[str, Any]) -> Any:
    pause = wrapped(*args, **kwargs)
    if pause is not None:
        error = args[0]
        address = getattr(error, "address", None) or ""
        _tell("retry", address, f"a transaction is repeated after: {error}")
    return pause


class DqliteInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Traces the driver, blocking and asyncio, from `instrument()` until `uninstrument()`."""

    _places: tuple[tuple[type, str], ...] = ()

    def instrumentation_dependencies(self) -> Collection[str]:
        """Any version: the driver brings this module."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """`tracer_provider`, `meter_provider`, `capture_parameters`, `enable_commenter` and
        `commenter_options` are those of `opentelemetry.instrumentation.dbapi`.
        """
        options: dict[str, Any] = {name: kwargs[name] for name in _KEYWORDS if name in kwargs}
        integration = DatabaseApiIntegration(
            *(__name__, "dqlite"),
            **{"version": dqlite_dbapi.__version__, "connect_module": dqlite_dbapi, **options},
        )
        tracer: CursorTracer[Any] = CursorTracer(integration)
        wrappers: dict[tuple[type, str], Wrapper] = {
            (Link, "_tell"): _event,
            (Course, "pause"): _retry,
        }
        for cursor, connection, traced in (
            (Cursor, Connection, _traced(tracer)),
            (AsyncCursor, AsyncConnection, _traced_async(tracer)),
        ):
            wrappers |= {(cursor, name): traced for name in _STATEMENTS}
            wrappers |= {(connection, name): _ended(traced, name) for name in _ENDS}
        for (owner, name), wrapper in wrappers.items():
            wrap_function_wrapper(owner, name, wrapper)
        self._places = tuple(wrappers)

    def _uninstrument(self, **kwargs: Any) -> None:
        for owner, name in self._places:
            unwrap(owner, name)
