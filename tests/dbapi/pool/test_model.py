"""A model of users who share a pool: nobody overtakes, nothing is lost, never too many."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dqlite_dbapi._pool import Ledger, Limits
from dqlite_dbapi.errors import PoolClosed, PoolTimeout

MANY = 100


class Thing:
    """Stands for a connection."""


class Pool(RuleBasedStateMachine):
    """Users who come, wait, go and forget, and a pool that opens, fails, shrinks and closes."""

    @initialize(least=st.integers(0, 2), more=st.integers(1, 3))
    def begin(self, least, more):
        self.now = 0.0
        limits = Limits(least, least + more, max_lifetime=50, max_idle=10)
        self.ledger: Ledger[Thing] = Ledger(limits, lambda: 0.0, lambda: None)
        self.ledger.closed = False
        self.lent: list[Thing] = []
        self.line: list[tuple[object, list[bool]]] = []  # waiters in their order
        self.opening = 0
        self.alive: weakref.WeakSet[Thing] = weakref.WeakSet()

    def close_all(self, connections):
        for connection in connections:
            self.alive.discard(connection)

    def seat(self):
        """Take in those who were served; they must be the first in the line."""
        while self.line and self.line[0][1]:
            waiter, _ = self.line.pop(0)
            self.lent.append(self.ledger.settle(waiter, self.now))
        assert not any(woken for _, woken in self.line)

    @rule()
    def come(self):
        found = self.ledger.take(self.now)
        if found is not None:
            assert not self.line
            self.lent.append(found)
        elif not self.ledger.closed:
            woken = []
            self.line.append((self.ledger.queue(self.now, lambda: woken.append(True)), woken))

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def lose_patience(self, data):
        waiter, _ = self.line.pop(data.draw(st.integers(0, len(self.line) - 1)))
        with pytest.raises(PoolTimeout):
            self.ledger.settle(waiter, self.now)

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def be_cancelled(self, data):
        waiter, _ = self.line.pop(data.draw(st.integers(0, len(self.line) - 1)))
        assert self.ledger.give_up(waiter, self.now) is None

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), keep=st.booleans())
    def go(self, data, keep):
        connection = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        if not self.ledger.give_back(connection, self.now, keep=keep):
            self.close_all([connection])
        self.seat()

    @precondition(lambda self: self.lent)
    @rule()
    def forget(self):
        self.lent.pop()
        gc.collect()

    @rule(seconds=st.sampled_from([0.05, 5.0, 30.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(most=st.sampled_from([1, MANY]))
    def keep_up(self, most):
        closing, opening = self.ledger.due(self.now, most)
        self.close_all(closing)
        self.opening += opening
        assert not opening or self.ledger.size <= self.ledger.limits.max_size

    @precondition(lambda self: self.opening)
    @rule()
    def open_one(self):
        connection = Thing()
        self.opening -= 1
        if self.ledger.opened(connection, self.now, 0.0):
            self.alive.add(connection)
        self.seat()

    @precondition(lambda self: self.opening)
    @rule(is_abandoned=st.booleans())
    def fail_to_open(self, is_abandoned):
        self.opening -= 1
        if is_abandoned:
            self.ledger.abandoned()
        else:
            self.ledger.failed(OSError(), self.now, 0.0, is_final=False)

    @rule(keep=st.booleans())
    def check(self, keep):
        borrowed = self.ledger.borrow_idle()
        while borrowed:
            connection = borrowed.pop()
            if not self.ledger.give_back(connection, self.now, keep=keep, is_check=True):
                self.close_all([connection])
            self.seat()

    @rule(least=st.integers(0, 2), more=st.integers(1, 3))
    def resize(self, least, more):
        self.ledger.resize(least, least + more)

    @rule()
    def drain(self):
        self.ledger.drain()

    @rule()
    def close(self):
        self.close_all(self.ledger.close())
        for waiter, woken in self.line:
            assert woken
            with pytest.raises(PoolClosed):
                self.ledger.settle(waiter, self.now)
        self.line.clear()

    @rule()
    def open(self):
        self.ledger.closed = False

    @invariant()
    def nothing_is_lost(self):
        if not hasattr(self, "ledger"):
            return
        stats = self.ledger.stats()
        held = self.ledger.held()
        assert set(map(id, held)) == set(map(id, self.alive))
        assert stats["pool_available"] == len(held) - len(self.lent)
        assert stats["requests_waiting"] == len(self.line)
        assert not (stats["pool_available"] and self.line)

    def teardown(self):
        """Everybody who waits is served in the end."""
        if not hasattr(self, "ledger"):
            return
        self.ledger.closed = False
        while self.line:
            self.now += 20
            while self.lent:
                self.go_first()
            self.keep_up(MANY)
            while self.opening:
                self.open_one()

    def go_first(self):
        connection = self.lent.pop()
        if not self.ledger.give_back(connection, self.now, keep=True):
            self.close_all([connection])
        self.seat()


Pool.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestPool = Pool.TestCase
