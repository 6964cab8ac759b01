"""Unique inserts: what the checker accepts, and each thing that it must refuse."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.checkers.serial import EXACT, SPANS, operation
from tests.faults.matrix.checkers.sets import check_sets
from tests.faults.matrix.history import FAIL, OK, UNKNOWN

OUTCOMES = st.sampled_from([OK, OK, OK, FAIL, UNKNOWN])


@st.composite
def executions(draw, spans=SPANS, outcomes=OUTCOMES):
    """A history of adds and reads that were really carried out, and what is stored."""
    newest, stored, history = [0, 0, 0], [], []
    for moment in range(draw(st.integers(0, 25))):
        process, span = draw(st.integers(0, 2)), draw(spans)
        if draw(st.booleans()):
            seen = max((n for p, n in stored if p == process), default=0)
            read = {"process": process, "number": seen}
            history.append(operation(moment, "newest", read, span=span))
            continue
        newest[process] += 1
        element, outcome = (process, newest[process]), draw(outcomes)
        if outcome == OK or (outcome == UNKNOWN and draw(st.booleans())):
            stored.append(element)
        history.append(operation(moment, "add", list(element), outcome, span))
    return history, stored


@settings(deadline=None)
@given(executions())
def test_what_was_really_carried_out_is_accepted(execution):
    assert not check_sets(*execution)


@settings(deadline=None)
@given(executions(st.just(EXACT), st.just(OK)), st.data())
def test_a_read_that_is_changed_is_refused(execution, data):
    history, stored = execution
    reads = [n for n, each in enumerate(history) if each.function == "newest"]
    assume(reads)
    place = data.draw(st.sampled_from(reads))
    value = history[place].value
    value["number"] += data.draw(st.sampled_from([-1, 1]))
    assert check_sets(history, stored).anomalies


ADDS = [operation(1, "add", [0, 1]), operation(2, "add", [0, 2], FAIL)]
MORE = operation(3, "add", [1, 1], UNKNOWN)


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ([(0, 1)], ([], [], 0)),
        ([(0, 1), (1, 1)], ([], [], 0)),
        ([], ([(0, 1)], [], 0)),
        ([(0, 1), (0, 1)], ([], [(0, 1)], 0)),
        ([(0, 1), (1, 1), (1, 1)], ([], [(1, 1)], 0)),
        ([(0, 1), (0, 2)], ([], [], 1)),
        ([(0, 1), (7, 7)], ([], [], 1)),
    ],
)
def test_elements(stored, wrong):
    findings = check_sets([*ADDS, MORE], stored)
    assert (findings.lost, findings.duplicated, len(findings.anomalies)) == wrong
