"""One callback a turn for all sockets, as `loop.add_reader` would have one for each."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from dqlite_dbapi._poller import forget, watch


@pytest.fixture(params=["epoll", "none"])
def epoll(request, monkeypatch):
    """With and without what Linux alone has."""
    if request.param == "none":
        monkeypatch.delattr(select, "epoll")


@pytest.fixture
def pairs():
    """More pairs of sockets than are looked at in one turn."""
    with ExitStack() as stack:
        made = [socket.socketpair() for _ in range(100)]
        for both in made:
            for one in both:
                stack.enter_context(one)
        yield made


def epolls():
    """How many of them this process has; threads of other tests may come and go with sockets."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            count += "eventpoll" in os.readlink(descriptor)
    return count


@pytest.mark.usefixtures("epoll")
def test_every_socket_that_becomes_readable_is_called_until_it_is_forgotten(pairs):
    async def run():
        loop, seen = asyncio.get_running_loop(), []

        def read(number, ours):
            seen.append((number, ours.recv(100)))
            forget(loop, ours.fileno())

        for number, (ours, peer) in enumerate(pairs):
            watch(loop, ours.fileno(), lambda number=number, ours=ours: read(number, ours))
            peer.send(b"%d" % number)
        while len(seen) < len(pairs):
            await asyncio.sleep(0)
        for _, peer in pairs:
            peer.send(b"nobody looks")
        for _ in range(5):
            await asyncio.sleep(0)
        assert sorted(seen) == [(number, b"%d" % number) for number in range(len(pairs))]

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.usefixtures("epoll")
def test_one_may_forget_another_that_is_readable_as_well(pairs):
    async def run():
        loop, seen = asyncio.get_running_loop(), []
        two = [ours for ours, _ in pairs[:2]]

        def read(number):
            seen.append(number)
            for ours in two:
                forget(loop, ours.fileno())

        for number, (ours, peer) in enumerate(pairs[:2]):
            peer.send(b"x")
            watch(loop, ours.fileno(), lambda number=number: read(number))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(seen) == 1

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_callback_that_fails_is_the_loop_s_affair_and_holds_up_nobody(pairs):
    async def run():
        loop, seen, told = asyncio.get_running_loop(), [], []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

        def fail(ours):
            ours.recv(1)
            raise LookupError("this one")

        for ours, peer in pairs[:3]:
            peer.send(b"x")
            watch(loop, ours.fileno(), lambda ours=ours: (seen.append(ours), fail(ours)))
        while len(seen) < 3:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [type(error) for error in told] == [LookupError] * 3
        for ours, _ in pairs[:3]:
            forget(loop, ours.fileno())

    asyncio.run(asyncio.wait_for(run(), 30))


def test_nothing_is_left_when_the_last_is_forgotten(pairs):
    async def run():
        loop, before = asyncio.get_running_loop(), epolls()
        for _ in range(3):
            for ours, _ in pairs:
                watch(loop, ours.fileno(), print)
            for ours, _ in pairs:
                forget(loop, ours.fileno())
                forget(loop, ours.fileno())
            assert epolls() == before

    asyncio.run(asyncio.wait_for(run(), 30))


def test_loops_have_sockets_of_their_own(pairs):
    (ours, peer), (others, _) = pairs[:2]

    async def run(one, other):
        loop, seen = asyncio.get_running_loop(), []
        watch(loop, one.fileno(), lambda: seen.append(one.recv(1)))
        other.send(b"x")
        while not seen:
            await asyncio.sleep(0)

    watching = asyncio.new_event_loop()
    watch(watching, others.fileno(), print)
    for _ in range(2):  # what a closed loop has left does not matter to the next one
        asyncio.run(asyncio.wait_for(run(ours, peer), 30))
    forget(watching, others.fileno())
    watching.close()
    forget(watching, others.fileno())


def test_a_loop_that_is_closed_and_forgotten_leaves_nothing():
    class Watched:
        def __init__(self, loop, ours):
            self.loop, self.ours = loop, ours
            watch(loop, ours.fileno(), self.read)

        def read(self):
            """Never called."""

        def __del__(self):
            self.ours.close()

    def leave_open(ours):
        loop = asyncio.new_event_loop()
        Watched(loop, ours)
        loop.close()

    before = epolls()
    ours, peer = socket.socketpair()
    with peer:
        leave_open(ours)
        gc.collect()
        peer.setblocking(False)
        assert peer.recv(1) == b""
    assert epolls() == before
