"""Hazard H24: what a client leaves behind that goes away between the parts of a result."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path

import pytest

import dqlite_dbapi
import dqlite_dbapi.aio

LARGE = (
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000)"
    " SELECT x, hex(zeroblob(250)) FROM c"
)


@pytest.mark.parametrize("connect_by", [dqlite_dbapi.connect, dqlite_dbapi.aio.connect])
def test_h24_a_half_read_result_is_not_left_with_the_member(connect_by, victim, database):
    async def leave():
        opened = connect_by(victim.addresses, database)
        connection = await opened if inspect.isawaitable(opened) else opened
        cursor = connection.execute(LARGE)
        row = (await cursor if inspect.isawaitable(cursor) else cursor).fetchone()
        assert (await row if inspect.isawaitable(row) else row)[0] == 1
        closing = connection.close()
        if closing is not None:
            await closing

    async def leave_often():
        for _ in range(20):
            await leave()

    folder = Path(f"/proc/{victim.cluster.members[0].pid}/fd")
    before = len(list(folder.iterdir()))
    asyncio.run(leave_often())
    give_up = time.monotonic() + 5
    while len(list(folder.iterdir())) > before + 5 and time.monotonic() < give_up:
        time.sleep(0.05)
    assert len(list(folder.iterdir())) <= before + 5
    assert victim.damage(database) is None
