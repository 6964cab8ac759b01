"""Transfers: what the checker accepts, and each thing that it must refuse."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.checkers.serial import EXACT, SPANS, operation
from tests.faults.matrix.checkers.bank import Entry, check_bank
from tests.faults.matrix.history import FAIL, OK, UNKNOWN

INITIAL = [10, 10, 10]
OUTCOMES = st.sampled_from([OK, OK, FAIL, UNKNOWN])


@st.composite
def executions(draw, spans=SPANS, outcomes=OUTCOMES):
    """Operations that were really carried out, the journal and the balances in the end."""
    balances, journal, history = list(INITIAL), [], []
    for moment in range(draw(st.integers(1, 25))):
        span = draw(spans)
        if draw(st.booleans()):
            history.append(operation(moment, "balances", list(balances), span=span))
            continue
        source, target = draw(st.permutations(range(3)))[:2]
        entry = Entry(0, moment, source, target, draw(st.integers(1, 5)))
        outcome = draw(outcomes)
        if outcome == OK or (outcome == UNKNOWN and draw(st.booleans())):
            journal.append(entry)
            balances[source] -= entry.amount
            balances[target] += entry.amount
        value = list(entry) if outcome == OK else [*entry[:4], None]
        history.append(operation(moment, "transfer", value, outcome, span))
    return history, INITIAL, journal, balances


@settings(deadline=None)
@given(executions())
def test_what_was_really_carried_out_is_accepted(execution):
    assert not check_bank(*execution)


@settings(deadline=None)
@given(executions(st.just(EXACT), st.just(OK)), st.permutations([1, -1, 0]), st.data())
def test_a_read_that_is_changed_is_refused(execution, change, data):
    history = execution[0]
    reads = [each for each in history if each.function == "balances"]
    assume(reads)
    value = data.draw(st.sampled_from(reads)).value
    value[:] = [balance + more for balance, more in zip(value, change, strict=True)]
    assert check_bank(*execution).anomalies


ENTRY = Entry(0, 1, 0, 1, 4)
AFTER = [6, 14, 10]


def transfer(outcome=OK, entry=ENTRY):
    return operation(1, "transfer", list(entry), outcome)


def balances(moment, *value):
    return operation(moment, "balances", list(value))


@pytest.mark.parametrize(
    ("history", "journal", "end", "wrong"),
    [
        ([transfer()], [ENTRY], AFTER, (0, 0, 0)),
        ([transfer(), balances(0, *INITIAL), balances(2, *AFTER)], [ENTRY], AFTER, (0, 0, 0)),
        ([transfer()], [], INITIAL, (1, 0, 0)),
        ([transfer()], [ENTRY, ENTRY], [2, 18, 10], (0, 1, 0)),
        ([transfer(FAIL)], [ENTRY], AFTER, (0, 0, 1)),
        ([], [ENTRY], AFTER, (0, 0, 1)),
        ([transfer(entry=ENTRY._replace(amount=3))], [ENTRY], AFTER, (0, 0, 1)),
        ([transfer()], [ENTRY], INITIAL, (0, 0, 1)),
        ([transfer(), balances(2, *INITIAL)], [ENTRY], AFTER, (0, 0, 1)),
        ([transfer(), balances(0, *AFTER)], [ENTRY], AFTER, (0, 0, 1)),
        ([transfer(), balances(2, 6, 13, 10)], [ENTRY], AFTER, (0, 0, 2)),
    ],
)
def test_what_can_be_wrong(history, journal, end, wrong):
    findings = check_bank(history, INITIAL, journal, end)
    assert tuple(map(len, findings)) == wrong
