"""What clients did is kept as it was, and gaps are measured."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkers.serial import operation
from tests.faults.matrix.history import FAIL, UNKNOWN, History, Operation

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
TIME = st.floats(0, 1e6)
OPERATIONS = st.builds(
    Operation,
    st.integers(),
    st.text(),
    JSON,
    TIME,
    TIME,
    st.sampled_from(["ok", "fail", "unknown"]),
    st.text(),
)


@settings(max_examples=30, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=5))
def test_a_history_survives_its_file(tmp_path_factory, operations):
    path = tmp_path_factory.getbasetemp() / "history.jsonl"
    History(operations).save(path)
    assert History.load(path).operations == operations


def test_threads_share_a_history():
    history = History()

    def record():
        for moment in range(500):
            history.record(operation(moment, "add", [moment]))

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history) == len(history.operations) == 2000


@pytest.mark.parametrize(
    ("ends", "moments", "gaps"),
    [
        ([1, 2, 3], [], []),
        ([], [1], []),
        ([1, 2, 5, 6], [2.5], [3]),
        ([1, 2, 5, 6, 7, 11], [2.5, 6.5], [3, 4]),
        ([1, 2], [3], [1]),
        ([5], [1, 2], [1, 3]),
    ],
)
def test_a_gap_is_the_longest_time_without_an_answer(ends, moments, gaps):
    times = [operation(end, "add", [], span=(0.5, 0)) for end in ends]
    failed = [operation(4, "add", [], outcome) for outcome in (FAIL, UNKNOWN)]
    assert History(times + failed).gaps(moments) == gaps
