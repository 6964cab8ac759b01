"""What a run is told by: a line a pair, a Markdown table, and a page with pictures (inline SVG)."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path

from tests.faults.matrix.history import OK, History, Operation
from tests.faults.matrix.runner import Result

HEADINGS = (
    "workload", "fault", "ops", "faults", "ok", "fail", "unknown", "settled", "lost", "duplicated",
    "anomalies", "gap median (s)", "gap max (s)", "replicas", "crashes", "took (s)", "",
)  # fmt: skip
SHOWN = 5  #: findings of one kind that are printed

WIDTH, LATENCIES, RATES, MARGIN = 960, 180, 60, 48
BINS = 240
LEAST, MOST = 1e-4, 1e2  #: seconds on the axis of latency
COLOURS = {"ok": "#2a6fb0", "fail": "#d08a00", "unknown": "#c02020"}
STYLE = """
body { font: 14px sans-serif; margin: 2em; max-width: 1100px }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: 2px 6px }
td { text-align: right } td:nth-child(-n+2) { text-align: left } .failed { background: #fdd }
pre { white-space: pre-wrap } svg text { font: 11px sans-serif; fill: #555 }
"""
Axis = Callable[[float], float]  #: from what is measured to a place


def cells(result: Result) -> list[str]:
    """A row of the table."""
    median, longest = result.gap
    findings = [str(len(result.found(name))) for name in ("lost", "duplicated", "anomalies")]
    return [
        result.pair.workload,
        result.pair.fault,
        str(result.count("operations")),
        str(len(result.bands)),
        *(str(result.count(name)) for name in ("ok", "fail", "unknown")),
        str(result.verdict.settled if result.verdict else 0),
        *findings,
        f"{median:.2f}",
        f"{longest:.2f}",
        "agree" if result.agree else "DIFFER",
        str(len(result.crashes)),
        f"{result.took:.1f}",
        "passed" if result.passed else "FAILED",
    ]


def line(result: Result) -> str:
    """One pair on one line, and on further ones what was wrong with it."""
    row = dict(zip(HEADINGS, cells(result), strict=True))
    pair, end = f"{row.pop('workload')} x {row.pop('fault')}", row.pop("")
    figures = ", ".join(f"{name} {value}" for name, value in row.items())
    return "\n  ".join([f"{end}: {pair}: {figures}", *details(result)])


def details(result: Result) -> list[str]:
    """What was wrong, shortened."""
    found = [f"problem: {problem}" for problem in result.problems]
    for name in ("lost", "duplicated", "anomalies"):
        things = result.found(name)
        found += [f"{name}: {thing}" for thing in things[:SHOWN]]
        found += [f"{name}: and {len(things) - SHOWN} more"] if len(things) > SHOWN else []
    found += [f"crash: {crash.strip().splitlines()[-1]}" for crash in result.crashes]
    if not result.passed:
        found.append(f"seed {result.pair.seed}, history {result.pair.history}")
    return found


def table(results: Sequence[Result]) -> str:
    """All pairs in Markdown."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_page(path: Path, header: str, results: Sequence[Result]) -> None:
    """Write the page; histories are read from the files that the results name."""
    head = "".join(f"<th>{escape(each)}</th>" for each in HEADINGS)
    rows = "".join(
        f"<tr{'' if each.passed else ' class=failed'}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells(each))
        + "</tr>\n"
        for each in results
    )
    path.write_text(
        f"<!doctype html><meta charset=utf-8><title>Workloads under faults</title>"
        f"<style>{STYLE}</style><h1>Workloads under faults</h1><pre>{escape(header)}</pre>"
        f"<table><tr>{head}</tr>\n{rows}</table>" + "".join(map(_section, results)),
        encoding="utf-8",
    )


def _section(result: Result) -> str:
    pair = result.pair
    told = "\n".join([*details(result), *result.notes])
    picture = ""
    if pair.history.exists():
        picture = plot(History.load(pair.history).operations, result.began, result.bands)
    errors = {
        name: count
        for name, count in (result.verdict.counts if result.verdict else {}).items()
        if name[0].isupper()
    }
    return (
        f"<h2>{escape(pair.workload)} &times; {escape(pair.fault)}</h2><p>seed {pair.seed},"
        f" engine {escape(pair.engine)}; errors: {escape(str(errors or 'none'))}</p>"
        f"{picture}<details><summary>what was done</summary><pre>{escape(told)}</pre></details>"
    )


def plot(
    operations: Sequence[Operation], began: float, bands: Sequence[tuple[float, float]]
) -> str:
    """Latency over time, with the faults behind it, above acknowledged operations a second.

    A stroke reaches from the least to the greatest latency in its share of time, with a dot at the
    median; errors are dots of their own.
    """
    end = max([each.ended for each in operations] + [stop for _, stop in bands] + [began + 1.0])
    span = end - began

    def x(moment: float) -> float:
        return MARGIN + max(moment - began, 0.0) / span * (WIDTH - MARGIN)

    def y(seconds: float) -> float:
        share = math.log(min(max(seconds, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
        return LATENCIES * (1 - share)

    parts = [
        f'<rect x="{x(start):.1f}" y="0" width="{x(stop) - x(start):.1f}"'
        f' height="{LATENCIES + RATES}" fill="#f6d6d6"/>'
        for start, stop in bands
    ]
    for exponent in range(-4, 3):
        height = y(10.0**exponent)
        parts.append(
            f'<path d="M{MARGIN} {height:.1f}H{WIDTH}" stroke="#eee"/>'
            f'<text x="2" y="{height + 8:.1f}">{10.0**exponent:g} s</text>'
        )
    parts += _latencies(operations, x, y, began, span)
    parts += _rates(operations, began, span)
    height = LATENCIES + RATES + 20
    return f'<svg width="{WIDTH}" height="{height}">{"".join(parts)}</svg>'


def _latencies(
    operations: Sequence[Operation], x: Axis, y: Axis, began: float, span: float
) -> Iterator[str]:
    shares: dict[tuple[str, int], list[float]] = defaultdict(list)
    for each in operations:
        share = int((each.ended - began) / span * BINS)
        shares[each.outcome, share].append(each.ended - each.started)
    for (outcome, share), latencies in sorted(shares.items()):
        place, colour = x(began + (share + 0.5) / BINS * span), COLOURS[outcome]
        dots = latencies
        if outcome == OK:
            dots = [statistics.median(latencies)]
            yield (
                f'<path d="M{place:.1f} {y(min(latencies)):.1f}V{y(max(latencies)):.1f}"'
                f' stroke="{colour}" opacity="0.4"/>'
            )
        size = 1.5 if outcome == OK else 3
        for dot in dots:
            yield f'<circle cx="{place:.1f}" cy="{y(dot):.1f}" r="{size}" fill="{colour}"/>'


def _rates(operations: Sequence[Operation], began: float, span: float) -> Iterator[str]:
    counts = Counter(
        int((each.ended - began) / span * BINS) for each in operations if each.outcome == OK
    )
    most = max(counts.values(), default=1)
    width, bottom = (WIDTH - MARGIN) / BINS, LATENCIES + RATES
    for share, count in sorted(counts.items()):
        tall = count / most * (RATES - 8)
        yield (
            f'<rect x="{MARGIN + share * width:.1f}" y="{bottom - tall:.1f}" width="{width:.1f}"'
            f' height="{tall:.1f}" fill="{COLOURS[OK]}"/>'
        )
    yield f'<text x="2" y="{LATENCIES + 26}">{most / span * BINS:.0f}/s</text>'
    yield f'<text x="{MARGIN}" y="{bottom + 16}">0 s</text>'
    yield f'<text x="{WIDTH - 44}" y="{bottom + 16}">{span:.0f} s</text>'
