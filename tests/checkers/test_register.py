"""Linearizability: the search against every order there is, and against executions."""

from __future__ import annotations

import itertools
import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkers.serial import EXACT, SPANS, operation
from tests.faults.matrix.checkers import register
from tests.faults.matrix.checkers.register import check_registers
from tests.faults.matrix.history import FAIL, OK, UNKNOWN, Operation

VALUES = st.integers(0, 2)


def read(moment, result, **more):
    return operation(moment, "read", {"key": 1, "result": result}, **more)


def write(moment, new, *more, **options):
    return operation(moment, "write", {"key": 1, "new": new}, *more, **options)


def cas(moment, old, new, result, *more, **options):
    value = {"key": 1, "old": old, "new": new, "result": result}
    return operation(moment, "cas", value, *more, **options)


def carried_out(held, each):
    """The value after an operation, None if it cannot have been told so."""
    told = each.value
    if each.function == "read":
        return held if told["result"] == held else None
    if each.function == "write":
        return told["new"]
    if each.outcome == OK and (told["old"] == held) is not told["result"]:
        return None
    return told["new"] if told["old"] == held else held


def some_order_explains(history):
    """Try every order of every choice of the unknown operations, which is slow and plain."""
    certain = [each for each in history if each.outcome == OK]
    doubtful = [each for each in history if each.outcome == UNKNOWN and each.function != "read"]
    ends = {id(each): each.ended if each.outcome == OK else math.inf for each in history}
    for count in range(len(doubtful) + 1):
        for chosen in itertools.combinations(doubtful, count):
            for order in itertools.permutations([*certain, *chosen]):
                held = 0
                for place, each in enumerate(order):
                    if any(ends[id(later)] < each.started for later in order[place:]):
                        held = None
                    held = held if held is None else carried_out(held, each)
                    if held is None:
                        break
                if held is not None:
                    return True
    return False


@st.composite
def histories(draw):
    """A few operations with results that may or may not be possible."""
    history = []
    for moment in range(draw(st.integers(0, 5))):
        span = draw(SPANS)
        outcome = draw(st.sampled_from([OK, OK, OK, FAIL, UNKNOWN]))
        made = draw(
            st.one_of(
                st.builds(read, st.just(moment), VALUES),
                st.builds(write, st.just(moment), VALUES),
                st.builds(cas, st.just(moment), VALUES, VALUES, st.booleans()),
            )
        )
        if outcome != OK and "result" in made.value:
            made.value["result"] = None
        history.append(operation(moment, made.function, made.value, outcome, span))
    return history


@settings(max_examples=200, deadline=None)
@given(histories())
def test_the_search_finds_an_order_if_there_is_one(history):
    assert bool(check_registers(history)) is not some_order_explains(history)


def execution(chance, count, spans):
    """Operations on three registers that were really carried out, some of them unseen."""
    held, history = {}, []
    for moment in range(count):
        key, new = chance.randrange(3), moment + 1
        function = chance.choice(("read", "write", "cas"))
        outcome = chance.choices((OK, FAIL, UNKNOWN), (20, 1, 1))[0]
        before = held.get(key, 0)
        value = {"key": key, "new": new}
        if function == "read":
            value = {"key": key, "result": before if outcome == OK else None}
        elif function == "cas":
            old = chance.choice((before, before, max(before - 1, 0)))
            value.update(old=old, result=old == before if outcome == OK else None)
        applies = outcome == OK or (outcome == UNKNOWN and chance.random() < 0.5)
        if applies and function != "read" and value.get("old", before) == before:
            held[key] = new
        history.append(operation(moment, function, value, outcome, spans(chance)))
    return history


def overlapping(chance):
    return chance.uniform(0, 3), chance.uniform(0, 3)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_really_carried_out_is_accepted(seed):
    history = execution(random.Random(seed), 200, overlapping)
    assert not check_registers(history)


@pytest.mark.parametrize("seed", range(20))
def test_a_read_of_an_older_value_is_refused(seed):
    chance = random.Random(seed)
    history = execution(chance, 200, lambda _: EXACT)
    reads = [each for each in history if each.function == "read" and each.value["result"]]
    spoilt = chance.choice(reads).value
    older = {each.value["result"] for each in reads} - {spoilt["result"]}
    spoilt["result"] = chance.choice(sorted(older))
    assert check_registers(history).anomalies


WIDE = {"span": (5, 5)}


@pytest.mark.parametrize(
    ("history", "is_right"),
    [
        ([], True),
        ([read(1, 0)], True),
        ([read(1, 5)], False),
        ([write(1, 5), read(2, 5)], True),
        ([write(1, 5), read(2, 0)], False),
        ([write(1, 5, **WIDE), read(2, 0), read(3, 5)], True),
        ([write(1, 5, **WIDE), read(2, 5), read(3, 0)], False),
        ([write(1, 5), write(2, 6), read(3, 5)], False),
        ([write(1, 5, UNKNOWN), read(2, 0), read(3, 5)], True),
        ([write(1, 5, UNKNOWN), read(2, 5), read(3, 0)], False),
        ([write(2, 5, UNKNOWN), read(1, 5)], False),
        ([write(1, 5, UNKNOWN), write(2, 6), read(3, 5), read(4, 6)], False),
        ([write(1, 5, FAIL), read(2, 5)], False),
        ([write(1, 5), cas(2, 5, 6, True), read(3, 6)], True),
        ([write(1, 5), cas(2, 5, 6, False)], False),
        ([write(1, 5), cas(2, 7, 6, True)], False),
        ([write(1, 5), cas(2, 5, 6, True), cas(3, 5, 7, True)], False),
        ([write(1, 5), cas(2, 5, 6, None, UNKNOWN), cas(3, 5, 7, False), read(4, 6)], True),
        ([write(1, 5), cas(2, 4, 6, None, UNKNOWN), read(3, 6)], False),
        ([read(1, None, outcome=UNKNOWN), read(2, 0)], True),
    ],
)
def test_single_cases(history, is_right):
    assert bool(check_registers(history).anomalies) is not is_right


def test_what_would_take_too_long_is_not_passed(monkeypatch):
    monkeypatch.setattr(register, "MOST", 50)
    together = [write(1, new, **WIDE) for new in range(1, 12)]
    assert check_registers([*together, read(20, 99)]).anomalies


def test_the_history_of_a_minute_takes_seconds():
    chance = random.Random(1)
    history = []
    for key in range(250):
        for each in execution(chance, 80, overlapping):
            value = {**each.value, "key": (key, each.value["key"])}
            history.append(Operation(0, each.function, value, *each[3:]))
    started = time.monotonic()
    assert not check_registers(history)
    assert time.monotonic() - started < 30
