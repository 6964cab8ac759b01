"""`benchmarks/run.py` still runs, and what it makes of its figures is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import cases, contestants, figures, goals, page, worlds
from benchmarks.run import main

ROOT = Path(__file__).resolve().parents[2]
RUN = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / "run.py")]
REPLY = {"wall": 0.002, "cpu": 0.001, "calls": 4, "rss": 20.0}


def case(unit: str = "us") -> cases.Case:
    turns = cases.turns(worlds.World(), "select1", "C", "driver")
    return cases.Case("select1", "SELECT 1", unit, turns, n=4)


def report(ours: float = 3e-6, unit: str = "us") -> dict[str, Any]:
    """A report of one case in which C took 2 us and the driver `ours` seconds a call."""
    replies = {
        name: [{**REPLY, "wall": 4 * each} for _ in range(3)]
        for name, each in (("C", 2e-6), ("raw Python", 2e-6), ("driver", ours))
    }
    turns = cases.turns(worlds.World(), "select1", *replies)
    summary = {
        "select1": figures.summarise(case(unit)._replace(turns=turns), replies, {"Go": "no Go"})
    }
    names = ("engine", "kernel", "processors", "python", "taken")
    machine = {**dict.fromkeys(names, "?"), "load": 0.5}
    return {
        "machine": machine,
        "absent": {"Go": "no Go"},
        "cases": summary,
        "goals": goals.results(summary),
    }


def test_a_quick_run_measures_the_floor_and_the_driver(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    where = ["--directory", str(tmp_path), "--disk", str(tmp_path), "--json", str(out)]
    options = ["--quick", "--no-peers", "--rounds", "1", "--case", "insert-1-tmpfs", *where]
    done = subprocess.run([*RUN, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    everyone = found["cases"]["insert-1-tmpfs"]
    expected = {"C", "raw Python", "driver", "driver asyncio"}
    assert set(everyone["contestants"]) == expected, everyone["absent"]
    assert all(each["p50"] > 0 and each["rss"] > 0 for each in everyone["contestants"].values())
    assert {"engine", "kernel", "python"} <= set(found["machine"])


def test_the_cases_are_listed() -> None:
    lines = CliRunner().invoke(main, ["--list"]).output.splitlines()
    assert [line.split()[0] for line in lines] == [each.key for each in cases.CASES]


def test_an_unknown_case_is_refused() -> None:
    done = CliRunner().invoke(main, ["--case", "none"])
    assert (done.exit_code, "--list" in done.output) == (2, True)


def test_keys_are_unique_and_every_turn_has_its_contestant() -> None:
    assert len({each.key for each in cases.CASES}) == len(cases.CASES)
    taking_part = {turn.contestant for each in cases.CASES for turn in each.turns}
    assert taking_part == set(contestants.NAMES)
    assert all(len({turn.label for turn in each.turns}) == len(each.turns) for each in cases.CASES)


def test_goals_name_cases_and_contestants_that_there_are() -> None:
    there = {(each.key, turn.label) for each in cases.CASES for turn in each.turns}
    named = {
        (figure.case, figure.contestant)
        for goal in goals.GOALS
        for figure in (goal.above, goal.below)
        if figure.case and figure.contestant != goals.BEST
    }
    assert named <= there


@pytest.mark.parametrize(
    ("reply", "unit", "expected"),
    [
        (REPLY, "us", [0.0005]),
        (REPLY, "ms", [0.002]),
        ({**REPLY, "laps": [0.1, 0.2]}, "us", [0.1, 0.2]),
        ({**REPLY, "clients": [0.3]}, "ms", [0.3]),
        ({**REPLY, "clients": [0.3]}, "calls/s", [0.0005]),
    ],
)
def test_a_reply_becomes_samples(reply: worlds.Reply, unit: str, expected: list[float]) -> None:
    assert figures.samples(reply, unit) == expected


def test_medians_are_over_all_rounds() -> None:
    replies = [{**REPLY, "laps": [1.0, 2.0]}, {**REPLY, "laps": [3.0], "cpu": 0.002}]
    found = figures.figures(replies, "us")
    assert (found["count"], found["p50"], found["rss"]) == (3, 2.0, 20.0)
    assert found["p10"] < found["p50"] < found["p99"]
    assert found["cpu"] == pytest.approx(0.000375)


@pytest.mark.parametrize(("ours", "met"), [(2.4e-6, True), (2.6e-6, False)])
def test_a_goal_is_met_or_not(ours: float, met: bool) -> None:
    by_goal = {each["goal"]: each for each in report(ours)["goals"]}
    found = by_goal["SELECT 1: driver to raw Python, CPUs free"]
    assert (found["measured"], found["met"]) == (pytest.approx(ours / 2e-6), met)


def test_a_goal_compares_round_by_round() -> None:
    """A machine that slows down between two turns spoils one round, and not the figure."""
    turns = cases.turns(worlds.World(), "select1", "raw Python", "driver")
    replies = {
        "raw Python": [{**REPLY, "wall": 4 * each} for each in (1.0, 1.0, 10.0)],
        "driver": [{**REPLY, "wall": 4 * each} for each in (1.2, 12.0, 12.0)],
    }
    summary = {"select1": figures.summarise(case()._replace(turns=turns), replies, {})}
    by_goal = {each["goal"]: each for each in goals.results(summary)}
    found = by_goal["SELECT 1: driver to raw Python, CPUs free"]
    assert (found["measured"], found["whole"]) == (pytest.approx(1.2), pytest.approx(12.0))


def test_a_goal_without_its_contestants_stays_in_the_table() -> None:
    found = report()["goals"]
    assert len(found) == len(goals.GOALS)
    assert any(each["measured"] is None and each["met"] is None for each in found)


def test_a_page_gets_the_tables_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "a\n<!-- run -->\nold\n<!-- end -->\nb\n<!-- goals -->\n<!-- end -->\n"
        "<!-- cases -->\n<!-- end -->\nc\n"
    )
    page.update(path, report())
    page.update(path, report())
    text = path.read_text()
    assert (text[:2], text[-2:], "old" in text) == ("a\n", "c\n", False)
    assert text.count("| SELECT 1, us | C | 2.00 |") == 1
    assert "| driver | 3.00 |" in text
    assert "Go (no Go)" in text
    path.write_text("no marks")
    with pytest.raises(LookupError):
        page.update(path, report())


def test_the_page_in_the_docs_has_the_marks() -> None:
    text = (ROOT / "docs/explanation/performance.md").read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in page.tables(report()))


def test_a_contestant_that_cannot_be_built_is_absent_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    ready, absent = contestants.build(["go-dqlite", "driver"])
    assert (set(ready), set(absent)) == ({"driver"}, {"go-dqlite"})
    assert absent["go-dqlite"]
