"""The exchange of messages in C, against a peer on a pair of sockets."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from contextlib import contextmanager

import pytest

from dqlite_dbapi import _rows
from tests.support.leaks import growth

DONE, PART = b"\xff" * 8, b"\xee" * 8


def rows(marker, *values):
    body = struct.pack("<Q", 1) + b"a".ljust(8, b"\0")
    body += b"".join(b"\1".ljust(8, b"\0") + struct.pack("<q", value) for value in values) + marker
    return struct.pack("<IBBH", len(body) // 8, 7, 0, 0) + body


@contextmanager
def pair(timeout=5.0):
    """Ours, a blocking socket with a timeout of the system's, and the peer's."""
    ours, peer = socket.socketpair()
    with ours, peer:
        limit = struct.pack("@ll", int(timeout), int(timeout % 1 * 1e6))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        yield ours, peer


@contextmanager
def doing(work):
    """Have another thread do `work` meanwhile."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture(params=["ask", "exchange"])
def function(request):
    if request.param == "ask":
        return _rows.ask
    return lambda descriptor, message: _rows.exchange(descriptor, message, 0)


def test_a_message_goes_out_and_bytes_come_back(function):
    with pair() as (ours, peer):
        peer.sendall(b"answer")
        assert function(ours.fileno(), b"question") == b"answer"
        assert peer.recv(99) == b"question"


def test_the_end_of_the_stream_is_no_bytes(function):
    with pair() as (ours, peer):
        peer.shutdown(socket.SHUT_WR)
        assert function(ours.fileno(), b"question") == b""


def test_a_silent_peer_costs_the_timeout(function):
    with pair(timeout=0.05) as (ours, _), pytest.raises(BlockingIOError):
        function(ours.fileno(), b"question")


def test_a_closed_peer_is_an_error_and_no_signal(function):
    with pair() as (ours, peer):
        peer.close()
        with pytest.raises(BrokenPipeError):
            function(ours.fileno(), b"question")


@pytest.mark.parametrize("arguments", [(), (1,), (1, b"", 3), ("1", b""), (1, "text"), (-1, b"")])
def test_arguments_are_checked(function, arguments):
    with pytest.raises((TypeError, ValueError)):
        function(*arguments)


def test_a_descriptor_that_is_none_is_an_error(function):
    with socket.socket() as closed:
        descriptor = closed.fileno()
    with pytest.raises(OSError, match=os.strerror(9)):
        function(descriptor, b"question")


def test_a_message_beyond_the_buffers_is_sent_whole(function):
    message = os.urandom(4 << 20)
    came = []

    def take():
        while sum(map(len, came)) < len(message):
            came.append(peer.recv(1 << 20))
        peer.sendall(b"answer")

    with pair() as (ours, peer), doing(take):
        assert function(ours.fileno(), message) == b"answer"
    assert b"".join(came) == message


def test_other_threads_run_meanwhile(function):
    with pair() as (ours, peer), doing(lambda: peer.recv(99) and peer.sendall(b"answer")):
        assert function(ours.fileno(), b"question") == b"answer"


class Woken(Exception):
    """Raised by a signal's handler."""


@pytest.mark.parametrize("raises", [False, True])
def test_a_signal_is_handled_while_an_answer_is_awaited(function, raises):
    def handle(*_):
        seen.append(True)
        if raises:
            raise Woken

    def interrupt():
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        time.sleep(0.05)
        peer.sendall(b"answer")

    seen = []
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with pair() as (ours, peer), doing(interrupt):
            if raises:
                with pytest.raises(Woken):
                    function(ours.fileno(), b"question")
            else:
                assert function(ours.fileno(), b"question") == b"answer"
                assert peer.recv(99) == b"question"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen


# -- results


def test_a_whole_result_is_decoded():
    with pair() as (ours, peer):
        peer.sendall(rows(DONE, 1, 2))
        assert _rows.ask(ours.fileno(), b"?") == (("a",), [(1,), (2,)], False, b"\1")


def test_parts_are_gathered_as_they_come():
    def answer():
        for _ in range(50):
            peer.sendall(rows(PART, 1))
        peer.sendall(rows(DONE, 2))

    for _ in range(20):  # a busy machine may hold up the peer for longer than is waited
        with pair() as (ours, peer), doing(answer):
            came = _rows.ask(ours.fileno(), b"?")
        if not isinstance(came, bytes):
            break
    assert came[:3] == (("a",), [(1,)] * 50 + [(2,)], False)


@pytest.mark.parametrize(
    "parts",
    [
        [rows(PART, 1)],
        [rows(PART, 1), rows(PART, 2)],
        [rows(PART, 1), rows(DONE, 2)[:-8]],
        [rows(DONE, 1)[:20]],
        [rows(DONE, 1) + b"more"],
        [rows(PART)],
        [rows(PART, 1), b"\0" * 16],
    ],
)
def test_what_is_no_whole_result_comes_as_bytes_and_soon(parts):
    with pair() as (ours, peer):
        peer.sendall(b"".join(parts))
        start = time.monotonic()
        assert _rows.ask(ours.fileno(), b"?") == b"".join(parts)
        assert time.monotonic() - start < 1


@pytest.mark.parametrize("before", [0, 1 << 20], ids=["short as yet", "long"])
def test_a_long_result_comes_in_pieces(before):
    stream = rows(PART, *range(200)) * 40 + rows(DONE, 1)
    came = b""

    with pair() as (ours, peer), doing(lambda: peer.sendall(stream)):
        came = _rows.ask(ours.fileno(), b"?")
        while not came.endswith(DONE):
            came += _rows.exchange(ours.fileno(), b"", before + len(came))
    assert came == stream


@pytest.mark.parametrize(
    ("came", "taken"),
    [
        (rows(DONE, 1, 2), (("a",), [(1,), (2,)], False, b"\1")),
        (rows(PART, 1), rows(PART, 1)),
        (rows(DONE, 1)[:20], rows(DONE, 1)[:20]),
        (rows(DONE, 1) + b"more", rows(DONE, 1) + b"more"),
        (b"", None),
    ],
)
def test_what_has_come_is_taken_without_waiting(came, taken):
    with pair() as (ours, peer):
        peer.sendall(came)
        start = time.monotonic()
        assert _rows.take(ours.fileno()) == taken
        assert time.monotonic() - start < 1
        peer.close()
        assert _rows.take(ours.fileno()) == b""
    with pytest.raises((OSError, ValueError)):
        _rows.take(ours.fileno())


def test_nothing_leaks():
    def everything():
        with pair(timeout=0.01) as (ours, peer):
            for answer in (rows(DONE, 1, 2**40), rows(PART, 1), b"x" * 40, rows(DONE, 1)[:-1]):
                peer.sendall(answer)
                _rows.ask(ours.fileno(), b"?")
                peer.sendall(answer)
                _rows.exchange(ours.fileno(), b"?", 0)
                peer.sendall(answer)
                _rows.take(ours.fileno())
                _rows.take(ours.fileno())
            with pytest.raises(BlockingIOError):
                _rows.ask(ours.fileno(), b"?")

    assert growth(everything, first=5, then=60) < 20_000
