from __future__ import annotations

import threading

import pytest

from dqlite_dbapi._bell import Bell


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-6, 0.001])
def test_a_wait_ends_whenever_its_time_is_over(seconds):
    """`SimpleQueue` fails this within a thousand rounds, on CPython before 3.13."""
    assert not any(Bell().wait(seconds) for _ in range(2000 if seconds < 0.001 else 20))


def test_it_wakes_a_thread():
    bell = Bell()
    threading.Timer(0.05, bell.ring).start()
    assert bell.wait(10.0)
    assert not bell.wait(0.0)


def test_rung_often_it_wakes_once():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0.0)
    assert not bell.wait(0.0)
