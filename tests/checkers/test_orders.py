"""Orders with lines: what the checker accepts, and each thing that it must refuse."""

from __future__ import annotations

import pytest

from tests.checkers.serial import operation
from tests.faults.matrix.checkers.orders import check_orders
from tests.faults.matrix.history import FAIL, UNKNOWN

ADD = operation(1, "add", [0, 1, 2])
READ = {"left": 98, "lines": 2, "uneven": 0}


@pytest.mark.parametrize(
    ("read", "orders", "total", "wrong"),
    [
        (READ, [(0, 1, 2, 2)], 100, (0, 0, 0)),
        (READ, [(0, 1, 2, 2), (0, 3, 1, 1)], 100, (0, 0, 0)),
        (READ, [], 100, (1, 0, 0)),
        (READ, [(0, 1, 2, 2), (0, 1, 2, 2)], 100, (0, 1, 0)),
        (READ, [(0, 1, 2, 2), (0, 2, 1, 1)], 100, (0, 0, 1)),
        (READ, [(0, 1, 2, 1)], 100, (0, 0, 1)),
        (READ, [(0, 1, 2, 2)], 99, (0, 0, 1)),
        ({**READ, "left": 99}, [(0, 1, 2, 2)], 100, (0, 0, 1)),
        ({**READ, "uneven": 1}, [(0, 1, 2, 2)], 100, (0, 0, 1)),
    ],
)
def test_what_can_be_wrong(read, orders, total, wrong):
    history = [
        ADD,
        operation(2, "add", [0, 2, 1], FAIL),
        operation(3, "add", [0, 3, 1], UNKNOWN),
        operation(4, "read", read),
        operation(5, "read", {"left": None, "lines": None, "uneven": None}, FAIL),
    ]
    findings = check_orders(history, orders, total, 100)
    assert tuple(map(len, findings)) == wrong
