"""Histories of operations that were carried out one after the other, and seemed to overlap."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.faults.matrix.history import OK, Operation

#: By how much an operation seems to begin before its moment and to end after it.
SPANS = st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 3.0))
EXACT = (0.25, 0.25)  #: does not overlap


def operation(
    moment: float, function: str, value: Any, outcome: str = OK, span: tuple[float, float] = EXACT
) -> Operation:
    """An operation of a client of its own that takes effect at `moment`."""
    before, after = span
    return Operation(int(moment * 100), function, value, moment - before, moment + after, outcome)
