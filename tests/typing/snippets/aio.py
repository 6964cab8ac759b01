"""The asyncio driver as a user's type checker sees it. Never run: mypy reads it."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from dqlite_dbapi import aio
from dqlite_dbapi.rowfactory import dict_row


async def plain() -> None:
    """Rows are tuples unless said otherwise."""
    connection = await aio.connect("h:9001", "main", timeout=5)
    assert_type(connection, aio.AsyncConnection[tuple[Any, ...]])
    cursor = await connection.execute("SELECT 1")
    assert_type(await cursor.fetchone(), tuple[Any, ...] | None)


async def dicts() -> None:
    """A row factory shows in the type of each row."""
    async with aio.connect("h:9001", row_factory=dict_row) as connection:
        assert_type(connection, aio.AsyncConnection[dict[str, Any]])
        cursor = await connection.execute("SELECT 1")
        assert_type(cursor, aio.AsyncCursor[dict[str, Any]])
        assert_type(await cursor.fetchone(), dict[str, Any] | None)
        assert_type(await cursor.fetchmany(5), list[dict[str, Any]])
        assert_type(await cursor.fetchall(), list[dict[str, Any]])
        async for row in cursor:
            assert_type(row, dict[str, Any])


async def forgotten() -> None:
    """A coroutine that is not awaited is an error."""
    connection = await aio.connect("h:9001")
    connection.execute("SELECT 1").fetchone()  # type: ignore[attr-defined]
