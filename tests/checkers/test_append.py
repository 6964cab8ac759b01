"""Lists: executions are accepted, and each anomaly is found and called by its name."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkers.serial import EXACT, SPANS, operation
from tests.faults.matrix.checkers.append import check_append
from tests.faults.matrix.history import FAIL, OK, UNKNOWN

TOGETHER = (50.0, 50.0)  #: overlaps with every other transaction


@st.composite
def executions(draw, spans=SPANS, outcomes=(OK, OK, OK, FAIL, UNKNOWN)):
    """Transactions that were really carried out, and the lists in the end."""
    chance = draw(st.randoms(use_true_random=False))
    count = draw(st.integers(0, 15))
    return execution(chance, count, lambda: draw(spans), outcomes)


def execution(chance, count, span, outcomes):
    lists, history, element = {}, [], 0
    for moment in range(count):
        outcome = chance.choice(outcomes)
        own = {key: list(elements) for key, elements in lists.items()}
        steps = []
        for _ in range(chance.randint(1, 4)):
            key = chance.randrange(3)
            if chance.random() < 0.5:
                steps.append(["read", key, list(own.get(key, []))])
            else:
                element += 1
                own.setdefault(key, []).append(element)
                steps.append(["append", key, element])
        if outcome == OK or (outcome == UNKNOWN and chance.random() < 0.5):
            lists = own
        if outcome != OK:
            steps = [[f, key, value if f == "append" else None] for f, key, value in steps]
        history.append(operation(moment, "lists", steps, outcome, span()))
    return history, lists


@settings(deadline=None)
@given(executions())
def test_what_was_really_carried_out_is_accepted(execution):
    assert not check_append(*execution)


@settings(deadline=None)
@given(executions(st.just(EXACT), outcomes=(OK,)), st.randoms(use_true_random=False))
def test_a_read_that_is_changed_is_refused(execution, chance):
    history, final = execution
    reads = [step for each in history for step in each.value if step[0] == "read" and step[2]]
    if reads:
        step = chance.choice(reads)
        step[2] = chance.choice([step[2][:-1], step[2][1:], [*step[2], step[2][0]]])
        findings = check_append(history, final)
        assert findings


def a(key, element):
    return ["append", key, element]


def r(key, *elements):
    return ["read", key, list(elements)]


def together(*transactions):
    """Transactions that all overlap; one that is (steps, outcome) has another than `ok`."""
    made = []
    for moment, each in enumerate(transactions):
        steps, outcome = each if isinstance(each, tuple) else (each, OK)
        made.append(operation(moment, "lists", steps, outcome, TOGETHER))
    return made


@pytest.mark.parametrize(
    ("transactions", "final", "name"),
    [
        ([[a(1, 1), a(2, 1)], [a(1, 2), a(2, 2)]], {1: [1, 2], 2: [2, 1]}, "G0"),
        ([[a(1, 1)], [r(1, 1, 2)], ([a(1, 2)], FAIL)], {1: [1, 2]}, "G1a"),
        ([[a(1, 1)], ([a(1, 2)], FAIL)], {1: [1, 2]}, "G1a"),
        ([[a(1, 1)], [r(1, 1, 2)]], {1: [1, 2]}, "G1a"),
        ([[a(1, 1), a(1, 2)], [r(1, 1)]], {1: [1, 2]}, "G1b"),
        ([([a(1, 1), a(1, 2)], UNKNOWN)], {1: [1]}, "G1b"),
        ([[a(1, 1), r(2, 1)], [a(2, 1), r(1, 1)]], {1: [1], 2: [1]}, "G1c"),
        ([[a(1, 1), a(2, 1)], [a(1, 2), r(2)]], {1: [1, 2], 2: [1]}, "G2"),
        ([[a(1, 1), r(2)], [a(2, 1), r(1)]], {1: [1], 2: [1]}, "G2"),
        ([[r(1), a(1, 1)], [r(1), a(1, 2)]], {1: [1, 2]}, "lost update"),
        ([[a(1, 1)], [a(1, 2)], [r(1, 2, 1)]], {1: [1, 2]}, "incompatible order"),
        ([[a(1, 1)], [r(1, 1)]], {}, "incompatible order"),
        ([[a(1, 1), r(1)]], {1: [1]}, "not its own"),
        ([[a(1, 1), r(1, 1, 9)]], {1: [1]}, "not its own"),
    ],
)
def test_anomalies_are_found(transactions, final, name):
    findings = check_append(together(*transactions), final)
    assert any(name in each for each in findings.anomalies), findings


@pytest.mark.parametrize(
    ("transactions", "final"),
    [
        ([[a(1, 1), a(2, 1)], [a(1, 2), a(2, 2)]], {1: [1, 2], 2: [1, 2]}),
        ([[a(1, 1)], ([a(1, 2)], FAIL), [r(1, 1)]], {1: [1]}),
        ([([a(1, 1)], UNKNOWN), [r(1, 1)]], {1: [1]}),
        ([([a(1, 1)], UNKNOWN), [r(1)]], {1: [1]}),
        ([([a(1, 1)], UNKNOWN)], {}),
        ([[r(1), a(1, 1), r(1, 1)], [r(1, 1), a(1, 2)]], {1: [1, 2]}),
        ([[r(1), r(2)], [a(1, 1)], [a(2, 1)], [r(1, 1), r(2)]], {1: [1], 2: [1]}),
    ],
)
def test_what_is_right_is_accepted(transactions, final):
    assert not check_append(together(*transactions), final)


def test_elements_are_counted():
    history = together([a(1, 1)], [a(1, 2)], ([a(1, 3)], UNKNOWN))
    assert check_append(history, {1: [1, 2]}) == ([], [], [])
    assert check_append(history, {1: [2]}).lost == [[1, 1]]
    assert check_append(history, {1: [1, 2, 1]}).duplicated == [[1, 1]]


def test_the_order_of_time_is_kept():
    steps = [[a(1, 1)], [r(1)]]
    history = [operation(moment, "lists", each) for moment, each in enumerate(steps)]
    assert "real time" in check_append(history, {1: [1]}).anomalies[0]
    assert not check_append(together(*steps), {1: [1]})


def test_the_history_of_a_minute_takes_seconds():
    chance, everything, final = random.Random(1), [], {}
    for part in range(150):
        history, lists = execution(
            chance, 100, lambda: (chance.uniform(0, 8), chance.uniform(0, 8)), (OK, OK, UNKNOWN)
        )
        for each in history:
            steps = [[f, (part, key), value] for f, key, value in each.value]
            times = (each.started + part * 100, each.ended + part * 100)
            everything.append(each._replace(value=steps, started=times[0], ended=times[1]))
        final.update({(part, key): elements for key, elements in lists.items()})
    started = time.monotonic()
    assert not check_append(everything, final)
    assert time.monotonic() - started < 30
