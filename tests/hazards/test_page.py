"""docs/reference/hazards.md names a test for each hazard, and each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "hazards.md"


def test_each_hazard_has_its_tests():
    rows = re.findall(r"^\| (H\d+) \|.*\| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    tests = {
        name
        for path in HERE.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert [row for row, _ in rows] == [f"H{n}" for n in range(1, 41)]
    assert not {name for _, cell in rows for name in re.findall(r"`(\w+)`", cell)} - tests
