"""The pool's bookkeeping, without connections, threads or waiting."""

from __future__ import annotations

import gc

import pytest

from dqlite_dbapi import InterfaceError
from dqlite_dbapi._pool import Ledger, Limits
from dqlite_dbapi.errors import PoolClosed, PoolTimeout

MANY = 100


class Thing:
    """Stands for a connection."""


def make(min_size=0, max_size=3, *, is_open=True, **limits):
    ledger = Ledger(Limits(min_size, max_size, **limits), lambda: 0.0, lambda: None)
    ledger.closed = not is_open
    return ledger


def fill(ledger, now=0.0, most=MANY):
    """Open whatever is due; returns how many that were."""
    _, opening = ledger.due(now, most)
    for _ in range(opening):
        ledger.opened(Thing(), now, 0.0)
    return opening


def take(ledger, now=0.0):
    """Lend a connection, one that is opened for it if need be."""
    lent = ledger.take(now)
    if lent is None:
        waiter = ledger.queue(now, lambda: None)
        fill(ledger, now)
        lent = ledger.settle(waiter, now)
    return lent


@pytest.mark.parametrize(
    "limits",
    [
        {"min_size": -1},
        {"min_size": 5},
        {"min_size": 0, "max_size": 0},
        {"max_waiting": -1},
        {"timeout": -1},
        {"max_lifetime": -0.1},
        {"max_idle": -1},
        {"reconnect_timeout": -1},
    ],
)
def test_senseless_limits_are_refused(limits):
    with pytest.raises(InterfaceError):
        Limits(**limits)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, (4, 4)), ({"min_size": 2}, (2, 2)), ({"min_size": 0, "max_size": 9}, (0, 9))],
)
def test_a_pool_grows_only_if_it_is_told_to(given, expected):
    limits = Limits.of(**given)
    assert (limits.min_size, limits.max_size) == expected


def test_the_connection_used_last_is_lent_first():
    ledger = make(3)
    fill(ledger)
    first, second = take(ledger), take(ledger)
    ledger.give_back(second, 1, keep=True)
    ledger.give_back(first, 2, keep=True)
    assert take(ledger) is first


def test_who_waits_longest_is_served_first():
    ledger = make(1, 1)
    fill(ledger)
    lent = take(ledger)
    served = []
    for name in "abc":
        ledger.queue(0, lambda name=name: served.append(name))
    for _ in "abc":
        ledger.give_back(lent, 0, keep=True)
    assert served == ["a", "b", "c"]


def test_nobody_overtakes_those_who_wait():
    ledger = make(1, 1)
    fill(ledger)
    lent = take(ledger)
    waiter = ledger.queue(0, lambda: None)
    ledger.give_back(lent, 1, keep=True)
    assert ledger.take(1) is None
    assert ledger.settle(waiter, 1) is lent


def test_too_many_waiters_are_sent_away():
    ledger = make(0, 1, max_waiting=1)
    ledger.queue(0, lambda: None)
    with pytest.raises(PoolTimeout):
        ledger.queue(0, lambda: None)
    assert ledger.stats()["requests_errors"] == 1


def test_a_connection_that_comes_while_a_wait_is_given_up_is_not_lost():
    ledger = make(1, 1)
    waiter = ledger.queue(0, lambda: None)
    fill(ledger)
    lent = ledger.give_up(waiter, 1)
    ledger.give_back(lent, 1, keep=True)
    assert ledger.take(1) is lent


def test_a_forgotten_lease_frees_its_place():
    noticed = []
    ledger = Ledger(Limits(1, 1), lambda: 0.0, lambda: noticed.append(True))
    ledger.closed = False
    fill(ledger)
    lent = ledger.take(0)
    del lent
    gc.collect()
    assert noticed
    assert fill(ledger) == 1


@pytest.mark.parametrize("keep", [True, False])
def test_only_what_was_lent_is_taken_back(keep):
    ledger = make(1)
    fill(ledger)
    lent = take(ledger)
    ledger.give_back(lent, 0, keep=keep)
    for stranger in (lent, Thing()):
        with pytest.raises(InterfaceError):
            ledger.give_back(stranger, 0, keep=True)


def test_lifetimes_differ():
    draws = iter([0.0, 1.0])
    ledger = Ledger(Limits(2, 2, max_lifetime=100), lambda: next(draws), lambda: None)
    ledger.closed = False
    fill(ledger)
    assert len(ledger.due(95, 0)[0]) == 1
    assert len(ledger.due(100, 0)[0]) == 1


def test_an_old_connection_is_replaced_when_it_returns():
    ledger = make(1, 1, max_lifetime=10)
    fill(ledger)
    lent = take(ledger)
    assert ledger.give_back(lent, 11, keep=True) is False
    assert fill(ledger, 11) == 1


def test_idle_connections_are_closed_down_to_the_minimum():
    ledger = make(1, 3, max_idle=10)
    lent = [take(ledger) for _ in range(3)]
    for now, each in enumerate(lent):
        ledger.give_back(each, now, keep=True)
    assert ledger.due(10.5, MANY) == ([lent[0]], 0)
    assert ledger.pause(10.5) == pytest.approx(0.5)
    assert ledger.due(99, MANY) == ([lent[1]], 0)


def test_a_check_does_not_make_connections_young():
    ledger = make(0, 2, max_idle=10)
    lent = [take(ledger), take(ledger)]
    for now, each in enumerate(lent):
        ledger.give_back(each, now, keep=True)
    borrowed = ledger.borrow_idle()
    while borrowed:
        ledger.give_back(borrowed.pop(), 9, keep=True, is_check=True)
    assert ledger.due(10.5, MANY) == ([lent[0]], 0)
    assert ledger.take(11) is lent[1]


@pytest.mark.parametrize("least", [0, 2])
def test_openings_that_fail_are_tried_ever_more_rarely(least):
    ledger = make(least, 2, reconnect_timeout=20)
    if not least:
        ledger.queue(0, lambda: None)
    now, pauses = 0.0, []
    for _ in range(12):
        closing, opening = ledger.due(now, 1)
        assert (closing, opening) == ([], 1)
        ledger.failed(OSError(), now, 0.0, is_final=False)
        pause = ledger.pause(now)
        if pause is None:
            break
        pauses.append(pause)
        now += pause
    assert [round(pause, 6) for pause in pauses] == sorted(round(pause, 6) for pause in pauses)
    assert max(pauses) <= 10
    assert (pause is None) is bool(least)  # without a request it is given up


def test_a_new_request_ends_the_giving_up():
    ledger = make(1, 1, reconnect_timeout=0)
    assert ledger.due(0, 1) == ([], 1)
    ledger.failed(OSError(), 0, 0.0, is_final=False)
    assert ledger.pause(5) is None
    waiter = ledger.queue(5, lambda: None)
    assert fill(ledger, 5) == 1
    assert ledger.settle(waiter, 5) is not None
    assert ledger.pause(5) is not None


def test_a_time_out_tells_why_nothing_could_be_opened():
    ledger = make(0, 1)
    waiter = ledger.queue(0, lambda: None)
    ledger.due(0, 1)
    reason = OSError("no route")
    ledger.failed(reason, 0, 0.0, is_final=False)
    with pytest.raises(PoolTimeout) as caught:
        ledger.settle(waiter, 30)
    assert caught.value.__cause__ is reason
    assert caught.value.is_retryable


def test_an_error_that_will_stay_is_told_at_once():
    ledger = make(0, 1)
    woken = []
    waiter = ledger.queue(0, lambda: woken.append(True))
    ledger.due(0, 1)
    ledger.failed(ValueError("bad"), 0, 0.0, is_final=True)
    assert woken
    with pytest.raises(ValueError, match="bad"):
        ledger.settle(waiter, 0)


def test_closing_sends_everybody_away():
    ledger = make(1, 1)
    fill(ledger)
    lent = take(ledger)
    waiter = ledger.queue(0, lambda: None)
    assert ledger.close() == []
    with pytest.raises(PoolClosed):
        ledger.settle(waiter, 0)
    with pytest.raises(PoolClosed):
        ledger.queue(0, lambda: None)
    assert ledger.give_back(lent, 0, keep=True) is False
    assert (ledger.size, ledger.pause(0)) == (0, None)


def test_a_pool_that_was_made_smaller_keeps_no_more_than_that():
    ledger = make(2, 2)
    fill(ledger)
    lent = [take(ledger), take(ledger)]
    ledger.resize(1, 1)
    assert [ledger.give_back(each, 0, keep=True) for each in lent] == [False, True]


def test_a_connection_that_nobody_needs_any_more_is_not_added():
    ledger = make(1, 2)
    ledger.queue(0, lambda: None)
    ledger.queue(0, lambda: None)
    assert ledger.due(0, MANY) == ([], 2)
    ledger.resize(1, 1)
    first, second = Thing(), Thing()
    assert [ledger.opened(each, 0, 0.0) for each in (first, second)] == [False, True]


def test_who_comes_during_a_check_gets_what_was_checked():
    ledger = make(1, 1)
    fill(ledger)
    borrowed = ledger.borrow_idle()
    waiter = ledger.queue(0, lambda: None)
    assert ledger.give_back(borrowed[0], 1, keep=True, is_check=True)
    assert ledger.settle(waiter, 1) is borrowed[0]
