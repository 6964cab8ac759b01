"""Cuts, delays and losses of the matrix are real, between members and for clients, and heal."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from itertools import product

import pytest

from tests.faults.matrix.links import CLIENTS, Links
from tests.support.netns import Network

PORT = 9000
PATIENCE = 0.5
MEMBERS = (1, 2, 3)
WAYS = [(CLIENTS, 1), (1, 2), (3, 2)]


def echo(listener):
    """Answer every connection until the listener is closed."""

    def answer(peer):
        with peer, suppress(OSError):
            while chunk := peer.recv(65536):
                peer.sendall(chunk)

    def accept():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


@pytest.fixture(scope="module")
def network():
    with ExitStack() as stack:
        network = stack.enter_context(Network(len(MEMBERS)))
        for number in MEMBERS:
            with network.inside(number):
                listener = socket.create_server((network.host(number), PORT))
            echo(stack.enter_context(closing(listener)))
        yield network


@pytest.fixture
def links(network):
    links = Links(network, len(MEMBERS))
    yield links
    links.heal()


@pytest.fixture
def talks(network):
    """An open connection for each of WAYS."""
    with ExitStack() as stack:
        found = {}
        for source, target in WAYS:
            with network.inside(source or None):
                peer = socket.create_connection((network.host(target), PORT), 2)
            found[source, target] = stack.enter_context(closing(peer))
        yield found


def round_trip(peer, size=1, patience=PATIENCE):
    """Seconds until `size` bytes have come back; infinite if they have not in time."""
    peer.settimeout(patience)
    began = time.monotonic()
    peer.sendall(bytes(size))
    try:
        while size > 0:
            size -= len(peer.recv(size))
    except TimeoutError:
        return float("inf")
    return time.monotonic() - began


def test_plain_links_are_quick(talks):
    assert all(round_trip(peer) < 0.02 for peer in talks.values())


def test_slow_links_delay_both_ways(links, talks):
    links.slow((0.02, 0.03), 0.0, seed=1)
    for peer, size in product(talks.values(), (1, 10_000)):
        assert 0.04 <= round_trip(peer, size) < PATIENCE
    links.heal()
    assert all(round_trip(peer) < 0.02 for peer in talks.values())


def test_lossy_links_lose_some(links, talks):
    links.slow((0.0, 0.0), 0.2, seed=1)
    for peer in talks.values():
        times = [round_trip(peer, patience=10.0) for _ in range(12)]
        assert max(times) > 0.1, "nothing was sent again"
        assert min(times) < 0.05


@pytest.mark.parametrize("lost", [[(1, 2)], [(2, 1)], [(CLIENTS, 1)], [(1, CLIENTS)]])
def test_a_cut_loses_what_goes_that_way_only(links, talks, lost):
    for source, target in lost:
        links.cut(source, target)
    silent = {way for way, peer in talks.items() if round_trip(peer) > PATIENCE}
    assert silent == {way for way in talks if {way, way[::-1]} & {*lost}}
