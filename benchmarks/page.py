"""Puts a run's tables between the marks in docs/explanation/performance.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures, goals


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cases(report: dict[str, Any]) -> str:
    rows = []
    for case in report["cases"].values():
        heading = f"{case['title']}, {case['unit']}"
        for label, median, middle, ratio, cpu, *_ in figures.cells(case):
            rows.append((heading, label, median, middle, ratio, cpu))
            heading = ""
    heads = ("case", "contestant", "median", "middle half", "ratio", "client CPU, us")
    return _table(heads, rows)


def _run(report: dict[str, Any]) -> str:
    machine = report["machine"]
    absent = [f"{name} ({reason})" for name, reason in report["absent"].items()]
    return (
        f"Taken {machine['taken']}: engine {machine['engine']}, kernel {machine['kernel']}, "
        f"{machine['processors']} processors, Python {machine['python']}; "
        f"load before the run {machine['load']:.1f}. Absent: {', '.join(absent) or 'nobody'}."
    )


def tables(report: dict[str, Any]) -> dict[str, str]:
    """Markdown by the name of its mark."""
    return {
        "run": _run(report),
        "goals": _table(goals.HEADS, [goals.row(each) for each in report["goals"]]),
        "cases": _cases(report),
    }


def update(page: Path, report: dict[str, Any]) -> None:
    """Replace what is between `<!-- NAME -->` and `<!-- end -->`; LookupError without them."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables(report).items():
        found = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", text, re.S)
        if found is None:
            raise LookupError(f"{page} has no mark <!-- {name} -->")
        text = f"{text[: found.start()]}{table}\n{text[found.end() :]}"
    page.write_text(text, encoding="utf-8")
