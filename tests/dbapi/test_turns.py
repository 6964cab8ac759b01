"""One task at a time, in the order of coming, whoever gives up."""

from __future__ import annotations

import asyncio

import pytest

from dqlite_dbapi._turns import Turns


def run(scenario):
    async def limited():
        await asyncio.wait_for(scenario(Turns()), 30)

    asyncio.run(limited())


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def use(turns, name, seen):
    async with turns:
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(name)


def test_turns_are_served_one_by_one_in_the_order_of_coming():
    async def scenario(turns):
        seen = []
        await asyncio.gather(*[use(turns, name, seen) for name in "abcd"])
        assert seen == list("aabbccdd")
        assert turns.take()

    run(scenario)


def test_nobody_takes_a_turn_that_is_promised_to_another():
    async def scenario(turns):
        seen = []
        assert turns.take()
        waiting = asyncio.create_task(use(turns, "a", seen))
        await settle()
        turns.give()
        assert not turns.take()
        await waiting
        assert seen == ["a", "a"]

    run(scenario)


@pytest.mark.parametrize("served", [False, True], ids=["before its turn", "in its first moment"])
def test_a_task_that_is_cancelled_while_it_waits_leaves_no_turn_taken(served):
    async def scenario(turns):
        seen = []
        assert turns.take()
        first, second = (asyncio.create_task(use(turns, name, seen)) for name in "ab")
        await settle()
        if served:
            turns.give()  # to the first one, which has not run since
        first.cancel()
        await settle()
        if not served:
            turns.give()
        await second
        assert seen == ["b", "b"]
        assert turns.take()
        with pytest.raises(asyncio.CancelledError):
            await first

    run(scenario)


def test_an_error_ends_the_turn():
    async def scenario(turns):
        with pytest.raises(LookupError):
            async with turns:
                raise LookupError
        assert not turns.is_taken

    run(scenario)
