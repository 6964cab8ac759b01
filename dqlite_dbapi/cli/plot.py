"""Drawings in SVG that stretch to their box; text stands beside them in HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from dqlite_dbapi.cli.history import Sample

_WIDTH, _HEIGHT = 1000, 200
_COLOURS = 8
_FLOOR = 1.0
_STEPS = (1, 2, 5, 10)


def colours(samples: Sequence[Sample]) -> dict[str, str]:
    """The class of each member that was seen, in the order of addresses."""
    seen = {address for sample in samples for address in sample.round_trips}
    seen |= {sample.leader for sample in samples if sample.leader}
    return {address: f"m{number % _COLOURS}" for number, address in enumerate(sorted(seen))}


def top_of(samples: Sequence[Sample]) -> float:
    """The upper end of the scale in ms: 1, 2 or 5 times a power of ten."""
    highest = max((trip for each in samples for trip in each.round_trips.values()), default=0.0)
    highest = max(highest, _FLOOR)
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in _STEPS if step * power >= highest)


class _Scale:
    def __init__(self, samples: Sequence[Sample], top: float) -> None:
        self._first = samples[0].at
        self._span = max(samples[-1].at - self._first, 1e-9)
        self._top = top

    def x(self, at: float) -> float:
        return (at - self._first) / self._span * _WIDTH

    def y(self, trip: float) -> float:
        return _HEIGHT - trip / self._top * _HEIGHT


def _spells(samples: Sequence[Sample]) -> Iterator[tuple[str | None, float, float]]:
    """Who led, from when until when; each look stands for the time up to the next."""
    start, leader = samples[0].at, samples[0].leader
    for sample in samples[1:]:
        if sample.leader != leader:
            yield leader, start, sample.at
            start, leader = sample.at, sample.leader
    yield leader, start, samples[-1].at


def _path(samples: Sequence[Sample], address: str, scale: _Scale) -> str:
    """A line with a gap where the member did not answer."""
    parts, is_drawing = [], False
    for sample in samples:
        trip = sample.round_trips.get(address)
        if trip is not None:
            verb = "L" if is_drawing else "M"
            parts.append(f"{verb}{scale.x(sample.at):.1f} {scale.y(trip):.1f}")
            parts += [] if is_drawing else ["h.1"]
        is_drawing = trip is not None
    return "".join(parts)


def _svg(kind: str, told: str, shapes: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none"'
        f' role="img" aria-label="{escape(told)}">{shapes}</svg>'
    )


def latency(samples: Sequence[Sample], top: float) -> str:
    """Round trips of all members; where nobody led is shaded."""
    scale = _Scale(samples, top)
    grid = "".join(
        f'<path class="grid" d="M0 {height}H{_WIDTH}"/>'
        for height in (0, _HEIGHT // 2, _HEIGHT)
    )  # fmt: skip
    shades = "".join(
        f'<rect class="gap" x="{scale.x(start):.1f}" y="0"'
        f' width="{scale.x(end) - scale.x(start):.1f}" height="{_HEIGHT}"/>'
        for leader, start, end in _spells(samples)
        if leader is None
    )
    lines = "".join(
        f'<path class="line {colour}" d="{_path(samples, address, scale)}"/>'
        for address, colour in colours(samples).items()
    )
    newest = samples[-1].round_trips
    told = ", ".join(f"{address} {trip:.1f} ms" for address, trip in sorted(newest.items()))
    return _svg("latency", f"Round trips, now: {told or 'none'}", shades + grid + lines)


def leaders(samples: Sequence[Sample]) -> str:
    """A strip in the colours of those who led."""
    scale, classes = _Scale(samples, 1.0), colours(samples)
    spells = list(_spells(samples))
    shapes = "".join(
        f'<rect class="{classes[leader] if leader else "gap"}" x="{scale.x(start):.1f}" y="0"'
        f' width="{scale.x(end) - scale.x(start):.1f}" height="{_HEIGHT}"/>'
        for leader, start, end in spells
    )
    told = ", then ".join(leader or "nobody" for leader, _, _ in spells)
    return _svg("leaders", f"Led by {told}", shapes)
