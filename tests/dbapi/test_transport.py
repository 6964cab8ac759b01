from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import ExitStack, suppress

import pytest

from dqlite_dbapi import ConnectionLost, accelerator, aio
from dqlite_dbapi._transport import PlainWire
from tests.support.flows import message

MIB = 1 << 20


def on_a_pair(scenario):
    """Run `scenario(wire, peer)` on both ends of a pair of sockets."""

    async def run():
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        peer.setblocking(False)
        with ExitStack() as stack:
            stack.enter_context(peer)
            wire = PlainWire(asyncio.get_running_loop(), ours)
            stack.callback(wire.abort)
            await asyncio.wait_for(scenario(wire, peer), 30)

    asyncio.run(run())


def test_what_nobody_asks_for_makes_the_peer_wait_and_is_not_lost():
    async def scenario(wire, peer):
        part, sent = bytes(range(256)) * 256, 0
        for _ in range(1000):  # turns of the loop
            with suppress(BlockingIOError):
                sent += peer.send(part[sent % len(part) :])
            await asyncio.sleep(0)
        assert MIB < sent < 4 * MIB
        came = bytearray()
        while len(came) < sent:
            came += await wire.receive()
        assert bytes(came) == (part * (sent // len(part) + 1))[:sent]

    on_a_pair(scenario)


@pytest.mark.parametrize("early", [False, True])
def test_a_whole_result_may_come_as_rows(early):
    """As bytes where it came before it was asked for, as a part of one does in any case."""

    async def scenario(wire, peer):
        for end, is_whole in ((b"\xff" * 8, True), (b"\xee" * 8, False)):
            body = struct.pack("<Q", 1) + b"a".ljust(8, b"\0") + b"\1".ljust(8, b"\0")
            body += struct.pack("<q", 5) + end
            answer = message(7, body)
            peer.send(answer)
            if early:
                await asyncio.sleep(0.01)
            came = await wire.receive(decodes=True)
            rows = (("a",), [(5,)], False, b"\1")
            assert came == (rows if is_whole and not early and accelerator == "c" else answer)

    on_a_pair(scenario)


def test_a_message_that_the_socket_does_not_take_at_once_is_sent_whole():
    async def scenario(wire, peer):
        message = bytes(range(256)) * (20 * MIB // 256)
        wire.send(message)
        sending, loop = wire.writable, asyncio.get_running_loop()
        came = bytearray()
        while len(came) < len(message):
            came += await loop.sock_recv(peer, MIB)
        await sending
        assert came == message
        assert wire.writable is None

    on_a_pair(scenario)


@pytest.mark.parametrize("size", [100, 20 * MIB])
def test_a_peer_that_is_gone_fails_whoever_sends_or_waits(size):
    async def scenario(wire, peer):
        waiting = wire.receive()
        peer.close()
        with pytest.raises(ConnectionLost):
            await waiting
        with pytest.raises(ConnectionLost):
            wire.send(bytes(size))
        with pytest.raises(ConnectionLost):
            await wire.receive()
        assert not wire.is_idle

    on_a_pair(scenario)


def test_bytes_for_somebody_who_gave_up_leave_their_memory_alone():
    async def scenario(wire, peer):
        memory = bytearray(100)
        waiting = asyncio.ensure_future(taken(wire.receive(memoryview(memory))))
        await asyncio.sleep(0)
        waiting.cancel()
        peer.send(b"x" * 100)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await wire.receive() == b"x" * 100
        assert not any(memory)

    on_a_pair(scenario)


async def taken(answer):
    return await answer


def test_a_connection_outlives_its_loop(single, database):
    """Nothing is left open, and nothing is raised."""

    async def opened():
        connection = await aio.connect(single.addresses, database)
        await connection.execute("SELECT 1")
        return connection

    asyncio.run(opened()).terminate()
